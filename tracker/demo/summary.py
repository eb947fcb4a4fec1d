"""Counts what came of the calls of the demo, from what the tracker and the simulated provider report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Document = Mapping[str, Any]


def callback_remarks(callback: Document, call: Document) -> list[str]:
    """Return what is special about a callback that is joined to this call: `repeat`, `without-id`, `early`.

    An early callback came before the provider's answer to the request that places the call.
    """
    accepted_at = {s["id"]: s["accepted_at"] for s in call["submissions"]}[callback["submission"]]
    remarks = {
        "repeat": callback["repeat_of"] is not None,
        "without-id": callback["matched_by"] in ("number-and-time", "twin"),
        "early": accepted_at is not None and callback["received_at"] < accepted_at,
    }
    return [name for name, is_so in remarks.items() if is_so]


def summarize(
    calls: Sequence[tuple[Document, Sequence[Document]]],
    callbacks: Sequence[Document],
    provider_calls: Sequence[Document],
    *,
    replayed: int,
) -> dict[str, Any]:
    """Return the summary of a demo as one JSON document.

    calls: each with its events. replayed: how many repeated requests were answered with the call of the first request.
    """
    by_id = {call["id"]: call for call, _ in calls}
    submissions = [s for call, _ in calls for s in call["submissions"]]
    joined = [callback for callback in callbacks if callback["call"] in by_id]
    posted = [callback["status_code"] for call in provider_calls for callback in call["callbacks"]]

    def calls_with(is_wanted: Callable[[Document], bool]) -> int:
        return sum(any(map(is_wanted, events)) for _, events in calls)

    return {
        "simulated": True,
        "calls": {
            "placed": len(calls),
            "settled": sum(call["settled"] for call, _ in calls),
            "by_status": _count(call["status"] for call, _ in calls),
        },
        "callbacks": {
            "received": len(callbacks),
            "by_state": _count(c["reason"] if c["state"] == "orphaned" else c["state"] for c in callbacks),
            "matched_by": _count(c["matched_by"] for c in joined),
            "remarks": _count(remark for c in joined for remark in callback_remarks(c, by_id[c["call"]])),
            "in_another_zone": calls_with(lambda event: event["reason"] == "zone"),
        },
        "sending": {
            "repeated_without_second_call": replayed,
            "sent_again_after_429": sum(s["trigger"] == "resend" for s in submissions),
            "without_clear_answer": calls_with(lambda event: event["status"] == "unconfirmed"),
            "provider_asked": calls_with(lambda event: event["source"] == "poll"),
        },
        "provider": {
            "accepted": len(provider_calls),
            "callbacks_answered_200": posted.count(200),
            "callbacks_not_answered_200": len(posted) - posted.count(200),
        },
    }


def _count(words: Iterable[str]) -> dict[str, int]:
    return dict(Counter(words).most_common())
