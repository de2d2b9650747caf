"""A limit of time for a whole request that blocks.

Guarantees: no read or write of a request goes on after its deadline. A timeout of httpx limits each of them alone, so
that a service that sends its head byte by byte would hold the caller for as long as it likes.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

from ._steps import Clock

_PART = 1 << 16


class Deadline(threading.local):
    """The time at which the request of a thread ends, for each thread its own."""

    def __init__(self, clock: Clock) -> None:
        """Has passed already, until a thread sets it."""
        self._clock = clock
        self.at = clock.steady()

    def limit(self, timeout: float | None, error: type[Exception]) -> float:
        """Shortens a timeout to what is left; raises `error` if nothing is."""
        left = self.at - self._clock.steady()
        if left <= 0:
            raise error("the time for the request is over")
        return left if timeout is None else min(left, timeout)


class Timed(httpx.HTTPTransport):
    """Connections on which nothing goes on after the deadline of the thread that uses them."""

    def __init__(self, deadline: Deadline, tls: ssl.SSLContext, limits: httpx.Limits) -> None:
        """Connects to nothing yet."""
        super().__init__(verify=tls, trust_env=False, limits=limits)
        self._pool._network_backend = _Network(deadline)


class _Network(httpcore.SyncBackend):
    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        timeout = self._deadline.limit(timeout, httpcore.ConnectTimeout)
        return _Stream(super().connect_tcp(host, port, timeout, local_address, socket_options), self._deadline)


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._deadline.limit(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for begin in range(0, len(buffer), _PART):
            left = self._deadline.limit(timeout, httpcore.WriteTimeout)
            self._inner.write(buffer[begin : begin + _PART], left)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        timeout = self._deadline.limit(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, timeout), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
