from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
from clock import SetClock, set_clock
from installation import Installation

import splitvault
from splitvault import ConfigurationError, SyncKeyClient


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    return set_clock(monkeypatch)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


class Readers:
    """Clients of one credential, each as if its process had just begun."""

    def __init__(self, installation: Installation, place: str, credential: str, folder: Path) -> None:
        self._installation = installation
        self._place = place
        self._credential = credential
        self._folder = folder

    def read(self, ttl: float = 300.0, name: str = "db") -> splitvault.Key:
        with self.client() as client:
            return client.get_key(f"{self._place}/{name}", cache_ttl=ttl)

    def client(self) -> SyncKeyClient:
        settings = {"url": self._installation.url, "environment": "dev", "disk_cache": self._folder}
        return SyncKeyClient(self._place, self._credential, **settings)  # type: ignore[arg-type]

    def file(self) -> Path:
        (file,) = self._folder.iterdir()
        return file


@pytest.fixture
def readers(installation: Installation, place: str, credential: str, folder: Path, canary: str) -> Readers:
    installation.store(f"{place}/db", canary)
    return Readers(installation, place, credential, folder)


def test_next_process_reads_without_a_request_and_through_an_outage(
    installation: Installation, readers: Readers, clock: SetClock, canary: str
) -> None:
    assert not readers.read().from_cache
    key = readers.read()
    assert (key.value, key.from_cache, key.stale) == (canary, True, False)
    installation.manager.stop()
    clock.ahead += 400
    with pytest.warns(splitvault.StaleValueWarning):
        key = readers.read()
    assert (key.value, key.stale) == (canary, True)
    assert 400 <= key.age < 460
    clock.ahead += 3600
    with pytest.raises(splitvault.UnavailableError):
        readers.read()


