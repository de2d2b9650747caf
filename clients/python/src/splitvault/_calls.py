"""One call of a service: the request, its answer, and whether it is sent again.

Guarantees: what may have been carried out is sent again only if that changes nothing, or with the same
`Idempotency-Key`. `Retry-After` is followed as far as the time of the whole call allows. Whatever is not in the form of
the protocol is an error.
"""

from __future__ import annotations

import contextlib
import json
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from ._hidden import Hidden
from ._steps import Answer, Clock, Lost, Pause, Send, Steps
from .errors import ConfigurationError, SplitvaultError, UnavailableError, refused

MANAGER = "master-key-manager"
VAULT = "encrypted-vault"

SECRET_MEMBERS = ("access_token", "decrypted_key", "credential", "token")
MAX_ATTEMPTS = 5
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0


class Document(NamedTuple):
    """An answer that the protocol allows."""

    status: int
    members: Hidden[bytes]
    #: The service's time in Unix seconds, if it told it.
    service_time: float | None

    def read(self) -> dict[str, Any]:
        """Reads its members; values and tokens among them are hidden."""
        members: dict[str, Any] = json.loads(self.members.expose(), object_hook=_with_hidden)
        return members


class Postponed(Exception):
    """The next attempt would come when the token has ended."""

    def __init__(self, error: SplitvaultError, pause: float) -> None:
        """Takes the refusal, and the time to wait before a new token is made."""
        super().__init__(error.message)
        self.error = error
        self.pause = pause


def call(clock: Clock, request: Send, until: float | None = None) -> Steps[Document]:
    """Sends a request, and again as the table of errors allows; `Postponed` if that would be after `until`."""
    attempt = 0
    while True:
        attempt += 1
        outcome = yield request
        judged = _judge(request, outcome)
        if isinstance(judged, Document):
            return judged
        pause = _pause_before_repeat(clock, request, judged, outcome, attempt)
        if pause is None:
            raise judged
        if until is not None and clock.steady() + pause >= until:
            raise Postponed(judged, pause)
        yield Pause(pause)


def write(members: dict[str, Any]) -> Hidden[bytes]:
    """Writes a body; what is hidden in it is written as it is."""
    body = None
    with contextlib.suppress(UnicodeEncodeError):
        body = Hidden(json.dumps(members, ensure_ascii=False, separators=(",", ":"), default=_exposed).encode())
    if body is None:
        # Raised here: the other exception holds the body.
        raise ConfigurationError("a text has half of a surrogate pair, which no UTF-8 has")
    return body


def out_of_form(service: str, status: int | None = None) -> UnavailableError:
    """Makes the error for an answer that the protocol does not know."""
    return UnavailableError(f"the {service} gave an answer that is not in the form of the protocol", status=status)


def _judge(request: Send, outcome: Any) -> Any:
    if isinstance(outcome, Lost):
        retry = "later" if outcome.unsent else "same-key"
        return UnavailableError(f"the {request.service} gave no answer: {outcome.value}", retry=retry)
    answer: Answer = outcome
    document = _object(answer.body)
    if document is not None and 200 <= answer.status < 300:
        return Document(answer.status, answer.body, _service_time(answer.date))
    if document is not None and answer.status >= 400:
        code, status = document.get("code"), document.get("status")
        if isinstance(code, str) and code.isascii() and len(code) <= 64 and status == answer.status:
            return refused(answer.status, document, _seconds(answer.retry_after))
    # A proxy in between, or another program. It may have handed the request on.
    error = out_of_form(request.service, answer.status)
    error.retry = "same-key" if answer.status in (502, 503, 504) else "no"
    error.retry_after = _seconds(answer.retry_after)
    return error


def _exposed(hidden: Hidden[str]) -> str:
    return hidden.expose()


def _with_hidden(members: dict[str, Any]) -> dict[str, Any]:
    for name in SECRET_MEMBERS:
        if isinstance(members.get(name), str):
            members[name] = Hidden(members[name])
    return members


def _object(body: Hidden[bytes]) -> dict[str, Any] | None:
    try:
        document = json.loads(body.expose(), object_hook=_with_hidden)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _pause_before_repeat(
    clock: Clock, request: Send, error: SplitvaultError, outcome: Any, attempt: int
) -> float | None:
    repeatable = error.retry == "later" or (
        error.retry == "same-key" and (request.safe or request.idempotency_key is not None)
    )
    if not repeatable or attempt >= MAX_ATTEMPTS or outcome in (Lost.TLS, Lost.DEADLINE, Lost.TOO_LARGE):
        return None
    pause: float = min(FIRST_PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE) * (1 + clock.spread())
    if error.retry_after is not None:
        pause = max(pause, error.retry_after)
    return pause if clock.steady() + pause < request.deadline else None


def _seconds(text: str | None) -> float | None:
    """Reads `Retry-After` in seconds; our services send no dates."""
    return float(text) if text is not None and text.isascii() and text.isdigit() and len(text) <= 9 else None


def _service_time(text: str | None) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except (TypeError, ValueError, IndexError):
        return None
