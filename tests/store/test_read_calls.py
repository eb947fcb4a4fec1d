"""Reading calls, their timelines and their evidence, on both databases."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.lifecycle.house import House
from tests.recording_provider import RecordingProvider, accepted
from tracker.domain.events import Event
from tracker.errors import InvalidInput, NotFound
from tracker.lifecycle.placing.place import Placer
from tracker.store.engine.database import Connection
from tracker.store.read.calls import (
    ORDERS,
    CallFilter,
    find_call_id,
    get_call,
    get_evidence,
    get_timeline,
    list_calls,
)
from tracker.store.read.cursors import Page
from tracker.store.read.views import CallView

NUMBERS = [f"+9189195252{n:02}" for n in range(24, 32)]


def read_page(
    house: House,
    *,
    order: str = "-created_at",
    limit: int = 50,
    cursor: str | None = None,
    **criteria: Any,
) -> Page[CallView]:
    """Return a page of calls."""
    query = CallFilter(**criteria)
    return house.database.read(lambda c: list_calls(c, query, order=order, limit=limit, cursor=cursor))


def read_ids(house: House, **criteria: Any) -> list[str]:
    return [call.id for call in read_page(house, **criteria).data]


def read_call(house: House, id: str) -> CallView:
    return house.database.read(lambda c: get_call(c, id))


def read_timeline(house: House, id: str) -> list[Event]:
    return house.database.read(lambda c: get_timeline(c, id))


def test_get_call_returns_wish_status_and_submissions(house: House) -> None:
    id = house.place(send=False, reference="order-42", metadata={"a": [1, None]}, variables={"otp": "123456"})
    (submission,) = house.submissions(id)
    pending = read_call(house, id)
    assert (pending.status, pending.answered, pending.submissions[0].submission_id) == ("pending", None, None)
    assert (pending.wish["metadata"], pending.wish["variables"]) == ({"a": [1, None]}, {"otp": "123456"})
    house.submit(submission.id)
    house.receive({"id": house.provider_id(id), "status": "ANSWER", "duration": "23"})
    over = read_call(house, id)
    assert (over.status, over.settled, over.answered, over.duration_s) == ("completed", True, True, 23)
    assert over.submissions[0].submission_id == house.provider_id(id)
    assert over.created_at.tzinfo is UTC
    assert over.updated_at.tzinfo is UTC


def test_get_timeline_returns_events_in_order(house: House) -> None:
    id = house.place()
    callback = house.receive({"id": house.provider_id(id), "status": "BUSY", "end_at": "2021-04-09 16:27:55"})
    events = read_timeline(house, id)
    assert [e.status for e in events if e.type == "status"] == ["submitting", "queued", "busy"]
    assert events[0].type == "decision"
    last = events[-1]
    assert (last.at, last.at_source) == (datetime(2021, 4, 9, 10, 57, 55, tzinfo=UTC), "provider")
    assert (last.matched_by, last.source, last.callback) == ("submission-id", "callback", callback)
    assert last.detail["at_as_sent"] == "2021-04-09 16:27:55"


@pytest.mark.parametrize("read", [get_call, get_timeline, get_evidence, find_call_id])
def test_reading_raises_not_found_for_an_unknown_id(
    house: House, read: Callable[[Connection, str], Any]
) -> None:
    with pytest.raises(NotFound, match="nothing_like_this"):
        house.database.read(lambda c: read(c, "nothing_like_this"))


@pytest.fixture
def six(house: House, provider: RecordingProvider) -> dict[str, str]:
    """Calls of every kind, by name."""
    provider.sends.extend([accepted("AAAA-1:1"), accepted("aaaa-1:2"), accepted("bbbb-2")])
    found = {"answered": house.place(NUMBERS[0], campaign="spring", reference="order-1")}
    house.receive({"id": "AAAA-1:1", "status": "ANSWER"})
    found["busy"] = house.place(NUMBERS[1], campaign="spring")
    house.receive({"id": "aaaa-1:2", "status": "BUSY"})
    found["disputed"] = house.place(NUMBERS[2])
    times = {"start_at": "2021-04-09 16:27:39", "end_at": "2021-04-09 16:27:41"}
    for status in ("BUSY", "NOANSWER"):
        house.receive({"id": "bbbb-2", "status": status, **times})
    found["queued"] = house.place(NUMBERS[3], reference="order-1")
    found["pending"] = house.place(NUMBERS[4], send=False)
    found["again"] = house.place(NUMBERS[0])
    return found


#: criteria, and the calls that they match
MATCHES: list[tuple[dict[str, Any], str]] = [
    ({}, "again pending queued disputed busy answered"),
    ({"status": ("queued",)}, "again queued"),
    ({"status": ("queued", "pending", "completed")}, "again pending queued answered"),
    ({"outcome": ("busy",)}, "disputed busy"),
    ({"settled": True}, "disputed busy answered"),
    ({"settled": False}, "again pending queued"),
    ({"answered": True}, "answered"),
    ({"answered": False}, "disputed busy"),
    ({"disputed": True}, "disputed"),
    ({"disputed": False}, "again pending queued busy answered"),
    ({"account": "thundersms"}, "again pending queued disputed busy answered"),
    ({"account": "another"}, ""),
    ({"campaign": "spring"}, "busy answered"),
    ({"reference": "order-1"}, "queued answered"),
    ({"to": (NUMBERS[0],)}, "again answered"),
    ({"submission_id": "aaaa-1:1"}, "answered"),
    ({"submission_id": "AAAA-1:2"}, "busy"),
    ({"submission_id": "Aaaa-1"}, "busy answered"),
    ({"submission_id": "BBBB-2"}, "disputed"),
    ({"submission_id": "bbbb-2:1"}, "disputed"),
    ({"submission_id": "aaaa"}, ""),
    ({"campaign": "spring", "answered": True}, "answered"),
]


def test_list_calls_applies_each_filter(house: House, six: dict[str, str]) -> None:
    names = {id: name for name, id in six.items()}
    for criteria, expected in MATCHES:
        found = " ".join(names[id] for id in read_ids(house, **criteria))
        assert (criteria, found) == (criteria, expected)


def test_list_calls_excludes_the_time_of_a_filter(house: House, six: dict[str, str]) -> None:
    at = {name: read_call(house, id).created_at for name, id in six.items()}
    assert read_ids(house, created_after=at["pending"]) == [six["again"]]
    assert read_ids(house, created_before=at["busy"]) == [six["answered"]]
    assert read_ids(house, created_after=at["answered"], created_before=at["disputed"]) == [six["busy"]]
    in_another_zone = at["pending"].astimezone(datetime.strptime("+0530", "%z").tzinfo)
    assert read_ids(house, created_after=in_another_zone) == [six["again"]]
    latest = max(read_call(house, id).updated_at for id in six.values())
    assert read_ids(house, updated_after=latest) == []
    assert len(read_ids(house, updated_after=latest - timedelta(days=1))) == 6


def test_pages_together_are_the_whole_list(house: House, six: dict[str, str]) -> None:
    for order, limit in itertools.product(ORDERS, (1, 4, 6, 500)):
        whole = read_page(house, order=order).data
        positions = [(getattr(call, order.removeprefix("-")), call.id) for call in whole]
        assert positions == sorted(positions, reverse=order.startswith("-"))
        seen: list[CallView] = []
        cursor = None
        while True:
            page = read_page(house, order=order, limit=limit, cursor=cursor)
            seen += page.data
            cursor = page.next_cursor
            if cursor is None:
                break
        assert seen == whole
        assert len(whole) == 6


def test_pages_stay_when_calls_are_added(house: House, six: dict[str, str]) -> None:
    first = read_page(house, limit=2)
    new = house.place(NUMBERS[5])
    second = read_page(house, limit=10, cursor=first.next_cursor)
    assert [call.id for call in [*first.data, *second.data]] == [
        six[name] for name in ("again", "pending", "queued", "disputed", "busy", "answered")
    ]
    oldest = read_page(house, order="created_at", limit=6)
    assert oldest.next_cursor is not None
    rest = read_page(house, order="created_at", cursor=oldest.next_cursor)
    assert [call.id for call in rest.data] == [new]


def test_pages_order_calls_of_the_same_time_by_id(house: House) -> None:
    now = datetime.now(UTC)
    placer = Placer(house.database, {"thundersms": house.account}, lambda: now)
    placed = [placer.place({"to": number, "flow_id": "24"}).call for number in NUMBERS[:5]]
    first = read_page(house, limit=3)
    second = read_page(house, limit=3, cursor=first.next_cursor)
    assert [call.id for call in [*first.data, *second.data]] == sorted(placed, reverse=True)


def test_cursor_of_another_list_is_refused(house: House, six: dict[str, str]) -> None:
    cursor = read_page(house, limit=1, settled=True).next_cursor
    assert cursor is not None
    assert read_page(house, settled=True, cursor=cursor).data
    forged = base64.urlsafe_b64encode(json.dumps(["x", "2026-01-01T00:00:00Z", "call_1"]).encode()).decode()
    for query, wrong in (
        ({"settled": False}, cursor),
        ({}, cursor),
        ({"settled": True, "order": "created_at"}, cursor),
        ({"settled": True}, cursor[:-2]),
        ({}, forged),
        ({}, "nonsense"),
        ({}, "\u00e4"),
        ({}, "W10"),
        ({}, "bnVsbA"),
    ):
        with pytest.raises(InvalidInput) as raised:
            read_page(house, cursor=wrong, **query)
        assert [error.field for error in raised.value.errors] == ["cursor"]


def test_find_call_id_takes_every_id_of_a_call(house: House, six: dict[str, str]) -> None:
    (submission,) = house.submissions(six["answered"])
    for id in (six["answered"], submission.id, "AAAA-1:1", "aaaa-1:1"):
        assert house.database.read(lambda c, id=id: find_call_id(c, id)) == six["answered"]  # type: ignore[misc]


def test_evidence_moves_with_a_callback(house: House, provider: RecordingProvider) -> None:
    id = house.place(variables={"otp": "123456"})
    callback = house.receive(b'{"id": "%s", "status": "BUSY"}' % house.provider_id(id).encode())
    other = house.place(NUMBERS[1])
    house.program.callback_actions.join(callback, submission=house.submissions(other)[0].id)
    evidence = house.database.read(lambda c: get_evidence(c, id))
    (exchange,) = evidence.exchanges
    assert json.loads(exchange.request_body) == provider.sent[0].json()
    assert (exchange.status, exchange.failure) == (200, None)
    assert json.loads(exchange.reply_body)["data"][0]["id"] == house.provider_id(id)
    assert "a-token-of-the-account" not in repr(evidence)
    assert evidence.callbacks == []
    assert [event.status for event in evidence.withdrawn] == ["busy"]
    assert {event.type for event in evidence.decisions} == {"decision"}
    assert "busy" not in [event.status for event in read_timeline(house, id)]
    (received,) = house.database.read(lambda c: get_evidence(c, other)).callbacks
    assert received.callback.id == callback
    assert received.request is not None
    assert json.loads(received.request.body)["status"] == "BUSY"
