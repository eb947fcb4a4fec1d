"""Translates to and from ThunderSMS, a label of the MobTexting platform.

::

    requests.py          our requests
    api_response.py      the parts that all of its responses share
    submit_response.py   its response to a submission
    status_api.py        its responses to a poll and to a check of the credentials
    callback.py          its requests to our webhook
    call_report.py       one call record, pushed or polled
    statuses.py          its status words and ours
    scalars.py           single values: texts, ids, times, durations
    samples.py           sample callbacks
    setup_guide.py       the steps to a first call

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
    """The ThunderSMS provider. `base.Provider` documents the methods."""

    def submit_request(self, account: Account, command: SubmitCommand) -> HttpRequest:
        return requests.submit_request(account, command)

    def redacted_request(self, account: Account, command: SubmitCommand) -> HttpRequest:
        return requests.redacted_request(account, command)

    def parse_submit_response(self, account: Account, result: HttpResponse | ExchangeFailure) -> SubmitResult:
        return submit_response.parse_submit_response(account, result)

    def status_request(self, account: Account, submission_id: str) -> HttpRequest:
        return requests.status_request(account, submission_id)

    def parse_status_response(
        self, account: Account, submission_id: str, response: HttpResponse
    ) -> StatusResult:
        return status_api.parse_status_response(account, submission_id, response)

    def credentials_request(self, account: Account) -> HttpRequest:
        return requests.credentials_request(account)

    def parse_credentials_response(self, account: Account, response: HttpResponse) -> str:
        return status_api.parse_credentials_response(account, response)

    def presented_secrets(self, headers: Headers) -> tuple[bytes, ...]:
        return callback.presented_secrets(headers)

    def parse_webhook_challenge(self, request: CallbackRequest) -> WebhookChallenge | None:
        return callback.parse_webhook_challenge(request)

    def parse_callback(
        self, account: Account, request: CallbackRequest
    ) -> CallReport | NotACall | UnreadableCallback:
        try:
            return callback.parse_callback(account, request)
        except Exception as error:
            # A bug here must not stop the joiner for all later callbacks. The log and the inbox show it, and the
            # callback can be parsed again once the bug is fixed.
            log.exception("callback.parse_failed", account=account.name)
            return UnreadableCallback(reason=f"internal error: {type(error).__name__}")
