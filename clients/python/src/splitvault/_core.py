"""What a client does, as steps.

Reading: a token for up to 64 secrets of one environment, then one request at the vault. Nothing here waits or sends.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, Callable

from ._calls import MANAGER, VAULT, Document, Postponed, call, out_of_form, write
from ._disk import DiskCache, DiskFault
from ._hidden import Hidden
from ._settings import Settings, check_address
from ._state import Entry, Found, Outcome, State
from ._steps import Clock, Pause, Run, Send, Steps, Wait
from ._token import Token, is_id, member
from ._transport import Transport
from .errors import (
    ConfigurationError,
    DiskCacheWarning,
    SplitvaultError,
    StaleValueWarning,
    UnauthorizedError,
    UnavailableError,
    refused_line,
)
from .references import Target, canonical, check_environment, check_path
from .values import Key

BATCH = 64
MAX_TOKENS = 3
log = logging.getLogger("splitvault")


class Core:
    """Settings, memory and connections of one client."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        max_stale: float,
        disk_cache: str | os.PathLike[str] | None,
    ) -> None:
        """Connects to nothing yet."""
        self.settings = settings
        self.clock = clock
        self.state = State(clock, max_stale)
        self.transport = Transport(settings, clock)
        self.transport.addresses[MANAGER] = settings.manager
        self.disk = None if disk_cache is None else DiskCache(disk_cache, settings.credential, settings.manager)

    def after_fork(self) -> None:
        """Begins in a child without what belongs to threads of the parent."""
        self.state.after_fork()
        self.transport.forget_connections()

    def deadline(self) -> float:
        """Returns when a call that begins now must end."""
        return self.clock.steady() + self.settings.timeout

    def at_manager(self, method: str, path: str, deadline: float, **more: Any) -> Send:
        """Describes a request to the manager, with the credential."""
        return Send(MANAGER, method, path, deadline=deadline, credential=self.settings.credential, **more)

    def guarded(self, steps: Steps[Document]) -> Steps[Document]:
        """Empties the caches when the credential does not count any more."""
        try:
            return (yield from steps)
        except UnauthorizedError as error:
            if error.code == "credential_invalid":
                yield from self.forget()
            raise

    def environment(self, given: str | None, deadline: float) -> Steps[str]:
        """Finds the environment of a call: the argument, KEY_ENVIRONMENT, or that of the credential."""
        named = given or self.settings.environment or self.state.default_environment
        if named:
            return check_environment(named)
        me = yield from self.me(deadline)
        service, credential = me.get("principal"), me.get("client_id")
        found = None
        if is_id(service, "svc_"):
            request = self.at_manager("GET", f"/api/services/{service}/credentials", deadline, safe=True)
            document = yield from self.guarded(call(self.clock, request))
            for line in document.read().get("credentials", []):
                if isinstance(line, dict) and line.get("credential_id") == credential:
                    found = line.get("default_environment")
        if not isinstance(found, str):
            raise ConfigurationError("the credential has no default environment: name one, or set KEY_ENVIRONMENT")
        self.state.default_environment = found
        return found

    def me(self, deadline: float) -> Steps[dict[str, Any]]:
        """Asks the manager who the caller is, and where the vault is."""
        document = yield from self.guarded(call(self.clock, self.at_manager("GET", "/api/me", deadline, safe=True)))
        members = document.read()
        self._note_vault(members)
        return members

    def get(self, wanted: Sequence[Target], ttl: float, deadline: float) -> Steps[dict[Target, Key]]:
        """Reads versions, from memory where that may be."""
        yield from self._load()
        keys: dict[Target, Key] = {}
        pending = list(dict.fromkeys(wanted))
        while pending:
            found, mine, others, epoch = self.state.claim(pending, ttl)
            keys.update((target, self._known(target, known)) for target, known in found.items())
            if mine:
                yield from self._lead(mine, ttl, deadline, epoch, keys)
            for target, future in others.items():
                outcome = yield Wait(future, deadline)
                self._take_over(target, outcome, keys)
            pending = [target for target in pending if target not in keys]
        return keys

    def forget(self, environment: str | None = None, path: str | None = None) -> Steps[None]:
        """Forgets values in memory and on disk."""
        self.state.forget(environment, path)
        disk = self.disk
        if disk is not None:
            whole = environment is None and path is None

            def is_meant(target: Target) -> bool:
                return environment in (None, target.environment) and path in (None, target.path)

            gone = None if whole else is_meant
            yield from self._at_disk(lambda: disk.forget(gone, self.clock, self.state.max_stale))

    def _lead(
        self, mine: dict[Target, Future[Outcome]], ttl: float, deadline: float, epoch: int, keys: dict[Target, Key]
    ) -> Steps[None]:
        try:
            for batch in _batches(list(mine)):
                fault: SplitvaultError | None = None
                entries: dict[Target, Entry] = {}
                try:
                    entries = yield from self._read(batch, deadline)
                except SplitvaultError as error:
                    fault = error
                if fault is None:
                    if self.state.remember(entries, epoch):
                        yield from self._save(entries, epoch)
                    for target, entry in entries.items():
                        self.state.settle(target, mine[target], Outcome(entry))
                        keys[target] = self._key(target, entry, cached=False, stale=False)
                else:
                    yield from self._fall_back(batch, mine, ttl, fault, keys)
        finally:
            # Whoever waits for a caller that was interrupted asks himself.
            for target, future in mine.items():
                self.state.settle(target, future, Outcome())

    def _fall_back(
        self,
        batch: list[Target],
        mine: dict[Target, Future[Outcome]],
        ttl: float,
        fault: SplitvaultError,
        keys: dict[Target, Key],
    ) -> Steps[None]:
        """Serves the last values through an outage; a refusal takes them away."""
        usable: dict[Target, Entry] = {}
        if isinstance(fault, UnavailableError):
            for target in batch:
                entry = self.state.usable(target, ttl)
                if entry is not None:
                    usable[target] = entry
        elif fault.status != 429:
            yield from self._drop(batch)
        for target in batch:
            entry = usable.get(target)
            if entry is None:
                outcome = Outcome(error=fault, alone=len(batch) == 1)
            else:
                outcome = Outcome(entry, stale=True)
                keys[target] = self._key(target, entry, cached=True, stale=True)
            self.state.settle(target, mine[target], outcome)
        if len(usable) < len(batch):
            raise fault

    def _drop(self, targets: list[Target]) -> Steps[None]:
        disk, dropped = self.disk, self.state.drop(targets)
        if disk is not None and dropped:
            yield from self._at_disk(lambda: disk.forget(dropped.__contains__, self.clock, self.state.max_stale))

    def _take_over(self, target: Target, outcome: Outcome | None, keys: dict[Target, Key]) -> None:
        if outcome is None:
            raise UnavailableError("the time is over, and the same request of somebody else has no answer yet")
        if outcome.error is not None and (outcome.alone or isinstance(outcome.error, UnavailableError)):
            raise outcome.error.again()
        # The error of a batch may be that of another secret: the caller asks for his own.
        if outcome.entry is not None:
            keys[target] = self._key(target, outcome.entry, cached=outcome.stale, stale=outcome.stale)

    def _read(self, batch: list[Target], deadline: float) -> Steps[dict[Target, Entry]]:
        fault: SplitvaultError
        for _ in range(MAX_TOKENS):
            token = yield from self._mint(batch, deadline)
            pause = 0.0
            try:
                return (yield from self._open(token, batch, deadline))
            except Postponed as postponed:
                fault, pause = postponed.error, postponed.pause
            except SplitvaultError as error:
                fault = error
                if error.retry != "new-token":
                    raise
            # A token is made when it is needed, so that it does not end during the pause.
            yield Pause(pause)
        raise fault

    def _mint(self, batch: list[Target], deadline: float) -> Steps[Token]:
        asked = []
        for target in batch:
            line: dict[str, Any] = {"environment": target.environment, "path": target.path}
            if target.version is not None:
                line["version"] = target.version
            elif target.stage != "current":
                line["stage"] = target.stage
            asked.append(line)
        # Not safe to repeat: a token that nobody has is recorded, and counts as a use.
        request = self.at_manager("POST", "/api/tokens", deadline, body=write({"secrets": asked}))
        asked_at = self.clock.steady()
        document = yield from self.guarded(call(self.clock, request))
        members = document.read()
        self._note_vault(members)
        token = Token.read(members, document, asked_at, self.clock)
        if len(token.secrets) != len(batch) or VAULT not in self.transport.addresses:
            raise out_of_form(MANAGER, document.status)
        return token

    def _open(self, token: Token, batch: list[Target], deadline: float) -> Steps[dict[Target, Entry]]:
        ids = [secret["key_id"] for secret in token.secrets]
        request = self._at_vault("POST", "/api/keys:read", token, deadline, write({"key_ids": ids}))
        document = yield from call(self.clock, request, token.shown_until)
        lines = document.read().get("keys")
        if not isinstance(lines, list) or [member(line, "key_id") for line in lines] != ids:
            raise out_of_form(VAULT, document.status)
        entries = {}
        for target, secret, line in zip(batch, token.secrets, lines):
            code = line.get("code")
            if code == "body_too_large":
                # It does not fit beside the others.
                request = self._at_vault("GET", f"/api/keys/{secret['key_id']}", token, deadline)
                line = (yield from call(self.clock, request, token.shown_until)).read()
            elif code is not None:
                raise refused_line(code if isinstance(code, str) else "")
            entries[target] = token.entry(secret, line, self.clock)
        return entries

    def _at_vault(
        self, method: str, path: str, token: Token, deadline: float, body: Hidden[bytes] | None = None
    ) -> Send:
        # A read changes nothing.
        return Send(VAULT, method, path, deadline=deadline, credential=token.access, body=body, safe=True)

    def _note_vault(self, members: dict[str, Any]) -> None:
        url = members.get("vault_url")
        if not isinstance(url, str):
            raise UnavailableError("the manager does not name the vault's address; it is of an earlier release")
        secured = self.settings.manager.startswith("https:")
        address = check_address(url, self.settings.plain_http and not secured, "the vault's address")
        if secured and not address.startswith("https:"):
            raise ConfigurationError("the manager is reached by https and names a vault without it")
        self.transport.addresses[VAULT] = address

    def _known(self, target: Target, known: Found) -> Key:
        return self._key(target, known.entry, cached=True, stale=known.stale)

    def _key(self, target: Target, entry: Entry, *, cached: bool, stale: bool) -> Key:
        age = max(0.0, self.clock.steady() - entry.read_at)
        if stale:
            sentence = (
                f"{target.environment}:{target.path} is used as it was read before: the services cannot be reached"
            )
            log.warning("%s (%.0f seconds old)", sentence, age)
            # Without the age: Python remembers each text that it has shown.
            warnings.warn(StaleValueWarning(sentence), stacklevel=2)
        return Key(
            entry.value,
            path=target.path,
            environment=target.environment,
            key_id=entry.key_id,
            version=entry.version,
            binary=entry.binary,
            expired=entry.expired,
            from_cache=cached,
            age=age,
            stale=stale,
        )

    def _load(self) -> Steps[None]:
        disk = self.disk
        if disk is None or self.state.loaded:
            return
        entries = yield from self._at_disk(lambda: disk.load(self.clock, self.state.max_stale))
        self.state.take_in(entries or {})

    def _save(self, entries: dict[Target, Entry], epoch: int) -> Steps[None]:
        disk = self.disk
        if disk is None:
            return
        yield from self._at_disk(lambda: disk.save(entries, self.clock, self.state.max_stale))
        if not self.state.is_of(epoch):
            # Somebody has cleared the cache while this was written.
            yield from self._at_disk(lambda: disk.forget(entries.__contains__, self.clock, self.state.max_stale))

    def _at_disk(self, act: Callable[[], Any]) -> Steps[Any]:
        """Carries out what concerns the file. Its faults cost the cache, not the call."""

        def carried_out() -> tuple[Any, str | None]:
            try:
                return act(), None
            except DiskFault as error:
                return None, str(error)
            except OSError as error:
                return None, os.strerror(error.errno or 0)

        result, fault = yield Run(carried_out)
        if fault is not None:
            sentence = f"the cache on disk is not used: {fault}"
            log.warning("%s", sentence)
            warnings.warn(DiskCacheWarning(sentence), stacklevel=2)
        return result


def target_of(path: str, environment: str) -> Target:
    """Names the current version at a path, in slashes or dots."""
    return Target(check_environment(environment), canonical(check_path(path)))


def _batches(targets: list[Target]) -> list[list[Target]]:
    """Parts targets into batches of one environment, in which no secret comes twice."""
    batches: list[list[Target]] = []
    for target in targets:
        for batch in batches:
            apart = all(other.path != target.path for other in batch)
            if len(batch) < BATCH and batch[0].environment == target.environment and apart:
                batch.append(target)
                break
        else:
            batches.append([target])
    return batches
