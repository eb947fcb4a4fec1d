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
from tracker.domain.calls import Dial
from tracker.domain.readings import Answer, Handshake, NotACall, Poll, Reading, Unreadable
from tracker.providers.base import Failure, Headers, Incoming, Outgoing, Reply
from tracker.providers.thundersms import answers, asking, callbacks, sending

__all__ = ["ThunderSMS"]

log = structlog.get_logger(__name__)


class ThunderSMS:
    """The provider's two directions; what each method takes and gives is said in `base.Provider`."""

    def send_request(self, account: Account, dial: Dial) -> Outgoing:
        return sending.send_request(account, dial)

    def redacted_request(self, account: Account, dial: Dial) -> Outgoing:
        return sending.redacted_request(account, dial)

    def read_answer(self, account: Account, result: Reply | Failure) -> Answer:
        return answers.read_answer(account, result)

    def ask_request(self, account: Account, submission_id: str) -> Outgoing:
        return sending.ask_request(account, submission_id)

    def read_poll(self, account: Account, submission_id: str, reply: Reply) -> Poll:
        return asking.read_poll(account, submission_id, reply)

    def check_request(self, account: Account) -> Outgoing:
        return sending.check_request(account)

    def read_check(self, account: Account, reply: Reply) -> str:
        return asking.read_check(account, reply)

    def presented_secrets(self, incoming_headers: Headers) -> tuple[bytes, ...]:
        return callbacks.presented_secrets(incoming_headers)

    def read_handshake(self, incoming: Incoming) -> Handshake | None:
        return callbacks.read_handshake(incoming)

    def read_callback(self, account: Account, incoming: Incoming) -> Reading | NotACall | Unreadable:
        try:
            return callbacks.read_callback(account, incoming)
        except Exception as exc:
            # A mistake of ours must not stop the joiner for all the callbacks behind this one. It is seen in the
            # log and in the inbox, and the callback can be read again once it is mended.
            log.exception("callback.read_failed", account=account.name)
            return Unreadable(reason=f"internal error: {type(exc).__name__}")
