"""Interruptions at any moment: what they raise shows neither credential, token nor value."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from clock import set_clock
from faulty import Faulty, answer
from test_canary import assert_silent, shown
from test_retries import minted, opened

import splitvault
from splitvault import KeyClient, SyncKeyClient, _calls


class WorkerTimeout(BaseException):
    """As the signal handlers of workers raise it."""

    def __init__(self, task: str, seconds: int) -> None:
        super().__init__(task, seconds)
        self.task = task


class Scene:
    """A manager and a vault of which one never ends its answer, and calls `reached` in the middle of it."""

    def __init__(self, slow: str, call: str, canary: str) -> None:
        self._call = call
        self.canary = canary
        self.reached: Callable[[], object] = lambda: None
        given = opened(canary)
        self.vault = Faulty([given._replace(slow=slow == "vault")], self._reached)
        token = minted(self.vault)
        token = token._replace(body=token.body.replace(b'"token"', f'"token-{canary}"'.encode()))
        self.manager = Faulty([token._replace(slow=slow == "manager")], self._reached)
        self.settings: dict[str, Any] = {"url": self.manager.url, "environment": "dev", "timeout_ms": 4000}
        self.credential = f"credential-{canary}"

    def called(self, client: Any) -> Any:
        if self._call == "get":
            return client.get_key("a/b")
        return client.store_key("a/b", f"value-{self.canary}")

    def _reached(self) -> None:
        self.reached()

    def __enter__(self) -> Scene:
        self.vault.__enter__()
        self.manager.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.manager.__exit__()
        self.vault.__exit__()


@pytest.fixture(params=["manager-get", "manager-store", "vault-get"])
def scene(request: pytest.FixtureRequest, canary: str) -> Iterator[Scene]:
    with Scene(*request.param.split("-"), canary) as made:
        yield made


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), WorkerTimeout("mails", 9), RuntimeError("x")])
def test_signal_during_a_call_that_blocks_shows_nothing(scene: Scene, error: BaseException) -> None:
    main = threading.get_ident()

    def handler(*_: object) -> None:
        raise error

    before = signal.signal(signal.SIGALRM, handler)
    scene.reached = lambda: signal.pthread_kill(main, signal.SIGALRM)
    try:
        with SyncKeyClient("web", scene.credential, **scene.settings) as client:
            with pytest.raises(type(error)) as raised:
                scene.called(client)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert raised.value is error
    assert_silent(shown(error), scene.canary)


@pytest.mark.parametrize("inline", [False, True], ids=["this-python", "waiting-without-a-task"])
@pytest.mark.parametrize("way", ["cancel", "wait_for"])
def test_cancelling_a_call_that_is_awaited_shows_nothing(
    scene: Scene, way: str, inline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:

    async def waited(task: Any, reached: asyncio.Event) -> None:
        await reached.wait()
        if way == "cancel":
            task.cancel()
            await task
        else:
            await wait_for(task, 0.001)

    async def cancelled() -> BaseException:
        loop, reached = asyncio.get_running_loop(), asyncio.Event()
        scene.reached = lambda: loop.call_soon_threadsafe(reached.set)
        async with KeyClient("web", scene.credential, **scene.settings) as client:
            task = asyncio.ensure_future(scene.called(client))
            try:
                await waited(task, reached)
            except (asyncio.CancelledError, asyncio.TimeoutError) as error:
                return error
        raise AssertionError("it did not end")

    async def without_a_task(awaitable: Any, _timeout: float) -> Any:
        # As `wait_for` of Python 3.12 and later: the exception passes with the frames of httpx.
        return await awaitable

    wait_for = asyncio.wait_for
    if inline:
        monkeypatch.setattr(asyncio, "wait_for", without_a_task)
    assert_silent(shown(asyncio.run(cancelled())), scene.canary)


def test_interruption_while_an_answer_is_read_shows_nothing(canary: str, monkeypatch: pytest.MonkeyPatch) -> None:
    set_clock(monkeypatch)

    def interrupted(text: bytes, **_: Any) -> Any:
        held = bytes(text)
        raise KeyboardInterrupt(len(held))

    with Faulty([answer(201, {"access_token": canary})]) as manager:
        with SyncKeyClient("web", "credential", url=manager.url, environment="dev") as client:
            monkeypatch.setattr(_calls.json, "loads", interrupted)
            with pytest.raises(KeyboardInterrupt) as raised:
                client.get_key("a/b")
    assert_silent(shown(raised.value), canary)


def test_interruption_while_a_client_or_an_environment_is_made_shows_nothing(
    canary: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(text: Any, *_: Any) -> Any:
        held = text if isinstance(text, str) else text.expose()
        raise KeyboardInterrupt(len(held))

    monkeypatch.setattr("splitvault._settings.can_be_sent", interrupted)
    with pytest.raises(KeyboardInterrupt) as raised:
        SyncKeyClient("web", canary, url="http://localhost:1")
    assert_silent(shown(raised.value), canary)
    monkeypatch.setenv("OF_THE_PROCESS", f"sv://{canary}")
    monkeypatch.setattr("splitvault.environ._reference", lambda _, text: interrupted(text))
    with pytest.raises(KeyboardInterrupt) as raised:
        splitvault.load_env()
    assert_silent(shown(raised.value), canary)


def test_what_the_caller_was_handling_stays_with_the_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    handled = ValueError("the caller's")
    with Faulty([answer(201, {})]) as manager:
        with SyncKeyClient("web", "credential", url=manager.url, environment="dev") as client:
            monkeypatch.setattr(_calls.json, "loads", interrupted)
            with pytest.raises(KeyboardInterrupt) as raised:
                try:
                    raise handled
                except ValueError:
                    client.get_key("a/b")
    assert raised.value.__context__ is handled
