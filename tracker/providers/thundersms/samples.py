"""Builds sample callbacks as the provider's documents show them.

Shapes: https://portal.thundersms.com/docs/v2/reach/webhook
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any, Final

from tracker.domain.accounts import Account

#: the outcomes that a sample can have, and the provider's words for them
SAMPLE_STATUSES: Final = {
    "answer": "ANSWER",
    "completed": "COMPLETED",
    "received": "RECEIVED",
    "missed": "MISSED",
    "busy": "BUSY",
    "noanswer": "NOANSWER",
    "cancel": "CANCEL",
    "congestion": "CONGESTION",
    "chanunavail": "CHANUNAVAIL",
}
_ANSWERED: Final = ("ANSWER", "COMPLETED", "RECEIVED", "MISSED")
#: the numbers, message id and submission id of the documents' own example
DOCUMENTED_NUMBER: Final = "+918867130003"
_DOCUMENTED_BRIDGE: Final = "918068280001"
_DOCUMENTED_CALLER: Final = 918919520002
_DOCUMENTED_MESSAGE_ID: Final = "1234-1333-00004"
_DOCUMENTED_ID: Final = "8456bf26-1b6e-4ac1-adb9-2768258f71d0"

#: seconds that the phone rings, and that an answered call lasts
_RINGING_S: Final = 8
_TALK_S: Final = 23


def default_callback(
    account: Account,
    outcome: str,
    now: datetime,
    *,
    to: str | None,
    message_id: str | None = None,
    flow: str | None = None,
    bridge: str | None = None,
) -> dict[str, Any]:
    """Return the provider's default callback: the record of a dial that ended just now. It names no submission.

    Without `flow` it has none, because a callback with another flow than the call's would belong to another call.
    """
    start, end, duration = _times(account, outcome, now)
    return {
        "bridge": int(bridge or account.bridge or _DOCUMENTED_BRIDGE),
        "from": _DOCUMENTED_CALLER,
        "to": int((to or DOCUMENTED_NUMBER).lstrip("+")),
        "source": "OBD",
        "mid": message_id or _DOCUMENTED_MESSAGE_ID,
        **({} if flow is None else {"flow_id": int(flow) if flow.isdecimal() else flow}),
        "start_at": start,
        "end_at": end,
        "duration": duration,
        "status": SAMPLE_STATUSES[outcome],
        "recording_url": "",
    }


def composed_callback(
    account: Account, outcome: str, now: datetime, *, to: str | None, id: str | None
) -> dict[str, Any]:
    """Return a composed callback with the call's id, its fields named as the account's `callback_keys` say."""
    start, end, duration = _times(account, outcome, now)
    fields = {
        "id": id or _DOCUMENTED_ID,
        "to": (to or DOCUMENTED_NUMBER).lstrip("+"),
        "status": SAMPLE_STATUSES[outcome],
        "start_at": start,
        "end_at": end,
        "duration": duration,
    }
    body: dict[str, Any] = {}
    for name, value in fields.items():
        _set_nested(body, account.callback_keys.get(name, name), value)
    return body


def encode_body(body: dict[str, Any]) -> bytes:
    """Return the body as JSON."""
    return json.dumps(body).encode()


def _set_nested(body: dict[str, Any], key: str, value: str) -> None:
    """Set a value under a key in which each dot leads into a nested object."""
    *objects, last = key.split(".")
    for name in objects:
        body = body.setdefault(name, {})
    body[last] = value


def _times(account: Account, outcome: str, now: datetime) -> tuple[str, str, str]:
    """Return start, end (in the account's zone) and duration as the provider writes them."""
    duration_s = _TALK_S if SAMPLE_STATUSES[outcome] in _ANSWERED else 0
    end = now.astimezone(account.time_zone)
    start = end - timedelta(seconds=duration_s + _RINGING_S)
    return f"{start:%Y-%m-%d %H:%M:%S}", f"{end:%Y-%m-%d %H:%M:%S}", str(duration_s)
