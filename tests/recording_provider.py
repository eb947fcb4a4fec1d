"""A provider that records what reaches it and answers what a test tells it to: a real server on 127.0.0.1."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4


@dataclass(frozen=True, kw_only=True)
class Told:
    """One answer to give. `hang_s`: seconds before it; `drop`: close the connection instead."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    hang_s: float = 0.0
    drop: bool = False


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One request that arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def accepted(id: str | None = None) -> Told:
    """The older generation's answer to a submission."""
    data = [
        {
            "id": id or f"{uuid4()}:1",
            "mobile": "918919525224",
            "charges": "0.5000",
            "submitted_at": "2019-08-16 15:09:51",
        }
    ]
    body = {"status": 200, "message": "1 numbers accepted for delivery.", "data": data}
    return Told(body=json.dumps(body).encode(), headers={"Content-Type": "application/json"})


def callstatus(*rows: dict[str, Any]) -> Told:
    body = {"status": 200, "message": "OK", "data": list(rows)}
    return Told(body=json.dumps(body).encode(), headers={"Content-Type": "application/json"})


def error(status: int, message: str, **headers: str) -> Told:
    body = {"status": "ERROR", "message": message}
    given = {k.replace("_", "-"): v for k, v in headers.items()}
    return Told(
        status=status, body=json.dumps(body).encode(), headers={"Content-Type": "application/json", **given}
    )


class RecordingProvider:
    """Use as a context manager. Answers to `outgoing/send` come from `sends`, then from `decide` (accepted with a new
    id), those to `outgoing/callstatus` from `polls` (else: nothing known yet)."""

    def __init__(self, decide: Callable[[Seen], Told] = lambda _: accepted()) -> None:
        self.decide = decide
        self.seen: list[Seen] = []
        self.sends: deque[Told] = deque()
        self.polls: deque[Told] = deque()
        self._mutex = threading.Lock()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                provider._answer(self)

            def do_GET(self) -> None:
                provider._answer(self)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the library's name)
                """Nothing: the requests are recorded."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A tracker that was killed while it was answered is what some tests are about."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}/api/v2/"

    def __enter__(self) -> RecordingProvider:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def sent(self) -> list[Seen]:
        """The requests to dial."""
        return [s for s in self.seen if s.path.endswith("/outgoing/send")]

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        path = handler.path
        with self._mutex:
            seen = Seen(method=handler.command, path=path, headers=dict(handler.headers.items()), body=body)
            self.seen.append(seen)
            if path.endswith("/outgoing/send"):
                told = self.sends.popleft() if self.sends else self.decide(seen)
            elif "/outgoing/callstatus" in path:
                told = self.polls.popleft() if self.polls else callstatus()
            else:
                told = error(404, "not here")
        if told.hang_s:
            time.sleep(told.hang_s)
        if told.drop:
            handler.close_connection = True
            handler.connection.close()
            return
        handler.send_response(told.status)
        for name, value in told.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(told.body)))
        handler.end_headers()
        handler.wfile.write(told.body)
