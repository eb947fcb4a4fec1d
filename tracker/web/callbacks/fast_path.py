"""The shortcut for a callback that is like nearly all: its address as it stands, the right secret, a short body.

What is asked, and in which order, is said in `callbacks`; whatever is not clear at once is left to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from starlette.responses import Response

from tracker.clock import Clock
from tracker.domain.accounts import Account
from tracker.errors import StorageUnavailable
from tracker.lifecycle.receiving.inbox_writer import CommitListener, InboxWriter
from tracker.providers.base import Provider
from tracker.providers.registry import provider_named
from tracker.store.inbox.log import NewCallback
from tracker.web.callbacks.endpoint import OK, STORE_WITHIN_S, Callbacks, log_answered
from tracker.web.callbacks.inbound_callback import InboundCallback
from tracker.web.callbacks.sanitize import Headers, RequestSanitizer

_METHODS: Final = {b"POST": "POST", b"PUT": "PUT"}
_UNUSUAL: Final = frozenset((b"transfer-encoding", b"expect"))
_MOST_BYTES: Final = 64 * 1024


class FastPath:
    """Finds the callbacks that may take it."""

    def __init__(
        self,
        callbacks: Callbacks,
        accounts: Mapping[str, Account],
        prefix: str,
        keeper: RequestSanitizer,
        inbox: InboxWriter,
        clock: Clock,
    ) -> None:
        """prefix: that of the public address, which may stand before ours."""
        self._callbacks, self._keeper, self._inbox, self._clock = callbacks, keeper, inbox, clock
        self._addresses: dict[bytes, tuple[Account, Provider, str | None]] = {}
        for account in accounts.values():
            for lane in (None, *account.lanes):
                path = f"/callbacks/{account.name}" + (f"/{lane}" if lane else "")
                for before in {"", prefix}:
                    known = (account, provider_named(account.provider), lane)
                    self._addresses[(before + path).encode()] = known

    def expect(
        self, method: bytes, url: bytes, headers: Headers, client: Sequence[object] | None
    ) -> InboundCallback | None:
        """The callback of which this is the head, if it may take the shortcut."""
        address = self._addresses.get(url)
        if address is None or method not in _METHODS:
            return None
        length = b""
        for name, value in headers:
            if name == b"content-length":
                length = value
            elif name in _UNUSUAL:
                return None
        if not (length.isdigit() and len(length) <= 5 and int(length) <= _MOST_BYTES):
            return None
        account, provider, lane = address
        coming = InboundCallback(
            self._keeper, self._clock, account, provider,
            method=_METHODS[method], path=url, query=b"", headers=headers, client=client, lane=lane,
        )  # fmt: skip
        return coming if coming.is_believed else None

    def take(
        self, coming: InboundCallback, body: bytes, answer: Callable[[Response], None]
    ) -> CommitListener | None:
        """Have it stored, and then answered. None where it is something else than it seemed."""
        if coming.handshake(body) is not None:
            return None
        taken = _Taken(self, coming.new(body), answer)
        try:
            self._inbox.give(taken.new, taken, timeout_s=STORE_WITHIN_S)
        except StorageUnavailable as error:
            taken.set_exception(error)
        return taken

    def vanished(self, coming: InboundCallback, after_s: float) -> None:
        """The caller went away before all had come; the log says so, as it says of every request that failed."""
        log_answered(coming.method, coming.lane is not None, 499, after_s)

    def not_stored(self, new: NewCallback, error: StorageUnavailable) -> Response:
        return self._callbacks.not_stored(self._inbox, new, error)


class _Taken:
    """One that waits for its commit."""

    __slots__ = ("_answer", "_done", "_shortcut", "new")

    def __init__(self, shortcut: FastPath, new: NewCallback, answer: Callable[[Response], None]) -> None:
        self._shortcut, self.new, self._answer, self._done = shortcut, new, answer, False

    def done(self) -> bool:
        return self._done

    def set_result(self, _result: None, /) -> None:
        self._done = True
        self._answer(OK)

    def set_exception(self, exception: StorageUnavailable, /) -> None:
        self._done = True
        self._answer(self._shortcut.not_stored(self.new, exception))
