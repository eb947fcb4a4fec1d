"""The provider's templates: `{{id}}`, `@{{status}}`, `{{outgoing.id}}`, and a flow's variables by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone

from tracker.simulator.state import Call, Dial

#: The zone of the provider's machines. India has no daylight saving time.
INDIA = timezone(timedelta(hours=5, minutes=30), "Asia/Kolkata")

_TEMPLATE = re.compile(r"@?\{\{\s*([A-Za-z_][A-Za-z0-9_.]*)\s*\}\}")


def naive(at: datetime, *, utc: bool) -> str:
    """A time as the provider writes it: whole seconds, no zone; Indian time unless `utc`."""
    return at.astimezone(UTC if utc else INDIA).strftime("%Y-%m-%d %H:%M:%S")


def values(call: Call, dial: Dial, *, utc: bool) -> dict[str, str]:
    """Every name that a template can ask for, of a dial that has ended."""
    if dial.ended_at is None:
        raise ValueError("a dial that has not ended has no record")
    request = call.request
    record = {
        "id": call.story.uuid,  # without the suffix, also where the answer to send had one
        "mid": call.story.mid,
        "status": dial.planned.word.value,
        "from": request.bridge,
        "to": request.to,
        "bridge": request.bridge,
        "flow_id": request.flow_id or "",
        "start_at": naive(dial.started_at, utc=utc),
        "end_at": naive(dial.ended_at, utc=utc),
        # What a bill would say. With --speed it is more than end − start; the provider's sample disagrees too.
        "duration": str(dial.planned.talk_s),
        "recording_url": recording_url(call, dial),
    }
    outgoing = {f"outgoing.{name}": value for name, value in record.items()}
    outgoing |= {"outgoing.id": call.id, "outgoing.parent_id": call.id}
    variables = {f"variables.{name}": value for name, value in request.variables.items()}
    return {**request.variables, **variables, **request.fields, **outgoing, **record}


def fill(template: str, known: Mapping[str, str]) -> str:
    """The template with what is known put in as it is, unescaped; what is not known stays as written."""
    return _TEMPLATE.sub(lambda match: known.get(match.group(1), match.group(0)), template)


def recording_url(call: Call, dial: Dial) -> str:
    """Where the recording would be; empty if nobody answered. The address leads nowhere."""
    if not dial.planned.word.answered:
        return ""
    return f"https://recordings.simulated.invalid/{call.story.uuid}-{call.dials.index(dial) + 1}.mp3"
