"""One connection: what it buffers, how long it may take, and how it ends. `protocol` parses what arrives on it."""

from __future__ import annotations

import asyncio
from enum import IntEnum
from typing import Any, Final

import structlog
from starlette.responses import Response
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from tracker.web.callbacks.fast_path import FastPath, FastPathCycle
from tracker.web.http.connection_guard import ConnectionGuard
from tracker.web.http.limits import HAS_UNACKED_BYTES, unacked_bytes
from tracker.web.http.pipelining import PipelineFlow, waiting_bytes
from tracker.web.http.problems import RETRY_AFTER_S, problem

log = structlog.get_logger()

RETRY_LATER: Final = {"Retry-After": str(RETRY_AFTER_S)}


class Phase(IntEnum):
    """The progress of a connection with its latest request."""

    #: No request has begun.
    IDLE = 0
    #: A head is arriving.
    HEAD = 1
    #: The head is complete, and a body is arriving.
    BODY = 2
    #: The request is complete and not answered.
    RESPONSE = 3
    #: The connection is refused or evicted, and nothing is read any more.
    CLOSING = 4


#: The members by themselves, because looking them up costs 0.14 µs in Python 3.11, and a callback needs 20 of them.
IDLE, HEAD, BODY, RESPONSE, CLOSING = Phase


