"""A connection: what it may take and hold, how long it may last, and what is said when that is over."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import structlog
from starlette.responses import Response
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from tracker.web.callbacks.fast_path import FastPath, FastPathCycle
from tracker.web.http import limits
from tracker.web.http.limits import ConnectionGuard
from tracker.web.http.pipelining import TELLS, Flow, cycle_bytes, unacked_bytes
from tracker.web.http.problems import RETRY_AFTER_S, problem

log = structlog.get_logger()

#: what a connection is at
IDLE, HEAD, BODY, ANSWER, LEAVING = range(5)
LATER: Final = {"Retry-After": str(RETRY_AFTER_S)}


class RequestRefused(Exception):
    """This request is not read on; the answer says why."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        self.answer = problem(status, detail, headers={"Connection": "close", **(headers or {})})


class HttpConnection(HttpToolsProtocol):
    """One connection; what comes over it is parsed in `protocol`."""

    flow: Flow

    def __init__(
        self,
        overseer: ConnectionGuard,
        fast_path: FastPath | None,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._overseer = overseer
        self._fast_path = fast_path
        self._at, self._since = IDLE, self.loop.time()
        #: bytes that have come of a head, and of what is not answered
        self._head = self._held = 0
        #: what of that is for a head that is not whole, or whose body is not
        self._counted = 0
        #: bytes behind the last chunk of a body; less than none where that has not come
        self._trailer = -1
        #: the request that is being answered; `cycle` is the one that came last
        self._first: RequestResponseCycle | None = None
        #: since when the peer takes nothing of what was written to it, and how much that was
        self._stuck: float | None = None
        self._unsent = 0
        #: the callback whose head came last, if it is on the fast path
        self._fast_cycle: FastPathCycle | None = None

    def shutdown(self) -> None:
        if self._at == LEAVING:
            self.transport.abort()
        else:
            super().shutdown()

    # what the overseer asks

    @property
    def idle_since(self) -> float | None:
        return self._since if self._stuck is None and self._at == IDLE else self._stuck

    @property
    def coming_since(self) -> float | None:
        return self._since if self._at in (HEAD, BODY) and self._held else self._stuck

    def leave(self) -> None:
        self._at = LEAVING
        if self._stuck is None:
            self.transport.close()
        else:
            self._disconnect()
            self._release()
            self.transport.abort()

    def make_space(self) -> None:
        if self._stuck is None:
            self._refuse(_too_much().answer)
        else:
            self.leave()

    def look(self, now: float) -> None:
        unsent = self.transport.get_write_buffer_size()
        if not unsent:
            self._stuck = None
        else:
            unsent += unacked_bytes(self.transport)
            if self._stuck is None or unsent <= self._unsent - limits.ANSWER_BYTES:
                self._stuck, self._unsent = now, unsent
            elif now - self._stuck > (limits.ANSWER_S if TELLS else limits.ANSWER_ELSEWHERE_S):
                self.leave()
                return
            if self._at == IDLE:
                # it is busy with taking the last answer
                self._since = now
        if self._at in (HEAD, BODY) and self.flow.read_paused:
            # it is we who do not read
            self._since = now
        took = now - self._since
        if self._at == IDLE and took > limits.IDLE_S:
            self.leave()
        elif (self._at == HEAD and took > limits.HEAD_S) or (
            self._at == BODY and took > limits.BODY_S + self._held / limits.BODY_BYTES_A_SECOND
        ):
            self._refuse(RequestRefused(408, "The request took too long to arrive.").answer)
        elif self._at == LEAVING and took > limits.FAREWELL_S:
            self.transport.abort()

    def cut(self) -> None:
        """The server stops: whoever has not sent a whole request by now, or takes no answer, is not waited for."""
        if self not in self.connections:
            return
        takes_nothing = self._stuck is not None and self.loop.time() - self._stuck > limits.STUCK_S
        half = self._at != ANSWER and not self._is_answering_whole
        if takes_nothing or (half and not self.transport.get_write_buffer_size()):
            self.transport.abort()
        elif half:
            # an answer before it is being taken
            self.transport.close()
        elif self._at == BODY:
            # when those before it are answered, half a request is left
            self.loop.call_later(limits.CUT_AGAIN_S, self.cut)

    def resume_writing(self) -> None:
        self._stuck = None
        super().resume_writing()

    @property
    def _is_answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    @property
    def _is_answering_whole(self) -> bool:
        """Whether a request that has come whole is being answered."""
        first = self._first
        return (
            first is not None
            and not first.response_complete
            and (first is not self.cycle or self._at != BODY)
        )

    # what it holds

    def _hold(self, size: int) -> None:
        self._held += size
        self._overseer.held += size
        if self._overseer.held > limits.HEADS_BYTES:
            self._ask_for_space(limits.HEADS_BYTES)

    def _ask_for_space(self, most: int) -> None:
        if not self._overseer.has_space(self, most, self.loop.time()):
            raise _too_much()

    def _release(self) -> None:
        """What was held for what is answered; nearly always that is all."""
        left = 0
        if self.pipeline or self._counted or self.flow.rest:
            left = self._counted + len(self.flow.rest) + sum(cycle_bytes(cycle) for cycle, _ in self.pipeline)
        self._overseer.held += left - self._held
        self._held = left

    def _disconnect(self) -> None:
        """Nothing more is said: those that are being answered, or wait for it, hear of it."""
        for cycle in (self._first, *(cycle for cycle, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        self.pipeline.clear()
        self.headers = []
        self._counted, self.flow.rest, self.flow.full = 0, memoryview(b""), False

    # answers of its own

    def _write_response(self, answer: Response, *, keep_alive: bool) -> None:
        lines = [STATUS_LINE[answer.status_code]]
        for name, value in (*self.server_state.default_headers, *answer.raw_headers):
            lines += (name, b": ", value, b"\r\n")
        if not keep_alive and "connection" not in answer.headers:
            lines.append(b"connection: close\r\n")
        self.transport.write(b"".join((*lines, b"\r\n", answer.body)))

    def _refuse(self, answer: Response) -> None:
        """Answer, if nothing was said yet, and read nothing more; whoever sends on is given time to hear of it."""
        first = self._first
        # where its body still came, everything has been said
        answered = self._at == BODY and self.cycle.response_complete
        begun = first is not None and first.response_started and not first.response_complete
        if not answered:
            log.info("request.refused", status=answer.status_code)
        self._at, self._since = LEAVING, self.loop.time()
        self._fast_cycle = None
        self._disconnect()
        self._release()
        if answered or begun or self.transport.is_closing():
            self.transport.close()
            return
        self.flow.resume_reading()
        self._write_response(answer, keep_alive=False)
        self.transport.write_eof()


def _too_much() -> RequestRefused:
    return RequestRefused(503, "Too much is arriving at once.", LATER)
