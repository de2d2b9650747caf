from __future__ import annotations

import json

import pytest
from clock import set_clock
from installation import Installation

import splitvault
from splitvault import SyncKeyClient


def mints(installation: Installation) -> int:
    return len(installation.manager.lines("token.mint"))


def test_dotted_and_slashed_paths_are_one_value_and_one_request(
    installation: Installation, client: SyncKeyClient, place: str
) -> None:
    installation.store(f"{place}/db/password", "first")
    before = mints(installation)
    assert client.get_key(f"{place}.db.password").value == "first"
    again = client.get_key(f"{place}/db/password")
    assert (again.value, again.from_cache, again.stale) == ("first", True, False)
    assert mints(installation) == before + 1


def test_batch_of_64_is_one_token_and_one_request(
    installation: Installation, client: SyncKeyClient, place: str
) -> None:
    paths = [f"{place}/k{number}" for number in range(65)]
    for path in paths:
        installation.store(path, f"value of {path}")
    before, reads = mints(installation), len(installation.vault.lines("secret.read"))
    keys = client.get_keys(paths[:64])
    assert {path: key.value for path, key in keys.items()} == {path: f"value of {path}" for path in paths[:64]}
    assert mints(installation) == before + 1
    assert len({line["request_id"] for line in installation.vault.lines("secret.read")[reads:]}) == 1
    client.clear_cache()
    assert len(client.get_keys(paths)) == 65
    assert mints(installation) == before + 3


def test_bytes_and_texts_come_back_as_they_were(client: SyncKeyClient, installation: Installation, place: str) -> None:
    admin = SyncKeyClient("ops", installation.admin_credential, url=installation.url, environment="dev")
    with admin:
        for name, value in [("bytes", b"\xff\x00\n"), ("text", "é\u2028\x07 '\"\n"), ("utf8", b"plain")]:
            assert admin.store_key(f"{place}/{name}", value).version == 1
    key = client.get_key(f"{place}/bytes")
    assert (key.data, key.binary) == (b"\xff\x00\n", True)
    with pytest.raises(ValueError, match="not text") as refused:
        _ = key.value
    assert refused.value.__context__ is None
    assert client.get_key(f"{place}/text").value == "é\u2028\x07 '\"\n"
    assert client.get_key(f"{place}/utf8").value == "plain"


def test_versions_and_stages_are_read_by_reference(
    installation: Installation, client: SyncKeyClient, place: str
) -> None:
    for value in ("one", "two"):
        installation.store(f"{place}/db", value)
    asked = [f"sv://dev/{place}/db", f"sv://dev/{place}/db@1", f"sv://dev/{place}/db@previous"]
    keys = client.get_keys(asked)
    assert [keys[text].value for text in asked] == ["two", "one", "one"]
    assert [keys[text].version for text in asked] == [2, 1, 1]


def test_what_is_unknown_and_what_is_forbidden_look_the_same(
    installation: Installation, client: SyncKeyClient, place: str
) -> None:
    installation.store(f"other{place}/db", "not yours")
    told = []
    for path in (f"other{place}/db", f"{place}/nothing"):
        with pytest.raises(splitvault.NotFoundError) as refused:
            client.get_key(path)
        assert refused.value.code == "secret_not_found"
        assert refused.value.request_id
        told.append(str(refused.value))
    assert told[0] == told[1]


