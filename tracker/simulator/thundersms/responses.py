"""Builds the answers of the API, in both generations, from values alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from starlette.responses import JSONResponse

from tracker.simulator.options import SimulatorOptions
from tracker.simulator.scenarios import Refusal, random_stream
from tracker.simulator.state import AcceptedCall, Dial
from tracker.simulator.thundersms.callback_payloads import format_naive
from tracker.simulator.thundersms.vocabulary import Fault, Generation, PendingAnswer

_PRICE = "0.5000"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer of the API."""

    code: int = 200  #: of HTTP
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any]

    def to_response(self) -> JSONResponse:
        """Return it as an HTTP response."""
        return JSONResponse(self.body, self.code, headers=dict(self.headers))


def success(generation: Generation, message: str, **body: Any) -> Answer:
    """Return a success: `"status": 200` in the old generation, `"OK"` in the new one."""
    status: int | str = 200 if generation is Generation.old else "OK"
    return Answer(body={"status": status, "message": message, **body})


def error(generation: Generation, code: int, message: str, **body: Any) -> Answer:
    """Return a refusal with an HTTP code of its own."""
    status: int | str = code if generation is Generation.old else "ERROR"
    return Answer(code=code, body={"status": status, "code": code, "message": message, **body})


def invalid_fields(generation: Generation, errors: Mapping[str, Sequence[str]]) -> Answer:
    """Return a refusal that names each wrong field and its problems."""
    return error(generation, 422, "The given data was invalid.", errors=errors)


def call_accepted(call: AcceptedCall, generation: Generation) -> Answer:
    """Return the answer to a send request that was accepted."""
    request = call.request
    if generation is Generation.old:
        row: dict[str, Any] = {
            "id": call.id,
            "mobile": request.to,
            "charges": _PRICE,
            "customid": request.fields.get("customid", ""),
            "customid1": request.fields.get("customid1", ""),
            "iso_code": None,
            "submitted_at": format_naive(call.accepted_at, utc=False),
        }
        return success(generation, "1 numbers accepted for delivery.", data=[row])
    row = {
        "id": call.id,
        "channel": "outgoing",
        "caller_id": request.bridge,
        "mobile": request.to,
        "flow_id": request.flow_id,
        "credits": 1,
        "created_at": format_utc(call.accepted_at),
        "foreign_id": _foreign_id(call),
        "options": None,
        "status": "queued",
    }
    return success(generation, "Calls queued successfully", data=[row])


def call_refused(refusal: Refusal, options: SimulatorOptions) -> Answer:
    """Return the answer to a send request that was not accepted."""
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


def call_status(calls: Sequence[AcceptedCall], options: SimulatorOptions, *, is_by_id: bool) -> Answer:
    """Return the answer to callstatus: one row for each dial that has ended, with times in UTC.

    is_by_id: whether an id was given. Then `options.pending` decides about a call without a record.
    """
    generation = options.generation
    row = _old_row if generation is Generation.old else _new_row
    rows = [row(call, dial) for call in calls for dial in call.ended_dials]
    if rows or not is_by_id:
        return success(generation, "OK", data=rows)
    kind = options.pending
    if kind is PendingAnswer.mixed:
        rng = random_stream(options.seed, "pending", calls[0].id if calls else "")
        kind = rng.choice([PendingAnswer.empty, PendingAnswer.not_found, PendingAnswer.queued])
    if kind is PendingAnswer.not_found:
        return error(generation, 404, "No records found")
    if kind is PendingAnswer.queued and calls:
        return success(generation, "OK", data=[_queued_row(call, generation) for call in calls])
    return success(generation, "OK", data=[])


def format_utc(at: datetime) -> str:
    """Return a time as the newer answers write `created_at`: UTC, microseconds, `Z`."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _old_row(call: AcceptedCall, dial: Dial) -> dict[str, Any]:
    seconds = dial.planned.talk_s
    return {
        "id": call.id,
        "mobile": call.request.to,
        "caller_id": call.request.bridge,
        "duration": f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}",
        "pulsing": "30",
        "status": dial.planned.outcome.value,
        "charges": f"{0.15 * -(-seconds // 30):.4f}",
        "dtmf": dial.planned.dtmf,
        "location": "IN",
        "provider": "RJ",
        "start_at": format_naive(dial.started_at, utc=True),
        "end_at": format_naive(dial.ended_at, utc=True) if dial.ended_at else None,
    }


def _new_row(call: AcceptedCall, dial: Dial) -> dict[str, Any]:
    return {
        "id": call.id,
        "channel": "outgoing",
        "from": call.request.bridge,
        "to": call.request.to,
        "created_at": format_utc(call.accepted_at),
        "foreign_id": _foreign_id(call),
        "status": dial.planned.outcome.value,
        "start_at": format_naive(dial.started_at, utc=True),
        "end_at": format_naive(dial.ended_at, utc=True) if dial.ended_at else None,
        "dtmf": dial.planned.dtmf or "",
    }


def _queued_row(call: AcceptedCall, generation: Generation) -> dict[str, Any]:
    number = "mobile" if generation is Generation.old else "to"
    return {"id": call.id, number: call.request.to, "status": "queued", "start_at": None, "end_at": None}


def _foreign_id(call: AcceptedCall) -> str | None:
    fields = call.request.fields
    return fields.get("foreign_id") or fields.get("customid") or fields.get("custom")
