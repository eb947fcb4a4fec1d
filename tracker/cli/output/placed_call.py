"""Describes a call that was just placed, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from tracker.cli.output.formatting import format_time
from tracker.cli.output.text import escape_control
from tracker.domain.pause import Pause, PauseReason
from tracker.domain.time_text import format_duration
from tracker.lifecycle.operations.health_report import resume_command

Document = Mapping[str, Any]

_WORKER: Final = "a running `tracker serve` or `tracker worker`"
#: what is behind the reason of a call that was canceled before it was sent
_CANCEL_CAUSES: Final = {
    "not-allowed": ": the number is not in the account's allow_to",
    "dialling-off": ': the account has dialling = "off"',
}


def country_code_warning(text: str, number: str) -> str | None:
    """Return a warning if the number was typed without its country code, or may have been; None otherwise.

    text: the number as typed. number: the number that is called, in E.164.
    """
    if "+" in text or "".join(c for c in text if c.isdigit()) == number.lstrip("+"):
        return None
    return f"{text} is understood as {number}. To be sure, write a number with + and its country code."


def find_pause(call: Document, pauses: Iterable[Pause]) -> Pause | None:
    """Return the pause for which a call waits; None if it does not wait for one."""
    if call["status"] != "pending":
        return None
    matching = (
        p for p in pauses if p.account in (None, call["account"]) and p.campaign in (None, call["campaign"])
    )
    return next(matching, None)


def pause_warning(pause: Pause) -> str:
    """Say that nothing is sent during this pause, and how to lift it."""
    paused = f"Dialling is paused ({escape_control(pause.scope)}), so nothing is sent"
    if pause.why is not PauseReason.operator:
        return f"{paused}. `tracker status` says why, and what to do before you resume."
    return f"{paused}. Resume with `{resume_command(pause)}`."


def describe_placed_call(
    call: Document, pause: Pause | None = None, *, utc: bool = False
) -> tuple[str, bool]:
    """Return one sentence about the state of a call, and whether its request was sent or may be.

    pause: the pause for which it waits. utc: write times in UTC.
    """
    subject, status, reason = f"{call['id']} to {call['to']}", call["status"], call.get("reason")
    why = f", {reason}" if reason else ""
    if status == "rejected" and (call["settled"] or not call.get("next_attempt_at")):
        rejected = f"{subject} was rejected by the provider{why}. No phone rings"
        return f"{rejected}; see `tracker show {call['id']}`.", False
    if status == "canceled" and reason != "caller-hung-up":
        return f"{subject} was not sent{why}{_CANCEL_CAUSES.get(str(reason), '')}.", False
    if status == "failed" and reason == "provider-unreachable":
        return f"{subject} was not sent: the provider cannot be reached. See `tracker doctor`.", False
    return escape_control(f"{subject} is {status}{_progress(call, pause, why, utc=utc)}"), True


def _progress(call: Document, pause: Pause | None, why: str, *, utc: bool) -> str:
    """Return the rest of the sentence about a call whose request was sent or may still be."""
    if pause is not None:
        return f" because dialling is paused. Once you resume, {_WORKER} sends it."
    if call.get("next_attempt_at") and not call["settled"]:
        return f"{why}; {_WORKER} sends it from {format_time(call['next_attempt_at'], utc=utc)} on."
    if call["status"] == "pending":
        return f"; {_WORKER} will send it."
    if call["status"] == "unconfirmed":
        return f"{why}: it may be ringing, so it is not sent again. A callback may bring the outcome."
    if call["status"] == "queued":
        return f": the provider accepted it as {call['submissions'][-1]['submission_id']}."
    if call.get("duration_s") is not None:
        return f"{why}: answered, {format_duration(call['duration_s'])}."
    return f"{why}."
