"""Callbacks as the provider's documents show them, to be sent to one's own server.

Shapes: https://portal.thundersms.com/docs/v2/reach/webhook
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any, Final

from tracker.domain.accounts import Account

#: the words of `send-sample`, and the provider's for them
WORDS: Final = {
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
#: the numbers in the documents' own example
_DOCUMENTED_BRIDGE: Final = "918068280001"
CALLEE: Final = "+918867130003"


def default_push(
    account: Account,
    word: str,
    now: datetime,
    *,
    to: str | None,
    mid: str | None = None,
    flow: str | None = None,
    bridge: str | None = None,
) -> dict[str, Any]:
    """The provider's usual callback: one record of a dial that ended just now. It names no submission.

    Without a flow it has none, for with another one than the call's it would belong to another call.
    """
    start, end, duration = _times(account, word, now)
    return {
        "bridge": int(bridge or account.bridge or _DOCUMENTED_BRIDGE),
        "from": 918919520002,
        "to": int((to or CALLEE).lstrip("+")),
        "source": "OBD",
        "mid": mid or "1234-1333-00004",
        **({} if flow is None else {"flow_id": int(flow) if flow.isdecimal() else flow}),
        "start_at": start,
        "end_at": end,
        "duration": duration,
        "status": WORDS[word],
        "recording_url": "",
    }


def composed(account: Account, word: str, now: datetime, *, to: str | None, id: str | None) -> dict[str, Any]:
    """A webhook that was composed with the call's id in it, under the account's own names for the fields."""
    start, end, duration = _times(account, word, now)
    fields = {
        "id": id or "8456bf26-1b6e-4ac1-adb9-2768258f71d0",
        "to": (to or CALLEE).lstrip("+"),
        "status": WORDS[word],
        "start_at": start,
        "end_at": end,
        "duration": duration,
    }
    body: dict[str, Any] = {}
    for name, value in fields.items():
        _put(body, account.callback_keys.get(name, name), value)
    return body


def written(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()


def _put(body: dict[str, Any], key: str, value: str) -> None:
    """Under a key of which every dot opens a table."""
    *tables, last = key.split(".")
    for table in tables:
        body = body.setdefault(table, {})
    body[last] = value


def _times(account: Account, word: str, now: datetime) -> tuple[str, str, str]:
    length = 23 if WORDS[word] in _ANSWERED else 0
    end = now.astimezone(account.time_zone)
    start = end - timedelta(seconds=length + 8)
    return f"{start:%Y-%m-%d %H:%M:%S}", f"{end:%Y-%m-%d %H:%M:%S}", str(length)
