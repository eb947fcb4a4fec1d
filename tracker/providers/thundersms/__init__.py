"""ThunderSMS (a label of the MobTexting platform): its wire format, both directions.

::

    sending.py     our requests
    replies.py     what all of its replies have in common
    answers.py     its answer to a submission
    asking.py      its answer to a question
    callbacks.py   its requests to our webhook
    records.py     one call record, pushed or asked for
    words.py       its status words and ours
    values.py      single values: texts, times, durations

Documents: https://portal.thundersms.com/docs/v2
"""

from __future__ import annotations

import structlog

from tracker.domain.accounts import Account
from tracker.domain.call_reports import (
    CallReport,
    NotACall,
    StatusResult,
    SubmitResult,
    UnreadableCallback,
    WebhookChallenge,
)
from tracker.domain.calls import SubmitCommand
from tracker.providers.base import Failure, Headers, Incoming, Outgoing, Reply
from tracker.providers.thundersms import callback, requests, status_api, submit_response

__all__ = ["ThunderSMS"]

log = structlog.get_logger(__name__)


class ThunderSMS:
    """The provider's two directions; what each method takes and gives is said in `base.Provider`."""

    def send_request(self, account: Account, dial: SubmitCommand) -> Outgoing:
        return requests.send_request(account, dial)

    def redacted_request(self, account: Account, dial: SubmitCommand) -> Outgoing:
        return requests.redacted_request(account, dial)

    def read_answer(self, account: Account, result: Reply | Failure) -> SubmitResult:
        return submit_response.read_answer(account, result)

    def ask_request(self, account: Account, submission_id: str) -> Outgoing:
        return requests.ask_request(account, submission_id)

    def read_poll(self, account: Account, submission_id: str, reply: Reply) -> StatusResult:
        return status_api.read_poll(account, submission_id, reply)

    def check_request(self, account: Account) -> Outgoing:
        return requests.check_request(account)

    def read_check(self, account: Account, reply: Reply) -> str:
        return status_api.read_check(account, reply)

    def presented_secrets(self, incoming_headers: Headers) -> tuple[bytes, ...]:
        return callback.presented_secrets(incoming_headers)

    def read_handshake(self, incoming: Incoming) -> WebhookChallenge | None:
        return callback.read_handshake(incoming)

    def read_callback(
        self, account: Account, incoming: Incoming
    ) -> CallReport | NotACall | UnreadableCallback:
        try:
            return callback.read_callback(account, incoming)
        except Exception as exc:
            # A mistake of ours must not stop the joiner for all the callbacks behind this one. It is seen in the
            # log and in the inbox, and the callback can be read again once it is mended.
            log.exception("callback.read_failed", account=account.name)
            return UnreadableCallback(reason=f"internal error: {type(exc).__name__}")
