"""Finds the calls of a list, by the index that reads the fewest rows.

An index that has the order of the list is read until the page is full. If a filter says nothing about that order, most
of what is read may be skipped. So it is checked first whether another index leads to few rows, which are then all read
and sorted.
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

_STATUSES: Final = tuple(s.value for s in CallStatus)
#: statuses that a call known not to be answered can have
_UNANSWERED: Final = tuple(
    s.value for s in CallStatus if s.is_outcome and s not in (CallStatus.completed, CallStatus.unknown)
)
#: by criterion: its index by created_at, and by updated_at
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
    """A filter of calls. None leaves a criterion out."""

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


@dataclass(frozen=True, kw_only=True)
class SortLimits:
    """How many rows are read and sorted rather than skipped in the order of the list."""

    #: if matching rows may well stand at the front of the list
    front: int = 2_000
    #: if they stand behind
    behind: int = 30_000


def find_positions(
    connection: Connection, query: CallFilter, window: PageWindow, limits: SortLimits
) -> list[Position]:
    """Return the positions of the calls of a page, in order."""
    if query.submission_id is not None:
        return _find_by_submission(connection, query, window)
    index_merge.prepare(connection)
    criteria = _indexed_criteria(query)
    # the first of these that has an index in the order of the list; without any, all calls by their statuses
    criterion = next((name for name in criteria if _index(name, window.column)), "status")
    time = window.column
    for other, other_time in _alternatives(query, criteria, (criterion, time)):
        counted = replace(
            _stream(query, other, other_time), where=[*_index_condition(other), *_range(query, other_time)]
        )
        is_at_front = other_time == window.column or _may_be_at_front(query, other_time, window)
        if index_merge.has_at_most(connection, counted, limits.front if is_at_front else limits.behind):
            criterion, time = other, other_time
            break
    return index_merge.read_positions(connection, _stream(query, criterion, time), window)


def _indexed_criteria(query: CallFilter) -> list[str]:
    """Return the criteria that have an index, the probably most selective first."""
    criteria = [name for name in ("reference", "to") if getattr(query, name) is not None]
    criteria += ["disputed"] if query.disputed else []
    criteria += ["campaign"] if query.campaign is not None else []
    states = (query.status, query.outcome, query.settled, query.answered)
    criteria += ["status"] if any(value is not None for value in states) else []
    return criteria + (["account"] if query.account is not None else [])


def _index(criterion: str, time: str) -> str | None:
    return _INDEXES[criterion][_TIMES.index(time)]


def _alternatives(query: CallFilter, criteria: list[str], scan: tuple[str, str]) -> Iterator[tuple[str, str]]:
    """Return the indexes that may lead to few matching rows, if the scan of a list may skip many.

    scan: the criterion and the time of the index that has the order of the list.
    """
    criterion, order = scan
    other_time = next(time for time in _TIMES if time != order)
    if set(criteria) <= {criterion} and not _range(query, other_time):
        return  # every row that is scanned matches
    for other in dict.fromkeys([*criteria, "status"]):
        ranged = [time for time in _TIMES if _index(other, time) and _range(query, time)]
        # without a range, one index of a criterion is as good as the other
        for time in ranged or (["created_at"] if other in criteria else []):
            # the scan of a criterion skips no more rows than the criterion has
            if (other, time) != scan and (ranged or other != criterion):
                yield other, time


def _may_be_at_front(query: CallFilter, time: str, window: PageWindow) -> bool:
    """Return whether a range of the other time keeps the rows that a list in this order begins with.

    It mostly does if it is open at that end, because calls that are created later are updated later.
    """
    after, before = (
        (query.created_after, query.created_before) if time == "created_at" else (query.updated_after, None)
    )
    return (before if window.down else after) is None


def _stream(query: CallFilter, criterion: str, time: str) -> Stream:
    keys, values = _keys(query, criterion)
    return Stream(
        table=t.calls,
        index=_index(criterion, time) or "",
        keys=keys,
        at=time,
        values=values,
        where=[*_index_condition(criterion), *_conditions(query, besides=criterion)],
    )


def _keys(query: CallFilter, criterion: str) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Return the columns that lead an index, and the values that they must have."""
    if criterion == "status":
        return ("status", "settled"), _states(query)
    if criterion == "disputed":
        return (), [()]
    value = getattr(query, criterion)
    return (criterion,), [(each,) for each in (value if isinstance(value, tuple) else (value,))]


def _states(query: CallFilter) -> list[tuple[str, bool]]:
    """Return the matching pairs of status and settled. An outcome is the status of a settled call."""
    statuses = set(_STATUSES)
    for allowed in (query.status, query.outcome):
        statuses &= set(_STATUSES if allowed is None else allowed)
    if query.answered is not None:
        statuses &= {CallStatus.completed.value} if query.answered else set(_UNANSWERED)
    settled = {True, False} if query.settled is None else {query.settled}
    if query.outcome is not None or query.answered is False:
        settled &= {True}
    return [(status, over) for status in _STATUSES if status in statuses for over in sorted(settled)]


def _index_condition(criterion: str) -> list[Condition]:
    """Return the condition of a partial index that no key repeats."""
    return [("disputed", ())] if criterion == "disputed" else []


def _conditions(query: CallFilter, *, besides: str) -> list[Condition]:
    """Return the conditions of all criteria, without those that the keys of an index fulfil."""
    found = [*_range(query, "created_at"), *_range(query, "updated_at")]
    for name in ("account", "campaign", "reference"):
        value = getattr(query, name)
        if value is not None and name != besides:
            found.append((f"{name} = ?", (value,)))
    if query.to is not None and besides != "to":
        found.append(_one_of("to", query.to))
    if query.disputed is not None and besides != "disputed":
        found.append(("disputed = ?", (query.disputed,)))
    # a call that was not answered may end as unknown, so its status does not tell
    if query.answered is not None and not (query.answered and besides == "status"):
        found.append(("answered = ?", (query.answered,)))
    if besides != "status":
        found += [_one_of("status", query.status)] if query.status is not None else []
        found += [_one_of("outcome", query.outcome)] if query.outcome is not None else []
        found += [("settled = ?", (query.settled,))] if query.settled is not None else []
    return found


def _one_of(column: str, values: tuple[str, ...]) -> Condition:
    return f'"{column}" IN ({", ".join("?" * len(values))})', values


def _range(query: CallFilter, time: str) -> list[Condition]:
    bounds = [("updated_at > ?", query.updated_after)]
    if time == "created_at":
        bounds = [("created_at > ?", query.created_after), ("created_at < ?", query.created_before)]
    return [(text, (at,)) for text, at in bounds if at is not None]


def _find_by_submission(connection: Connection, query: CallFilter, window: PageWindow) -> list[Position]:
    """Return the calls of a provider's id. They are few, so all are read and sorted."""
    key, base = id_key(query.submission_id or ""), base_id_key(query.submission_id or "")
    # with a suffix it means one submission, or one whose id came without; without it all that share it
    named = ("provider_key IN (?, ?)", (key, base)) if key != base else ("provider_base = ?", (base,))
    conditions: list[Condition] = [*_conditions(query, besides=""), *window.conditions()]
    where = "".join(f" AND {text}" for text, _ in conditions)
    found = index_merge.run(
        connection,
        f"SELECT {window.column}, id FROM calls"  # noqa: S608
        f" WHERE id IN (SELECT call_id FROM submissions WHERE {named[0]}){where}",
        [*named[1], *(value for _, values in conditions for value in values)],
    )
    return sorted(found, reverse=window.down)[: window.limit]
