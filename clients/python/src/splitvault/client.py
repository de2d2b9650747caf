"""The two forms of the client: `KeyClient` is awaited, `SyncKeyClient` blocks."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Union

from . import _health, _writes
from ._core import Core, target_of
from ._hidden import Hidden, bare
from ._settings import Settings
from ._steps import Clock, Steps
from ._writes import RequiredKey
from .errors import ConfigurationError, SplitvaultError
from .references import Reference, Target, canonical
from .values import Health, Key, Service, Stored

DEFAULT_TTL = 300.0
#: The longest time for which a value is used while a service cannot be reached, in seconds.
MAX_STALE = 3600.0

PathLike = Union[str, "os.PathLike[str]"]

_cores: weakref.WeakSet[Core] = weakref.WeakSet()


class _Client:
    """What both forms have in common."""

    def __init__(
        self,
        service_name: str,
        service_token: str | Hidden[str] | None = None,
        *,
        url: str | None = None,
        timeout_ms: int | None = None,
        environment: str | None = None,
        ca_file: PathLike | None = None,
        disk_cache: PathLike | None = None,
        max_stale: float = MAX_STALE,
        danger_plain_http: bool = False,
    ) -> None:
        """Makes a client of one service's credential; nothing is sent yet.

        `service_token` is the credential; without it SERVICE_TOKEN or the file that SERVICE_TOKEN_FILE names. `url` is
        the manager's address (KEY_SERVICE_URL), `timeout_ms` the time for a whole call (KEY_SERVICE_TIMEOUT, 10,000),
        `environment` that of paths (KEY_ENVIRONMENT, or that of the credential), `ca_file` the only CA to believe
        (KEY_SERVICE_CA_FILE). `disk_cache` is a folder for an encrypted cache. `max_stale` is how long a value is used
        while a service cannot be reached, an hour at most.
        """
        # No traceback with local variables shows it from here on.
        service_token = _hidden(service_token)
        if not 0 <= max_stale <= MAX_STALE:
            raise ConfigurationError(f"max_stale is 0 to {MAX_STALE:.0f} seconds")
        interruption = None
        try:
            settings = Settings(service_name, service_token, url, timeout_ms, environment, ca_file, danger_plain_http)
            self._core = Core(settings, Clock(), max_stale, disk_cache)
        except SplitvaultError:
            raise
        except BaseException as error:
            interruption = bare(error)
        if interruption is not None:
            raise interruption
        _cores.add(self._core)

    def __repr__(self) -> str:
        """Says whose client it is, and of which manager."""
        if not hasattr(self, "_core"):
            return f"{type(self).__name__}()"
        settings = self._core.settings
        return f"{type(self).__name__}(service_name={settings.service_name!r}, url={settings.manager!r})"

    def _get_keys(self, paths: Sequence[str], cache_ttl: float, environment: str | None) -> Steps[dict[str, Key]]:
        core = self._core
        if not cache_ttl >= 0:
            raise ConfigurationError("cache_ttl is 0 or more seconds")
        deadline = core.deadline()
        targets: dict[str, Target] = {}
        for path in paths:
            if path.startswith("sv://"):
                reference = Reference.parse(path)
                if reference.field is not None:
                    raise ConfigurationError("a field is not a key: load_env reads fields")
                targets[path] = reference.target()
            else:
                targets[path] = target_of(path, (yield from core.environment(environment, deadline)))
        keys = yield from core.get(list(targets.values()), cache_ttl, deadline)
        return {path: keys[target] for path, target in targets.items()}

    def _get_key(self, path: str, cache_ttl: float, environment: str | None) -> Steps[Key]:
        return (yield from self._get_keys([path], cache_ttl, environment))[path]

    def _clear(self, path: str | None, environment: str | None) -> Steps[None]:
        if path is not None and path.startswith("sv://"):
            reference = Reference.parse(path)
            path, environment = reference.path, reference.environment
        yield from self._core.forget(environment, None if path is None else canonical(path))


class KeyClient(_Client):
    """A client whose calls are awaited. One may serve many threads and event loops."""

    async def get_key(self, key_path: str, cache_ttl: float = DEFAULT_TTL, *, environment: str | None = None) -> Key:
        """Reads a secret, by its path in slashes or dots, or by a reference without a field."""
        return await self._core.transport.adrive(self._get_key(key_path, cache_ttl, environment))

    async def get_keys(
        self, key_paths: Iterable[str], cache_ttl: float = DEFAULT_TTL, *, environment: str | None = None
    ) -> dict[str, Key]:
        """Reads many: for up to 64 of one environment, one token and one request. All of them, or an error."""
        return await self._core.transport.adrive(self._get_keys(list(key_paths), cache_ttl, environment))

    async def clear_cache(self, key_path: str | None = None, *, environment: str | None = None) -> None:
        """Forgets what was read at a path, or everything, also on disk."""
        await self._core.transport.adrive(self._clear(key_path, environment))

    async def health_check(self) -> Health:
        """Asks both services how they are. Raises nothing."""
        return await self._core.transport.adrive(_health.health(self._core))

    async def register_service(
        self,
        service_name: str,
        description: str | None = None,
        required_keys: Sequence[RequiredKey] = (),
        *,
        environment: str | None = None,
    ) -> Service:
        """Registers a service, which gives it nothing before an administrator approves it."""
        steps = _writes.register(self._core, service_name, description, required_keys, environment)
        return await self._core.transport.adrive(steps)

    async def store_key(
        self, key_path: str, value: str | bytes | Hidden[str] | Hidden[bytes], environment: str | None = None
    ) -> Stored:
        """Stores a value: a new secret, or the next version of the one that is there."""
        value = _hidden_value(value)
        return await self._core.transport.adrive(_writes.store(self._core, key_path, value, environment))

    async def aclose(self) -> None:
        """Closes the connections of this event loop."""
        await self._core.transport.aclose()

    async def __aenter__(self) -> KeyClient:
        """Begins a block at whose end the connections are closed."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the connections."""
        await self.aclose()


