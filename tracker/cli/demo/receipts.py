"""What can be told of callbacks from how they came: in which form, how early, overtaken by which. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tracker.domain.time_text import from_iso

Document = Mapping[str, Any]

#: what the story's webhooks call the provider's submission id
_ID: Final = "call_id"
#: seconds: from when on a callback is late, and from when on it is rather a wrong time zone
_LATE_S: Final = 3
_DOUBTFUL_S: Final = 900


def form_of(callback: Document) -> str:
    """GET, PUT, form or JSON. callback: as `GET /api/v1/callbacks/{id}` gives it, with its request."""
    if callback["method"] != "POST":
        return str(callback["method"])
    types = (value for name, value in callback["request"]["headers"] if name.lower() == "content-type")
    return "form" if "form" in next(types, "") else "JSON"


def has_id(callback: Document) -> bool:
    """Whether it says which submission it is about. callback: with its request."""
    request = callback["request"]
    return _ID in f"{request['query']} {request['body']}"


def early_by(callback: Document, call: Document) -> float | None:
    """Seconds by which it came before the provider's answer to the submission it is joined to; None: it did not."""
    for submission in call["submissions"]:
        if submission["id"] == callback["submission"] and submission["accepted_at"]:
            lead = from_iso(submission["accepted_at"]) - from_iso(callback["received_at"])
            return lead.total_seconds() if lead.total_seconds() > 0 else None
    return None


def late_by(callback: Document, call: Document) -> float | None:
    """Seconds between the end of its call and its receipt, where that is long; None where it is not, or in doubt."""
    if not call["ended_at"]:
        return None
    late_s = (from_iso(callback["received_at"]) - from_iso(call["ended_at"])).total_seconds()
    return late_s if _LATE_S <= late_s <= _DOUBTFUL_S else None


def overtaken(callbacks: Iterable[Document], events: Sequence[Document]) -> list[Document]:
    """The outcomes of one call that came in after a later one, in the order of the events."""
    received = {c["id"]: from_iso(c["received_at"]) for c in callbacks}
    outcomes = [
        e for e in events if e["type"] == "status" and e["provider_status"] and e["callback"] in received
    ]
    return [
        a for a in outcomes
        if any(
            from_iso(a["at"]) < from_iso(b["at"]) and received[b["callback"]] < received[a["callback"]]
            for b in outcomes
        )
    ]  # fmt: skip


def notes(call: Document, events: Sequence[Document], callbacks: Sequence[Document]) -> list[str]:
    """What the order of the timeline hides, one sentence each: it is the order of life, not that of receipt."""
    found = []
    for callback in callbacks:
        if lead := early_by(callback, call):
            found.append(f"The callback came {lead * 1000:.0f} ms before the provider's answer.")
        if late := late_by(callback, call):
            found.append(f"The callback came {late:.0f} s after the call had ended.")
    for event in overtaken(callbacks, events):
        found.append(f'"{event["provider_status"]}" came in after the outcome that followed it.')
    return found
