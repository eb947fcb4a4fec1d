"""What was seen, counted from what the tracker and the provider said, and whether it is what the story has.

Pure: documents in, a document out. Nothing is known beforehand but the story itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tracker.cli.demo.performance import Performance, Scene
from tracker.cli.demo.receipts import early_by, form_of, has_id, overtaken

Document = Mapping[str, Any]

#: what the tracker must say of a dial that the simulated provider ended with this word
_STATUS_OF: Final = {
    "ANSWER": "completed", "COMPLETED": "completed", "RECEIVED": "completed", "MISSED": "completed",
    "BUSY": "busy", "NOANSWER": "no-answer", "CANCEL": "canceled", "CONGESTION": "failed", "CHANUNAVAIL": "failed",
}  # fmt: skip


def summarise(seen: Performance) -> dict[str, Any]:
    """The summary as one document; `missing` says in sentences what the story has and was not seen."""
    calls = [s.call for s in seen.scenes if s.call is not None]
    events = [e for s in seen.scenes for e in s.events]
    inbox = [c for c in seen.callbacks if c["reason"] != "handshake"]
    summary: dict[str, Any] = {
        "simulated": True,
        "calls": _calls(seen.scenes, calls, events),
        "callbacks": _callbacks(inbox, seen.scenes),
        "provider": _provider(seen, calls),
        "handshakes": len(seen.callbacks) - len(inbox),
        "took_s": round(seen.took_s, 1),
    }
    missing = [sentence for sentence, there in _wanted(seen, summary) if not there]
    told = [_told(scene) for scene in seen.scenes]
    return {
        "verdict": _verdict(summary, missing),
        "complete": not missing,
        "missing": missing,
        **summary,
        "story": told,
    }


def _calls(scenes: Sequence[Scene], calls: Sequence[Document], events: Sequence[Document]) -> dict[str, Any]:
    submissions = [s for call in calls for s in call["submissions"]]
    unconfirmed = {e["call"] for e in events if e["status"] == "unconfirmed"}
    return {
        "asked_for": len(scenes),
        "placed": len(calls),
        "settled": sum(bool(call["settled"]) for call in calls),
        "by_status": _counted(call["status"] for call in calls),
        "by_reason": _counted(call["reason"] for call in calls if call["reason"]),
        "disputed": sum(bool(call["disputed"]) for call in calls),
        "sent_again_after_429": sum(s["trigger"] == "resend" for s in submissions),
        "without_clear_answer": len(unconfirmed),
        "requests_repeated_safely": sum(scene.replayed for scene in scenes),
    }


def _callbacks(inbox: Sequence[Document], scenes: Sequence[Scene]) -> dict[str, Any]:
    joined = [c for c in inbox if c["state"] == "joined"]
    calls = {s.call["id"]: s.call for s in scenes if s.call is not None}
    warned = [s for s in scenes if any(e["type"] == "warning" and e["reason"] == "zone" for e in s.events)]
    return {
        "received": len(inbox),
        "by_state": _counted(c["state"] for c in inbox),
        "joined": len(joined),
        "orphaned": sum(c["state"] == "orphaned" for c in inbox),
        "repeats": sum(c["repeat_of"] is not None for c in joined),
        "early": sum(early_by(c, calls[c["call"]]) is not None for c in joined),
        "without_id": sum(not has_id(c) for c in joined),
        "out_of_order": sum(len(overtaken(inbox, s.events)) for s in scenes),
        "in_another_zone": len(warned),
        "matched_by": _counted(c["matched_by"] for c in joined),
        "forms": _counted(form_of(c) for c in inbox),
        "unreadable": [{"id": c["id"], "reason": c["reason"]} for c in inbox if c["state"] == "unreadable"],
    }


def _provider(seen: Performance, calls: Sequence[Document]) -> dict[str, Any]:
    """The other side's records, beside ours."""
    reported = [d for call in seen.dialled for d in call["callbacks"]]
    dialled = Counter(call["number"] for call in seen.dialled)
    ours = {call["to"].lstrip("+"): call for call in calls}
    agree = [
        number for number, call in ours.items()
        if number in dialled and call["outcome"] in _said_of(seen.dialled, number)
    ]  # fmt: skip
    return {
        "calls_accepted": len(dialled),
        "accepted_twice": sum(n > 1 for n in dialled.values()),
        "callbacks_answered_200": sum(d["status_code"] == 200 for d in reported),
        "callbacks_not_answered_200": sum(d["status_code"] != 200 for d in reported),
        "outcomes_that_agree": len(agree),
    }


