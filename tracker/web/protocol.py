"""HTTP as it comes over the wire: uvicorn's own protocol, with limits that it does not have, and a shortcut.

A callback that is like nearly all of them is stored and answered without a task, a scope and messages of its own. Every
other request goes the usual way, also one that turns out late to be another one.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

import httptools
import structlog
from starlette.responses import Response
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from tracker.web import limits
from tracker.web.callbacks import OK
from tracker.web.coming import Coming
from tracker.web.limits import Overseer
from tracker.web.problems import RETRY_AFTER_S, problem
from tracker.web.shortcut import Shortcut

log = structlog.get_logger()

#: what a connection is at
_IDLE, _HEAD, _BODY, _ANSWER, _LEAVING = range(5)
_LATER: Final = {"Retry-After": str(RETRY_AFTER_S)}


class _Refused(Exception):
    """This request is not read on; the answer says why."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        self.answer = problem(status, detail, headers={"Connection": "close", **(headers or {})})


class Wire(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self,
        overseer: Overseer,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._overseer = overseer
        self._shortcut: Shortcut | None = app_state.get("shortcut")
        self._at, self._since = _IDLE, self.loop.time()
        #: bytes that have come of a head, and of bodies that are not answered
        self._head = self._held = 0
        #: a callback that may take the shortcut, and the pieces of its body
        self._coming: Coming | None = None
        self._pieces: list[bytes] = []

    # the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if not self._overseer.has_room(self):
            self._refuse(_Refused(503, "There are too many connections.", _LATER).answer)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._coming is not None and self._at == _BODY and self._shortcut is not None:
            self._shortcut.vanished(self._coming, self.loop.time() - self._since)
        self._release()
        self._overseer.lost(self)

    def data_received(self, data: bytes) -> None:
        if self._at == _LEAVING:
            return
        if self._at == _IDLE:
            self._at, self._since = _HEAD, self.loop.time()
        if self._at != _BODY:
            self._head += len(data)
        try:
            self.parser.feed_data(data)
            if self._at != _BODY and self._head > limits.HEAD_BYTES:
                raise _too_long_a_head()
        except httptools.HttpParserUpgrade:
            self._unsupported_upgrade_warning()
        except _Refused as refused:
            self._refuse(refused.answer)
        except httptools.HttpParserError as error:
            self._refuse(_reason(error))

    def shutdown(self) -> None:
        if self._at == _LEAVING:
            self.transport.abort()
        else:
            super().shutdown()

    # what the overseer asks

    @property
    def idle_since(self) -> float | None:
        return self._since if self._at == _IDLE else None

    def leave(self) -> None:
        self._at = _LEAVING
        self.transport.close()

    def look(self, now: float) -> None:
        took = now - self._since
        if self._at == _IDLE and took > limits.IDLE_S:
            self.leave()
        elif (self._at == _HEAD and took > limits.HEAD_S) or (
            self._at == _BODY and took > limits.BODY_S + self._held / limits.BODY_BYTES_A_SECOND
        ):
            self._refuse(_Refused(408, "The request took too long to arrive.").answer)
        elif self._at == _LEAVING and took > limits.FAREWELL_S:
            self.transport.abort()

    def cut(self) -> None:
        """The server stops: whoever has not sent a whole request by now is not waited for."""
        if self._at != _ANSWER:
            self.transport.abort()

    # its requests

    def on_message_begin(self) -> None:
        # the scope is made where one is needed
        self.url, self.headers, self.expect_100_continue = b"", [], False
        self._coming = None

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > limits.URL_BYTES:
            raise _Refused(414, f"An address may have {limits.URL_BYTES} bytes.")

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        if len(self.headers) > limits.HEADERS:
            raise _Refused(431, f"A request may have {limits.HEADERS} headers.")

    def on_headers_complete(self) -> None:
        self._at, self._since = _BODY, self.loop.time()
        # what was read together with the head may be a body, or the next request
        if self._head > limits.HEAD_BYTES and self._size_of_head() > limits.HEAD_BYTES:
            raise _too_long_a_head()
        if self._shortcut is not None and not self._is_answering:
            self._coming = self._shortcut.expect(
                self.parser.get_method(), self.url, self.headers, self.client
            )
        if self._coming is None:
            self._go_the_usual_way()
        else:
            keeps_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
            self.cycle = cast(RequestResponseCycle, _Quick(self, keeps_alive))

    def on_body(self, body: bytes) -> None:
        if self.cycle.response_complete:
            return
        self._held += len(body)
        self._overseer.held += len(body)
        if self._overseer.held > limits.BODIES_BYTES:
            raise _Refused(503, "Too much is arriving at once.", _LATER)
        if self._coming is None:
            super().on_body(body)
        else:
            self._pieces.append(body)

    def on_message_complete(self) -> None:
        self._at, self._head = _ANSWER, 0
        if self._coming is None:
            if self.cycle.response_complete:
                self._be_idle()
            else:
                super().on_message_complete()
            return
        body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces = []
        assert self._shortcut is not None
        if not self._shortcut.take(self._coming, body, cast(_Quick, self.cycle).answer):
            self._coming = None
            self.cycle = None  # type: ignore[assignment]
            self._go_the_usual_way()
            self.cycle.body += body
            super().on_message_complete()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        self._release()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self._at == _ANSWER:
            self._be_idle()

    @property
    def _is_answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _be_idle(self) -> None:
        self._at, self._since = _IDLE, self.loop.time()

    def _go_the_usual_way(self) -> None:
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers += headers
        super().on_headers_complete()

    def _size_of_head(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    # answers of its own

    def write_answer(self, answer: Response, *, keep_alive: bool) -> None:
        self.transport.write(self._bytes_of(answer, keep_alive=keep_alive))

    def _bytes_of(self, answer: Response, *, keep_alive: bool) -> bytes:
        lines = [STATUS_LINE[answer.status_code]]
        for name, value in (*self.server_state.default_headers, *answer.raw_headers):
            lines += (name, b": ", value, b"\r\n")
        if not keep_alive and "connection" not in answer.headers:
            lines.append(b"connection: close\r\n")
        return b"".join((*lines, b"\r\n", answer.body))

    def write_ok(self, *, keep_alive: bool) -> None:
        """The same for what nearly all are answered; its bytes change once a second, with the date."""
        defaults = self.server_state.default_headers
        if not keep_alive:
            self.write_answer(OK, keep_alive=False)
            return
        if self._overseer.ok[0] is not defaults:
            self._overseer.ok = (defaults, self._bytes_of(OK, keep_alive=True))
        self.transport.write(self._overseer.ok[1])

    def _refuse(self, answer: Response) -> None:
        """Answer, if nothing was said yet, and read nothing more; whoever sends on is given time to hear of it."""
        cycle, under_way = self.cycle, self._is_answering
        begun = under_way and cycle.response_started
        log.info("request.refused", status=answer.status_code)
        self._at, self._since = _LEAVING, self.loop.time()
        self._coming, self._pieces = None, []
        self._release()
        if under_way:
            cycle.disconnected = True
            cycle.message_event.set()
        if begun or self.transport.is_closing():
            self.transport.close()
            return
        self.flow.resume_reading()
        self.write_answer(answer, keep_alive=False)
        self.transport.write_eof()

    def _release(self) -> None:
        self._overseer.held -= self._held
        self._held = 0


def _too_long_a_head() -> _Refused:
    return _Refused(431, f"The head of a request may have {limits.HEAD_BYTES} bytes.")


class _NoEvent:
    def set(self) -> None:
        """Nobody waits for it."""


class _Quick:
    """What uvicorn asks of a request that is under way, for one that takes the shortcut."""

    __slots__ = ("_wire", "disconnected", "keep_alive", "response_complete")

    message_event = _NoEvent()
    response_started = False

    def __init__(self, wire: Wire, keep_alive: bool) -> None:
        self._wire, self.keep_alive = wire, keep_alive
        self.response_complete = self.disconnected = False

    def answer(self, answer: Response) -> None:
        self.response_complete = True
        wire = self._wire
        if not self.disconnected:
            if answer is OK:
                wire.write_ok(keep_alive=self.keep_alive)
            else:
                wire.write_answer(answer, keep_alive=self.keep_alive)
            if not self.keep_alive:
                wire.transport.close()
        wire.on_response_complete()


def _reason(error: httptools.HttpParserError) -> Response:
    """What is answered to it. What a callback of ours raises comes wrapped.

    Where the error is caught, ours must not be kept by a name: with the frame it would keep itself and all that was
    received, until Python looks for cycles the next time.
    """
    ours = error.__context__
    return (ours if isinstance(ours, _Refused) else _Refused(400, "This is no HTTP.")).answer
