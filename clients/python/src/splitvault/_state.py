"""What a client remembers: values, requests that are under way, and what it was told about the services.

Guarantees: for one version one request at a time, whoever asks; a value is fresh no longer than its token and its
version; whoever forks gets a child that waits for nobody in the parent.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable
from concurrent.futures import Future
from typing import NamedTuple

from ._hidden import Hidden
from ._steps import Clock
from .errors import SplitvaultError
from .references import Target

# How long a value is served without asking anew, after a service could not be reached; doubled each time it cannot.
QUIET_SECONDS = 5.0
LONGEST_QUIET = 60.0


class Entry(NamedTuple):
    """A value, and how long it may be used."""

    value: Hidden[bytes]
    binary: bool
    key_id: str
    version: int
    expired: bool
    #: When it was read, by the steady clock and by that of the wall.
    read_at: float
    read_at_wall: float
    #: Seconds from then on for which its token held, and until its version ends.
    token_life: float
    version_life: float

    def is_fresh(self, now: float, ttl: float) -> bool:
        """Says that the value may be used without asking."""
        return 0 <= now - self.read_at < min(ttl, self.token_life, self.version_life)

    def is_usable(self, now: float, ttl: float, max_stale: float) -> bool:
        """Says that the value may be used while a service cannot be reached."""
        life = min(min(ttl, self.token_life) + max_stale, self.version_life)
        return max_stale > 0 and 0 <= now - self.read_at < life

    def is_over(self, now: float, max_stale: float) -> bool:
        """Says that the value may not be used in any case."""
        return not (self.is_fresh(now, math.inf) or self.is_usable(now, math.inf, max_stale))


class Outcome(NamedTuple):
    """How a request ended: with an entry, or with an error; or nobody knows, and whoever waited asks himself."""

    entry: Entry | None = None
    stale: bool = False
    error: SplitvaultError | None = None
    alone: bool = True


class Found(NamedTuple):
    """A value that needs no request."""

    entry: Entry
    stale: bool


class State:
    """The memory of a client, for all its threads and event loops."""

    def __init__(self, clock: Clock, max_stale: float) -> None:
        """Remembers nothing yet."""
        self._clock = clock
        self.max_stale = max_stale
        self._lock = threading.Lock()
        self._entries: dict[Target, Entry] = {}
        self._under_way: dict[Target, Future[Outcome]] = {}
        self._quiet_until = -math.inf
        self._quiet = QUIET_SECONDS
        # Counts up when values are forgotten: a read that began before then is not remembered.
        self._epoch = 0
        self.default_environment: str | None = None
        self.loaded = False

    def after_fork(self) -> None:
        """Lets go of what threads of the parent hold."""
        self._lock = threading.Lock()
        self._under_way = {}

    def claim(
        self, targets: Iterable[Target], ttl: float
    ) -> tuple[dict[Target, Found], dict[Target, Future[Outcome]], dict[Target, Future[Outcome]], int]:
        """Parts targets into those that are known, those the caller must read now, and those that somebody reads."""
        found: dict[Target, Found] = {}
        mine: dict[Target, Future[Outcome]] = {}
        others: dict[Target, Future[Outcome]] = {}
        with self._lock:
            now = self._clock.steady()
            quiet = now < self._quiet_until
            for target in targets:
                entry = self._entries.get(target)
                if entry is not None and entry.is_fresh(now, ttl):
                    found[target] = Found(entry, False)
                elif entry is not None and quiet and entry.is_usable(now, ttl, self.max_stale):
                    found[target] = Found(entry, True)
                elif target in self._under_way:
                    others[target] = self._under_way[target]
                else:
                    mine[target] = self._under_way[target] = Future()
            return found, mine, others, self._epoch

    def settle(self, target: Target, future: Future[Outcome], outcome: Outcome) -> None:
        """Tells how a request ended to those who wait."""
        with self._lock:
            if self._under_way.get(target) is future:
                del self._under_way[target]
            if not future.done():
                future.set_result(outcome)

    def remember(self, entries: dict[Target, Entry], epoch: int) -> bool:
        """Keeps values, unless values were forgotten since their read began."""
        with self._lock:
            if epoch != self._epoch:
                return False
            self._quiet_until = -math.inf
            self._quiet = QUIET_SECONDS
            self._entries.update(entries)
            now = self._clock.steady()
            for target in [target for target, entry in self._entries.items() if entry.is_over(now, self.max_stale)]:
                del self._entries[target]
            return True

    def is_of(self, epoch: int) -> bool:
        """Says that nothing was forgotten since then."""
        with self._lock:
            return epoch == self._epoch

    def take_in(self, entries: dict[Target, Entry]) -> None:
        """Keeps values of the cache on disk, beside newer ones."""
        with self._lock:
            self.loaded = True
            for target, entry in entries.items():
                self._entries.setdefault(target, entry)

    def usable(self, target: Target, ttl: float) -> Entry | None:
        """Finds a value for the time of an outage, and lets the services rest for a moment."""
        with self._lock:
            now = self._clock.steady()
            entry = self._entries.get(target)
            if entry is None or not entry.is_usable(now, ttl, self.max_stale):
                return None
            if now >= self._quiet_until:
                self._quiet_until = now + self._quiet
                self._quiet = min(2 * self._quiet, LONGEST_QUIET)
            return entry

    def forget(self, environment: str | None = None, path: str | None = None) -> None:
        """Forgets all values, or those of an environment, or those at a path."""
        with self._lock:
            self._epoch += 1
            for target in list(self._entries):
                if environment in (None, target.environment) and path in (None, target.path):
                    del self._entries[target]
            # Who asks from now on gets what is read from now on.
            self._under_way.clear()

    def drop(self, targets: list[Target]) -> set[Target]:
        """Forgets these values, and says which of them there were."""
        with self._lock:
            return {target for target in targets if self._entries.pop(target, None) is not None}

    def __repr__(self) -> str:
        """Says how much is remembered."""
        return f"State({len(self._entries)} values)"
