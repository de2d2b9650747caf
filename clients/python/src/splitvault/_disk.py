"""The cache on disk: one file, encrypted under a key that only the credential gives.

Guarantees: the file is readable by its owner alone from its first moment, it is replaced in one step, a symbolic link
is never followed, and a file that anybody changed is not used. What may not be used any more is not kept in it. Whoever
holds the lock stalls nobody.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator
from typing import Any, Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ._hidden import Hidden
from ._state import Entry
from ._steps import Clock
from .errors import ConfigurationError
from .references import Target

MAGIC = b"splitvault-cache-1\n"
MAX_FILE = 64 << 20
# Another process of ours holds the lock for one write.
LONGEST_LOCK = 0.25
_SALT, _NONCE = 32, 12


class DiskFault(Exception):
    """The file cannot be used; the text says why, and holds nothing of it."""


class _Locked(DiskFault):
    """Somebody holds the lock."""


class DiskCache:
    """One file in a private folder."""

    def __init__(self, folder: str | os.PathLike[str], credential: Hidden[str], manager: str) -> None:
        """Makes the folder if it is missing, and refuses one that others can enter."""
        if os.name != "posix":
            raise ConfigurationError("the cache on disk needs a POSIX system")
        self._folder = os.fspath(folder)
        self._credential = credential
        self._manager = manager.encode()
        self._name = f"{_derive(credential, b'', b'name', 16).expose().hex()}.{_short(manager)}.cache"
        fault = None
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            with self._opened() as opened:
                self._refuse_what_is_not_ours(opened)
        except (OSError, DiskFault) as error:
            fault = str(error) if isinstance(error, DiskFault) else os.strerror(error.errno or 0)
        if fault:
            raise ConfigurationError(f"disk_cache {self._folder}: {fault}")

    def __repr__(self) -> str:
        """Says where it is."""
        return f"DiskCache({self._folder!r})"

    def load(self, clock: Clock, max_stale: float) -> dict[Target, Entry]:
        """Reads what may still be used."""
        with self._opened() as folder:
            sealed = self._read(folder)
        return {} if sealed is None else self._entries(sealed, clock, max_stale)

    def save(self, entries: dict[Target, Entry], clock: Clock, max_stale: float) -> None:
        """Adds values to the file."""
        with self._locked() as folder:
            kept: dict[Target, Entry] = {}
            # One that was changed is replaced.
            with contextlib.suppress(DiskFault):
                sealed = self._read(folder)
                kept = {} if sealed is None else self._entries(sealed, clock, max_stale)
            self._replace(folder, {**kept, **entries})

    def forget(self, is_meant: Callable[[Target], bool] | None, clock: Clock, max_stale: float) -> None:
        """Takes values out of the file, or the whole file away; without the lock the whole file in any case."""
        try:
            with self._locked() as folder:
                kept: dict[Target, Entry] = {}
                if is_meant is not None:
                    with contextlib.suppress(DiskFault):
                        sealed = self._read(folder)
                        kept = {} if sealed is None else self._entries(sealed, clock, max_stale)
                    kept = {target: entry for target, entry in kept.items() if not is_meant(target)}
                if kept:
                    self._replace(folder, kept)
                else:
                    self._remove(folder)
        except _Locked:
            with self._opened() as folder:
                self._remove(folder)
            raise

    def _remove(self, folder: int) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._name, dir_fd=folder)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            found = os.fstat(folder)
            if found.st_uid != os.geteuid() or found.st_mode & 0o077:
                raise DiskFault("the folder belongs to somebody else, or is not private; give it the mode 0700")
            yield folder
        finally:
            os.close(folder)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        import fcntl

        with self._opened() as folder:
            end = time.monotonic() + LONGEST_LOCK
            while True:
                try:
                    # The lock ends with the descriptor.
                    fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > end:
                        raise _Locked("another process holds its lock") from None
                time.sleep(0.01)
            yield folder

    def _refuse_what_is_not_ours(self, folder: int) -> None:
        try:
            found = os.stat(self._name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return
        if not stat.S_ISREG(found.st_mode):
            raise DiskFault("a symbolic link, or something else that is no file, is in the place of the cache")
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise DiskFault("the file belongs to somebody else, or others may read it")

    def _read(self, folder: int) -> bytes | None:
        self._refuse_what_is_not_ours(folder)
        try:
            file = os.open(self._name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=folder)
        except FileNotFoundError:
            return None
        with os.fdopen(file, "rb") as opened:
            found = os.fstat(opened.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
                raise DiskFault("the file was exchanged while it was opened")
            return opened.read(MAX_FILE + 1)

    def _replace(self, folder: int, entries: dict[Target, Entry]) -> None:
        self._refuse_what_is_not_ours(folder)
        sealed = self._sealed(entries)
        # It would not be read.
        if len(sealed) > MAX_FILE:
            raise DiskFault("the values are too many for the cache on disk")
        # The lock is held: a file of this name is what a crash left.
        name = f".{self._name}.new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(name, flags, 0o600, dir_fd=folder)
        try:
            with os.fdopen(file, "wb") as opened:
                opened.write(sealed)
                opened.flush()
                os.fsync(opened.fileno())
            os.replace(name, self._name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=folder)
            raise
        os.fsync(folder)

    def _sealed(self, entries: dict[Target, Entry]) -> bytes:
        lines = [_line(target, entry) for target, entry in entries.items()]
        plain = Hidden(json.dumps(lines, separators=(",", ":")).encode())
        # A key of its own for each file, so that no nonce can come twice under one key.
        salt, nonce = os.urandom(_SALT), os.urandom(_NONCE)
        key = _derive(self._credential, salt, b"file", 32)
        return MAGIC + salt + nonce + AESGCM(key.expose()).encrypt(nonce, plain.expose(), MAGIC + self._manager)

    def _entries(self, sealed: bytes, clock: Clock, max_stale: float) -> dict[Target, Entry]:
        begin = len(MAGIC)
        salt, nonce = sealed[begin : begin + _SALT], sealed[begin + _SALT : begin + _SALT + _NONCE]
        plain = None
        if sealed.startswith(MAGIC) and len(sealed) <= MAX_FILE:
            key = _derive(self._credential, salt, b"file", 32)
            with contextlib.suppress(InvalidTag, ValueError):
                opened = AESGCM(key.expose()).decrypt(nonce, sealed[begin + _SALT + _NONCE :], MAGIC + self._manager)
                plain = Hidden(opened)
                del opened
        if plain is None:
            raise DiskFault("the file was changed, or is not of this credential")
        wall, steady = clock.wall(), clock.steady()
        entries = dict(_read_line(line, wall, steady) for line in json.loads(plain.expose()))
        return {target: entry for target, entry in entries.items() if not entry.is_over(steady, max_stale)}


def _line(target: Target, entry: Entry) -> list[Any]:
    value = base64.b64encode(entry.value.expose()).decode()
    lives = [entry.read_at_wall, entry.token_life, min(entry.version_life, 1e12)]
    return [list(target), value, entry.binary, entry.key_id, entry.version, entry.expired, *lives]


def _read_line(line: list[Any], wall: float, steady: float) -> tuple[Target, Entry]:
    target, value, binary, key_id, version, expired, read_at_wall, token_life, version_life = line
    # A file from the future makes an age below zero, which is never fresh.
    read_at = steady - (wall - read_at_wall)
    inside = Hidden(base64.b64decode(value))
    del value, line
    return Target(*target), Entry(
        inside, binary, key_id, version, expired, read_at, read_at_wall, token_life, version_life
    )


def _derive(credential: Hidden[str], salt: bytes, purpose: bytes, length: int) -> Hidden[bytes]:
    info = b"splitvault/client/disk-cache/1/" + purpose
    return Hidden(HKDF(SHA256(), length, salt, info).derive(credential.expose().encode()))


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
