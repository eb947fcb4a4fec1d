"""ThunderSMS's words for what became of a call, and ours.

Statuses: https://portal.thundersms.com/docs/v2/voice (the list), https://portal.thundersms.com/docs/v2/reach/status
(where they are asked for). Upper case and one word there; other cases, spaces, `-` and `_` occur in the field.
"""

from __future__ import annotations

import re
from functools import lru_cache

from tracker.domain.calls import CallStatus, Reason

#: normalised word: our status, and the reason where the word gives one
STATUSES: dict[str, tuple[CallStatus, Reason | None]] = {
    "queued": (CallStatus.queued, None),
    "answer": (CallStatus.completed, None),
    "completed": (CallStatus.completed, None),
    "received": (CallStatus.completed, None),
    "missed": (CallStatus.completed, Reason.agent_no_answer),
    "busy": (CallStatus.busy, None),
    "noanswer": (CallStatus.no_answer, None),
    "cancel": (CallStatus.canceled, Reason.caller_hung_up),
    "congestion": (CallStatus.failed, Reason.congestion),
    "chanunavail": (CallStatus.failed, Reason.channel_unavailable),
}

#: Delivery reports of text messages may come to the same address. No call is ever one of these.
SMS_ONLY_STATUSES = frozenset(
    {
        "delivrd",
        "delivered",
        "undeliv",
        "undelivered",
        "undeliverable",
        "rejectd",
        "acceptd",
        "enroute",
        "dnd",
    }
)

#: These could also be a status of a call that we do not know yet; with a text message's other fields they are not.
SHARED_STATUSES = frozenset(
    {"sent", "submitted", "expired", "rejected", "failed", "deleted", "unknown", "accepted"}
)

_SEPARATORS = re.compile(r"[\s_-]+")


@lru_cache(maxsize=1024)  # there are a dozen; what strangers send is bounded
def normalize_status(word: str) -> str:
    """A word without case, spaces, `-` and `_`."""
    return _SEPARATORS.sub("", word).lower()


def translate_status(word: str | None) -> tuple[CallStatus | None, Reason | None]:
    """Our status and reason for the provider's word; (None, None) where we do not know it."""
    return STATUSES.get(normalize_status(word), (None, None)) if word else (None, None)
