"""What the client answers with."""

from __future__ import annotations

from typing import NoReturn

from ._hidden import Hidden


class Key:
    """A value that was read. Only `value` and `data` show it; it is neither copied nor pickled."""

    __slots__ = (
        "_inside",
        "age",
        "binary",
        "environment",
        "expired",
        "from_cache",
        "key_id",
        "path",
        "stale",
        "version",
    )

    def __init__(
        self,
        inside: Hidden[bytes],
        *,
        path: str,
        environment: str,
        key_id: str,
        version: int,
        binary: bool,
        expired: bool,
        from_cache: bool,
        age: float,
        stale: bool,
    ) -> None:
        """Takes the members of an answer."""
        self._inside = inside
        #: The path, in slashes.
        self.path = path
        #: Its environment.
        self.environment = environment
        #: The id of the secret, which never changes.
        self.key_id = key_id
        #: The number of the version.
        self.version = version
        #: Says that the value was stored as bytes.
        self.binary = binary
        #: Says that the version had expired when it was read, and its environment only warns of that.
        self.expired = expired
        #: Says that no service was asked for this value now.
        self.from_cache = from_cache
        #: Seconds since the value was read at the vault.
        self.age = age
        #: Says that the value would have been read again, but a service could not be reached.
        self.stale = stale

    @property
    def value(self) -> str:
        """The value as text. Bytes that are no UTF-8 raise `ValueError`; take `data` then."""
        data = self._inside.expose()
        try:
            return data.decode()
        except UnicodeDecodeError:
            pass
        # Raised here: the other exception holds the value.
        raise ValueError("the value is not text; take data instead of value")

    @property
    def data(self) -> bytes:
        """The value as bytes."""
        return self._inside.expose()

    def __repr__(self) -> str:
        """Says what it is, without the value."""
        return f"Key(path={self.path!r}, environment={self.environment!r}, version={self.version}, stale={self.stale})"

    def __reduce__(self) -> NoReturn:
        """Refuses to be copied or pickled."""
        raise TypeError("a key is neither copied nor pickled; read it again where it is needed")


class Stored:
    """A version that was stored."""

    __slots__ = ("environment", "key_id", "path", "version")

    def __init__(self, key_id: str, version: int, environment: str, path: str) -> None:
        """Takes the members of an answer."""
        self.key_id = key_id
        self.version = version
        self.environment = environment
        self.path = path

    def __repr__(self) -> str:
        """Says what was stored, without the value."""
        return f"Stored(path={self.path!r}, environment={self.environment!r}, version={self.version})"


class Service:
    """A registered service."""

    __slots__ = ("approved", "name", "service_id")

    def __init__(self, service_id: str, name: str, approved: bool) -> None:
        """Takes the members of an answer."""
        self.service_id = service_id
        self.name = name
        #: Says that an administrator has approved what it asked for. Before that it may read nothing.
        self.approved = approved

    def __repr__(self) -> str:
        """Says which service it is."""
        return f"Service({self.service_id!r}, name={self.name!r}, approved={self.approved})"


class Health:
    """What both services say about themselves: `ready`, `not-ready`, `unreachable`, or `unknown`."""

    __slots__ = ("fault", "manager", "vault")

    def __init__(self, manager: str, vault: str, fault: str | None) -> None:
        """Takes what was found."""
        self.manager = manager
        self.vault = vault
        #: What is wrong, in one sentence.
        self.fault = fault

    @property
    def is_healthy(self) -> bool:
        """Says that both services are ready, and that the credential counts."""
        return self.fault is None and self.manager == "ready" and self.vault == "ready"

    def __repr__(self) -> str:
        """Says what was found."""
        parts = f"manager={self.manager!r}, vault={self.vault!r}, fault={self.fault!r}"
        return f"Health(is_healthy={self.is_healthy}, {parts})"
