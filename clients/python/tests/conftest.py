from __future__ import annotations

import itertools
import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from installation import Installation

import splitvault

_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def _no_settings_of_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("KEY_", "SERVICE_TOKEN")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def _installation() -> Iterator[Installation]:
    yield from _running(tls=False)


@pytest.fixture
def installation(_installation: Installation) -> Iterator[Installation]:
    """Both services, which a test may stop: the next one finds them running."""
    yield _installation
    _installation.restore()


@pytest.fixture(scope="session")
def secured() -> Iterator[Installation]:
    yield from _running(tls=True)


@pytest.fixture
def place() -> str:
    """A folder of the vault that no other test uses."""
    return f"try{next(_numbers)}"


@pytest.fixture
def canary() -> str:
    return f"canary-{secrets.token_hex(16)}"


@pytest.fixture
def credential(installation: Installation, place: str) -> str:
    """The credential of a service that reads its folder in `dev`."""
    return installation.service(place, f"{place}/**")["credential"]


@pytest.fixture
def client(installation: Installation, place: str, credential: str) -> Iterator[splitvault.SyncKeyClient]:
    with splitvault.SyncKeyClient(place, credential, url=installation.url, environment="dev") as made:
        yield made


def _running(tls: bool) -> Iterator[Installation]:
    memory = Path("/dev/shm")
    home = str(memory) if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="splitvault-python-", dir=home) as folder:
        installation = Installation(Path(folder), tls)
        try:
            installation.start()
            yield installation
        finally:
            installation.stop()
