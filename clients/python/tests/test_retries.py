"""What is sent again, and what is not: the table of errors, by failures that a server of the tests gives."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from clock import SetClock, set_clock
from faulty import BROKEN, Faulty, Given, answer, refusal

import splitvault
from splitvault import KeyClient, SyncKeyClient


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    return set_clock(monkeypatch)


def stored(**more: Any) -> Given:
    return answer(201, {"key_id": "sec_a", "version": 1, "environment": "dev", "path": "a/b", **more})


def minted(vault: Faulty, life: int = 900) -> Given:
    return answer(
        201,
        {
            "access_token": "token",
            "expires_at": int(time.time()) + life,
            "secrets": [{"key_id": "sec_a-_1", "version": 1, "envelope": 1, "path": "a/b"}],
            "vault_url": vault.url,
        },
    )


def opened(value: str = "one") -> Given:
    return answer(200, {"keys": [{"key_id": "sec_a-_1", "version": 1, "encoding": "text", "decrypted_key": value}]})


def client_of(manager: Faulty, **more: Any) -> SyncKeyClient:
    return SyncKeyClient("web", "credential", url=manager.url, environment="dev", **more)


@pytest.mark.parametrize(
    "first",
    [refusal("unavailable"), refusal("outcome_unknown"), refusal("overloaded"), BROKEN, answer(502, b"<html>")],
    ids=["unavailable", "outcome_unknown", "overloaded", "broken", "proxy"],
)
def test_store_is_repeated_with_the_same_idempotency_key(first: Given) -> None:
    with Faulty([first, stored()]) as manager, client_of(manager) as client:
        assert client.store_key("a/b", "value").version == 1
    one, two = manager.requests
    assert one.headers["Idempotency-Key"] == two.headers["Idempotency-Key"]
    assert len(one.headers["Idempotency-Key"]) == 32
    assert one.body == two.body


@pytest.mark.parametrize("given", [{"slow": True}, {"slow_head": True}], ids=["body", "head"])
@pytest.mark.parametrize("form", ["async", "sync"])
def test_answer_that_never_ends_costs_no_more_than_the_timeout(form: str, given: dict[str, bool]) -> None:
    settings: dict[str, Any] = {"environment": "dev", "timeout_ms": 500}

    async def read(url: str) -> None:
        async with KeyClient("web", "credential", url=url, **settings) as client:
            await client.get_key("a/b")

    with Faulty([answer(201, {})._replace(**given)]) as manager:
        begun = time.monotonic()
        with pytest.raises(splitvault.UnavailableError, match="the time for it is over"):
            if form == "async":
                asyncio.run(asyncio.wait_for(read(manager.url), 20))
            else:
                with SyncKeyClient("web", "credential", url=manager.url, **settings) as client:
                    client.get_key("a/b")
        assert time.monotonic() - begun < 4


def test_two_stores_have_two_keys() -> None:
    with Faulty([stored(), stored()]) as manager, client_of(manager) as client:
        client.store_key("a/b", "value")
        client.store_key("a/b", "value")
    one, two = manager.requests
    assert one.headers["Idempotency-Key"] != two.headers["Idempotency-Key"]


def test_store_whose_first_request_was_carried_out_is_done() -> None:
    known = refusal("idempotency_unknown")
    known = known._replace(body=json.dumps({**json.loads(known.body), "key_id": "sec_b", "version": 7}).encode())
    with Faulty([BROKEN, known]) as manager, client_of(manager) as client:
        done = client.store_key("a/b", "value")
    assert (done.key_id, done.version) == ("sec_b", 7)


@pytest.mark.parametrize(
    "first", [BROKEN, refusal("outcome_unknown"), answer(504, b"")], ids=["broken", "unknown", "504"]
)
def test_token_request_that_may_have_been_carried_out_is_not_repeated(first: Given, clock: SetClock) -> None:
    with Faulty([first, stored()]) as manager, client_of(manager) as client:
        with pytest.raises(splitvault.UnavailableError):
            client.get_key("a/b")
        assert len(manager.requests) == 1
    assert clock.pauses == []


def test_token_request_that_was_not_carried_out_is_repeated() -> None:
    with Faulty([opened()]) as vault, Faulty([refusal("unavailable"), minted(vault)]) as manager:
        with client_of(manager) as client:
            assert client.get_key("a/b").value == "one"
        assert len(manager.requests) == 2


@pytest.mark.parametrize(
    "first", [BROKEN, refusal("revocations_behind"), answer(503, b"")], ids=["broken", "behind", "503"]
)
def test_read_changes_nothing_and_is_repeated(first: Given) -> None:
    with Faulty([first, opened()]) as vault, Faulty([minted(vault)]) as manager, client_of(manager) as client:
        assert client.get_key("a/b").value == "one"
        assert len(vault.requests) == 2


@pytest.mark.parametrize(
    "code", ["secret_not_found", "not_permitted", "internal", "environment_frozen", "body_invalid"]
)
def test_refusal_that_stays_is_not_repeated(code: str) -> None:
    with Faulty([refusal(code)]) as manager, client_of(manager) as client:
        with pytest.raises(splitvault.SplitvaultError) as refused:
            client.get_key("a/b")
        assert (refused.value.code, len(manager.requests)) == (code, 1)


def test_repeats_have_a_bound(clock: SetClock) -> None:
    with Faulty([refusal("overloaded")] * 20) as manager, client_of(manager) as client:
        with pytest.raises(splitvault.UnavailableError):
            client.get_key("a/b")
        assert len(manager.requests) == 5
    assert sum(clock.pauses) < 5


def test_retry_after_is_waited_for_if_it_fits_into_the_time(clock: SetClock) -> None:
    with Faulty([opened()]) as vault:
        with Faulty([refusal("rate_limited", Retry_After="7"), minted(vault)]) as manager, client_of(manager) as client:
            assert client.get_key("a/b").value == "one"
    assert [round(pause) for pause in clock.pauses] == [7]
    with Faulty([refusal("rate_limited", Retry_After="86400")] * 2) as manager, client_of(manager) as client:
        with pytest.raises(splitvault.RateLimitError) as refused:
            client.get_key("a/b")
        assert len(manager.requests) == 1
    assert refused.value.retry_after == 86400
    assert len(clock.pauses) == 1


@pytest.mark.parametrize("code", ["token_invalid", "seal_key_unknown"])
def test_token_that_does_not_count_is_made_anew_twice_at_most(code: str) -> None:
    with Faulty([refusal(code), opened()]) as vault, Faulty([minted(vault), minted(vault)]) as manager:
        with client_of(manager) as client:
            assert client.get_key("a/b").value == "one"
        assert len(manager.requests) == 2
    with Faulty([refusal(code)] * 9) as vault, Faulty([minted(vault)] * 9) as manager, client_of(manager) as client:
        with pytest.raises(splitvault.UnauthorizedError):
            client.get_key("a/b")
        assert (len(manager.requests), len(vault.requests)) == (3, 3)


def test_token_that_would_end_during_a_pause_is_renewed_after_it(clock: SetClock) -> None:
    behind = refusal("revocations_behind", Retry_After="4")
    with Faulty([behind, opened()]) as vault, Faulty([minted(vault, life=3), minted(vault)]) as manager:
        with client_of(manager) as client:
            assert client.get_key("a/b").value == "one"
        assert (len(manager.requests), len(vault.requests)) == (2, 2)
    # One that lives on is shown again.
    with Faulty([behind, opened()]) as vault, Faulty([minted(vault)]) as manager:
        with client_of(manager) as client:
            assert client.get_key("a/b").value == "one"
        assert (len(manager.requests), len(vault.requests)) == (1, 2)
    assert [round(pause) for pause in clock.pauses if pause] == [4, 4]


@pytest.mark.parametrize(
    "bad",
    [
        answer(200, b"no json"),
        answer(200, []),
        answer(200, {"keys": []}),
        answer(200, {"keys": [{"key_id": "sec_other", "version": 1, "encoding": "text", "decrypted_key": "s3cret"}]}),
        answer(200, {"keys": [{"key_id": "sec_a-_1", "version": 1, "encoding": "rot13", "decrypted_key": "s3cret"}]}),
        answer(200, {"keys": [{"key_id": "sec_a-_1", "encoding": "base64", "decrypted_key": "s3cret!"}]}),
        answer(200, {"keys": [{"key_id": "sec_a-_1", "encoding": "text", "decrypted_key": 7}]}),
        answer(200, b"[" * 100_000),
    ],
    ids=["text", "list", "fewer", "other", "encoding", "base64", "number", "deep"],
)
def test_answer_out_of_form_is_an_error_that_shows_nothing(bad: Given) -> None:
    with Faulty([bad]) as vault, Faulty([minted(vault)]) as manager, client_of(manager) as client:
        with pytest.raises(splitvault.UnavailableError, match="not in the form") as refused:
            client.get_key("a/b")
        assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("token", ["é", "a b", "a\nb", ""])
def test_token_that_no_header_can_hold_is_out_of_form(token: str) -> None:
    with Faulty([]) as vault:
        members = {**json.loads(minted(vault).body), "access_token": token}
        with Faulty([answer(201, members)]) as manager, client_of(manager) as client:
            with pytest.raises(splitvault.UnavailableError, match="not in the form"):
                client.get_key("a/b")


def test_one_refused_line_of_a_batch_is_its_error() -> None:
    line = answer(200, {"keys": [{"key_id": "sec_a-_1", "code": "secret_not_found"}]})
    with Faulty([line]) as vault, Faulty([minted(vault)]) as manager, client_of(manager) as client:
        with pytest.raises(splitvault.NotFoundError):
            client.get_key("a/b")


def test_wrong_clock_of_this_machine_does_not_count(clock: SetClock) -> None:
    hour_ahead = {"Date": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 3600))}
    with Faulty([opened(), opened("two")]) as vault:
        token = minted(vault, life=3600 + 900)._replace(headers=hour_ahead)
        with Faulty([token, token]) as manager, client_of(manager) as client:
            client.get_key("a/b", cache_ttl=10_000)
            clock.ahead += 890
            assert client.get_key("a/b", cache_ttl=10_000).from_cache
            clock.ahead += 20
            assert client.get_key("a/b", cache_ttl=10_000).value == "two"


def test_manager_that_does_not_name_the_vault_is_told_of() -> None:
    with Faulty([answer(201, {"access_token": "token"})]) as manager, client_of(manager) as client:
        with pytest.raises(splitvault.UnavailableError, match="earlier release"):
            client.get_key("a/b")
