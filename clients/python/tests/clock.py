"""A clock that tests set."""

from __future__ import annotations

import pytest

import splitvault.client
from splitvault._steps import Clock


class SetClock(Clock):
    """Runs as the machine's, ahead of it by `ahead` seconds. A pause is written down, and passes at once."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.pauses: list[float] = []

    def wall(self) -> float:
        return super().wall() + self.ahead

    def steady(self) -> float:
        return super().steady() + self.ahead

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.ahead += seconds


def set_clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Gives the clients that are made from now on a clock."""
    clock = SetClock()
    monkeypatch.setattr(splitvault.client, "Clock", lambda: clock)
    return clock
