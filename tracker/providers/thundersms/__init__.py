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
from tracker.providers.base import CallbackRequest, ExchangeFailure, Headers, HttpRequest, HttpResponse
from tracker.providers.thundersms import callback, requests, status_api, submit_response

__all__ = ["ThunderSMS"]

log = structlog.get_logger(__name__)


class ThunderSMS:
    """The provider's two directions; what each method takes and gives is said in `base.Provider`."""

    def submit_request(self, account: Account, dial: SubmitCommand) -> HttpRequest:
        return requests.submit_request(account, dial)

    def redacted_request(self, account: Account, dial: SubmitCommand) -> HttpRequest:
        return requests.redacted_request(account, dial)

    def parse_submit_response(self, account: Account, result: HttpResponse | ExchangeFailure) -> SubmitResult:
        return submit_response.parse_submit_response(account, result)

    def status_request(self, account: Account, submission_id: str) -> HttpRequest:
        return requests.status_request(account, submission_id)

    def parse_status_response(
        self, account: Account, submission_id: str, reply: HttpResponse
    ) -> StatusResult:
        return status_api.parse_status_response(account, submission_id, reply)

    def credentials_request(self, account: Account) -> HttpRequest:
        return requests.credentials_request(account)

    def parse_credentials_response(self, account: Account, reply: HttpResponse) -> str:
        return status_api.parse_credentials_response(account, reply)

    def presented_secrets(self, incoming_headers: Headers) -> tuple[bytes, ...]:
        return callback.presented_secrets(incoming_headers)

    def parse_webhook_challenge(self, incoming: CallbackRequest) -> WebhookChallenge | None:
        return callback.parse_webhook_challenge(incoming)

    def parse_callback(
        self, account: Account, incoming: CallbackRequest
    ) -> CallReport | NotACall | UnreadableCallback:
        try:
            return callback.parse_callback(account, incoming)
        except Exception as exc:
            # A mistake of ours must not stop the joiner for all the callbacks behind this one. It is seen in the
            # log and in the inbox, and the callback can be read again once it is mended.
            log.exception("callback.read_failed", account=account.name)
            return UnreadableCallback(reason=f"internal error: {type(exc).__name__}")
