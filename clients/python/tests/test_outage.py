"""The last value through an outage of either service, against services that are really gone."""

from __future__ import annotations

import asyncio
import logging
import warnings
from pathlib import Path
from typing import Any

import pytest
from clock import SetClock, set_clock
from installation import Installation, Service

import splitvault
from splitvault import KeyClient, SyncKeyClient


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    return set_clock(monkeypatch)


@pytest.fixture(params=["manager", "vault"])
def service(request: pytest.FixtureRequest, installation: Installation) -> Service:
    chosen: Service = getattr(installation, request.param)
    return chosen


def test_last_value_is_used_for_an_hour_and_said_loudly(
    installation: Installation,
    service: Service,
    clock: SetClock,
    place: str,
    client: SyncKeyClient,
    caplog: pytest.LogCaptureFixture,
) -> None:
    installation.store(f"{place}/db", "one")
    assert client.get_key(f"{place}/db", cache_ttl=60).value == "one"
    service.stop()
    clock.ahead += 61
    with caplog.at_level(logging.WARNING), pytest.warns(splitvault.StaleValueWarning, match=f"dev:{place}/db"):
        key = client.get_key(f"{place}/db", cache_ttl=60)
    assert (key.value, key.stale, key.from_cache) == ("one", True, True)
    assert 61 <= key.age < 120
    assert f"dev:{place}/db" in caplog.text
    clock.ahead += 3500
    with pytest.warns(splitvault.StaleValueWarning):
        assert client.get_key(f"{place}/db", cache_ttl=60).stale
    # The hour is over: from 60 seconds on, 3,600 more.
    clock.ahead += 200
    with pytest.raises(splitvault.UnavailableError):
        client.get_key(f"{place}/db", cache_ttl=60)
    installation.restart(service)
    key = client.get_key(f"{place}/db", cache_ttl=60)
    assert (key.value, key.stale, key.from_cache) == ("one", False, False)


def test_value_that_was_never_read_is_unavailable(
    installation: Installation, service: Service, place: str, client: SyncKeyClient, clock: SetClock
) -> None:
    installation.store(f"{place}/db", "one")
    installation.store(f"{place}/other", "two")
    client.get_key(f"{place}/db")
    service.stop()
    with pytest.raises(splitvault.UnavailableError, match=service.name) as refused:
        client.get_key(f"{place}/other")
    assert refused.value.__context__ is None
    # It was tried again, with pauses that grow.
    assert len(clock.pauses) == 4
    assert clock.pauses == sorted(clock.pauses)


def test_refusal_takes_away_what_was_asked_for_and_nothing_else(
    installation: Installation, place: str, credential: str, clock: SetClock, tmp_path: Path
) -> None:
    alone, one, other = (f"{place}/{name}" for name in ("alone", "one", "other"))
    for path in (alone, one, other):
        installation.store(path, "value")
    settings: dict[str, Any] = {"url": installation.url, "environment": "dev", "disk_cache": tmp_path / "cache"}
    with SyncKeyClient(place, credential, **settings) as client:
        client.get_keys([alone, one, other])
        with pytest.raises(splitvault.NotFoundError):
            client.get_key(f"{place}/missing")
        # The manager does not tell which one it means.
        with pytest.raises(splitvault.NotFoundError):
            client.get_keys([one, other, f"{place}/missing"], cache_ttl=0)
    installation.manager.stop()
    for reader in (client, SyncKeyClient(place, credential, **settings)):
        assert reader.get_key(alone).value == "value"
        for path in (one, other):
            with pytest.raises(splitvault.UnavailableError):
                reader.get_key(path)
        reader.close()


def test_services_are_left_alone_for_a_moment_and_asked_again_then(
    installation: Installation, place: str, client: SyncKeyClient, clock: SetClock
) -> None:
    installation.store(f"{place}/db", "one")
    client.get_key(f"{place}/db", cache_ttl=1)
    installation.manager.stop()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", splitvault.StaleValueWarning)
        clock.ahead += 2
        assert client.get_key(f"{place}/db", cache_ttl=1).stale
        tried = len(clock.pauses)
        assert client.get_key(f"{place}/db", cache_ttl=1).stale
        assert len(clock.pauses) == tried
        installation.restart(installation.manager)
        installation.store(f"{place}/db", "two")
        clock.ahead += 6
        key = client.get_key(f"{place}/db", cache_ttl=1)
    assert (key.value, key.stale) == ("two", False)


def test_services_that_stay_away_are_asked_less_and_less(
    installation: Installation, place: str, client: SyncKeyClient, clock: SetClock
) -> None:
    installation.store(f"{place}/db", "one")
    client.get_key(f"{place}/db", cache_ttl=1)
    installation.manager.stop()
    asked_after = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", splitvault.StaleValueWarning)
        last = clock.ahead
        for _ in range(300):
            clock.ahead += 1
            tried = len(clock.pauses)
            assert client.get_key(f"{place}/db", cache_ttl=1).stale
            if len(clock.pauses) > tried:
                asked_after.append(round(clock.ahead - last - sum(clock.pauses[tried:])))
                last = clock.ahead
    assert len(asked_after) == 8
    assert asked_after == sorted(asked_after)
    assert 55 <= asked_after[-1] <= 62


def test_no_stale_value_where_none_is_wanted(
    installation: Installation, place: str, credential: str, clock: SetClock
) -> None:
    installation.store(f"{place}/db", "one")
    with SyncKeyClient(place, credential, url=installation.url, environment="dev", max_stale=0) as client:
        client.get_key(f"{place}/db", cache_ttl=1)
        installation.manager.stop()
        clock.ahead += 2
        with pytest.raises(splitvault.UnavailableError):
            client.get_key(f"{place}/db", cache_ttl=1)


def test_expired_version_is_not_used_through_an_outage(
    installation: Installation, place: str, client: SyncKeyClient, clock: SetClock
) -> None:
    body = {"environment": "dev", "path": f"{place}/db", "value": "one", "token": False}
    installation.ask("POST", "/api/secrets", {**body, "expires_at": int(clock.wall()) + 600})
    client.get_key(f"{place}/db", cache_ttl=1)
    installation.manager.stop()
    clock.ahead += 500
    with pytest.warns(splitvault.StaleValueWarning):
        client.get_key(f"{place}/db", cache_ttl=1)
    clock.ahead += 101
    with pytest.raises(splitvault.UnavailableError):
        client.get_key(f"{place}/db", cache_ttl=1)


@pytest.mark.parametrize("form", ["async", "sync"])
def test_service_that_swallows_requests_costs_no_more_than_the_timeout(
    installation: Installation, place: str, credential: str, form: str
) -> None:
    installation.store(f"{place}/db", "one")
    settings = {"url": installation.url, "environment": "dev", "timeout_ms": 700}

    async def read() -> None:
        async with KeyClient(place, credential, **settings) as client:  # type: ignore[arg-type]
            await asyncio.wait_for(client.get_key(f"{place}/db"), 20)

    installation.vault.pause()
    try:
        with pytest.raises(splitvault.UnavailableError, match="time"):
            if form == "async":
                asyncio.run(read())
            else:
                with SyncKeyClient(place, credential, **settings) as client:  # type: ignore[arg-type]
                    client.get_key(f"{place}/db")
    finally:
        installation.vault.resume()


def test_health_names_the_service_that_is_gone(
    installation: Installation, service: Service, client: SyncKeyClient
) -> None:
    assert client.health_check().is_healthy
    service.stop()
    health = client.health_check()
    assert not health.is_healthy
    assert service.name in str(health.fault)
    word = health.manager if service is installation.manager else health.vault
    assert word == "unreachable"
