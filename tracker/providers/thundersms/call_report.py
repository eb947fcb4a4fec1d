"""One call record of ThunderSMS, in a callback or in the answer to a poll, made a Reading.

Fields: https://portal.thundersms.com/docs/v2/reach/webhook (pushed), …/reach/status (asked for). In a composed
webhook the names are the user's own, so every name that is in use for a thing is looked for, and first the one that
the account configured in `callback_keys`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from tracker.domain.call_reports import CallReport
from tracker.domain.phone_numbers import InvalidNumber, parse_bridge, parse_provider_number
from tracker.providers.field_lookup import Lookup
from tracker.providers.thundersms import scalars
from tracker.providers.thundersms.statuses import status_of

Value = TypeVar("Value")

ID = ("id", "callid")
PARENT_ID = ("parentid",)
OTHER_IDS = ("submission", "submissionid", "foreignid", "customid", "custom", "cid")
STATUS = ("status", "messagestatus", "callstatus", "dialstatus")
CALLEE = ("to", "mobile", "number", "receiver", "callee", "msisdn", "phone", "destination")
#: `from` is the bridge in an answer to a poll; in a callback it can be anybody
BRIDGE = ("bridge", "callerid")
BRIDGE_OF_A_POLL = (*BRIDGE, "from")
START = ("startat", "start", "startedat", "starttime")
END = ("endat", "end", "endedat", "endtime")
FLOW = ("flowid", "ivrid")
RECORDING = ("recordingurl", "recording")

_REFERENCE = re.compile(r"sub_[0-9a-z]{26}", re.ASCII | re.IGNORECASE)
_NOTHING: Mapping[str, str] = {}


def read_record(
    fields: Lookup,
    *,
    zone: ZoneInfo,
    region: str,
    keys: Mapping[str, str] = _NOTHING,
    bridge_names: Sequence[str] = BRIDGE,
) -> CallReport:
    """The record in these fields; times without a zone are read in `zone`, numbers by `region`."""

    def find(configured: str, names: Sequence[str], read: Callable[[Any], Value | None]) -> Value | None:
        if configured in keys:
            for value in fields.at(keys[configured]):
                if (found := read(value)) is not None:
                    return found
        return fields.first(names, read)

    def moment(value: Any) -> tuple[str | None, datetime | None] | None:
        found = scalars.moment(value, zone)
        return found if found[0] else None

    provider_status = find("status", STATUS, scalars.word)
    status, reason = status_of(provider_status)
    start = find("start_at", START, moment) or (None, None)
    end = find("end_at", END, moment) or (None, None)
    return CallReport(
        ids=_ids(fields, keys),
        references=_references(fields.texts),
        message_id=find("mid", ("mid",), scalars.identifier),
        to=find("to", CALLEE, lambda value: parse_provider_number(value, region)),
        bridge=find("bridge", bridge_names, _bridge),
        flow_id=find("flow_id", FLOW, scalars.identifier),
        provider_status=provider_status,
        status=status,
        reason=reason,
        started_raw=start[0],
        started_at=start[1],
        ended_raw=end[0],
        ended_at=end[1],
        duration_s=find("duration", ("duration",), scalars.duration),
        recording_url=find("recording_url", RECORDING, scalars.link),
        dtmf=fields.first(("dtmf",), scalars.identifier),
        charges=fields.first(("charges", "credits"), scalars.amount),
        click_to_call=(fields.first(("source",), scalars.word) or "").upper() == "C2C",
    )


def _ids(fields: Lookup, keys: Mapping[str, str]) -> tuple[str, ...]:
    candidates = [v for name in ("id", "submission") if name in keys for v in fields.at(keys[name])]
    for names in (ID, PARENT_ID, OTHER_IDS):  # surest first
        candidates += fields.all(names)
    ids: dict[str, None] = {}
    for value in candidates:
        if (found := scalars.identifier(value)) and not _REFERENCE.fullmatch(found):
            ids[found] = None
    return tuple(ids)


def _references(texts: Sequence[str]) -> tuple[str, ...]:
    stripped = [text.strip() for text in texts if 30 <= len(text) < 100]
    return tuple(dict.fromkeys([text.lower() for text in stripped if _REFERENCE.fullmatch(text)]))


def _bridge(value: Any) -> str | None:
    try:
        return parse_bridge(scalars.text(value) or "")
    except InvalidNumber:
        return None
