"""What the client does, as steps without input and output.

A generator yields steps and is sent their results. Two small drivers carry them out, one that blocks and one that
awaits, so that both forms of the client follow the same rules.
"""

from __future__ import annotations

import enum
import os
import time
from collections.abc import Generator
from concurrent.futures import Future
from typing import Any, Callable, NamedTuple, TypeVar, Union

from ._hidden import Hidden

T = TypeVar("T")


class Send:
    """A request."""

    __slots__ = ("body", "credential", "deadline", "idempotency_key", "method", "path", "query", "safe", "service")

    def __init__(
        self,
        service: str,
        method: str,
        path: str,
        *,
        deadline: float,
        credential: Hidden[str] | None = None,
        body: Hidden[bytes] | None = None,
        query: dict[str, str] | None = None,
        safe: bool = False,
        idempotency_key: str | None = None,
    ) -> None:
        """Describes a request. A `safe` one changes nothing, so that it may be sent again in any case."""
        self.service = service
        self.method = method
        self.path = path
        self.deadline = deadline
        self.credential = credential
        self.body = body
        self.query = query
        self.safe = safe
        self.idempotency_key = idempotency_key


class Answer(NamedTuple):
    """An answer, whatever it says."""

    status: int
    body: Hidden[bytes]
    retry_after: str | None
    date: str | None


class Lost(enum.Enum):
    """The reason why there is no answer."""

    CONNECT = "no connection could be made"
    TLS = "its certificate is not trusted, or TLS is not agreed on"
    DEADLINE = "the time for it is over"
    BROKEN = "the connection broke"
    TOO_LARGE = "its answer is larger than any of the protocol"

    @property
    def unsent(self) -> bool:
        """Says that nothing was sent."""
        return self in (Lost.CONNECT, Lost.TLS)


class Pause(NamedTuple):
    """A time to wait, in seconds."""

    seconds: float


class Wait(NamedTuple):
    """A request of somebody else that is under way; the result is `None` when the time is over."""

    future: Future[Any]
    deadline: float


class Run(NamedTuple):
    """A call that reads or writes a file."""

    call: Callable[[], Any]


Step = Union[Send, Pause, Wait, Run]
Steps = Generator[Step, Any, T]


class Clock:
    """The times that the client goes by."""

    def wall(self) -> float:
        """Returns Unix seconds."""
        return time.time()

    def steady(self) -> float:
        """Returns seconds that no one sets, and that go on while the machine sleeps, where it can tell."""
        boot = getattr(time, "CLOCK_BOOTTIME", None)
        return time.monotonic() if boot is None else time.clock_gettime(boot)

    def pause(self, seconds: float) -> None:
        """Waits in the form of the client that blocks."""
        time.sleep(seconds)

    def spread(self) -> float:
        """Draws from 0 to 1, so that many clients do not come back at one moment."""
        return int.from_bytes(os.urandom(2), "big") / 65536
