"""Judges the state of the system: problems that need action now, and notes that do not.

`load_health_facts` reads what is judged; `find_problems` and `find_notes` are pure.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tracker.domain.calls import Reason
from tracker.domain.events import EventType
from tracker.domain.pause import Pause, PauseReason
from tracker.domain.time_text import format_duration
from tracker.store.engine.database import Connection
from tracker.store.inbox import states
from tracker.store.read.callbacks import CallbackFilter, list_callbacks
from tracker.store.read.calls import CallFilter, get_timeline, list_calls
from tracker.store.read.system_status import SystemStatus, load_system_status

#: seconds that a callback may wait to be joined, and that due work may wait to be done
_READ_WITHIN_S: Final = 30.0
_DONE_WITHIN_S: Final = 60.0
#: an outcome is late after this
_OUTCOME_WITHIN: Final = timedelta(minutes=15)
#: a callback in the backlog is a problem for this long, and a note afterwards
_FRESH: Final = timedelta(hours=24)
#: waiting and open calls that are looked at: one page of a list
_PAGE: Final = 500
#: of the calls that wait, the oldest whose timelines are read
_TIMELINES: Final = 50

_INBOX_BACKLOG: Final = {
    "orphaned": "{n} that could not be joined to a call{when}: look with `tracker inbox list --state orphaned`.",
    "quarantined": "{n} without the account's secret, not believed{when}: {advice}.",
    "unreadable": "{n} that cannot be read{when}: look with `tracker inbox list --state unreadable`.",
}


@dataclass(frozen=True, kw_only=True)
class HealthFacts:
    """Everything that the judgement depends on."""

    now: datetime
    status: SystemStatus
    #: state of a callback → when the newest such callback came
    newest: Mapping[str, datetime]
    #: account → when the oldest of its open submissions was sent
    oldest_open: Mapping[str, datetime]
    #: calls with an attempt that is still to be sent, at most one page of them
    waiting: int = 0
    has_more_waiting: bool = False
    #: when the first of them is due; None if none has a time
    next_at: datetime | None = None
    #: of the oldest calls that wait, those whose last attempt did not reach the provider
    unreachable: int = 0


def load_health_facts(c: Connection, accounts: Iterable[str], now: datetime) -> HealthFacts:
    """Read the facts about these accounts, by the names of their configuration."""
    accounts = list(accounts)
    waiting = list_calls(
        c, CallFilter(status=("pending", "rejected"), settled=False), order="created_at", limit=_PAGE
    )
    due = [call.next_attempt_at for call in waiting.data if call.next_attempt_at]
    return HealthFacts(
        now=now,
        status=load_system_status(c, accounts, now),
        newest=_newest_callbacks(c),
        oldest_open=_oldest_open_submissions(c, accounts),
        waiting=len(waiting.data),
        has_more_waiting=waiting.next_cursor is not None,
        next_at=min(due, default=None),
        unreachable=sum(_was_unreachable(c, call.id) for call in waiting.data[:_TIMELINES]),
    )


def _newest_callbacks(c: Connection) -> dict[str, datetime]:
    return {
        state: callback.received_at
        for state in states.STATES
        for callback in list_callbacks(c, CallbackFilter(state=state), limit=1).data
    }


def _oldest_open_submissions(c: Connection, accounts: Iterable[str]) -> dict[str, datetime]:
    oldest = {}
    for account in accounts:
        calls = list_calls(c, CallFilter(account=account, settled=False), order="created_at", limit=_PAGE)
        submissions = [s for call in calls.data for s in call.submissions if s.outcome is None]
        if sent := [s.requested_at for s in submissions if s.requested_at]:
            oldest[account] = min(sent)
    return oldest


def _was_unreachable(c: Connection, call_id: str) -> bool:
    """Whether the last attempt to send the call did not reach the provider."""
    reasons = [event.reason for event in get_timeline(c, call_id) if event.type is EventType.warning]
    return bool(reasons) and reasons[-1] == Reason.provider_unreachable


def find_problems(facts: HealthFacts) -> Iterator[str]:
    """Return a sentence for each thing that needs action now."""
    status = facts.status
    yield from (sentence for sentence, is_intended in _pauses(facts) if not is_intended)
    advice = "see the worker's log"
    if not status.workers:
        advice = "start `tracker serve` or `tracker worker`"
        yield f"No worker runs: {advice}."
    if (lag := status.lag_s) > _READ_WITHIN_S:
        yield f"A callback has been waiting for {format_duration(lag)} to be read: {advice}."
    if (late := status.oldest_job_overdue_s) > _DONE_WITHIN_S:
        yield f"Work has been due for {format_duration(late)} and is not done: {advice}."
    if n := status.unconfirmed_submissions:
        yield (
            f"{_count(n, 'submission is', 'submissions are')} unconfirmed, may have been sent, and may have rung: see "
            "`tracker calls --status unconfirmed`."
        )
    if n := facts.unreachable:
        waiting = _count(n, "call waits", "calls wait")
        yield f"The provider cannot be reached, and {waiting} for it: see `tracker doctor`."
    for account in status.accounts:
        yield from _silence(facts, account)
    yield from (sentence for sentence, is_fresh in _inbox_backlog(facts) if is_fresh)


def find_notes(facts: HealthFacts) -> Iterator[str]:
    """Return a sentence for each thing that is old or intended, and so needs no action now."""
    yield from (sentence for sentence, is_intended in _pauses(facts) if is_intended)
    yield from (sentence for sentence, is_fresh in _inbox_backlog(facts) if not is_fresh)


def _silence(facts: HealthFacts, account: str) -> Iterator[str]:
    """Tell that no callback came although one is due."""
    sent = facts.oldest_open.get(account)
    heard = facts.status.accounts[account].silent_s
    if sent is None or facts.now - sent < _OUTCOME_WITHIN:
        return
    if heard is not None and timedelta(seconds=heard) < _OUTCOME_WITHIN:
        return
    since = "ever" if heard is None else f"for {format_duration(heard)}"
    open_submissions = facts.status.accounts[account].open_submissions
    are_open = _count(open_submissions, "submission is open", "submissions are open")
    age = format_duration((facts.now - sent).total_seconds())
    yield (
        f"No callback came {since} for account {account}, although {are_open}, the oldest for {age}: see `tracker "
        "doctor`."
    )


def _pauses(facts: HealthFacts) -> Iterator[tuple[str, bool]]:
    """Return a sentence for each pause, and whether a person wanted it."""
    for pause in facts.status.paused:
        since = format_duration((facts.now - pause.since).total_seconds())
        paused = f"Dialling has been paused ({pause.scope}) for {since}"
        resume = f"`{resume_command(pause)}`"
        if pause.why is PauseReason.restored:
            yield (
                f"{paused}, because a backup was restored: see `tracker calls --status unconfirmed`, then resume with "
                f"{resume}.",
                False,
            )
        elif pause.why is PauseReason.copied:
            yield (
                f"{paused}, because `tracker db copy` has copied this database, and the copy dials instead: work "
                f"there, or resume with {resume} if the copy is not used.",
                False,
            )
        else:
            yield f"{paused}: resume with {resume}.", True


def resume_command(pause: Pause) -> str:
    """Return the command that lifts this pause, quoted for a shell."""
    scope = {"account": pause.account, "campaign": pause.campaign}
    option = next(
        (f" --{name} {shlex.quote(value)}" for name, value in scope.items() if value is not None), ""
    )
    return f"tracker pause --resume{option}"


def _inbox_backlog(facts: HealthFacts) -> Iterator[tuple[str, bool]]:
    """Return a sentence for each state with callbacks that need a person, and whether it is a problem still."""
    for state, sentence in _INBOX_BACKLOG.items():
        if not (n := facts.status.callbacks.get(state, 0)):
            continue
        at = facts.newest.get(state)
        when = f", the latest {format_duration((facts.now - at).total_seconds())} ago" if at else ""
        is_fresh, advice = at is None or facts.now - at < _FRESH, ""
        if state == "quarantined":
            suspects = [
                name for name in facts.status.accounts if is_fresh and _may_be_the_provider(facts, name)
            ]
            is_fresh, advice = bool(suspects), "look with `tracker inbox list --state quarantined`"
            if suspects:
                advice = f"compare webhook_secrets of {', '.join(suspects)} with the provider's"
        yield sentence.format(n=_count(n, "callback", "callbacks"), when=when, advice=advice), is_fresh


def _may_be_the_provider(facts: HealthFacts, account: str) -> bool:
    """Whether the latest quarantined callback may be the provider's own.

    It may if a callback was expected then and none was believed since. Otherwise it is a stranger's, and every public
    address gets some of those.
    """
    status, sent = facts.status.accounts[account], facts.oldest_open.get(account)
    refused, believed = status.last_quarantined_at, status.last_callback_at
    if refused is None or sent is None:
        return False
    return sent < refused and (believed is None or believed < refused)


def _count(n: int, one: str, several: str) -> str:
    return f"{n} {one if n == 1 else several}"
