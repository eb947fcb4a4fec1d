"""What commands ask of the database, as the documents of the interface."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from tracker.cli import given
from tracker.cli.standing import Facts
from tracker.domain.calls import OUTCOMES, CallStatus, Reason
from tracker.domain.documents import Document
from tracker.domain.time_text import from_iso
from tracker.store.engine.database import Connection
from tracker.store.inbox import states
from tracker.store.read import callbacks, system_status
from tracker.store.read import calls as queries
from tracker.store.read.callbacks import CallbackFilter
from tracker.store.read.calls import CallFilter

#: as many as one question to the inbox gives
_MOST = 500
#: of those that wait, the oldest whose timelines are read
_LOOKED_AT = 50


def call_and_timeline(c: Connection, call_id: str) -> tuple[Document, list[Document]]:
    """A call and its events in order, as they are at one moment. Raises NotFound."""
    return queries.get_call(c, call_id), queries.timeline(c, call_id)


def callbacks_of(c: Connection, call_id: str) -> list[Document]:
    """The callbacks of a call, newest first."""
    return callbacks.list_callbacks(c, CallbackFilter(call=call_id), limit=_MOST).data


def facts(c: Connection, accounts: Iterable[str], now: datetime) -> Facts:
    """How the work stands, for `standing.problems`."""
    accounts = list(accounts)
    newest, oldest_open = {}, {}
    for state in states.STATES:
        for callback in callbacks.list_callbacks(c, CallbackFilter(state=state), limit=1).data:
            newest[state] = from_iso(callback["received_at"])
    for account in accounts:
        calls = queries.list_calls(
            c, CallFilter(account=account, settled=False), order="created_at", limit=_MOST
        )
        submissions = [s for call in calls.data for s in call["submissions"] if s["outcome"] is None]
        if sent := [from_iso(s["requested_at"]) for s in submissions if s["requested_at"]]:
            oldest_open[account] = min(sent)
    waiting = queries.list_calls(
        c, CallFilter(status=("pending", "rejected"), settled=False), order="created_at", limit=_MOST
    )
    due = [from_iso(call["next_attempt_at"]) for call in waiting.data if call["next_attempt_at"]]
    return Facts(
        now=now,
        standing=system_status.system_status(c, accounts, now),
        newest=newest,
        oldest_open=oldest_open,
        waiting=len(waiting.data),
        waiting_more=waiting.next_cursor is not None,
        next_at=min(due, default=None),
        unreachable=sum(_was_unreachable(c, call["id"]) for call in waiting.data[:_LOOKED_AT]),
    )


def _was_unreachable(c: Connection, call_id: str) -> bool:
    """Whether the last try to send it found nobody."""
    reasons = [e["reason"] for e in queries.timeline(c, call_id) if e["type"] == "warning"]
    return bool(reasons) and reasons[-1] == Reason.provider_unreachable


def call_filter(asked: Mapping[str, Any]) -> CallFilter:
    """The filter for what was given as options. Raises ValueError, which says what is allowed."""
    wanted: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    for name, allowed in (("status", frozenset(CallStatus)), ("outcome", OUTCOMES)):
        if name in wanted:
            wanted[name] = tuple(_one_of(name, word.strip(), allowed) for word in wanted[name].split(","))
    if "to" in wanted:
        wanted["to"] = (given.in_option("--to", given.a_number, wanted["to"]),)
    for name in ("created_after", "created_before", "updated_after"):
        if name in wanted:
            wanted[name] = given.in_option(f"--{name.replace('_', '-')}", _moment, wanted[name])
    which = CallFilter(**wanted)
    if which.created_after and which.created_before and which.created_after > which.created_before:
        raise ValueError("--created-after is later than --created-before, so that no call can fit")
    return which


def callback_filter(state: str | None, account: str | None, call: str | None) -> CallbackFilter:
    """The same for the inbox."""
    if state is not None and state not in states.STATES:
        raise ValueError(f"--state: there is no {state!r}; there are {', '.join(states.STATES)}")
    return CallbackFilter(state=state, account=account, call=call)


def not_configured(account: str | None, accounts: Iterable[str]) -> str | None:
    """What to say of a list of an account that is not configured (any more); None where there is nothing to say."""
    known = sorted(accounts)
    if account is None or account in known:
        return None
    return f"{account} is not configured; configured: {', '.join(known) or 'none'}."


def _one_of(name: str, word: str, allowed: frozenset[CallStatus]) -> str:
    known = [status.value for status in CallStatus if status in allowed]
    if word not in known:
        raise ValueError(f"--{name}: there is no {word!r}; there are {', '.join(known)}")
    return word


def _moment(text: str) -> datetime:
    return from_iso(given.a_moment(text))
