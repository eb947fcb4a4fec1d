"""The fast path: a typical callback is stored and answered without an ASGI task, scope and messages.

It takes authenticated callbacks with a short body of declared length, sent to exactly the address that is configured.
Nearly all are. In bursts it answers 1.6 times as many as the endpoint, which handles every other request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from starlette.responses import Response

from tracker.errors import StorageUnavailable
from tracker.lifecycle.receiving.inbox_writer import InboxWriter
from tracker.web.callbacks.endpoint import log_callback_answered
from tracker.web.callbacks.inbound_callback import InboundCallback, RequestHead
from tracker.web.callbacks.intake import STORE_TIMEOUT_S, Acceptance, Action, CallbackIntake
from tracker.web.callbacks.sanitize import Headers
from tracker.web.http.body import content_length

_METHODS: Final = {b"POST": "POST", b"PUT": "PUT"}
#: Headers that ask for more than reading the body and answering.
_UNUSUAL_HEADERS: Final = frozenset((b"transfer-encoding", b"expect"))
_MAX_BYTES: Final = 64 * 1024


class FastPath:
    """The callback addresses that have a fast path."""

    def __init__(self, intake: CallbackIntake, path_prefix: str) -> None:
        """path_prefix: that of the public URL. A proxy may leave it in front of our paths."""
        self._intake = intake
        self._addresses: dict[bytes, tuple[str, str | None]] = {}
        for account in intake.accounts.values():
            for lane in (None, *account.lanes):
                path = f"/callbacks/{account.name}" + (f"/{lane}" if lane else "")
                for prefix in ("", path_prefix):
                    self._addresses[(prefix + path).encode()] = (account.name, lane)

    def try_begin(
        self, method: bytes, url: bytes, headers: Headers, client: tuple[str, int] | None
    ) -> FastPathCycle | None:
        """Return the callback that begins with this head, or None if the endpoint must handle the request."""
        address = self._addresses.get(url)
        if address is None or method not in _METHODS or not _UNUSUAL_HEADERS.isdisjoint(dict(headers)):
            return None
        size = content_length(headers)
        if size is None or size > _MAX_BYTES:
            return None
        head = RequestHead(_METHODS[method], *address, url, b"", headers, size, client)
        decision = self._intake.decide(head)
        if decision.action is not Action.ACCEPT or decision.callback is None:
            return None
        return FastPathCycle(self._intake, decision.callback)


class _UnusedEvent:
    def set(self) -> None:
        """Do nothing: no task waits for more of the request."""


class FastPathCycle:
    """A callback on the fast path, from its head to its response.

    It is the listener of its own commit. In the protocol it takes the place of uvicorn's `RequestResponseCycle`, of
    which it has the attributes that uvicorn's protocol uses.
    """

    __slots__ = (
        "_accepted", "_callback", "_inbox", "_intake", "_pieces", "_respond", "disconnected", "keep_alive",
        "response_complete",
    )  # fmt: skip

    message_event = _UnusedEvent()
    response_started = False

    _accepted: Acceptance
    _inbox: InboxWriter
    _respond: Callable[[FastPathCycle, Response], None]

    def __init__(self, intake: CallbackIntake, callback: InboundCallback) -> None:
        self._intake, self._callback = intake, callback
        self._pieces: list[bytes] = []
        self.keep_alive, self.disconnected, self.response_complete = True, False, False

    def add_body(self, piece: bytes) -> None:
        """Add the next piece of the body."""
        self._pieces.append(piece)

    def submit(self, inbox: InboxWriter, respond: Callable[[FastPathCycle, Response], None]) -> None:
        """Have the callback stored. `respond` is called when it is committed, or could not be stored."""
        accepted = self._intake.accept(self._callback, b"".join(self._pieces))
        assert accepted is not None  # because it is authenticated
        self._accepted, self._inbox, self._respond = accepted, inbox, respond
        try:
            inbox.submit_nowait(accepted.row, self, timeout_s=STORE_TIMEOUT_S)
        except StorageUnavailable as error:
            self.set_exception(error)

    def log_disconnect(self, seconds: float) -> None:
        """Log that the client disconnected before its body was complete, as the endpoint does."""
        log_callback_answered(self._callback.head, 499, seconds)

    # the commit listener

    def done(self) -> bool:
        return self.response_complete

    def set_result(self, _result: None, /) -> None:
        self._finish(self._accepted.response)

    def set_exception(self, exception: StorageUnavailable, /) -> None:
        self._finish(self._intake.storage_failed(self._inbox, self._accepted.row, exception))

    def _finish(self, response: Response) -> None:
        self.response_complete = True
        self._respond(self, response)
