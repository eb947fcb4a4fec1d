"""Translates ThunderSMS's status words into ours.

Words: https://portal.thundersms.com/docs/v2/voice (the list) and https://portal.thundersms.com/docs/v2/reach/status
(the status API). There they are single words in upper case. Other cases, blanks, `-` and `_` occur in the field.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from tracker.domain.calls import CallStatus, Reason

#: normalized word → our status, and our reason if the word implies one
STATUSES: Final[dict[str, tuple[CallStatus, Reason | None]]] = {
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

#: statuses of text messages, whose delivery reports may come to the same address; no call has one of these
SMS_ONLY_STATUSES: Final = frozenset(
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

#: statuses of text messages that could also be a call's status unknown to us; other fields decide
SHARED_STATUSES: Final = frozenset(
    {"sent", "submitted", "expired", "rejected", "failed", "deleted", "unknown", "accepted"}
)

_SEPARATORS: Final = re.compile(r"[\s_-]+")


@lru_cache(maxsize=1024)  # a dozen words occur; the limit bounds the memory that strangers can fill
def normalize_status(word: str) -> str:
    """Return a word in lower case without blanks, `-` and `_`."""
    return _SEPARATORS.sub("", word).lower()


def translate_status(word: str | None) -> tuple[CallStatus | None, Reason | None]:
    """Return our status and reason for the provider's word, or (None, None) if the word is missing or unknown."""
    return STATUSES.get(normalize_status(word), (None, None)) if word else (None, None)
