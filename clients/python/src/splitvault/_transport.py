"""Carries steps out: requests by httpx, waiting, and calls that touch files.

Guarantees: no proxy and no other setting from the environment, no redirect, no cookie; an answer has a limit of size
and of time. Exceptions of httpx, which hold headers, end here; an interruption passes without the frames below.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import http.cookiejar
import ssl
import weakref
from typing import Any, TypeVar

import httpx

from ._deadline import Deadline, Timed
from ._hidden import Hidden, bare
from ._settings import Settings
from ._steps import Answer, Clock, Lost, Pause, Send, Step, Steps, Wait
from .errors import SplitvaultError, UnavailableError

T = TypeVar("T")

# A batch of 8 MiB of control characters, each six bytes in JSON, and room for the rest.
MAX_ANSWER = 52 << 20
# The services close a connection that is idle for 15 seconds.
LIMITS = httpx.Limits(max_connections=32, max_keepalive_connections=8, keepalive_expiry=5.0)
LONGEST_CONNECT = 5.0


class Transport:
    """The connections of one client, to both services."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Connects to nothing yet."""
        self._tls = settings.tls
        self._clock = clock
        self.addresses: dict[str, str] = {}
        self._blocking: httpx.Client | None = None
        self._deadline = Deadline(clock)
        # Connections belong to the event loop that made them.
        self._awaiting: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient]
        self._awaiting = weakref.WeakKeyDictionary()
        self._of_parent: list[Any] = []

    def forget_connections(self) -> None:
        """Leaves the connections to the parent, after a fork. They are kept, so that nothing is said on them."""
        self._of_parent.append((self._blocking, dict(self._awaiting)))
        self._blocking = None
        self._awaiting = weakref.WeakKeyDictionary()

    def close(self) -> None:
        """Closes the connections of the form that blocks."""
        client, self._blocking = self._blocking, None
        if client is not None:
            client.close()

    async def aclose(self) -> None:
        """Closes the connections of this event loop."""
        client = self._awaiting.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    def drive(self, steps: Steps[T]) -> T:
        """Carries steps out, and blocks."""
        interruption = None
        try:
            return self._drive(steps)
        except SplitvaultError:
            raise
        except BaseException as error:
            interruption = bare(error)
        # Raised here, so that what the caller was handling stays behind it.
        try:
            raise interruption
        finally:
            del interruption

    async def adrive(self, steps: Steps[T]) -> T:
        """Carries steps out, and awaits them."""
        interruption = None
        try:
            return await self._adrive(steps)
        except SplitvaultError:
            raise
        except BaseException as error:
            interruption = bare(error)
        try:
            raise interruption
        finally:
            del interruption

    def _drive(self, steps: Steps[T]) -> T:
        result: Any = None
        try:
            while True:
                step = steps.send(result)
                result = self._perform(step)
        except StopIteration as end:
            value: T = end.value
            return value
        finally:
            steps.close()

    async def _adrive(self, steps: Steps[T]) -> T:
        result: Any = None
        try:
            while True:
                step = steps.send(result)
                result = await self._aperform(step)
        except StopIteration as end:
            value: T = end.value
            return value
        finally:
            steps.close()

    def _perform(self, step: Step) -> Any:
        if isinstance(step, Send):
            return self._send(step)
        if isinstance(step, Pause):
            return self._clock.pause(step.seconds)
        if isinstance(step, Wait):
            try:
                return step.future.result(max(0.0, step.deadline - self._clock.steady()))
            except concurrent.futures.TimeoutError:
                return None
        return step.call()

    async def _aperform(self, step: Step) -> Any:
        if isinstance(step, Send):
            left = step.deadline - self._clock.steady()
            try:
                return await asyncio.wait_for(self._asend(step), max(0.001, left))
            except asyncio.TimeoutError:
                return Lost.DEADLINE
        if isinstance(step, Pause):
            return await asyncio.sleep(step.seconds)
        if isinstance(step, Wait):
            # Whoever is cancelled while he waits does not cancel the request of the other.
            waiting = asyncio.shield(asyncio.wrap_future(step.future))
            try:
                return await asyncio.wait_for(waiting, max(0.001, step.deadline - self._clock.steady()))
            except asyncio.TimeoutError:
                return None
        return await asyncio.get_running_loop().run_in_executor(None, step.call)

    def _send(self, request: Send) -> Answer | Lost:
        client = self._blocking
        if client is None:
            timed = Timed(self._deadline, self._tls, LIMITS)
            client = self._blocking = httpx.Client(transport=timed, **self._options())
        self._deadline.at = request.deadline
        lost = Lost.BROKEN
        try:
            with client.stream(**self._arguments(request)) as response:
                chunks = bytearray()
                for chunk in response.iter_bytes():
                    chunks += chunk
                    if len(chunks) > MAX_ANSWER:
                        return Lost.TOO_LARGE
                    if self._clock.steady() > request.deadline:
                        return Lost.DEADLINE
                return _answer(response, chunks)
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, ValueError) as error:
            lost = _kind_of(error)
        return lost

    async def _asend(self, request: Send) -> Answer | Lost:
        loop = asyncio.get_running_loop()
        client = self._awaiting.get(loop)
        if client is None:
            client = self._awaiting[loop] = httpx.AsyncClient(verify=self._tls, limits=LIMITS, **self._options())
        lost = Lost.BROKEN
        try:
            async with client.stream(**self._arguments(request)) as response:
                chunks = bytearray()
                async for chunk in response.aiter_bytes():
                    chunks += chunk
                    if len(chunks) > MAX_ANSWER:
                        return Lost.TOO_LARGE
                return _answer(response, chunks)
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, ValueError) as error:
            lost = _kind_of(error)
        return lost

    def _options(self) -> dict[str, Any]:
        return {
            "trust_env": False,
            "follow_redirects": False,
            "cookies": http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=[])),
            "headers": {"User-Agent": "splitvault-python", "Accept-Encoding": "identity"},
        }

    def _arguments(self, request: Send) -> dict[str, Any]:
        address = self.addresses.get(request.service)
        if address is None:
            raise UnavailableError(f"the address of the {request.service} is not known yet")
        headers = {}
        if request.credential is not None:
            headers["Authorization"] = f"Bearer {request.credential.expose()}"
        if request.idempotency_key is not None:
            headers["Idempotency-Key"] = request.idempotency_key
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        left = max(0.001, request.deadline - self._clock.steady())
        return {
            "method": request.method,
            "url": address + request.path,
            "params": request.query,
            "headers": headers,
            "content": None if request.body is None else request.body.expose(),
            "timeout": httpx.Timeout(left, connect=min(left, LONGEST_CONNECT)),
        }


def _answer(response: httpx.Response, body: bytearray) -> Answer:
    headers = response.headers
    return Answer(response.status_code, Hidden(bytes(body)), headers.get("Retry-After"), headers.get("Date"))


def _kind_of(error: Exception) -> Lost:
    if isinstance(error, (httpx.ConnectError, ssl.SSLError)):
        # The text is looked at, and goes no further.
        return Lost.TLS if isinstance(error, ssl.SSLError) or "SSL" in str(error) else Lost.CONNECT
    if isinstance(error, (httpx.ConnectTimeout, httpx.PoolTimeout)):
        return Lost.CONNECT
    if isinstance(error, httpx.TimeoutException):
        return Lost.DEADLINE
    return Lost.BROKEN
