"""An access token, and what it opens."""

from __future__ import annotations

import base64
import contextlib
import math
import re
from typing import TYPE_CHECKING, Any

from ._calls import MANAGER, VAULT, Document, out_of_form
from ._hidden import Hidden
from ._settings import can_be_sent
from ._state import Entry
from ._steps import Clock

if TYPE_CHECKING:
    from typing_extensions import TypeGuard

# A token that ends sooner than this is not shown any more; of a short life a fifth.
MARGIN_SECONDS = 5.0


class Token:
    """A token, and what it opens."""

    __slots__ = ("_service_time", "access", "asked_at", "life", "secrets", "shown_until")

    def __init__(self, access: Hidden[str], life: float, asked_at: float, secrets: list[dict[str, Any]]) -> None:
        """Takes a token that lives for so many seconds from when it was asked for."""
        self.access = access
        self.life = life
        self.asked_at = asked_at
        self.secrets = secrets
        self.shown_until = asked_at + life - min(MARGIN_SECONDS, life / 5)
        self._service_time = 0.0

    @classmethod
    def read(cls, members: dict[str, Any], document: Document, asked_at: float, clock: Clock) -> Token:
        """Reads an answer. Its times count by the service's clock, so that ours may be wrong."""
        now = document.service_time if document.service_time is not None else clock.wall()
        access, ends, secrets = members.get("access_token"), members.get("expires_at"), members.get("secrets")
        if (
            not isinstance(access, Hidden)
            or not can_be_sent(access.expose())
            or not is_number(ends)
            or not isinstance(secrets, list)
        ):
            raise out_of_form(MANAGER, document.status)
        for secret in secrets:
            if not is_id(member(secret, "key_id"), "sec_") or not is_number(secret.get("version")):
                raise out_of_form(MANAGER, document.status)
        token = cls(access, max(0.0, float(ends) - now), asked_at, secrets)
        token._service_time = now
        return token

    def entry(self, secret: dict[str, Any], line: dict[str, Any], clock: Clock) -> Entry:
        """Makes an entry of a line of the vault's answer."""
        text, encoding = line.get("decrypted_key"), line.get("encoding")
        data = None
        if isinstance(text, Hidden) and encoding == "text":
            with contextlib.suppress(ValueError):
                data = Hidden(text.expose().encode())
        elif isinstance(text, Hidden) and encoding == "base64":
            with contextlib.suppress(ValueError):
                data = Hidden(base64.b64decode(text.expose(), validate=True))
        if data is None:
            raise out_of_form(VAULT, 200)
        ends = secret.get("expires_at")
        version_life = float(ends) - self._service_time if is_number(ends) else math.inf
        passed = clock.steady() - self.asked_at
        return Entry(
            value=data,
            binary=encoding == "base64",
            key_id=secret["key_id"],
            version=int(secret["version"]),
            expired=secret.get("expired") is True,
            read_at=clock.steady(),
            read_at_wall=clock.wall(),
            token_life=self.life - passed,
            version_life=version_life - passed,
        )


def member(line: Any, name: str) -> Any:
    """Looks a member up in what may be no object."""
    return line.get(name) if isinstance(line, dict) else None


def is_id(value: Any, prefix: str) -> bool:
    """Says that a member is an id of a kind, which needs no escaping in an address."""
    return isinstance(value, str) and re.fullmatch(prefix + "[A-Za-z0-9_-]{1,64}", value) is not None


def is_number(value: Any) -> TypeGuard[float]:
    """Says that a member of JSON is a number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)
