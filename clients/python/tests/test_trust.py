from __future__ import annotations

import os
from pathlib import Path

import pytest
from faulty import Faulty, answer
from installation import ROOT, Installation, script

import splitvault
from splitvault import ConfigurationError, SyncKeyClient


def test_pinned_ca_is_believed_and_no_other(secured: Installation, place: str, tmp_path: Path) -> None:
    secured.store(f"{place}/db", "one")
    credential = secured.service(place, f"{place}/**")["credential"]
    with SyncKeyClient(place, credential, url=secured.url, environment="dev", ca_file=secured.ca) as client:
        assert client.get_key(f"{place}/db").value == "one"
        assert client.health_check().is_healthy
    script(ROOT / "scripts/make-certificates.sh", "--out", tmp_path / "tls", "127.0.0.1", "127.0.0.1")
    for ca in (tmp_path / "tls/ca/ca.pem", None):
        with SyncKeyClient(place, credential, url=secured.url, environment="dev", ca_file=ca) as client:
            before = len(secured.manager.lines("token.mint"))
            with pytest.raises(splitvault.UnavailableError, match="certificate") as refused:
                client.get_key(f"{place}/db")
            assert refused.value.__context__ is None
            assert len(secured.manager.lines("token.mint")) == before


def test_ca_comes_from_the_environment_and_must_be_readable(
    secured: Installation, place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KEY_SERVICE_CA_FILE", str(secured.ca))
    with SyncKeyClient("ops", secured.admin_credential, url=secured.url) as client:
        assert client.health_check().is_healthy
    (tmp_path / "empty.pem").write_text("")
    for file in (tmp_path / "missing.pem", tmp_path / "empty.pem"):
        with pytest.raises(ConfigurationError, match=r"\.pem cannot be read"):
            SyncKeyClient("ops", "credential", url=secured.url, ca_file=file)


def test_keys_of_connections_are_written_nowhere(
    secured: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    with SyncKeyClient("ops", secured.admin_credential, url=secured.url, ca_file=secured.ca) as client:
        assert client.health_check().is_healthy
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize(
    "url",
    [
        "http://manager.example:8000",
        "ftp://localhost",
        "https://user:s3cret@manager.example",
        "https://manager.example/path",
        "https://manager.example?s3cret",
        "manager.example:8000",
        "https://manager.example:s3cret",
        "http://127.0.0.1.example",
    ],
)
def test_address_that_is_no_bare_and_safe_origin_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        SyncKeyClient("ops", "credential", url=url)
    assert "s3cret" not in str(refused.value)
    assert refused.value.__context__ is None


def test_plain_http_on_another_machine_needs_a_word_with_danger() -> None:
    with SyncKeyClient("ops", "credential", url="http://manager.example:8000", danger_plain_http=True) as client:
        assert "manager.example" in repr(client)


def test_proxies_of_the_environment_get_nothing(
    installation: Installation, place: str, client: SyncKeyClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.store(f"{place}/db", "one")
    with Faulty([]) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        with SyncKeyClient("ops", installation.admin_credential, url=installation.url, environment="dev") as other:
            assert other.get_key(f"{place}/db").value == "one"
        assert proxy.requests == []
    assert os.environ["HTTP_PROXY"]


def test_redirect_is_not_followed() -> None:
    with Faulty([]) as other, Faulty([answer(307, {}, Location=other.url + "/api/tokens")]) as manager:
        with (
            SyncKeyClient("ops", "credential", url=manager.url, environment="dev") as client,
            pytest.raises(splitvault.UnavailableError, match="not in the form"),
        ):
            client.get_key("a/b")
        assert len(manager.requests) == 1
        assert other.requests == []


def test_vault_without_https_is_refused_where_the_manager_has_it(secured: Installation, place: str) -> None:
    client = SyncKeyClient("ops", secured.admin_credential, url=secured.url, environment="dev", ca_file=secured.ca)
    with client, pytest.raises(ConfigurationError, match="without it"):
        client._core._note_vault({"vault_url": "http://127.0.0.1:1"})
