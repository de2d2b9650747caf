"""A server that answers as it is told, for failures that the real services do not show on demand."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from splitvault._table import TABLE


class Given(NamedTuple):
    status: int
    body: bytes
    headers: dict[str, str]
    #: Closes the connection in place of an answer.
    broken: bool = False
    #: Sends blanks one by one after the body for five seconds, and never the end.
    slow: bool = False
    #: Sends one header after the other for five seconds, and never the end of the head.
    slow_head: bool = False


class Seen(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def answer(status: int, body: Any, **headers: str) -> Given:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Given(status, text, headers)


def refusal(code: str, **headers: str) -> Given:
    status = TABLE[code].status
    document = {"type": f"urn:splitvault:error:{code}", "code": code, "status": status, "request_id": "req_1"}
    return answer(status, document, **{name.replace("_", "-"): value for name, value in headers.items()})


BROKEN = Given(0, b"", {}, broken=True)


class Faulty:
    """Gives its answers one after the other, and writes down what it was asked."""

    def __init__(self, answers: list[Given], while_slow: Callable[[], object] = lambda: None) -> None:
        self.answers = answers
        self.requests: list[Seen] = []
        self.ended = threading.Event()
        faulty = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length)
                faulty.requests.append(Seen(self.command, self.path, dict(self.headers.items()), body))
                given = faulty.answers.pop(0) if faulty.answers else answer(500, {})
                if given.broken:
                    self.close_connection = True
                    return
                if given.slow_head:
                    self._send_slowly(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n")
                    return
                self.send_response_only(given.status)
                for name, value in given.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(given.body) + 10_000 * given.slow))
                self.end_headers()
                if given.slow:
                    self._send_slowly(given.body, b" ")
                    return
                self.wfile.write(given.body)

            def _send_slowly(self, first: bytes, more: bytes) -> None:
                self.close_connection = True
                self.wfile.write(first)
                # At last it breaks off, so that a client without a limit of time fails, and does not hang.
                for number in range(100):
                    if faulty.ended.wait(0.05):
                        break
                    if number == 4:
                        while_slow()
                    try:
                        self.wfile.write(more)
                    except OSError:
                        break

            do_GET = do_POST = handle_any

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Faulty:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()
        assert self._thread is not None
        self._thread.join()
