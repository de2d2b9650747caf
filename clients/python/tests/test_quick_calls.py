"""The calls that teams already write, word by word, against the real services."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from installation import Installation

import splitvault


async def as_teams_write_it() -> list[object]:
    from splitvault import KeyClient
    client = KeyClient(service_name="jules-mcp", service_token=os.environ["SERVICE_TOKEN"])   # KEY_SERVICE_URL, KEY_SERVICE_TIMEOUT (ms)
    key = await client.get_key("service_keys.jules_api.production", cache_ttl=3600); key.value
    keys = await client.get_keys(["service_keys.jules_api.production", "database_connections.postgres_main"])
    await client.clear_cache("service_keys.jules_api.production")
    health = await client.health_check(); health.is_healthy
    registered = await client.register_service(service_name="jules-two", description="The second", required_keys=["service_keys.jules_api.production"])
    stored = await client.store_key(key_path="service_keys.jules_new", value="brand new", environment="production")
    await client.aclose()
    return [key, keys, health, registered, stored]


@pytest.fixture
def team(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> str:
    installation.store("service_keys/jules_api/production", "the key", "production")
    installation.store("database_connections/postgres_main", "the connection", "production")
    made = installation.service("jules-mcp", "**", "production", default_environment="production")
    role = {"party": made["service_id"], "role": "super_admin", "pattern": "**", "reason": "it registers"}
    installation.ask("POST", "/api/roles", role)
    monkeypatch.setenv("SERVICE_TOKEN", made["credential"])
    monkeypatch.setenv("KEY_SERVICE_URL", installation.url)
    monkeypatch.setenv("KEY_SERVICE_TIMEOUT", "20000")
    return made["service_id"]



def test_calls_of_teams_work_as_they_stand(installation: Installation, team: str) -> None:
    import asyncio

    key, keys, health, registered, stored = asyncio.run(as_teams_write_it())
    assert isinstance(key, splitvault.Key)
    assert key.value == "the key"
    assert (key.environment, key.stale, key.from_cache) == ("production", False, False)
    assert isinstance(keys, dict)
    assert {path: key.value for path, key in keys.items()} == {
        "service_keys.jules_api.production": "the key",
        "database_connections.postgres_main": "the connection",
    }
    assert keys["service_keys.jules_api.production"].from_cache
    assert isinstance(health, splitvault.Health)
    assert health.is_healthy, health
    assert isinstance(registered, splitvault.Service)
    assert not registered.approved
    known = installation.ask("GET", f"/api/services/{registered.service_id}")
    assert known["required_keys"] == [{"environment": "production", "pattern": "service_keys/jules_api/production"}]
    assert isinstance(stored, splitvault.Stored)
    assert (stored.environment, stored.version) == ("production", 1)


def test_old_imports_are_the_same_names() -> None:
    import dox_core_store

    assert dox_core_store.KeyClient is splitvault.KeyClient
    assert sorted(dox_core_store.__all__) == sorted(splitvault.__all__)
    for name in splitvault.__all__:
        assert getattr(dox_core_store, name) is getattr(splitvault, name)
    source = Path(dox_core_store.__file__).read_text()
    assert "def " not in source
    assert "class " not in source
