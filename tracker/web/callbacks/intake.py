"""The steps of taking a callback in. The endpoint and the fast path both consist of them.

`decide` goes by the head of a request and `accept` by its body. `storage_failed` answers if the inbox does not take it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from enum import Enum, auto
from typing import Final, NamedTuple

import orjson
import structlog
from starlette.responses import Response

from tracker.clock import Clock
from tracker.domain.accounts import Account
from tracker.domain.call_reports import WebhookChallenge
from tracker.errors import StorageUnavailable
from tracker.lifecycle.receiving.inbox_writer import InboxWriter
from tracker.providers.registry import get_provider
from tracker.store.inbox.log import NewCallback
from tracker.store.inbox.states import IGNORED
from tracker.web.callbacks.inbound_callback import CHALLENGE_BYTES, InboundCallback, RequestHead
from tracker.web.callbacks.sanitize import RequestSanitizer
from tracker.web.http.body import MAX_BYTES
from tracker.web.http.problems import RETRY_AFTER_S, problem

log = structlog.get_logger()

METHODS: Final = ("POST", "PUT", "GET")
#: Seconds for a commit. ThunderSMS gives up after 3.
STORE_TIMEOUT_S: Final = 2.5
#: Bytes that the quarantine keeps of a body.
_QUARANTINE_BYTES: Final = 64 * 1024
#: Seconds to wait for the body of an unauthenticated request: if it can be a challenge, and otherwise.
_CHALLENGE_TIMEOUT_S: Final = 1.0
_QUARANTINE_TIMEOUT_S: Final = 0.25
#: Failures a second that have a log line of their own.
_LOGGED_FAILURES: Final = 20
_LOGGED_FAILURES_PERIOD_S: Final = 1.0


class JsonResponse(Response):
    media_type = "application/json"


OK: Final = JsonResponse(b'{"ok":true}')


class Action(Enum):
    """The next step with a request."""

    #: Answer 404: no such account is configured. The provider repeats the callback and then gives up.
    REJECT_ACCOUNT = auto()
    #: Answer 405: callbacks have other methods.
    REJECT_METHOD = auto()
    #: Answer 413: no documented callback is nearly as large.
    REJECT_SIZE = auto()
    #: Authenticated: read the whole body and `accept` it.
    ACCEPT = auto()
    #: Not authenticated, but may be a challenge: read the whole body and `accept` it. QUARANTINE if it is long or late.
    AWAIT_CHALLENGE = auto()
    #: Not authenticated: answer 401 and keep the beginning of the request, so that a wrong secret can be mended.
    QUARANTINE = auto()


class Decision(NamedTuple):
    """The next step with a request, and how to read its body.

    callback: None if the request is rejected. body_limit: bytes. timeout_s: None leaves it to the connection's limits.
    """

    action: Action
    callback: InboundCallback | None = None
    body_limit: int = 0
    timeout_s: float | None = None


class Acceptance(NamedTuple):
    """A row to store, and the response to send after its commit."""

    row: NewCallback
    response: Response


class CallbackIntake:
    """The rules by which callbacks of the configured accounts are taken in."""

    def __init__(self, accounts: Mapping[str, Account], sanitizer: RequestSanitizer, clock: Clock) -> None:
        self.accounts = accounts
        self._providers = {name: get_provider(account.provider) for name, account in accounts.items()}
        self._sanitizer, self._clock = sanitizer, clock
        #: failures to store a callback in the current second
        self._failures = 0

    def decide(self, head: RequestHead) -> Decision:
        """Return the next step with a request, by its head alone. Has no effects."""
        account = self.accounts.get(head.account)
        if account is None:
            return Decision(Action.REJECT_ACCOUNT)
        if head.method not in METHODS:
            return Decision(Action.REJECT_METHOD)
        callback = InboundCallback(head, account, self._providers[head.account], self._sanitizer)
        size = head.content_length or 0
        if callback.is_authenticated:
            if size > MAX_BYTES:
                return Decision(Action.REJECT_SIZE)
            return Decision(Action.ACCEPT, callback, MAX_BYTES)
        if account.webhook_token and size <= CHALLENGE_BYTES:
            return Decision(Action.AWAIT_CHALLENGE, callback, CHALLENGE_BYTES, _CHALLENGE_TIMEOUT_S)
        return self.quarantine(callback)

    @staticmethod
    def quarantine(callback: InboundCallback) -> Decision:
        """Return the last decision about a request that is neither authenticated nor a challenge."""
        return Decision(Action.QUARANTINE, callback, _QUARANTINE_BYTES, _QUARANTINE_TIMEOUT_S)

    def accept(self, callback: InboundCallback, body: bytes) -> Acceptance | None:
        """Return the row and the response for a whole body, or None if the request must be quarantined.

        An authenticated callback is answered 200 `{"ok":true}` whatever it contains, and parsed after that.
        """
        account, lane = callback.account, callback.head.lane
        challenge = callback.find_challenge(body)
        if challenge is not None:
            log.info("callback.challenge_answered", account=account.name)
            row = callback.to_row(body, self._clock(), IGNORED, "handshake")
            return Acceptance(row, _challenge_response(challenge))
        if not callback.is_authenticated:
            return None
        if lane is not None and account.lanes and lane not in account.lanes:
            log.warning("callback.lane_unrecognized", account=account.name)
        return Acceptance(callback.to_row(body, self._clock()), OK)

    def to_quarantine_row(self, callback: InboundCallback, body: bytes, size: int) -> NewCallback:
        """Return the row of an unauthenticated request. body: its beginning. size: the bytes that have arrived."""
        return callback.to_quarantine_row(body, size, self._clock())

    def storage_failed(self, inbox: InboxWriter, row: NewCallback, error: StorageUnavailable) -> Response:
        """Return 503 for a callback that may be stored or not.

        The provider repeats it. In case it does not, its open submissions are polled.
        """
        self._log_failure(row, error)
        inbox.refusals.note_unstored(row.account)
        return problem(503, str(error), headers={"Retry-After": str(RETRY_AFTER_S)})

    def _log_failure(self, row: NewCallback, error: StorageUnavailable) -> None:
        """Log the failure. An overloaded server refuses thousands a second, so only the first have a line each."""
        if self._failures == 0:
            asyncio.get_running_loop().call_later(_LOGGED_FAILURES_PERIOD_S, self._log_suppressed)
        if self._failures < _LOGGED_FAILURES:
            log.warning("callback.store_failed", account=row.account, callback=row.id, error=str(error))
        self._failures += 1

    def _log_suppressed(self) -> None:
        if self._failures > _LOGGED_FAILURES:
            log.warning("callback.log_suppressed", count=self._failures - _LOGGED_FAILURES)
        self._failures = 0


def _challenge_response(challenge: WebhookChallenge) -> Response:
    """Return the answer that proves to the provider that the address is ours.

    It contains the key because the provider wanted it back before 2021.
    """
    key = challenge.validation_key or next(iter(challenge.tokens), None)
    return JsonResponse(orjson.dumps({"challenge": challenge.challenge, "validation_key": key}))