class SyncKeyClient(_Client):
    """A client whose calls block. One may serve many threads."""

    def get_key(self, key_path: str, cache_ttl: float = DEFAULT_TTL, *, environment: str | None = None) -> Key:
        """Reads a secret, by its path in slashes or dots, or by a reference without a field."""
        return self._core.transport.drive(self._get_key(key_path, cache_ttl, environment))

    def get_keys(
        self, key_paths: Iterable[str], cache_ttl: float = DEFAULT_TTL, *, environment: str | None = None
    ) -> dict[str, Key]:
        """Reads many: for up to 64 of one environment, one token and one request. All of them, or an error."""
        return self._core.transport.drive(self._get_keys(list(key_paths), cache_ttl, environment))

    def clear_cache(self, key_path: str | None = None, *, environment: str | None = None) -> None:
        """Forgets what was read at a path, or everything, also on disk."""
        self._core.transport.drive(self._clear(key_path, environment))

    def health_check(self) -> Health:
        """Asks both services how they are. Raises nothing."""
        return self._core.transport.drive(_health.health(self._core))

    def register_service(
        self,
        service_name: str,
        description: str | None = None,
        required_keys: Sequence[RequiredKey] = (),
        *,
        environment: str | None = None,
    ) -> Service:
        """Registers a service, which gives it nothing before an administrator approves it."""
        steps = _writes.register(self._core, service_name, description, required_keys, environment)
        return self._core.transport.drive(steps)

    def store_key(
        self, key_path: str, value: str | bytes | Hidden[str] | Hidden[bytes], environment: str | None = None
    ) -> Stored:
        """Stores a value: a new secret, or the next version of the one that is there."""
        value = _hidden_value(value)
        return self._core.transport.drive(_writes.store(self._core, key_path, value, environment))

    def close(self) -> None:
        """Closes the connections."""
        self._core.transport.close()

    def __enter__(self) -> SyncKeyClient:
        """Begins a block at whose end the connections are closed."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the connections."""
        self.close()


def _hidden(text: str | Hidden[str] | None) -> Hidden[str] | None:
    return Hidden(text) if isinstance(text, str) else text


def _hidden_value(value: str | bytes | Hidden[str] | Hidden[bytes]) -> Hidden[str] | Hidden[bytes]:
    if isinstance(value, Hidden):
        return value
    if isinstance(value, str):
        return Hidden(value)
    return Hidden(value)


def _after_fork() -> None:
    for core in list(_cores):
        core.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
