"""A value and a credential that show nowhere but where they are asked for."""

from __future__ import annotations

import asyncio
import base64
import copy
import io
import logging
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clock import set_clock
from faulty import BROKEN, Faulty, Given, answer, refusal
from installation import Installation
from test_retries import minted, opened

import splitvault
from splitvault import KeyClient, SyncKeyClient
from splitvault._hidden import Hidden


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Everything that anybody logs, from the lowest level on."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(1)
    loggers = [logging.getLogger(name) for name in ("httpx", "httpcore", "splitvault", "asyncio")]
    for logger in loggers:
        logger.setLevel(1)
    yield text
    for logger in loggers:
        logger.setLevel(logging.NOTSET)
    root.setLevel(level)
    root.removeHandler(handler)


def forms(secret: str) -> list[str]:
    return [secret, secret.encode().hex(), base64.b64encode(secret.encode()).decode().rstrip("=")]


def assert_silent(text: str, *secrets: str) -> None:
    for secret in secrets:
        for form in forms(secret):
            assert form not in text


def shown(error: BaseException) -> str:
    """An error as the most curious of crash reporters shows it, but without the frames of its caller."""
    texts = [repr(error), str(error), repr(error.args), repr(vars(error))]
    seen: list[BaseException] = [error]
    for one in seen:
        seen += [other for other in (one.__cause__, one.__context__) if other is not None and other not in seen]
        trace = one.__traceback__
        while trace is not None and "/tests/" in trace.tb_frame.f_code.co_filename:
            trace = trace.tb_next
        told = traceback.TracebackException(type(one), one, trace, capture_locals=True)
        texts += list(told.format(chain=False))
        while trace is not None:
            texts += [repr(value) for value in trace.tb_frame.f_locals.values()]
            trace = trace.tb_next
    return "\n".join(texts)