def _said_of(dialled: Iterable[Document], number: str) -> set[str]:
    return {_STATUS_OF[call["outcome"]] for call in dialled if call["number"] == number}


def _wanted(seen: Performance, summary: Document) -> Iterable[tuple[str, bool]]:
    """What the story has, each with whether it was seen."""
    calls, callbacks, provider = summary["calls"], summary["callbacks"], summary["provider"]
    status, reason, state, form = (
        calls["by_status"],
        calls["by_reason"],
        callbacks["by_state"],
        callbacks["forms"],
    )
    unsettled = [f"#{s.part.position:02}" for s in seen.scenes if not s.settled]
    yield f"every call is settled (these are not: {', '.join(unsettled)})", not unsettled
    for wanted in ("completed", "busy", "no-answer", "failed", "canceled", "rejected"):
        yield f"a call is {wanted}", status.get(wanted, 0) > 0
    for wanted in ("congestion", "channel-unavailable", "caller-hung-up", "insufficient-balance", "operator"):
        yield f"a call has the reason {wanted}", reason.get(wanted, 0) > 0
    yield "no call is disputed", calls["disputed"] == 0
    yield "a call is sent again after a 429", calls["sent_again_after_429"] > 0
    yield "a call without a clear answer is resolved", calls["without_clear_answer"] > 0
    yield "a repeated request places no second call", calls["requests_repeated_safely"] > 0
    yield "a callback comes twice", callbacks["repeats"] > 0
    yield "a callback comes before the provider's answer", callbacks["early"] > 0
    yield "a callback without an id is joined", callbacks["without_id"] > 0
    yield "callbacks come out of order", callbacks["out_of_order"] > 0
    yield "a callback in another zone is warned of", callbacks["in_another_zone"] > 0
    for wanted in ("GET", "PUT", "form", "JSON"):
        yield f"a callback comes as {wanted}", form.get(wanted, 0) > 0
    yield "a callback cannot be read, and is kept", state.get("unreadable", 0) > 0
    rest = {s: n for s, n in state.items() if s not in ("joined", "unreadable")}
    yield f"every callback that can be read is joined (others: {rest})", not rest
    yield (
        f"every callback that was answered 200 is in the inbox ({callbacks['received']} are)",
        provider["callbacks_answered_200"] == callbacks["received"],
    )
    yield "every callback is answered 200", provider["callbacks_not_answered_200"] == 0
    yield "no call is placed twice", provider["accepted_twice"] == 0
    yield (
        f"every outcome is what the provider dialled ({provider['outcomes_that_agree']} are)",
        provider["outcomes_that_agree"] == provider["calls_accepted"],
    )


def _verdict(summary: Document, missing: Sequence[str]) -> str:
    calls, callbacks = summary["calls"], summary["callbacks"]
    unreadable = callbacks["by_state"].get("unreadable", 0)
    but = f"all joined but {unreadable} unreadable, which is kept" if unreadable else "all joined"
    if callbacks["joined"] + unreadable != callbacks["received"]:
        but = f"{callbacks['joined']} joined"
    settled = f"{calls['settled']} calls settled, {callbacks['received']} callbacks received, {but}"
    return (
        f"{settled}; but not all of the story was seen."
        if missing
        else f"{settled}; none lost, no call placed twice."
    )


def _told(scene: Scene) -> dict[str, Any]:
    call = scene.call or {}
    return {
        "position": scene.part.position,
        "title": scene.part.title,
        **{name: call.get(name) for name in ("id", "to", "status", "reason", "settled", "attempts")},
        "events": len(scene.events),
    }


def _counted(words: Iterable[Any]) -> dict[str, int]:
    return dict(Counter(str(word) for word in words).most_common())
