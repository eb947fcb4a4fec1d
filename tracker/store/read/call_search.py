"""Finding calls: which index a list of calls is read by.

What an index gives in the order of the list is read until the page is full. Where a filter is one that this order says
nothing of, most of what is read may be passed over; so it is first seen whether another index leads to few rows, which
are then all taken and sorted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy.engine import Connection

from tracker.domain.calls import CallStatus
from tracker.domain.matching.ids import base_id_key, id_key
from tracker.store.read import index_merge
from tracker.store.read.index_merge import Condition, PageWindow, Position, Stream
from tracker.store.schema import tables as t

#: how an order is written
ORDERS: Final = ("created_at", "-created_at", "updated_at", "-updated_at")

#: so many rows are taken and sorted rather than walked past, where what is asked for may well stand in front
_FEW: Final = 2_000
#: and so many where it stands behind
_MANY: Final = 30_000

_STATUSES: Final = tuple(s.value for s in CallStatus)
#: what a call that nobody answered may have come to, where that is known
_UNANSWERED: Final = tuple(
    s.value for s in CallStatus if s.is_outcome and s not in (CallStatus.completed, CallStatus.unknown)
)
#: by what is asked: its index by created_at, and by updated_at
_INDEXES: Final = {
    "reference": ("ix_calls_reference", None),
    "to": ("ix_calls_to", None),
    "campaign": ("ix_calls_campaign", "ix_calls_campaign_changed"),
    "disputed": ("ix_calls_disputed", None),
    "status": ("ix_calls_status", "ix_calls_changed"),
    "account": ("ix_calls_account", None),
}
_TIMES: Final = ("created_at", "updated_at")


@dataclass(frozen=True, kw_only=True)
class CallFilter:
    """Which calls; None leaves a filter out."""

    status: tuple[str, ...] | None = None
    outcome: tuple[str, ...] | None = None
    settled: bool | None = None
    answered: bool | None = None
    disputed: bool | None = None
    account: str | None = None
    campaign: str | None = None
    #: E.164 with "+"; any of them
    to: tuple[str, ...] | None = None
    reference: str | None = None
    #: the provider's, in any case, with or without its suffix
    submission_id: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    updated_after: datetime | None = None


def find(connection: Connection, which: CallFilter, cut: PageWindow) -> list[Position]:
    """Where the calls that are asked for stand, in order."""
    if which.submission_id is not None:
        return _by_submission(connection, which, cut)
    index_merge.begin(connection)
    asked = _asked(which)
    # the first of these that has an index in the order of the list; without any, all calls by their statuses
    walked = next((name for name in asked if _index(name, cut.column)), "status")
    for name, at in _shortcuts(which, asked, (walked, cut.column)):
        counted = replace(_stream(which, name, at), where=[*_own(name), *_range(which, at)])
        few = _FEW if at == cut.column or _stands_in_front(which, at, cut) else _MANY
        if index_merge.is_short(connection, counted, few):
            walked, by = name, at
            break
    else:
        by = cut.column
    return index_merge.places(connection, _stream(which, walked, by), cut)


def _asked(which: CallFilter) -> list[str]:
    """What is asked for that has an index, the likely most telling first."""
    asked = [name for name in ("reference", "to") if getattr(which, name) is not None]
    asked += ["disputed"] if which.disputed else []
    asked += ["campaign"] if which.campaign is not None else []
    states = (which.status, which.outcome, which.settled, which.answered)
    asked += ["status"] if any(value is not None for value in states) else []
    return asked + (["account"] if which.account is not None else [])


def _index(name: str, at: str) -> str | None:
    return _INDEXES[name][_TIMES.index(at)]


def _shortcuts(which: CallFilter, asked: list[str], walk: tuple[str, str]) -> Iterator[tuple[str, str]]:
    """The indexes that may lead to few of the rows that are asked for, where walking may pass over many."""
    name, order = walk
    other = next(at for at in _TIMES if at != order)
    if set(asked) <= {name} and not _range(which, other):
        return  # whatever is walked is asked for
    for other_name in dict.fromkeys([*asked, "status"]):
        ranged = [at for at in _TIMES if _index(other_name, at) and _range(which, at)]
        # without a range, one index of it is as good as the other
        for at in ranged or (["created_at"] if other_name in asked else []):
            # walking it cannot pass over more than there is of it
            if (other_name, at) != walk and (ranged or other_name != name):
                yield other_name, at


def _stands_in_front(which: CallFilter, at: str, cut: PageWindow) -> bool:
    """Whether a range of the other time leaves what a list in this order begins with, for the later a call was created,
    the later it was updated, mostly."""
    after, before = (
        (which.created_after, which.created_before) if at == "created_at" else (which.updated_after, None)
    )
    return (before if cut.down else after) is None


def _stream(which: CallFilter, name: str, at: str) -> Stream:
    keys, values = _keys(which, name)
    return Stream(
        table=t.calls,
        index=_index(name, at) or "",
        keys=keys,
        at=at,
        values=values,
        where=[*_own(name), *_conditions(which, besides=name)],
    )


def _keys(which: CallFilter, name: str) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """The columns that lead an index, and what is asked of them."""
    if name == "status":
        return ("status", "settled"), _states(which)
    if name == "disputed":
        return (), [()]
    value = getattr(which, name)
    return (name,), [(each,) for each in (value if isinstance(value, tuple) else (value,))]


def _states(which: CallFilter) -> list[tuple[str, bool]]:
    """The pairs of status and settled that fit. An outcome is the status of a settled call."""
    statuses = set(_STATUSES)
    for only in (which.status, which.outcome):
        statuses &= set(_STATUSES if only is None else only)
    if which.answered is not None:
        statuses &= {CallStatus.completed.value} if which.answered else set(_UNANSWERED)
    settled = {True, False} if which.settled is None else {which.settled}
    if which.outcome is not None or which.answered is False:
        settled &= {True}
    return [(status, over) for status in _STATUSES if status in statuses for over in sorted(settled)]


def _own(name: str) -> list[Condition]:
    """The condition of a partial index that nothing else says."""
    return [("disputed", ())] if name == "disputed" else []


def _conditions(which: CallFilter, *, besides: str) -> list[Condition]:
    """All that is asked, but for what the keys of an index say."""
    found = [*_range(which, "created_at"), *_range(which, "updated_at")]
    for name in ("account", "campaign", "reference"):
        value = getattr(which, name)
        if value is not None and name != besides:
            found.append((f"{name} = ?", (value,)))
    if which.to is not None and besides != "to":
        found.append(_one_of("to", which.to))
    if which.disputed is not None and besides != "disputed":
        found.append(("disputed = ?", (which.disputed,)))
    # who was not answered may still come to be unknown, which its status does not say
    if which.answered is not None and not (which.answered and besides == "status"):
        found.append(("answered = ?", (which.answered,)))
    if besides != "status":
        found += [_one_of("status", which.status)] if which.status is not None else []
        found += [_one_of("outcome", which.outcome)] if which.outcome is not None else []
        found += [("settled = ?", (which.settled,))] if which.settled is not None else []
    return found


def _one_of(column: str, values: tuple[str, ...]) -> Condition:
    return f'"{column}" IN ({", ".join("?" * len(values))})', values


def _range(which: CallFilter, at: str) -> list[Condition]:
    if at == "created_at":
        found: list[Condition] = []
        found += [("created_at > ?", (which.created_after,))] if which.created_after is not None else []
        return found + (
            [("created_at < ?", (which.created_before,))] if which.created_before is not None else []
        )
    return [("updated_at > ?", (which.updated_after,))] if which.updated_after is not None else []


def _by_submission(connection: Connection, which: CallFilter, cut: PageWindow) -> list[Position]:
    """An id names few calls: all of them, sorted."""
    key, base = id_key(which.submission_id or ""), base_id_key(which.submission_id or "")
    # with a suffix it means one submission, or one that was given none; without it all that share it
    named = ("provider_key IN (?, ?)", (key, base)) if key != base else ("provider_base = ?", (base,))
    conditions: list[Condition] = [*_conditions(which, besides=""), *cut.behind()]
    where = "".join(f" AND {text}" for text, _ in conditions)
    found = index_merge.run(
        connection,
        f"SELECT {cut.column}, id FROM calls"  # noqa: S608
        f" WHERE id IN (SELECT call_id FROM submissions WHERE {named[0]}){where}",
        [*named[1], *(value for _, values in conditions for value in values)],
    )
    return sorted(found, reverse=cut.down)[: cut.limit]
