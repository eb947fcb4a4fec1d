"""The bodies of the API's answers, in both generations. Pure: values in, (HTTP code, headers, body) out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tracker.simulator.options import SimulatorOptions
from tracker.simulator.scenarios import Refusal, stream
from tracker.simulator.state import Call, Dial
from tracker.simulator.thundersms.templates import naive
from tracker.simulator.thundersms.vocabulary import Fault, Generation, Pending

_PRICE = "0.5000"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is answered over HTTP; `body` becomes JSON."""

    code: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any]


def ok(generation: Generation, message: str, **body: Any) -> Answer:
    """Success: `"status": 200` in the old generation, `"OK"` in the new one."""
    status: int | str = 200 if generation is Generation.old else "OK"
    return Answer(body={"status": status, "message": message, **body})


def error(generation: Generation, code: int, message: str, **body: Any) -> Answer:
    """A refusal with an HTTP code of its own."""
    status: int | str = code if generation is Generation.old else "ERROR"
    return Answer(code=code, body={"status": status, "code": code, "message": message, **body})


def invalid(generation: Generation, errors: Mapping[str, Sequence[str]]) -> Answer:
    """Wrong fields, each named, with what is wrong with it."""
    return error(generation, 422, "The given data was invalid.", errors=errors)


def accepted(call: Call, generation: Generation) -> Answer:
    """The answer to send."""
    request = call.request
    if generation is Generation.old:
        row: dict[str, Any] = {
            "id": call.id,
            "mobile": request.to,
            "charges": _PRICE,
            "customid": request.fields.get("customid", ""),
            "customid1": request.fields.get("customid1", ""),
            "iso_code": None,
            "submitted_at": naive(call.accepted_at, utc=False),
        }
        return ok(generation, "1 numbers accepted for delivery.", data=[row])
    row = {
        "id": call.id,
        "channel": "outgoing",
        "caller_id": request.bridge,
        "mobile": request.to,
        "flow_id": request.flow_id,
        "credits": 1,
        "created_at": with_zone(call.accepted_at),
        "foreign_id": _foreign_id(call),
        "options": None,
        "status": "queued",
    }
    return ok(generation, "Calls queued successfully", data=[row])


def refused(refusal: Refusal, options: SimulatorOptions) -> Answer:
    """The answer to a submission that was not accepted."""
    generation = options.generation
    if refusal.fault is Fault.rate_limit:
        wait = {"Retry-After": str(options.retry_after_s)} if refusal.shape == "retry-after" else {}
        return Answer(code=429, headers=wait, body=error(generation, 429, "Too Many Attempts.").body)
    match refusal.shape:
        case "402":
            return error(generation, 402, "Insufficient balance")
        case "400":
            return error(generation, 400, "Request failed", data={"error": "Insufficient balance"})
        case _:  # an error inside an HTTP 200
            return Answer(body={"status": "ERROR", "message": "Insufficient balance"})


def call_status(calls: Sequence[Call], options: SimulatorOptions, *, by_id: bool) -> Answer:
    """The answer to callstatus: one row for each dial that has ended; times in UTC."""
    generation = options.generation
    row = _old_row if generation is Generation.old else _new_row
    rows = [row(call, dial) for call in calls for dial in call.ended]
    if rows or not by_id:
        return ok(generation, "OK", data=rows)
    kind = options.pending
    if kind is Pending.mixed:
        rng = stream(options.seed, "pending", calls[0].id if calls else "")
        kind = rng.choice([Pending.empty, Pending.not_found, Pending.queued])
    if kind is Pending.not_found:
        return error(generation, 404, "No records found")
    if kind is Pending.queued and calls:
        return ok(generation, "OK", data=[_queued_row(call, generation) for call in calls])
    return ok(generation, "OK", data=[])


def with_zone(at: datetime) -> str:
    """A time as the newer answers write `created_at`: UTC, microseconds, `Z`."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _old_row(call: Call, dial: Dial) -> dict[str, Any]:
    seconds = dial.planned.talk_s
    return {
        "id": call.id,
        "mobile": call.request.to,
        "caller_id": call.request.bridge,
        "duration": f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}",
        "pulsing": "30",
        "status": dial.planned.word.value,
        "charges": f"{0.15 * -(-seconds // 30):.4f}",
        "dtmf": dial.planned.dtmf,
        "location": "IN",
        "provider": "RJ",
        "start_at": naive(dial.started_at, utc=True),
        "end_at": naive(dial.ended_at, utc=True) if dial.ended_at else None,
    }


def _new_row(call: Call, dial: Dial) -> dict[str, Any]:
    return {
        "id": call.id,
        "channel": "outgoing",
        "from": call.request.bridge,
        "to": call.request.to,
        "created_at": with_zone(call.accepted_at),
        "foreign_id": _foreign_id(call),
        "status": dial.planned.word.value,
        "start_at": naive(dial.started_at, utc=True),
        "end_at": naive(dial.ended_at, utc=True) if dial.ended_at else None,
        "dtmf": dial.planned.dtmf or "",
    }


def _queued_row(call: Call, generation: Generation) -> dict[str, Any]:
    number = "mobile" if generation is Generation.old else "to"
    return {"id": call.id, number: call.request.to, "status": "queued", "start_at": None, "end_at": None}


def _foreign_id(call: Call) -> str | None:
    fields = call.request.fields
    return fields.get("foreign_id") or fields.get("customid") or fields.get("custom")