class RequestRefused(Exception):
    """A request that is refused before it is complete, with the response that says why."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        self.response = problem(status, detail, headers={"Connection": "close", **(headers or {})})


class HttpConnection(HttpToolsProtocol):
    """The limits of one connection, and its end. It is a `GuardedConnection`."""

    flow: PipelineFlow

    def __init__(
        self,
        guard: ConnectionGuard,
        fast_path: FastPath | None,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._guard, self._limits, self._fast_path = guard, guard.limits, fast_path
        self._phase: Phase = IDLE
        self._phase_since = self.loop.time()
        #: bytes that have arrived since the head began
        self._head_bytes = 0
        #: bytes that count for `guard.buffered_bytes`, and the part of them that is an incomplete head
        self._buffered_bytes = self._partial_bytes = 0
        #: bytes behind the last chunk of a body; -1 before it has arrived
        self._trailer_bytes = -1
        #: the request that is being answered; `cycle` is the latest one
        self._current: RequestResponseCycle | None = None
        #: the latest request, if it is on the fast path
        self._fast_cycle: FastPathCycle | None = None
        #: when the client stopped receiving, and how much was unsent then
        self._stalled_since: float | None = None
        self._unsent_bytes = 0

    def shutdown(self) -> None:
        if self._phase == CLOSING:
            self.transport.abort()
        else:
            super().shutdown()

    def resume_writing(self) -> None:
        self._stalled_since = None
        super().resume_writing()

    # the guarded connection

    @property
    def idle_since(self) -> float | None:
        is_idle = self._stalled_since is None and self._phase == IDLE
        return self._phase_since if is_idle else self._stalled_since

    @property
    def receiving_since(self) -> float | None:
        is_receiving = self._phase in (HEAD, BODY) and self._buffered_bytes
        return self._phase_since if is_receiving else self._stalled_since

    def evict(self) -> None:
        self._phase = CLOSING
        if self._stalled_since is None:
            self.transport.close()
        else:
            self._abandon_requests()
            self._release_buffered()
            self.transport.abort()

    def shed(self) -> None:
        if self._stalled_since is None:
            self._refuse(_overloaded().response)
        else:
            self.evict()

    def check_deadlines(self, now: float) -> None:
        if self._is_stalled_too_long(now):
            self.evict()
            return
        if self._phase in (HEAD, BODY) and self.flow.read_paused:
            # The client is not slow: we do not read.
            self._phase_since = now
        elapsed = now - self._phase_since
        if self._phase == IDLE and elapsed > self._limits.idle_timeout_s:
            self.evict()
        elif (self._phase == HEAD and elapsed > self._limits.head_timeout_s) or (
            self._phase == BODY and elapsed > self._body_timeout_s
        ):
            self._refuse(RequestRefused(408, "The request took too long to arrive.").response)
        elif self._phase == CLOSING and elapsed > self._limits.linger_s:
            self.transport.abort()

    def abort_unfinished(self) -> None:
        if self not in self.connections:
            return
        now = self.loop.time()
        is_stalled = (
            self._stalled_since is not None and now - self._stalled_since > self._limits.shutdown_stall_s
        )
        is_incomplete = self._phase != RESPONSE and not self._is_answering_complete_request
        if is_stalled or (is_incomplete and not self.transport.get_write_buffer_size()):
            self.transport.abort()
        elif is_incomplete:
            # The client is still receiving an earlier response.
            self.transport.close()
        elif self._phase == BODY:
            # Only half a request will be left when those before it are answered.
            self.loop.call_later(self._limits.shutdown_recheck_s, self.abort_unfinished)

    @property
    def _body_timeout_s(self) -> float:
        return self._limits.body_timeout_s + self._buffered_bytes / self._limits.min_body_bytes_per_s

    @property
    def _send_timeout_s(self) -> float:
        return self._limits.send_timeout_s if HAS_UNACKED_BYTES else self._limits.coarse_send_timeout_s

    def _is_stalled_too_long(self, now: float) -> bool:
        """Note the client's progress in receiving responses. Return whether it has made too little for too long."""
        unsent = self.transport.get_write_buffer_size()
        if not unsent:
            self._stalled_since = None
            return False
        unsent += unacked_bytes(self.transport)
        if self._stalled_since is None or unsent <= self._unsent_bytes - self._limits.send_progress_bytes:
            self._stalled_since, self._unsent_bytes = now, unsent
        elif now - self._stalled_since > self._send_timeout_s:
            return True
        if self._phase == IDLE:
            # The client is not idle: it is receiving the last response.
            self._phase_since = now
        return False

    @property
    def _is_answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    @property
    def _is_answering_complete_request(self) -> bool:
        current = self._current
        return (
            current is not None
            and not current.response_complete
            and (current is not self.cycle or self._phase != BODY)
        )

    # what it buffers

    def _enter(self, phase: Phase) -> None:
        self._phase, self._phase_since = phase, self.loop.time()

    def _add_buffered(self, size: int, limit: int) -> None:
        """Count bytes that are kept. Raises RequestRefused if all connections exceed the limit together."""
        self._buffered_bytes += size
        self._guard.buffered_bytes += size
        if self._guard.buffered_bytes > limit and not self._guard.make_space(self, limit, self.loop.time()):
            raise _overloaded()

    def _release_buffered(self) -> None:
        """Stop counting what was answered. Nearly always that is all."""
        left = 0
        if self.pipeline or self._partial_bytes or self.flow.unparsed:
            waiting = sum(waiting_bytes(cycle) for cycle, _ in self.pipeline)
            left = self._partial_bytes + len(self.flow.unparsed) + waiting
        self._guard.buffered_bytes += left - self._buffered_bytes
        self._buffered_bytes = left

    def _abandon_requests(self) -> None:
        """Tell the application that the client disconnected, for all requests that are not answered."""
        for cycle in (self._current, *(cycle for cycle, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        self.pipeline.clear()
        self.headers = []
        self._partial_bytes, self.flow.unparsed, self.flow.is_full = 0, memoryview(b""), False

    # its own responses

    def _write_response(self, response: Response, *, keep_alive: bool) -> None:
        lines = [STATUS_LINE[response.status_code]]
        for name, value in (*self.server_state.default_headers, *response.raw_headers):
            lines += (name, b": ", value, b"\r\n")
        if not keep_alive and "connection" not in response.headers:
            lines.append(b"connection: close\r\n")
        self.transport.write(b"".join((*lines, b"\r\n", response.body)))

    def _refuse(self, response: Response) -> None:
        """Send this response, unless one was begun, and read nothing more.

        The connection stays open for a moment. If it were closed at once, a client that is still sending would get a
        reset instead of the response.
        """
        current = self._current
        # A request can be answered while its body is arriving.
        is_answered = self._phase == BODY and self.cycle.response_complete
        is_begun = current is not None and current.response_started and not current.response_complete
        if not is_answered:
            log.info("request.refused", status=response.status_code)
        self._enter(CLOSING)
        self._fast_cycle = None
        self._abandon_requests()
        self._release_buffered()
        if is_answered or is_begun or self.transport.is_closing():
            self.transport.close()
            return
        self.flow.resume_reading()
        self._write_response(response, keep_alive=False)
        self.transport.write_eof()


def _overloaded() -> RequestRefused:
    return RequestRefused(
        503, "The server is receiving too much at once. Repeat the request later.", RETRY_LATER
    )