def test_environment_is_that_of_argument_variable_and_credential(
    installation: Installation, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for environment in ("dev", "staging", "production"):
        installation.store(f"{place}/db", environment, environment)
    made = installation.service(place, f"{place}/**", "dev", default_environment="staging")
    for environment in ("staging", "production"):
        line = {"party": made["service_id"], "effect": "allow", "actions": ["read"], "environment": environment}
        installation.ask("POST", "/api/permissions", {**line, "pattern": f"{place}/**", "reason": "a test"})
    with SyncKeyClient(place, made["credential"], url=installation.url) as client:
        assert client.get_key(f"{place}/db").value == "staging"
        assert client.get_key(f"{place}/db", environment="production").value == "production"
    monkeypatch.setenv("KEY_ENVIRONMENT", "dev")
    with SyncKeyClient(place, made["credential"], url=installation.url) as client:
        assert client.get_key(f"{place}/db").value == "dev"


def test_credential_without_an_environment_is_told_so(installation: Installation, place: str, credential: str) -> None:
    with (
        SyncKeyClient(place, credential, url=installation.url) as client,
        pytest.raises(splitvault.ConfigurationError, match="KEY_ENVIRONMENT"),
    ):
        client.get_key(f"{place}/db")


def test_ttl_and_token_bound_what_is_fresh(
    installation: Installation, place: str, credential: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = set_clock(monkeypatch)
    installation.store(f"{place}/db", "one")
    with SyncKeyClient(place, credential, url=installation.url, environment="dev") as client:
        client.get_key(f"{place}/db", cache_ttl=3600)
        installation.store(f"{place}/db", "two")
        clock.ahead += 60
        assert client.get_key(f"{place}/db", cache_ttl=3600).value == "one"
        # A shorter ttl of a later call counts for that call.
        assert client.get_key(f"{place}/db", cache_ttl=30).value == "two"
        installation.store(f"{place}/db", "three")
        # The token lives for 900 seconds, whatever the ttl says.
        clock.ahead += 880
        assert client.get_key(f"{place}/db", cache_ttl=3600).value == "two"
        clock.ahead += 21
        assert client.get_key(f"{place}/db", cache_ttl=3600).value == "three"
        installation.store(f"{place}/db", "four")
        assert client.get_key(f"{place}/db", cache_ttl=0).value == "four"


def test_no_value_is_kept_beyond_the_end_of_its_version(
    installation: Installation, place: str, credential: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = set_clock(monkeypatch)
    body = {"environment": "dev", "path": f"{place}/db", "value": "one", "token": False}
    made = installation.ask("POST", "/api/secrets", {**body, "expires_at": int(clock.wall()) + 100})
    with SyncKeyClient(place, credential, url=installation.url, environment="dev") as client:
        client.get_key(f"{place}/db")
        installation.ask("PUT", f"/api/secrets/{made['key_id']}", {"value": "two", "token": False})
        clock.ahead += 90
        assert client.get_key(f"{place}/db").value == "one"
        clock.ahead += 11
        assert client.get_key(f"{place}/db").value == "two"


def test_clear_cache_and_store_make_the_next_read_a_new_one(
    installation: Installation, client: SyncKeyClient, place: str
) -> None:
    for name in ("a", "b"):
        installation.store(f"{place}/{name}", "one")
    client.get_keys([f"{place}/a", f"{place}/b"])
    for name in ("a", "b"):
        installation.store(f"{place}/{name}", "two")
    client.clear_cache(f"{place}.a")
    assert client.get_key(f"{place}/a").value == "two"
    assert client.get_key(f"{place}/b").value == "one"
    client.clear_cache()
    assert client.get_key(f"{place}/b").value == "two"
    admin = SyncKeyClient("ops", installation.admin_credential, url=installation.url, environment="dev")
    with admin:
        assert admin.get_key(f"{place}/b").value == "two"
        admin.store_key(f"{place}/b", "three")
        assert admin.get_key(f"{place}/b").value == "three"


def test_large_values_of_a_batch_come_one_by_one(installation: Installation, client: SyncKeyClient, place: str) -> None:
    values = {f"{place}/k{number}": str(number) * (1 << 20) for number in range(10)}
    for path, value in values.items():
        installation.store(path, value)
    keys = client.get_keys(values)
    assert all(keys[path].value == value for path, value in values.items())


def test_registering_a_name_twice_is_a_conflict(installation: Installation, place: str) -> None:
    with SyncKeyClient("ops", installation.admin_credential, url=installation.url, environment="dev") as admin:
        service = admin.register_service(
            place, required_keys=[f"{place}.db", {"environment": "staging", "pattern": "x/**"}]
        )
        assert json.dumps(
            installation.ask("GET", f"/api/services/{service.service_id}")["required_keys"]
        ) == json.dumps(
            [{"environment": "dev", "pattern": f"{place}/db"}, {"environment": "staging", "pattern": "x/**"}]
        )
        with pytest.raises(splitvault.ConflictError) as refused:
            admin.register_service(place)
        assert refused.value.code == "already_exists"
