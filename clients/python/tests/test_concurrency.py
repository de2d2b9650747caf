from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from installation import Installation, until

import splitvault
from splitvault import KeyClient, SyncKeyClient


def mints(installation: Installation) -> int:
    return len(installation.manager.lines("token.mint"))


def test_fifty_threads_make_one_request(installation: Installation, place: str, client: SyncKeyClient) -> None:
    installation.store(f"{place}/db", "one")
    before = mints(installation)
    start = threading.Barrier(50)

    def read(_: int) -> str:
        start.wait()
        return client.get_key(f"{place}/db").value

    with ThreadPoolExecutor(50) as pool:
        assert set(pool.map(read, range(50))) == {"one"}
    assert mints(installation) == before + 1


def test_fifty_tasks_make_one_request_and_event_loops_share_it(
    installation: Installation, place: str, credential: str
) -> None:
    installation.store(f"{place}/db", "one")
    before = mints(installation)
    client = KeyClient(place, credential, url=installation.url, environment="dev")

    async def read() -> set[str]:
        async with client:
            keys = await asyncio.gather(*(client.get_key(f"{place}/db", cache_ttl=60) for _ in range(50)))
        return {key.value for key in keys}

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: asyncio.run(read()), range(4))) == [{"one"}] * 4
    assert mints(installation) == before + 1


def test_who_waits_for_a_caller_that_is_cancelled_asks_himself(
    installation: Installation, place: str, credential: str
) -> None:
    installation.store(f"{place}/db", "one")

    async def scene() -> str:
        async with KeyClient(place, credential, url=installation.url, environment="dev") as client:
            installation.vault.pause()
            try:
                leader = asyncio.ensure_future(client.get_key(f"{place}/db"))
                before = mints(installation)
                await asyncio.to_thread(until, lambda: mints(installation) > before)
                waiter = asyncio.ensure_future(client.get_key(f"{place}/db"))
                cancelled = asyncio.ensure_future(client.get_key(f"{place}/db"))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                cancelled.cancel()
                leader.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await leader
                with pytest.raises(asyncio.CancelledError):
                    await cancelled
            finally:
                installation.vault.resume()
            return (await waiter).value

    assert asyncio.run(asyncio.wait_for(scene(), 30)) == "one"


def test_error_of_a_batch_does_not_hit_who_waits_for_another_of_its_secrets(
    installation: Installation, place: str, client: SyncKeyClient
) -> None:
    installation.store(f"{place}/db", "one")
    installation.manager.pause()
    with ThreadPoolExecutor(2) as pool:
        batch = pool.submit(client.get_keys, [f"{place}/db", f"{place}/missing"])
        until(lambda: client._core.state._under_way)
        alone = pool.submit(client.get_key, f"{place}/db")
        installation.manager.resume()
        with pytest.raises(splitvault.NotFoundError):
            batch.result(30)
        assert alone.result(30).value == "one"


def _in_child(client: SyncKeyClient, path: str, told: Any) -> None:
    told.put((os.getpid(), client.get_key(path).from_cache, client.get_key(path, cache_ttl=0).value))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_child_of_a_fork_reads_while_the_parent_was_reading(
    installation: Installation, place: str, client: SyncKeyClient
) -> None:
    installation.store(f"{place}/db", "one")
    client.get_key(f"{place}/db")
    connection = client._core.transport._blocking
    context = multiprocessing.get_context("fork")
    told = context.Queue()
    # Another thread holds the lock, and waits for an answer, at the moment of the fork.
    installation.manager.pause()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.get_key, f"{place}/db", 0)
        until(lambda: client._core.state._under_way)
        with client._core.state._lock:
            child = context.Process(target=_in_child, args=(client, f"{place}/db", told))
            child.start()
        installation.manager.resume()
        assert waiting.result(30).value == "one"
    try:
        pid, cached, value = told.get(timeout=30)
        child.join(30)
        assert (cached, value, child.exitcode) == (True, "one", 0)
    finally:
        # One that waits for a thread of the parent would wait for ever.
        child.kill()
        child.join()
    assert pid != os.getpid()
    # The parent's connection is as good as before.
    assert client._core.transport._blocking is connection
    assert client.get_key(f"{place}/db", cache_ttl=0).value == "one"
