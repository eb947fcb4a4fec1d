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
from tracker.providers.field_lookup import FieldLookup
from tracker.providers.thundersms import scalars
from tracker.providers.thundersms.statuses import translate_status

Value = TypeVar("Value")

ID_NAMES = ("id", "callid")
PARENT_ID_NAMES = ("parentid",)
OTHER_ID_NAMES = ("submission", "submissionid", "foreignid", "customid", "custom", "cid")
STATUS_NAMES = ("status", "messagestatus", "callstatus", "dialstatus")
CALLEE_NAMES = ("to", "mobile", "number", "receiver", "callee", "msisdn", "phone", "destination")
#: `from` is the bridge in an answer to a poll; in a callback it can be anybody
BRIDGE_NAMES = ("bridge", "callerid")
STATUS_API_BRIDGE_NAMES = (*BRIDGE_NAMES, "from")
START_NAMES = ("startat", "start", "startedat", "starttime")
END_NAMES = ("endat", "end", "endedat", "endtime")
FLOW_NAMES = ("flowid", "ivrid")
RECORDING_NAMES = ("recordingurl", "recording")

_REFERENCE = re.compile(r"sub_[0-9a-z]{26}", re.ASCII | re.IGNORECASE)
_NO_KEYS: Mapping[str, str] = {}


def parse_call_report(
    fields: FieldLookup,
    *,
    zone: ZoneInfo,
    region: str,
    keys: Mapping[str, str] = _NO_KEYS,
    bridge_names: Sequence[str] = BRIDGE_NAMES,
) -> CallReport:
    """The record in these fields; times without a zone are read in `zone`, numbers by `region`."""

    def find(configured: str, names: Sequence[str], read: Callable[[Any], Value | None]) -> Value | None:
        if configured in keys:
            for value in fields.at(keys[configured]):
                if (found := read(value)) is not None:
                    return found
        return fields.first(names, read)

    def moment(value: Any) -> tuple[str | None, datetime | None] | None:
        found = scalars.parse_timestamp(value, zone)
        return found if found[0] else None

    provider_status = find("status", STATUS_NAMES, scalars.parse_word)
    status, reason = translate_status(provider_status)
    start = find("start_at", START_NAMES, moment) or (None, None)
    end = find("end_at", END_NAMES, moment) or (None, None)
    return CallReport(
        ids=_collect_ids(fields, keys),
        references=_collect_references(fields.texts),
        message_id=find("mid", ("mid",), scalars.parse_id),
        to=find("to", CALLEE_NAMES, lambda value: parse_provider_number(value, region)),
        bridge=find("bridge", bridge_names, _parse_bridge),
        flow_id=find("flow_id", FLOW_NAMES, scalars.parse_id),
        provider_status=provider_status,
        status=status,
        reason=reason,
        started_raw=start[0],
        started_at=start[1],
        ended_raw=end[0],
        ended_at=end[1],
        duration_s=find("duration", ("duration",), scalars.parse_duration_s),
        recording_url=find("recording_url", RECORDING_NAMES, scalars.parse_url),
        dtmf=fields.first(("dtmf",), scalars.parse_id),
        charges=fields.first(("charges", "credits"), scalars.parse_amount),
        click_to_call=(fields.first(("source",), scalars.parse_word) or "").upper() == "C2C",
    )


def _collect_ids(fields: FieldLookup, keys: Mapping[str, str]) -> tuple[str, ...]:
    candidates = [v for name in ("id", "submission") if name in keys for v in fields.at(keys[name])]
    for names in (ID_NAMES, PARENT_ID_NAMES, OTHER_ID_NAMES):  # surest first
        candidates += fields.all(names)
    ids: dict[str, None] = {}
    for value in candidates:
        if (found := scalars.parse_id(value)) and not _REFERENCE.fullmatch(found):
            ids[found] = None
    return tuple(ids)


def _collect_references(texts: Sequence[str]) -> tuple[str, ...]:
    stripped = [text.strip() for text in texts if 30 <= len(text) < 100]
    return tuple(dict.fromkeys([text.lower() for text in stripped if _REFERENCE.fullmatch(text)]))


def _parse_bridge(value: Any) -> str | None:
    try:
        return parse_bridge(scalars.parse_text(value) or "")
    except InvalidNumber:
        return None