def test_file_is_private_from_the_first_moment_and_shows_nothing(
    readers: Readers, place: str, folder: Path, canary: str, credential: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    original = os.open

    def watch(path: object, flags: int, mode: int = 0o777, **more: int) -> int:
        descriptor = original(path, flags, mode, **more)  # type: ignore[arg-type]
        if flags & os.O_CREAT and "cache" in str(path):
            opened.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return descriptor

    monkeypatch.setattr(os, "open", watch)
    old = os.umask(0)
    try:
        readers.read()
    finally:
        os.umask(old)
    assert opened == [0o600]
    assert stat.S_IMODE(readers.file().stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    content = readers.file().read_bytes()
    for word in (canary, credential, place, "sec_"):
        assert word.encode() not in content
        assert word not in readers.file().name


def test_every_changed_byte_costs_the_cache_and_not_the_value(readers: Readers, canary: str) -> None:
    readers.read()
    whole = readers.file().read_bytes()
    for place in (0, len(b"splitvault-cache-1\n"), 55, len(whole) // 2, len(whole) - 1):
        changed = bytearray(whole)
        changed[place] ^= 1
        readers.file().write_bytes(bytes(changed))
        with pytest.warns(splitvault.DiskCacheWarning, match="changed"):
            key = readers.read()
        assert (key.value, key.from_cache) == (canary, False)
    for short in (b"", whole[:20], whole[:70], whole[:-1]):
        readers.file().write_bytes(short)
        with pytest.warns(splitvault.DiskCacheWarning):
            assert not readers.read().from_cache
    # It was written anew each time.
    assert readers.read().from_cache


def test_file_of_another_credential_or_manager_opens_nothing(
    installation: Installation, readers: Readers, place: str, folder: Path
) -> None:
    readers.read()
    file = readers.file()
    other = Readers(installation, place, installation.service(f"{place}-x", f"{place}/**")["credential"], folder)
    other.read()
    (theirs,) = set(folder.iterdir()) - {file}
    theirs.write_bytes(file.read_bytes())
    with pytest.warns(splitvault.DiskCacheWarning, match="not of this credential"):
        assert not other.read().from_cache


def test_symbolic_link_in_the_place_of_the_file_is_refused_and_its_target_stays(
    readers: Readers, tmp_path: Path
) -> None:
    readers.read()
    file = readers.file()
    target = tmp_path / "precious"
    target.write_text("whole")
    with readers.client() as client:
        file.unlink()
        file.symlink_to(target)
        # While a client works, it costs the cache.
        with pytest.warns(splitvault.DiskCacheWarning, match="symbolic link"):
            assert client.get_key(f"{readers._place}/db").value
    with pytest.raises(ConfigurationError, match="symbolic link"):
        readers.client()
    assert target.read_text() == "whole"
    assert file.is_symlink()


def test_folder_that_is_a_link_or_not_private_is_refused(readers: Readers, folder: Path) -> None:
    readers.read()
    for mode in (0o770, 0o755, 0o750, 0o701):
        folder.chmod(mode)
        with pytest.raises(ConfigurationError, match="0700"):
            readers.client()
    folder.chmod(0o700)
    readers.file().chmod(0o644)
    with pytest.raises(ConfigurationError, match="others may read"):
        readers.client()
    readers.file().chmod(0o600)
    moved = folder.rename(folder.with_name("moved"))
    folder.symlink_to(moved)
    with pytest.raises(ConfigurationError):
        readers.client()


def test_interrupted_write_leaves_the_old_file_whole(readers: Readers, monkeypatch: pytest.MonkeyPatch) -> None:
    readers.read()
    before = readers.file().read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.warns(splitvault.DiskCacheWarning, match="No space left"):
            assert readers.read(ttl=0).value
    assert readers.file().read_bytes() == before
    assert readers.read().from_cache


def test_clear_cache_takes_it_from_the_disk_too(
    installation: Installation, readers: Readers, place: str, folder: Path
) -> None:
    installation.store(f"{place}/other", "two")
    readers.read()
    readers.read(name="other")
    with readers.client() as client:
        client.clear_cache(f"{place}/db")
    assert readers.read(name="other").from_cache
    assert not readers.read().from_cache
    with readers.client() as client:
        client.clear_cache()
    assert list(folder.iterdir()) == []


def test_cache_that_is_cleared_during_a_write_stays_empty(
    readers: Readers, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with readers.client() as client:
        disk = client._core.disk
        assert disk is not None
        save = disk.save

        def cleared_meanwhile(*arguments: object) -> None:
            client.clear_cache()
            save(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(disk, "save", cleared_meanwhile)
        assert client.get_key(f"{readers._place}/db").value
    assert list(folder.iterdir()) == []


def test_lock_that_somebody_holds_costs_the_cache_and_stalls_nobody(
    readers: Readers, folder: Path, canary: str
) -> None:
    import fcntl

    readers.read()
    before = readers.file().read_bytes()
    ours = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(ours, fcntl.LOCK_EX)
    # Without an end of its own a wait would last for as long as the test.
    release = threading.Timer(10, os.close, [ours])
    release.start()
    try:
        with readers.client() as client:
            with pytest.warns(splitvault.DiskCacheWarning, match="holds its lock"):
                assert client.get_key(f"{readers._place}/db", cache_ttl=0).value == canary
            assert readers.file().read_bytes() == before
            # What is to be forgotten goes, also without the lock.
            with pytest.warns(splitvault.DiskCacheWarning, match="holds its lock"):
                client.clear_cache()
        assert list(folder.iterdir()) == []
        assert release.is_alive()
    finally:
        release.cancel()
        release.join()
    os.close(ours)
    assert not readers.read().from_cache
    assert readers.read().from_cache


def test_file_from_the_future_is_not_used(readers: Readers, clock: SetClock) -> None:
    clock.ahead += 1000
    readers.read()
    clock.ahead -= 1000
    assert not readers.read().from_cache


def test_without_being_asked_nothing_is_written(
    installation: Installation, place: str, client: SyncKeyClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.store(f"{place}/db", "one")
    for name in ("HOME", "XDG_CACHE_HOME", "TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    client.get_key(f"{place}/db")
    assert list(tmp_path.iterdir()) == []
