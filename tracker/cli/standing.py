"""What is wrong with the way the work stands, one sentence for each thing. Pure: it judges what it is given."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from tracker.cli.moments import length
from tracker.domain.pause import PauseReason
from tracker.domain.time_text import from_iso

Document = Mapping[str, Any]

#: seconds that a callback may wait for being read, and work for being done
_READ_WITHIN_S: Final = 30.0
_DONE_WITHIN_S: Final = 60.0
#: an outcome is late after this
_OUTCOME_WITHIN: Final = timedelta(minutes=15)
#: what lies in the inbox is a problem of today, and a note afterwards
_FRESH: Final = timedelta(hours=24)

_LYING = {
    "orphaned": "{n} that could not be joined to a call{when}: look with `tracker inbox list --state orphaned`",
    "quarantined": "{n} without the account's secret, not believed{when}: {advice}",
    "unreadable": "{n} that cannot be read{when}: look with `tracker inbox list --state unreadable`",
}


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is judged."""

    now: datetime
    #: of `store.standing`
    standing: Document
    #: state → when the newest such callback came
    newest: Mapping[str, datetime]
    #: account → when the oldest of its open submissions was sent
    oldest_open: Mapping[str, datetime]
    #: calls of which an attempt is to be sent yet; more: there are more than were counted
    waiting: int = 0
    waiting_more: bool = False
    #: when the first of them is due, where it has a time
    next_at: datetime | None = None
    #: of the oldest of them, those whose last try found no provider
    unreachable: int = 0


def problems(facts: Facts) -> Iterator[str]:
    """What somebody should do something about now."""
    standing = facts.standing
    lag, late = standing["lag_s"], standing["oldest_job_overdue_s"]
    yield from (sentence for sentence, meant in _paused(facts) if not meant)
    advice = "see the worker's log"
    if not standing["workers"]:
        advice = "start `tracker serve` or `tracker worker`"
        yield f"No worker runs: {advice}"
    if lag > _READ_WITHIN_S:
        yield f"A callback waits for {length(lag)} to be read: {advice}"
    if late > _DONE_WITHIN_S:
        yield f"Work is due for {length(late)} and not done: {advice}"
    if n := standing["unconfirmed_submissions"]:
        yield (
            f"{_many(n, 'submission is', 'submissions are')} unconfirmed, may have been sent, and may have rung: see "
            "`tracker calls --status unconfirmed`"
        )
    if n := facts.unreachable:
        yield (
            f"The provider cannot be reached, and {_many(n, 'call waits', 'calls wait')} for it: see `tracker doctor`"
        )
    for account, told in standing["accounts"].items():
        yield from _silence(facts, account, told)
    yield from (sentence for sentence, fresh in _lying(facts) if fresh)


def notes(facts: Facts) -> Iterator[str]:
    """What lies there for longer, and what somebody wanted so."""
    yield from (sentence for sentence, meant in _paused(facts) if meant)
    standing = facts.standing
    if standing["incomplete_copy"] and all(p["why"] != PauseReason.copying for p in standing["paused"]):
        yield "This database is a copy that is not complete, and dialling goes on in it all the same"
    yield from (sentence for sentence, fresh in _lying(facts) if not fresh)


def _silence(facts: Facts, account: str, told: Document) -> Iterator[str]:
    sent = facts.oldest_open.get(account)
    heard = told["silent_s"]
    if sent is None or facts.now - sent < _OUTCOME_WITHIN:
        return
    if heard is not None and timedelta(seconds=heard) < _OUTCOME_WITHIN:
        return
    since = "ever" if heard is None else f"for {length(heard)}"
    open_ = _many(told["open_submissions"], "submission is", "submissions are")
    waits = length((facts.now - sent).total_seconds())
    yield (
        f"No callback came {since} for account {account}, whose {open_} open, the oldest for {waits}: "
        "see `tracker doctor`"
    )


def _paused(facts: Facts) -> Iterator[tuple[str, bool]]:
    for pause in facts.standing["paused"]:
        since = length((facts.now - from_iso(pause["since"])).total_seconds())
        told = f"Dialling is paused ({pause['scope']}) for {since}"
        lift = f"`{lifting(pause)}` lets it go on"
        if pause["why"] == PauseReason.restored:
            told += ", because a backup was restored: see `tracker calls --status unconfirmed`, and then"
            yield f"{told} {lift}", False
        elif pause["why"] == PauseReason.copying:
            yield (
                f"{told}, because this database is a copy that is not complete: run `tracker db copy` again",
                False,
            )
        else:
            yield f"{told}: {lift}", True


def lifting(pause: Document) -> str:
    """The command that lifts this pause."""
    scope = {"account": pause["account"], "campaign": pause["campaign"]}
    option = next((f" --{name} {shlex.quote(word)}" for name, word in scope.items() if word is not None), "")
    return f"tracker pause --resume{option}"


def _lying(facts: Facts) -> Iterator[tuple[str, bool]]:
    for state, sentence in _LYING.items():
        if not (n := facts.standing["callbacks"].get(state, 0)):
            continue
        at = facts.newest.get(state)
        when = f", the latest {length((facts.now - at).total_seconds())} ago" if at else ""
        fresh, advice = at is None or facts.now - at < _FRESH, ""
        if state == "quarantined":
            doubted = [
                name for name in facts.standing["accounts"] if fresh and _may_be_the_provider(facts, name)
            ]
            fresh, advice = bool(doubted), "look with `tracker inbox list --state quarantined`"
            if doubted:
                advice = f"compare webhook_secrets of {', '.join(doubted)} with the provider's"
        told = sentence.format(n=_many(n, "callback", "callbacks"), when=when, advice=advice)
        yield told, fresh


def _may_be_the_provider(facts: Facts, account: str) -> bool:
    """Whether the latest that was not believed may be the provider's own: a callback was to be expected, and none was
    believed since. Else it is a stranger's, of whom everybody has some."""
    told, sent = facts.standing["accounts"][account], facts.oldest_open.get(account)
    if told["last_quarantined_at"] is None or sent is None:
        return False
    refused = from_iso(told["last_quarantined_at"])
    believed = from_iso(told["last_callback_at"]) if told["last_callback_at"] else None
    return sent < refused and (believed is None or believed < refused)


def _many(n: int, one: str, several: str) -> str:
    return f"{n} {one if n == 1 else several}"