def test_reading_storing_and_failing_show_nothing(
    installation: Installation,
    place: str,
    credential: str,
    canary: str,
    logged: io.StringIO,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = set_clock(monkeypatch)
    installation.store(f"{place}/db", canary)
    made = [canary, credential, installation.admin_credential]
    texts: list[str] = []
    settings: dict[str, Any] = {"url": installation.url, "environment": "dev", "disk_cache": tmp_path / "cache"}
    with SyncKeyClient(place, credential, **settings) as client:
        key = client.get_key(f"{place}/db")
        assert key.value == canary
        texts += [
            repr(key),
            str(key),
            f"{key}",
            f"{key!r:>80}",
            repr(client),
            repr(vars(client)),
            repr(client._core.disk),
        ]
        texts += [repr(vars(client._core.state)), repr([key]), repr({"key": key})]
        calls: list[Callable[[], Any]] = [
            lambda: client.get_key(f"{place}/missing"),
            lambda: client.store_key(f"{place}/db", canary),
            lambda: client.get_key("not//a path"),
            lambda: client.store_key(f"{place}/db", canary + "\ud800"),
        ]
        installation_gone: list[Callable[[], Any]] = [
            lambda: client.get_key(f"{place}/other"),
            lambda: client.store_key(f"{place}/db", canary),
        ]
        for call in calls:
            texts.append(failed(call))
        installation.manager.stop()
        for call in installation_gone:
            texts.append(failed(call))
        clock.ahead += 400
        with pytest.warns(splitvault.StaleValueWarning) as warned:
            key = client.get_key(f"{place}/db")
        texts += [str(one.message) for one in warned] + [repr(key)]
    assert "httpcore" not in logged.getvalue()[:0]
    assert "POST" in logged.getvalue()
    told = capfd.readouterr()
    assert_silent("\n".join([*texts, logged.getvalue(), told.out, told.err]), *made)


def test_async_form_shows_nothing_either(
    installation: Installation, place: str, credential: str, canary: str, logged: io.StringIO
) -> None:
    installation.store(f"{place}/db", canary)

    async def scene() -> list[str]:
        async with KeyClient(place, credential, url=installation.url, environment="dev") as client:
            assert (await client.get_key(f"{place}/db")).value == canary
            texts = [repr(client)]
            for path in (f"{place}/missing", f"{place}/other"):
                with pytest.raises(splitvault.SplitvaultError) as refused:
                    await client.get_key(path)
                texts.append(shown(refused.value))
                installation.vault.stop()
                installation.manager.stop()
            return texts

    texts = asyncio.run(scene())
    assert_silent("\n".join([*texts, logged.getvalue()]), canary, credential)


@pytest.mark.parametrize(
    ("manager_first", "vault_first"),
    [
        (None, answer(200, {"keys": [{"key_id": "sec_a-_1", "encoding": "rot13", "decrypted_key": "CANARY"}]})),
        (None, answer(200, b'{"keys": [{"decrypted_key": "CANARY"')),
        (None, opened("CANARY")._replace(status=500)),
        (None, BROKEN),
        (answer(201, {"access_token": "CANARY", "expires_at": 1}), None),
        (answer(201, b'{"access_token": "CANARY"'), None),
        (answer(302, {}, Location="http://CANARY"), None),
        (refusal("credential_invalid"), None),
    ],
)
def test_traceback_with_every_local_variable_shows_nothing(
    manager_first: Given, vault_first: Given, canary: str, logged: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(monkeypatch)

    def planted(given: Given) -> Given:
        headers = {name: value.replace("CANARY", canary) for name, value in given.headers.items()}
        return given._replace(body=given.body.replace(b"CANARY", canary.encode()), headers=headers)

    with Faulty([planted(vault_first)] * 9 if vault_first else []) as vault:
        first = planted(manager_first) if manager_first else minted(vault)
        with Faulty([first] * 9) as manager:
            with SyncKeyClient("web", f"cred-{canary}", url=manager.url, environment="dev") as client:
                text = failed(lambda: client.get_key("a/b"))
    assert_silent(text, canary)
    if not (manager_first and manager_first.headers):
        assert_silent(logged.getvalue(), canary)


@pytest.mark.parametrize(
    "arguments",
    [{"url": "ftp://x"}, {"timeout_ms": 0}, {"ca_file": "/nowhere"}, {"environment": "NO"}, {"disk_cache": "/proc/x"}],
)
def test_client_that_cannot_be_made_shows_no_credential(arguments: dict[str, Any], canary: str) -> None:
    assert_silent(failed(lambda: SyncKeyClient("web", canary, **{"url": "http://localhost:1", **arguments})), canary)


def test_credential_that_no_header_can_hold_is_not_shown(canary: str) -> None:
    for bad in (f"{canary}\n", f"{canary} x", f"é{canary}", ""):
        text = failed(lambda bad=bad: SyncKeyClient("web", bad or " ", url="http://localhost:1"))
        assert_silent(text, canary)


def test_neither_key_nor_hidden_text_is_copied_or_pickled(
    installation: Installation, place: str, client: SyncKeyClient, canary: str
) -> None:
    installation.store(f"{place}/db", canary)
    key = client.get_key(f"{place}/db")
    for thing in (key, Hidden(canary)):
        for act in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError) as refused:
                act(thing)
            assert_silent(str(refused.value), canary)
    assert not hasattr(key, "__dict__")
    assert f"{Hidden(canary)} {Hidden(canary)!r:>20}".count("<hidden>") == 2


PROGRAM = """
import os, sys, splitvault
env = splitvault.load_env(folder=sys.argv[1], environment="dev")
assert env["DB"].startswith("canary-"), "not read"
assert not any("canary-" in value for value in os.environ.values())
print("read", flush=True)
sys.stdin.readline()
raise RuntimeError(f"{env!r} {env}")
"""


def test_process_shows_the_value_in_neither_environment_nor_arguments_nor_crash(
    installation: Installation, place: str, credential: str, canary: str
) -> None:
    installation.store(f"{place}/db", canary)
    environment = {"SERVICE_TOKEN": credential, "KEY_SERVICE_URL": installation.url, "PATH": os.environ["PATH"]}
    process = subprocess.Popen(
        [sys.executable, "-X", "dev", "-c", PROGRAM, place],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "read\n"
    seen = [
        Path(f"/proc/{process.pid}/{name}").read_bytes().decode(errors="replace") for name in ("environ", "cmdline")
    ]
    out, err = process.communicate("\n", timeout=30)
    assert "RuntimeError" in err
    assert_silent("\n".join([*seen, out, err]), canary)
    assert_silent("\n".join([seen[1], out, err]), credential)


def test_environment_that_cannot_be_loaded_shows_nothing_of_process_and_file(
    installation: Installation,
    place: str,
    credential: str,
    canary: str,
    logged: io.StringIO,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installation.store(f"{place}/db", canary)
    monkeypatch.setenv("KEY_SERVICE_URL", installation.url)
    monkeypatch.setenv("SERVICE_TOKEN", credential)
    file = tmp_path / "env"
    texts = []
    for line in (
        f"DB=sv://dev/{place}/missing",
        f"DB=sv://dev/{place}/db#field",
        f"DB=`{canary}",
        f'DB="{canary}',
        f"DB='{canary}'x",
        f"DB={canary}\nDB=x",
        f"DB=sv://{canary}:",
    ):
        file.write_text(f"A={canary}\n{line}\n")
        texts.append(failed(lambda: splitvault.load_env(file)))
    texts.append(repr(splitvault.load_env(folder=place, environment="dev")))
    assert "DB" in texts[-1]
    assert_silent("\n".join([*texts, logged.getvalue()]), canary, credential)


def failed(call: Callable[[], Any]) -> str:
    """What the most curious reporter shows of the failure of a call."""
    try:
        call()
    except splitvault.SplitvaultError as error:
        return shown(error)
    raise AssertionError("it did not fail")
