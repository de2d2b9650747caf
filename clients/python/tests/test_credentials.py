from __future__ import annotations

from pathlib import Path

import pytest
from clock import set_clock
from installation import Installation

import splitvault
from splitvault import SyncKeyClient


def test_credential_that_is_taken_away_empties_memory_and_disk(
    installation: Installation, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = set_clock(monkeypatch)
    installation.store(f"{place}/db", "one")
    installation.store(f"{place}/other", "two")
    made = installation.service(place, f"{place}/**")
    settings = {"url": installation.url, "environment": "dev", "disk_cache": tmp_path / "cache"}
    with SyncKeyClient(place, made["credential"], **settings) as client:  # type: ignore[arg-type]
        client.get_keys([f"{place}/db", f"{place}/other"])
        (file,) = (tmp_path / "cache").glob("*.cache")
        service, credential = made["service_id"], made["credential_id"]
        installation.ask("DELETE", f"/api/services/{service}/credentials/{credential}")
        clock.ahead += 301
        with pytest.raises(splitvault.UnauthorizedError) as refused:
            client.get_key(f"{place}/db")
        assert refused.value.code == "credential_invalid"
        assert not file.exists()
        # Also the one that nobody asked for, and also when the services are gone afterwards.
        clock.ahead -= 301
        installation.manager.stop()
        with pytest.raises(splitvault.UnavailableError):
            client.get_key(f"{place}/other")
        installation.restart(installation.manager)
        assert not client.health_check().is_healthy


def test_token_that_is_revoked_before_it_is_shown_is_made_anew(
    installation: Installation, place: str, client: SyncKeyClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.store(f"{place}/db", "one")
    core = client._core
    original, revoked = core._open, []

    def open_after_revocation(token, batch, deadline):  # type: ignore[no-untyped-def]
        if not revoked:
            jti = installation.manager.lines("token.mint")[-1]["jti"]
            revoked.append(installation.ask("DELETE", f"/api/tokens/{jti}"))
            assert revoked[0]["status"] == "revoked"
        return (yield from original(token, batch, deadline))

    monkeypatch.setattr(core, "_open", open_after_revocation)
    before = len(installation.manager.lines("token.mint"))
    assert client.get_key(f"{place}/db").value == "one"
    assert len(installation.manager.lines("token.mint")) == before + 2


def test_right_that_is_lost_takes_the_value_away(
    installation: Installation, place: str, credential: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = set_clock(monkeypatch)
    key_id = installation.store(f"{place}/db", "one")
    with SyncKeyClient(place, credential, url=installation.url, environment="dev") as client:
        client.get_key(f"{place}/db")
        installation.ask("DELETE", f"/api/secrets/{key_id}?reason=gone")
        clock.ahead += 301
        with pytest.raises(splitvault.SplitvaultError) as refused:
            client.get_key(f"{place}/db")
        assert refused.value.code in ("secret_deleted", "secret_not_found")
        clock.ahead -= 301
        installation.manager.stop()
        with pytest.raises(splitvault.UnavailableError):
            client.get_key(f"{place}/db")


def test_rate_limit_has_its_type_and_its_time(
    installation: Installation, place: str, client: SyncKeyClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.store(f"{place}/db", "one")
    usual = installation.ask("GET", "/api/settings/rate-limits")
    installation.ask("PATCH", "/api/settings/rate-limits", {"principal": {"per_second": 1, "burst": 1}})
    try:
        # The pause that the manager asks for does not fit into the time of the call.
        client._core.settings.timeout = 0.5
        with pytest.raises(splitvault.RateLimitError) as refused:
            for _ in range(20):
                client.get_key(f"{place}/db", cache_ttl=0)
        assert refused.value.code == "rate_limited"
        assert refused.value.retry_after
    finally:
        installation.ask("PATCH", "/api/settings/rate-limits", usual)


def test_retry_after_of_a_rate_limit_is_waited_for(
    installation: Installation, place: str, client: SyncKeyClient
) -> None:
    installation.store(f"{place}/db", "one")
    usual = installation.ask("GET", "/api/settings/rate-limits")
    installation.ask("PATCH", "/api/settings/rate-limits", {"principal": {"per_second": 1, "burst": 1}})
    try:
        for _ in range(3):
            assert client.get_key(f"{place}/db", cache_ttl=0).value == "one"
    finally:
        installation.ask("PATCH", "/api/settings/rate-limits", usual)
