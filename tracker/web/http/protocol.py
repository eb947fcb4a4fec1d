"""The HTTP protocol of the server: uvicorn's own, with the limits that it lacks, and with the fast path."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import httptools
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from tracker.web.callbacks.fast_path import FastPathCycle
from tracker.web.http.connection import (
    BODY,
    CLOSING,
    HEAD,
    IDLE,
    RESPONSE,
    RETRY_LATER,
    HttpConnection,
    RequestRefused,
)
from tracker.web.http.pipelining import (
    MAX_WAITING,
    PipelineFlow,
    head_without_upgrade,
    header_bytes,
    may_exceed_pipeline,
    new_parser,
    waiting_bytes,
)


class HardenedProtocol(HttpConnection):
    """The parsing of one connection."""

    # the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = PipelineFlow(transport)
        if not self._guard.admit(self):
            self._refuse(RequestRefused(503, "There are too many connections.", RETRY_LATER).response)

    def connection_lost(self, exc: Exception | None) -> None:
        self._abandon_requests()
        super().connection_lost(exc)
        if self._fast_cycle is not None and self._phase == BODY:
            self._fast_cycle.log_disconnect(self.loop.time() - self._phase_since)
        self._release_buffered()
        self._guard.remove(self)

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more. Return whether the connection stays open for responses to complete requests."""
        if self._phase == CLOSING or not self._is_answering_complete_request:
            return False
        if self._phase == BODY:
            # half a request behind complete ones
            self.pipeline.popleft()
            self.cycle = self.pipeline[0][0] if self.pipeline else cast(RequestResponseCycle, self._current)
        self._complete_request()
        self.cycle.keep_alive = False
        return True

    def data_received(self, data: bytes) -> None:
        if self._phase == CLOSING:
            return
        try:
            if self.flow.is_full or may_exceed_pipeline(data):
                self.flow.add_unparsed(data)
                self._add_buffered(len(data), self._limits.max_buffered_bytes_for_heads)
                self._parse_until_full()
            else:
                self._parse(data)
        except RequestRefused as refused:
            self._refuse(refused.response)
        except httptools.HttpParserError as error:
            self._refuse(_response_to(error))

    def _parse(self, data: bytes | memoryview) -> None:
        if self._phase != BODY:
            self._head_bytes += len(data)
        elif self._trailer_bytes >= 0:
            self._trailer_bytes += len(data)
        while True:
            try:
                self.parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as offer:
                offset: int = offer.args[0]
            head = head_without_upgrade(self.parser, self.url, self.headers)
            self.parser, data = new_parser(self), data[offset:]
            self.parser.feed_data(head)
        if self._phase == IDLE:
            # Empty lines behind a body begin no request.
            self._head_bytes = 0
        elif self._phase < RESPONSE:
            self._count_partial_request()

    def _parse_until_full(self) -> None:
        """Parse what is unparsed until the pipeline is full. The rest follows when some of it is answered."""
        flow = self.flow
        while flow.unparsed and len(self.pipeline) < MAX_WAITING:
            self._parse(flow.next_chunk())
        flow.is_full = bool(flow.unparsed) or len(self.pipeline) >= MAX_WAITING
        if flow.is_full:
            flow.pause_reading()

    def _continue_parsing(self) -> None:
        """Parse and read again after the pipeline was full."""
        if self._phase == CLOSING or self.transport.is_closing():
            return
        if self.flow.unparsed:
            self.data_received(b"")
        else:
            self.flow.is_full = False
        self.flow.resume_reading()

    # what the parser calls

    def on_message_begin(self) -> None:
        # Unlike uvicorn's: the scope is made later, and only for requests that need one.
        self.url, self.headers, self.expect_100_continue = b"", [], False
        self._fast_cycle = None
        if self._phase != HEAD:  # it is HEAD if the head is parsed again without its offer
            self._enter(HEAD)

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self._limits.max_url_bytes:
            raise RequestRefused(414, f"The URL exceeds {self._limits.max_url_bytes} bytes.")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._phase == BODY:
            # a trailer, which is discarded
            if len(name) + len(value) > self._limits.max_head_bytes:
                raise self._head_too_large()
            return
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))
        if len(self.headers) > self._limits.max_headers:
            raise RequestRefused(431, f"The request has more than {self._limits.max_headers} headers.")

    def on_chunk_header(self) -> None:
        self._trailer_bytes = 0

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise RequestRefused(400, "This server is not a proxy.")
            # The head is parsed again without its offer.
            return
        # The bytes that arrived together with the head can be a body or the next request, so they are not counted.
        if (
            self._head_bytes > self._limits.max_head_bytes
            and len(self.url) + header_bytes(self.headers) > self._limits.max_head_bytes
        ):
            raise self._head_too_large()
        fast_cycle = None
        if self._fast_path is not None and not self._is_answering:
            fast_cycle = self._fast_path.try_begin(
                self.parser.get_method(), self.url, self.headers, self.client
            )
        self._fast_cycle = fast_cycle
        if fast_cycle is None:
            self._begin_asgi_cycle()
        else:
            fast_cycle.keep_alive = (
                self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
            )
            self._current = self.cycle = cast(RequestResponseCycle, fast_cycle)
        # Not earlier, because in this phase `cycle` is the request whose body is arriving.
        self._enter(BODY)

    def on_body(self, body: bytes) -> None:
        self._trailer_bytes = -1
        if self.cycle.response_complete:
            return
        self._add_buffered(len(body), self._limits.max_buffered_bytes)
        if self._fast_cycle is None:
            super().on_body(body)
        else:
            self._fast_cycle.add_body(body)

    def on_message_complete(self) -> None:
        if self._phase != BODY:
            return
        self._complete_request()
        if self._fast_cycle is not None:
            self._fast_cycle.submit(self.app_state["inbox"], self._answer_fast_path)
        elif self.cycle.response_complete:
            # It was answered before it was complete.
            self._release_buffered()
            self._enter(IDLE)
        else:
            super().on_message_complete()

    def _complete_request(self) -> None:
        self._phase, self._head_bytes, self._partial_bytes = RESPONSE, 0, 0

    def _count_partial_request(self) -> None:
        """Count the bytes of an incomplete request. Raises RequestRefused if its head or trailer is too large."""
        if (self._head_bytes if self._phase != BODY else self._trailer_bytes) > self._limits.max_head_bytes:
            raise self._head_too_large()
        # Parsed headers take about twice their bytes.
        added = 2 * min(self._head_bytes, self._limits.max_head_bytes) - self._partial_bytes
        if added > 0:
            self._partial_bytes += added
            self._add_buffered(added, self._limits.max_buffered_bytes_for_heads)

    def _head_too_large(self) -> RequestRefused:
        limit = self._limits.max_head_bytes
        return RequestRefused(431, f"The request line and headers exceed {limit} bytes together.")

    # responses

    def _begin_asgi_cycle(self) -> None:
        """Start the application with the head that has been parsed, or let the request wait for earlier ones."""
        url, headers, expect_100_continue = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect_100_continue
        self.headers += headers
        super().on_headers_complete()
        if self.cycle is not self._current:
            self._add_buffered(waiting_bytes(self.cycle), self._limits.max_buffered_bytes_for_heads)
            self.flow.is_full = len(self.pipeline) >= MAX_WAITING

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._current = cycle
        super()._start_asgi_task(cycle, app)

    def _answer_fast_path(self, cycle: FastPathCycle, response: Response) -> None:
        if not cycle.disconnected:
            self._write_response(response, keep_alive=cycle.keep_alive)
            if not cycle.keep_alive:
                self.transport.close()
        self.on_response_complete()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        self._release_buffered()
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self._phase == RESPONSE:
            self._enter(IDLE)
        if self.flow.is_full and len(self.pipeline) < MAX_WAITING:
            # Not at once, because this can be called while something is being parsed.
            self.loop.call_soon(self._continue_parsing)


def _response_to(error: httptools.HttpParserError) -> Response:
    """Return the answer to bytes that cannot be parsed. The parser wraps what our own methods raise.

    The caller must not name the wrapped error: it would keep itself and all that was received alive, by its own frame,
    until the next garbage collection.
    """
    refused = error.__context__
    if not isinstance(refused, RequestRefused):
        refused = RequestRefused(400, "This is not an HTTP request.")
    return refused.response
