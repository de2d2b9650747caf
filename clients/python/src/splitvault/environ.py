"""A stand-in for `os.environ` whose secrets come from the vault.

Guarantees: the secrets are in this mapping alone. `os.environ`, which other users' tools, crash reports and child
processes see, is not changed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any, NoReturn

from . import _env_file
from ._calls import call
from ._hidden import Hidden, bare
from ._steps import Steps
from ._variables import is_dangerous
from .client import DEFAULT_TTL, PathLike, SyncKeyClient, _Client
from .errors import ConfigurationError, SplitvaultError
from .references import SCHEME, Reference, canonical, check_path, field_of

MAX_PAGES = 100


class Environ(MutableMapping[str, str]):
    """Names and values, like `os.environ`. `repr` shows names alone."""

    __slots__ = ("_secret", "_values")

    def __init__(self, values: dict[str, Hidden[str]], secret: Iterable[str]) -> None:
        """Takes names with values, and says which of them are secrets."""
        self._values = values
        self._secret = set(secret)

    def __getitem__(self, name: str) -> str:
        """Returns a value; `KeyError` if there is none."""
        return self._values[name].expose()

    def __setitem__(self, name: str, value: str) -> None:
        """Sets a value here, and not in the process."""
        self._values[name] = Hidden(value)

    def __delitem__(self, name: str) -> None:
        """Takes a name away here, and not from the process."""
        del self._values[name]

    def __iter__(self) -> Iterator[str]:
        """Goes through the names."""
        return iter(self._values)

    def __len__(self) -> int:
        """Counts the names."""
        return len(self._values)

    def __repr__(self) -> str:
        """Says how many names there are, and which of them are secrets."""
        return f"Environ({len(self._values)} names; secrets: {', '.join(sorted(self._secret)) or 'none'})"

    def copy(self) -> dict[str, str]:
        """Returns all of it as plain texts, for a child process; whoever prints that shows the values."""
        return dict(self)

    def __reduce__(self) -> NoReturn:
        """Refuses to be pickled."""
        raise TypeError("an environment with secrets is not pickled")


def load_env(
    file: PathLike | None = None,
    *,
    folder: str | None = None,
    environment: str | None = None,
    client: SyncKeyClient | None = None,
    override: bool = False,
    cache_ttl: float = DEFAULT_TTL,
) -> Environ:
    """Reads an env file, a folder of secrets, or both, over the environment of the process.

    A value that is a reference, `sv://…`, stands for its secret, in the file and in `os.environ`. The secrets of a
    folder get names in capitals: `db/password` in the folder is `DB_PASSWORD`. What the process has already counts
    more, and the file more than the folder; with `override` the process counts least. Without a `client`, one is made
    from SERVICE_TOKEN and KEY_SERVICE_URL if there is a reference or a folder.
    """
    interruption = None
    try:
        return _loaded(file, folder, environment, client, override, cache_ttl)
    except SplitvaultError:
        raise
    except BaseException as error:
        interruption = bare(error)
    raise interruption


def _loaded(
    file: PathLike | None,
    folder: str | None,
    environment: str | None,
    client: SyncKeyClient | None,
    override: bool,
    cache_ttl: float,
) -> Environ:
    process = {name: Hidden(value) for name, value in os.environ.items()}
    written = {} if file is None else _env_file.parse(_text_of(file))
    plain = {**process, **written} if override else {**written, **process}
    references = {name: _reference(name, value) for name, value in plain.items() if value.expose().startswith(SCHEME)}
    own = None
    if client is None and (references or folder is not None):
        client = own = SyncKeyClient(os.environ.get("KEY_SERVICE_NAME", "load-env"))
    try:
        if client is not None and folder is not None:
            listed = client._core.transport.drive(_listed(client, folder, environment))
            for name, reference in listed.items():
                if name in written:
                    continue
                if is_dangerous(name):
                    raise ConfigurationError(
                        f"{reference.path} would be {name}, which changes how programs are found or run, or whom they "
                        "trust; name it in a file: NAME=sv://…"
                    )
                if override or name not in process:
                    references[name] = reference
        opened = {} if client is None else _opened(client, references, cache_ttl)
    finally:
        if own is not None:
            own.close()
    return Environ({**plain, **opened}, references)


def _reference(name: str, value: Hidden[str]) -> Reference:
    try:
        return Reference.parse(value.expose())
    except ConfigurationError as error:
        fault = error.message
    # Raised here, where no local variable shows the text.
    raise ConfigurationError(f"{name}: {fault}")


def _opened(client: SyncKeyClient, references: dict[str, Reference], cache_ttl: float) -> dict[str, Hidden[str]]:
    whole = {name: str(reference._replace(field=None)) for name, reference in references.items()}
    keys = client.get_keys(dict.fromkeys(whole.values()), cache_ttl)
    hidden = {}
    for name, reference in references.items():
        fault = None
        try:
            text = Hidden(keys[whole[name]].value)
            if reference.field is not None:
                text = Hidden(field_of(text.expose(), reference.field))
            if "\0" in text.expose():
                fault = "the value has a zero byte"
            hidden[name] = text
        except (ValueError, ConfigurationError) as error:
            fault = str(error)
        if fault is not None:
            raise ConfigurationError(f"{name}: {fault}")
    return hidden


def _listed(client: _Client, folder: str, environment: str | None) -> Steps[dict[str, Reference]]:
    core = client._core
    deadline = core.deadline()
    home = yield from core.environment(environment, deadline)
    under = canonical(check_path(folder.strip("/")))
    names: dict[str, Reference] = {}
    query = {"environment": home, "under": under, "limit": "500"}
    for _ in range(MAX_PAGES):
        request = core.at_manager("GET", "/api/secrets", deadline, query=query, safe=True)
        page: dict[str, Any] = (yield from core.guarded(call(core.clock, request))).read()
        for line in page.get("secrets", []):
            reference = Reference(home, line["path"])
            name = _name(canonical(line["path"]), under)
            if name in names:
                raise ConfigurationError(f"two secrets of the folder would be {name}")
            names[name] = reference
        after = page.get("next")
        if not isinstance(after, str):
            return names
        query = {**query, "after": after}
    raise ConfigurationError("the folder has too many secrets for an environment")


def _name(path: str, under: str) -> str:
    below = path[len(under) + 1 :] if path.startswith(under + "/") else path
    name = re.sub(r"[^A-Za-z0-9]", "_", below).upper()
    return f"_{name}" if name[:1].isdigit() else name


def _text_of(file: PathLike) -> Hidden[str]:
    fault = None
    try:
        with open(file, encoding="utf-8", newline="") as opened:
            text = Hidden(opened.read(_env_file.MAX_FILE + 1))
        if len(text.expose()) <= _env_file.MAX_FILE:
            return text
        fault = f"has more than {_env_file.MAX_FILE} characters"
    except OSError as error:
        fault = f"cannot be read: {os.strerror(error.errno or 0)}"
    except ValueError:
        fault = "is not UTF-8"
    raise ConfigurationError(f"{os.fspath(file)} {fault}")
