"""The examples, run as programs of their own, and the page, block by block."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from installation import ROOT, Installation

EXAMPLES = ROOT / "examples/python"


def run(installation: Installation, credential: str, *arguments: str) -> str:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONDONTWRITEBYTECODE": "1",
        "KEY_SERVICE_URL": installation.url,
        "KEY_ENVIRONMENT": "dev",
        "SERVICE_TOKEN": credential,
    }
    ran = subprocess.run(
        [sys.executable, *arguments],
        cwd=EXAMPLES,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def test_worker_reads_its_keys_and_then_the_cache(installation: Installation) -> None:
    installation.store("try-worker/queue", "12345")
    installation.store("try-worker/mail", "123")
    credential = installation.service("try-worker", "try-worker/**")["credential"]
    assert run(installation, credential, "worker.py").splitlines() == [
        "try-worker.queue: 5 characters, from the cache: False, stale: False",
        "try-worker.mail: 3 characters, from the cache: False, stale: False",
        "try-worker.queue: 5 characters, from the cache: True, stale: False",
        "try-worker.mail: 3 characters, from the cache: True, stale: False",
    ]


def test_django_project_starts_with_secrets_of_the_vault(installation: Installation, canary: str) -> None:
    installation.store("try-django/secret-key", canary)
    installation.store("try-django/db", f'{{"user": "shop", "password": "db-{canary}"}}')
    credential = installation.service("try-django", "try-django/**")["credential"]
    before = len(installation.manager.lines("token.mint"))
    program = (
        "import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'django_app.settings'\n"
        "import django; django.setup()\n"
        "from django.conf import settings; from django.core import signing; from django.test import Client\n"
        f"assert settings.SECRET_KEY == {canary!r} and settings.DATABASES['default']['USER'] == 'shop'\n"
        f"assert settings.DATABASES['default']['PASSWORD'] == {'db-' + canary!r}\n"
        "assert not any('canary' in value for value in os.environ.values())\n"
        "print(signing.loads(Client().get('/', HTTP_HOST='localhost').content.decode()))\n"
    )
    assert run(installation, credential, "-c", program) == "hello\n"
    assert len(installation.manager.lines("token.mint")) == before + 1
    assert "no issues" in run(installation, credential, "-m", "django", "check", "--settings", "django_app.settings")


def test_pydantic_settings_come_from_a_folder(installation: Installation, canary: str) -> None:
    installation.store("try-pydantic/db/password", canary)
    installation.store("try-pydantic/api_key", canary)
    credential = installation.service("try-pydantic", "try-pydantic/**")["credential"]
    told = run(installation, credential, "pydantic_app.py")
    assert f"The password has {len(canary)} characters." in told
    assert "db_host='localhost'" in told
    assert canary not in told


def test_page_does_what_it_says(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs/python.md").read_text()
    blocks = [rest.split("```")[0] for rest in page.split("```python\n")[1:]]
    assert len(blocks) >= 6
    monkeypatch.setenv("KEY_SERVICE_URL", installation.url)
    monkeypatch.setenv("KEY_ENVIRONMENT", "dev")
    monkeypatch.setenv("SERVICE_TOKEN_FILE", str(installation.run / "admin-credential"))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"block {number} of docs/python.md", "exec"), names)
    told = capsys.readouterr().out
    assert told.splitlines() == [line for block in blocks for line in printed(block)]


def printed(block: str) -> list[str]:
    """What the comments behind `print(…)` promise."""
    return [line.split("  # ", 1)[1] for line in block.splitlines() if line.lstrip().startswith("print(")]
