from __future__ import annotations

import os
from pathlib import Path

import pytest
from faulty import Faulty
from installation import Installation

import splitvault
from splitvault import ConfigurationError, SyncKeyClient, load_env
from splitvault._variables import is_dangerous


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch, installation: Installation, credential: str) -> None:
    monkeypatch.setenv("KEY_SERVICE_URL", installation.url)
    monkeypatch.setenv("SERVICE_TOKEN", credential)


def test_env_file_with_references_stands_in_for_the_environment(
    installation: Installation, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.store(f"{place}/db", '{"user": "app", "port": 5432}')
    installation.store(f"{place}/api", "api key")
    monkeypatch.setenv("FROM_PROCESS", f"sv://dev/{place}/api")
    monkeypatch.setenv("BOTH", "process")
    file = tmp_path / "app.env"
    file.write_text(
        f"DB_USER=sv://dev/{place}/db#user\nDB_PORT=sv://dev/{place}.db#port\nAPI='sv://dev/{place}/api@1'\n"
        "PLAIN='a $b'\nBOTH=file\n"
    )
    before, mints = dict(os.environ), len(installation.manager.lines("token.mint"))
    env = load_env(file)
    told = {name: env[name] for name in ("DB_USER", "DB_PORT", "API", "PLAIN", "BOTH", "FROM_PROCESS")}
    assert told == {
        "DB_USER": "app",
        "DB_PORT": "5432",
        "API": "api key",
        "PLAIN": "a $b",
        "BOTH": "process",
        "FROM_PROCESS": "api key",
    }
    assert load_env(file, override=True)["BOTH"] == "file"
    assert dict(os.environ) == before
    # Two versions of one secret do not go into one token.
    assert len(installation.manager.lines("token.mint")) == mints + 4
    assert env["PATH"] == os.environ["PATH"]
    assert env.get("MISSING", "default") == "default"
    assert "DB_USER" in env
    with pytest.raises(KeyError):
        env["MISSING"]
    assert "api key" not in repr(env)
    assert "FROM_PROCESS" in repr(env)


def test_folder_of_secrets_is_an_environment(installation: Installation, place: str) -> None:
    for number in range(70):
        installation.store(f"{place}/many/k{number}", f"value {number}")
    installation.store(f"{place}/many/deep/er-name", "deep")
    env = load_env(folder=f"{place}.many", environment="dev")
    assert env["K69"] == "value 69"
    assert env["DEEP_ER_NAME"] == "deep"
    env["K69"] = "mine"
    del env["K1"]
    copied = env.copy()
    assert (copied["K69"], "K1" in copied) == ("mine", False)
    assert "mine" not in repr(env)


def test_folder_in_which_two_secrets_would_have_one_name_is_refused(installation: Installation, place: str) -> None:
    for name in ("a-b", "a_b"):
        installation.store(f"{place}/{name}", "x")
    with pytest.raises(ConfigurationError, match="A_B"):
        load_env(folder=place, environment="dev")


@pytest.mark.parametrize("name", ["path", "ld/preload", "bash/env", "makeflags", "https/proxy", "key/service/url"])
def test_folder_cannot_say_where_code_comes_from_or_whom_to_trust(
    installation: Installation, place: str, client: SyncKeyClient, name: str, tmp_path: Path
) -> None:
    installation.store(f"{place}/{name}", "evil")
    variable = name.replace("/", "_").upper()
    for override in (False, True):
        with pytest.raises(ConfigurationError, match=variable) as refused:
            load_env(folder=place, client=client, override=override)
        assert "evil" not in str(refused.value)
    # Whoever names it himself may have it.
    (tmp_path / "env").write_text(f"{variable}=sv://dev/{place}/{name}\n")
    env = load_env(tmp_path / "env", client=client, override=True)
    assert env[variable] == "evil"
    assert load_env(tmp_path / "env", folder=place, client=client, override=True)[variable] == "evil"


def test_list_of_such_names_knows_shells_loaders_languages_and_tools() -> None:
    listed = """PATH HOME SHELL TMPDIR IFS ENV BASH_ENV SHELLOPTS BASHOPTS PS4 PROMPT_COMMAND BASH_FUNC_LS MAKEFLAGS
        EDITOR VISUAL PAGER MANPAGER PSQL_PAGER GIT_SSH_COMMAND GIT_ASKPASS NODE_OPTIONS NODE_PATH PYTHONPATH
        PYTHONSTARTUP PERL5OPT PERL5LIB RUBYOPT RUBYLIB JAVA_TOOL_OPTIONS _JAVA_OPTIONS JDK_JAVA_OPTIONS CLASSPATH
        LD_PRELOAD LD_LIBRARY_PATH DYLD_INSERT_LIBRARIES GCONV_PATH SSH_ASKPASS HTTPS_PROXY NO_PROXY SSL_CERT_FILE
        SSL_CERT_DIR SPLITVAULT_URL"""
    for name in listed.split():
        assert is_dangerous(name), name
        assert is_dangerous(name.lower()), name
    for name in ("DB_PATH", "OLD_KEY", "GITHUB_TOKEN", "ENVIRONMENT", "PROXY_URL", "SERVICE_TOKEN", "HOME_PAGE"):
        assert not is_dangerous(name), name


def test_without_references_nobody_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("A=b\n")
    monkeypatch.delenv("SERVICE_TOKEN")
    with Faulty([]) as manager:
        monkeypatch.setenv("KEY_SERVICE_URL", manager.url)
        assert load_env(tmp_path / "env")["A"] == "b"
        assert manager.requests == []


def test_fault_names_the_variable_and_not_the_value(
    installation: Installation, place: str, canary: str, tmp_path: Path
) -> None:
    installation.store(f"{place}/db", canary)
    file = tmp_path / "env"
    for line, fault in [
        (f"DB=sv://dev/{place}/db#user", "DB: "),
        (f"DB=sv://dev/{place}/db:x", "3A"),
        ("DB=`", "line 1"),
    ]:
        file.write_text(line)
        with pytest.raises(ConfigurationError, match=fault) as refused:
            load_env(file)
        assert canary not in str(refused.value)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_env(tmp_path / "missing")
    file.write_text(f"DB=sv://dev/{place}/nothing")
    with pytest.raises(splitvault.NotFoundError):
        load_env(file)


def test_client_of_the_program_is_used_and_stays_open(
    installation: Installation, place: str, client: SyncKeyClient
) -> None:
    installation.store(f"{place}/db", "one")
    assert load_env(folder=place, client=client)["DB"] == "one"
    assert client.get_key(f"{place}/db").from_cache


def test_credential_comes_from_a_file(
    installation: Installation, place: str, credential: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.store(f"{place}/db", "one")
    (tmp_path / "token").write_bytes(b"s3cret\xff")
    monkeypatch.delenv("SERVICE_TOKEN")
    monkeypatch.setenv("SERVICE_TOKEN_FILE", str(tmp_path / "token"))
    with pytest.raises(ConfigurationError, match="cannot be read") as refused:
        SyncKeyClient("web")
    assert refused.value.__context__ is None
    (tmp_path / "token").write_text(credential + "\n")
    monkeypatch.delenv("SERVICE_TOKEN_FILE")
    with pytest.raises(ConfigurationError, match="SERVICE_TOKEN_FILE"):
        SyncKeyClient("web")
    monkeypatch.setenv("SERVICE_TOKEN_FILE", str(tmp_path / "token"))
    with SyncKeyClient("web", environment="dev") as client:
        assert client.get_key(f"{place}/db").value == "one"
