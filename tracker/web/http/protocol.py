"""The HTTP protocol of the server: uvicorn's own, with the limits that it lacks, and with the fast path."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import httptools
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from tracker.web.callbacks.fast_path import FastPathCycle
from tracker.web.http import limits
from tracker.web.http.connection import (
    ANSWER,
    BODY,
    HEAD,
    IDLE,
    LATER,
    LEAVING,
    HttpConnection,
    RequestRefused,
)
from tracker.web.http.pipelining import (
    MOST,
    Flow,
    are_many,
    cycle_bytes,
    new_parser,
    size_of_head,
    without_offer,
)


class HardenedProtocol(HttpConnection):
    """One connection."""

    # the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = Flow(transport)
        if not self._overseer.has_room(self):
            self._refuse(RequestRefused(503, "There are too many connections.", LATER).answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disconnect()
        super().connection_lost(exc)
        if self._fast_cycle is not None and self._at == BODY:
            self._fast_cycle.log_disconnect(self.loop.time() - self._since)
        self._release()
        self._overseer.lost(self)

    def eof_received(self) -> bool:  # type: ignore[override]
        """The peer says nothing more; for answers to what has come whole it may wait. Gives whether it is answered."""
        if self._at == LEAVING or not self._is_answering_whole:
            return False
        if self._at == BODY:
            # half a request behind whole ones
            self.pipeline.popleft()
            self.cycle = self.pipeline[0][0] if self.pipeline else cast(RequestResponseCycle, self._first)
        self._at, self._head, self._counted = ANSWER, 0, 0
        self.cycle.keep_alive = False
        return True

    def data_received(self, data: bytes) -> None:
        if self._at == LEAVING:
            return
        try:
            if self.flow.full or are_many(data):
                self.flow.keep(data)
                self._hold(len(data))
                self._parse_few()
            else:
                self._parse(data)
        except RequestRefused as refused:
            self._refuse(refused.answer)
        except httptools.HttpParserError as error:
            self._refuse(_reason(error))

    def _parse(self, data: bytes | memoryview) -> None:
        if self._at != BODY:
            self._head += len(data)
        elif self._trailer >= 0:
            self._trailer += len(data)
        while True:
            try:
                self.parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as offer:
                behind: int = offer.args[0]
            head = without_offer(self.parser, self.url, self.headers)
            self.parser, data = new_parser(self), data[behind:]
            self.parser.feed_data(head)
        if self._at < ANSWER:
            if self._at == IDLE:
                # empty lines behind a body are no request
                self._head = 0
                return
            self._look_at_what_is_missing()

    def _parse_few(self) -> None:
        """Of what was read, as much as may wait; the rest when some of that is answered."""
        flow = self.flow
        while flow.rest and len(self.pipeline) < MOST:
            self._parse(flow.next_piece())
        flow.full = bool(flow.rest) or len(self.pipeline) >= MOST
        if flow.full:
            flow.pause_reading()

    def _go_on(self) -> None:
        """Parse on, and read on, where requests have waited."""
        if self._at == LEAVING or self.transport.is_closing():
            return
        if self.flow.rest:
            self.data_received(b"")
        else:
            self.flow.full = False
        self.flow.resume_reading()

    # its requests

    def on_message_begin(self) -> None:
        # the scope is made where one is needed
        self.url, self.headers, self.expect_100_continue = b"", [], False
        self._fast_cycle = None
        if self._at != HEAD:
            # not a second time where it begins once more, without its offer of another protocol
            self._at, self._since = HEAD, self.loop.time()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > limits.URL_BYTES:
            raise RequestRefused(414, f"An address may have {limits.URL_BYTES} bytes.")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._at == BODY:
            # a trailer, which nobody asks for
            if len(name) + len(value) > limits.HEAD_BYTES:
                raise _too_long_a_head()
            return
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))
        if len(self.headers) > limits.HEADERS:
            raise RequestRefused(431, f"A request may have {limits.HEADERS} headers.")

    def on_chunk_header(self) -> None:
        self._trailer = 0

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise RequestRefused(400, "This is no proxy.")
            # the parser has it end here, and it begins once more without the offer
            return
        # what was read together with the head may be a body, or the next request
        if self._head > limits.HEAD_BYTES and len(self.url) + size_of_head(self.headers) > limits.HEAD_BYTES:
            raise _too_long_a_head()
        cycle = None
        if self._fast_path is not None and not self._is_answering:
            cycle = self._fast_path.try_begin(self.parser.get_method(), self.url, self.headers, self.client)
        self._fast_cycle = cycle
        if cycle is None:
            self._go_the_usual_way()
        else:
            cycle.keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
            self._first = self.cycle = cast(RequestResponseCycle, cycle)
        # not before: `cycle` is the one whose body is coming
        self._at, self._since = BODY, self.loop.time()

    def on_body(self, body: bytes) -> None:
        self._trailer = -1
        if self.cycle.response_complete:
            return
        self._held += len(body)
        self._overseer.held += len(body)
        if self._overseer.held > limits.BODIES_BYTES:
            self._ask_for_space(limits.BODIES_BYTES)
        if self._fast_cycle is None:
            super().on_body(body)
        else:
            self._fast_cycle.add_body(body)

    def on_message_complete(self) -> None:
        if self._at != BODY:
            return
        self._at, self._head, self._counted = ANSWER, 0, 0
        if self._fast_cycle is not None:
            self._fast_cycle.submit(self.app_state["inbox"], self._respond)
        elif self.cycle.response_complete:
            # answered before it was whole
            self._release()
            self._be_idle()
        else:
            super().on_message_complete()

    def _respond(self, cycle: FastPathCycle, response: Response) -> None:
        """Answer a callback on the fast path."""
        if not cycle.disconnected:
            self._write_response(response, keep_alive=cycle.keep_alive)
            if not cycle.keep_alive:
                self.transport.close()
        self.on_response_complete()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        self._release()
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self._at == ANSWER:
            self._be_idle()
        if self.flow.full and len(self.pipeline) < MOST:
            # not at once: this may be called while something is parsed
            self.loop.call_soon(self._go_on)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._first = cycle
        super()._start_asgi_task(cycle, app)

    def _be_idle(self) -> None:
        self._at, self._since = IDLE, self.loop.time()

    def _look_at_what_is_missing(self) -> None:
        """More has come, and the request is not whole: it may have become too long; its head is counted twice, for
        that is about what it takes."""
        if (self._head if self._at != BODY else self._trailer) > limits.HEAD_BYTES:
            raise _too_long_a_head()
        more = 2 * min(self._head, limits.HEAD_BYTES) - self._counted
        if more > 0:
            self._counted += more
            self._hold(more)

    def _go_the_usual_way(self) -> None:
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers += headers
        super().on_headers_complete()
        if self.cycle is not self._first:
            self._hold(cycle_bytes(self.cycle))
            self.flow.full = len(self.pipeline) >= MOST


def _too_long_a_head() -> RequestRefused:
    return RequestRefused(431, f"The head of a request may have {limits.HEAD_BYTES} bytes.")


def _reason(error: httptools.HttpParserError) -> Response:
    """What is answered to it. What a callback of ours raises comes wrapped.

    Where the error is caught, ours must not be kept by a name: with the frame it would keep itself and all that was
    received, until Python looks for cycles the next time.
    """
    ours = error.__context__
    return (ours if isinstance(ours, RequestRefused) else RequestRefused(400, "This is no HTTP.")).answer
