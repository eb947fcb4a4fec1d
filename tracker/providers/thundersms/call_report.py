"""Parses one call record of ThunderSMS, from a callback or from the status API, into a CallReport.

Fields: https://portal.thundersms.com/docs/v2/reach/webhook (pushed), …/reach/status (polled). Users choose the names in
a composed webhook. So every name in use for a value is looked for, and first the one configured in `callback_keys`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

from tracker.domain.call_reports import CallReport
from tracker.domain.phone_numbers import InvalidNumber, parse_bridge, parse_provider_number
from tracker.providers.field_lookup import FieldLookup
from tracker.providers.thundersms import scalars
from tracker.providers.thundersms.statuses import translate_status

Value = TypeVar("Value")

ID_NAMES: Final = ("id", "callid")
PARENT_ID_NAMES: Final = ("parentid",)
OTHER_ID_NAMES: Final = ("submission", "submissionid", "foreignid", "customid", "custom", "cid")
STATUS_NAMES: Final = ("status", "messagestatus", "callstatus", "dialstatus")
CALLEE_NAMES: Final = ("to", "mobile", "number", "receiver", "callee", "msisdn", "phone", "destination")
#: without `from`, which is the bridge in the status API, and can be any number in a callback
BRIDGE_NAMES: Final = ("bridge", "callerid")
STATUS_API_BRIDGE_NAMES: Final = (*BRIDGE_NAMES, "from")
START_NAMES: Final = ("startat", "start", "startedat", "starttime")
END_NAMES: Final = ("endat", "end", "endedat", "endtime")
FLOW_NAMES: Final = ("flowid", "ivrid")
RECORDING_NAMES: Final = ("recordingurl", "recording")

_REFERENCE: Final = re.compile(r"sub_[0-9a-z]{26}", re.ASCII | re.IGNORECASE)
_NO_KEYS: Final[Mapping[str, str]] = {}


def parse_call_report(
    fields: FieldLookup,
    *,
    zone: ZoneInfo,
    region: str,
    keys: Mapping[str, str] = _NO_KEYS,
    bridge_names: Sequence[str] = BRIDGE_NAMES,
) -> CallReport:
    """Return the call record in these fields.

    Times without a zone are read in `zone`, and numbers without a country code by `region`. `keys` are the account's
    `callback_keys`.
    """

    def find(key: str, names: Sequence[str], parse: Callable[[Any], Value | None]) -> Value | None:
        if key in keys:
            for value in fields.values_at(keys[key]):
                if (parsed := parse(value)) is not None:
                    return parsed
        return fields.first_value(names, parse)

    def parse_time(value: Any) -> tuple[str | None, datetime | None] | None:
        raw, at = scalars.parse_timestamp(value, zone)
        return (raw, at) if raw else None

    provider_status = find("status", STATUS_NAMES, scalars.parse_word)
    status, reason = translate_status(provider_status)
    started_raw, started_at = find("start_at", START_NAMES, parse_time) or (None, None)
    ended_raw, ended_at = find("end_at", END_NAMES, parse_time) or (None, None)
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
        started_raw=started_raw,
        started_at=started_at,
        ended_raw=ended_raw,
        ended_at=ended_at,
        duration_s=find("duration", ("duration",), scalars.parse_duration_s),
        recording_url=find("recording_url", RECORDING_NAMES, scalars.parse_url),
        dtmf=fields.first_value(("dtmf",), scalars.parse_id),
        charges=fields.first_value(("charges", "credits"), scalars.parse_amount),
        click_to_call=(fields.first_value(("source",), scalars.parse_word) or "").upper() == "C2C",
    )


def _collect_ids(fields: FieldLookup, keys: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values that may be the provider's id, surest first, each once, and without our own ids."""
    values = [value for key in ("id", "submission") if key in keys for value in fields.values_at(keys[key])]
    for names in (ID_NAMES, PARENT_ID_NAMES, OTHER_ID_NAMES):
        values += fields.all_values(names)
    ids: dict[str, None] = {}
    for value in values:
        if (id := scalars.parse_id(value)) and not _REFERENCE.fullmatch(id):
            ids[id] = None
    return tuple(ids)


def _collect_references(texts: Sequence[str]) -> tuple[str, ...]:
    """Return our own ids (`sub_…`) among these texts, each once, in lower case."""
    # 30 characters and some blanks; the first check spares the others for nearly every text
    stripped = [text.strip() for text in texts if 30 <= len(text) < 100]
    return tuple(dict.fromkeys([text.lower() for text in stripped if _REFERENCE.fullmatch(text)]))


def _parse_bridge(value: Any) -> str | None:
    try:
        return parse_bridge(scalars.parse_text(value) or "")
    except InvalidNumber:
        return None
