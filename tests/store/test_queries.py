"""Reading calls, their timelines and evidence, and the inbox: the documents of the interface, on both databases."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.lifecycle.house import House
from tests.recording_provider import RecordingProvider, accepted
from tracker.domain.time_text import from_iso
from tracker.errors import InvalidInput, NotFound
from tracker.store.read import callbacks
from tracker.store.read import calls as queries
from tracker.store.read.callbacks import CallbackFilter
from tracker.store.read.calls import ORDERS, CallFilter

NUMBERS = [f"+9189195252{n:02}" for n in range(24, 32)]

CALL = {
    "id", "account", "to", "bridge", "flow_id", "audio", "variables", "metadata", "name", "interval", "webhook_id",
    "campaign", "reference", "rule", "policy", "not_before", "not_after", "status", "outcome", "reason", "settled",
    "disputed", "answered", "attempts", "duration_s", "started_at", "ended_at", "next_attempt_at", "cancel_requested",
    "recording_url", "dtmf", "charges", "created_at", "updated_at", "submissions",
}  # fmt: skip
SUBMISSION = {
    "id", "number", "trigger", "status", "outcome", "submission_id", "lane", "requested_at", "accepted_at",
}  # fmt: skip
EVENT = {
    "id", "position", "call", "submission", "type", "status", "at", "at_source", "recorded_at", "source",
    "provider_status", "reason", "matched_by", "callback", "detail",
}  # fmt: skip
ITEM = {
    "id", "account", "lane", "state", "reason", "received_at", "method", "size", "repeats", "repeat_of", "matched_by",
    "call", "submission",
}  # fmt: skip


@pytest.fixture
def provider() -> Iterator[RecordingProvider]:
    with RecordingProvider() as server:
        yield server


@pytest.fixture
def house(database_url: str, provider: RecordingProvider) -> Iterator[House]:
    opened = House(database_url, provider.base_url)
    yield opened
    opened.close()


def calls(
    house: House, *, order: str = "-created_at", limit: int = 50, cursor: str | None = None, **which: Any
) -> Any:
    return house.database.read(
        lambda c: queries.list_calls(c, CallFilter(**which), order=order, limit=limit, cursor=cursor)
    )


def ids(house: House, **which: Any) -> list[str]:
    return [call["id"] for call in calls(house, **which).data]


def inbox(house: House, *, limit: int = 50, cursor: str | None = None, **which: Any) -> Any:
    return house.database.read(
        lambda c: callbacks.list_callbacks(c, CallbackFilter(**which), limit=limit, cursor=cursor)
    )


def call_of(house: House, id: str) -> Any:
    return house.database.read(lambda c: queries.get_call(c, id))


def found_by(house: House, id: str) -> str:
    return house.database.read(lambda c: queries.find_call(c, id))


# documents


def test_a_call_has_every_key_at_every_time_of_its_life(house: House) -> None:
    id = house.place(send=False, reference="order-42", metadata={"a": [1, None]}, variables={"otp": "123456"})
    (submission,) = house.submissions(id)
    pending = call_of(house, id)
    assert (set(pending), set(pending["submissions"][0])) == (CALL, SUBMISSION)
    assert (pending["status"], pending["answered"], pending["submissions"][0]["submission_id"]) == (
        "pending",
        None,
        None,
    )
    assert (pending["metadata"], pending["variables"]) == ({"a": [1, None]}, {"otp": "123456"})
    house.submit(submission.id)
    house.receive({"id": house.provider_id(id), "status": "ANSWER", "duration": "23"})
    over = call_of(house, id)
    assert (set(over), set(over["submissions"][0])) == (CALL, SUBMISSION)
    assert (over["status"], over["settled"], over["answered"], over["duration_s"]) == (
        "completed",
        True,
        True,
        23,
    )
    assert over["submissions"][0]["submission_id"] == house.provider_id(id)
    for name in ("created_at", "updated_at"):
        assert over[name].endswith("Z")
        assert from_iso(over[name]).tzinfo is UTC
    json.dumps(over)


def test_an_event_has_every_key_and_stands_in_order(house: House) -> None:
    id = house.place()
    house.receive({"id": house.provider_id(id), "status": "BUSY", "end_at": "2021-04-09 16:27:55"})
    events = house.database.read(lambda c: queries.timeline(c, id))
    assert all(set(e) == EVENT for e in events)
    assert [e["status"] for e in events if e["type"] == "status"] == ["submitting", "queued", "busy"]
    first, last = events[0], events[-1]
    assert (first["type"], first["at_source"], first["position"]) == ("decision", None, None)
    assert (last["at"], last["at_source"]) == ("2021-04-09T10:57:55Z", "provider")
    assert (last["matched_by"], last["source"]) == ("submission-id", "callback")
    assert last["detail"]["at_as_sent"] == "2021-04-09 16:27:55"
    assert last["callback"] == inbox(house).data[0]["id"]


def test_what_does_not_exist_is_not_found(house: House) -> None:
    for read in (
        queries.get_call,
        queries.timeline,
        queries.evidence,
        callbacks.get_callback,
        queries.find_call,
    ):
        with pytest.raises(NotFound, match="nothing_like_this"):
            house.database.read(lambda c, read=read: read(c, "nothing_like_this"))  # type: ignore[misc]


# lists of calls


@pytest.fixture
def six(house: House, provider: RecordingProvider) -> dict[str, str]:
    """Calls of every kind, by name."""
    provider.sends.extend([accepted("AAAA-1:1"), accepted("aaaa-1:2"), accepted("bbbb-2")])
    found = {"answered": house.place(NUMBERS[0], campaign="spring", reference="order-1")}
    house.receive({"id": "AAAA-1:1", "status": "ANSWER"})
    found["busy"] = house.place(NUMBERS[1], campaign="spring")
    house.receive({"id": "aaaa-1:2", "status": "BUSY"})
    found["disputed"] = house.place(NUMBERS[2])
    for word in ("BUSY", "NOANSWER"):
        house.receive(
            {
                "id": "bbbb-2",
                "status": word,
                "start_at": "2021-04-09 16:27:39",
                "end_at": "2021-04-09 16:27:41",
            }
        )
    found["queued"] = house.place(NUMBERS[3], reference="order-1")
    found["pending"] = house.place(NUMBERS[4], send=False)
    found["again"] = house.place(NUMBERS[0])
    return found


#: a filter, and the calls that it finds
FOUND: list[tuple[dict[str, Any], str]] = [
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


def test_each_filter_finds_what_it_says(house: House, six: dict[str, str]) -> None:
    shown = {id: name for name, id in six.items()}
    for which, names in FOUND:
        assert (which, " ".join(shown[id] for id in ids(house, **which))) == (which, names)


def test_filters_by_time_leave_the_moment_itself_out(house: House, six: dict[str, str]) -> None:
    at = {name: from_iso(call_of(house, id)["created_at"]) for name, id in six.items()}
    assert ids(house, created_after=at["pending"]) == [six["again"]]
    assert ids(house, created_before=at["busy"]) == [six["answered"]]
    assert ids(house, created_after=at["answered"], created_before=at["disputed"]) == [six["busy"]]
    # the same moment in another zone
    later = at["pending"].astimezone(datetime.strptime("+0530", "%z").tzinfo)
    assert ids(house, created_after=later) == [six["again"]]
    latest = max(from_iso(call_of(house, id)["updated_at"]) for id in six.values())
    assert ids(house, updated_after=latest) == []
    assert len(ids(house, updated_after=latest - timedelta(days=1))) == 6


def test_pages_together_are_the_whole_list(house: House, six: dict[str, str]) -> None:
    for order, limit in itertools.product(ORDERS, (1, 4, 6, 500)):
        whole = calls(house, order=order).data
        column = order.removeprefix("-")
        times = [(from_iso(c[column]), c["id"]) for c in whole]
        assert times == sorted(times, reverse=order.startswith("-"))
        seen, cursor = [], None
        while True:
            page = calls(house, order=order, limit=limit, cursor=cursor)
            seen += page.data
            cursor = page.next_cursor
            if cursor is None:
                break
        assert seen == whole
        assert len(whole) == 6


def test_rows_that_are_added_move_no_page(house: House, six: dict[str, str]) -> None:
    first = calls(house, limit=2)
    new = house.place(NUMBERS[5])
    second = calls(house, limit=10, cursor=first.next_cursor)
    assert [c["id"] for c in first.data + second.data] == [
        six[n] for n in ("again", "pending", "queued", "disputed", "busy", "answered")
    ]
    oldest = calls(house, order="created_at", limit=6)
    assert oldest.next_cursor is not None
    assert [c["id"] for c in calls(house, order="created_at", cursor=oldest.next_cursor).data] == [new]


def test_calls_of_one_moment_are_paged_by_id(house: House) -> None:
    now = datetime.now(UTC)
    house.program.placer._clock = lambda: now
    placed = [house.place(number, send=False) for number in NUMBERS[:5]]
    first = calls(house, limit=3)
    second = calls(house, limit=3, cursor=first.next_cursor)
    assert [c["id"] for c in first.data + second.data] == sorted(placed, reverse=True)


def test_a_cursor_belongs_to_its_question(house: House, six: dict[str, str]) -> None:
    cursor = calls(house, limit=1, settled=True).next_cursor
    assert calls(house, settled=True, cursor=cursor).data
    forged = base64.urlsafe_b64encode(json.dumps(["x", "2026-01-01T00:00:00Z", "call_1"]).encode()).decode()
    for which, given in (
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
        with pytest.raises(InvalidInput) as wrong:
            calls(house, cursor=given, **which)
        assert [e.field for e in wrong.value.errors] == ["cursor"]


def test_a_call_is_found_by_every_id_that_means_it(house: House, six: dict[str, str]) -> None:
    (submission,) = house.submissions(six["answered"])
    for id in (six["answered"], submission.id, "AAAA-1:1", "aaaa-1:1"):
        assert found_by(house, id) == six["answered"]


# evidence


def test_the_evidence_is_everything_that_was_said(house: House, provider: RecordingProvider) -> None:
    id = house.place(variables={"otp": "123456"})
    callback = house.receive(b'{"id": "%s", "status": "BUSY"}' % house.provider_id(id).encode())
    moved = house.place(NUMBERS[1])
    house.program.callback_actions.join(callback, submission=house.submissions(moved)[0].id)
    evidence = house.database.read(lambda c: queries.evidence(c, id))
    assert set(evidence) == {"call", "exchanges", "callbacks", "decisions", "withdrawn"}
    (sent,) = evidence["exchanges"]
    assert json.loads(sent["request"]["body"]) == provider.sent[0].json()
    assert sent["request"]["body_encoding"] == "utf-8"
    assert (sent["reply"]["status"], sent["failure"]) == (200, None)
    assert json.loads(sent["reply"]["body"])["data"][0]["id"] == house.provider_id(id)
    assert "a-token-of-the-account" not in json.dumps(evidence)
    assert evidence["callbacks"] == []
    assert [e["status"] for e in evidence["withdrawn"]] == ["busy"]
    assert {e["type"] for e in evidence["decisions"]} == {"decision"}
    here = house.database.read(lambda c: queries.evidence(c, moved))
    assert [c["id"] for c in here["callbacks"]] == [callback]
    assert json.loads(here["callbacks"][0]["request"]["body"])["status"] == "BUSY"
    assert "busy" not in [e["status"] for e in house.database.read(lambda c: queries.timeline(c, id))]


# the inbox


def test_an_item_has_exactly_these_keys_and_counts_its_repeats(house: House) -> None:
    id = house.place()
    fields = {"id": house.provider_id(id), "status": "BUSY"}
    first = house.receive(fields)
    repeats = [house.receive(fields), house.receive(fields)]
    late = house.receive(fields, join=False)
    items = {item["id"]: item for item in inbox(house).data}
    assert all(set(item) == ITEM for item in items.values())
    assert list(items) == [late, *reversed(repeats), first]
    assert (items[first]["repeats"], items[first]["repeat_of"]) == (2, None)
    assert [items[r]["repeat_of"] for r in repeats] == [first, first]
    assert (items[first]["state"], items[first]["call"]) == ("joined", id)
    assert items[first]["matched_by"] == "submission-id"
    assert (items[late]["state"], items[late]["call"], items[late]["matched_by"]) == ("pending", None, None)


def test_the_inbox_is_filtered_and_paged(house: House) -> None:
    id = house.place()
    joined = house.receive({"id": house.provider_id(id), "status": "BUSY"})
    orphan = house.receive({"id": "nobodys", "status": "BUSY"})
    broken = house.receive(b"{")
    new = house.receive(b"{}", join=False)
    expectations: list[tuple[dict[str, Any], list[str]]] = [
        ({}, [new, broken, orphan, joined]),
        ({"state": "joined"}, [joined]),
        ({"state": "orphaned"}, [orphan]),
        ({"state": "unreadable"}, [broken]),
        ({"state": "pending"}, [new]),
        ({"state": "quarantined"}, []),
        ({"call": id}, [joined]),
        ({"account": "another"}, []),
        ({"account": "thundersms", "state": "joined"}, [joined]),
    ]
    for which, expected in expectations:
        assert [item["id"] for item in inbox(house, **which).data] == expected
    first = inbox(house, limit=3)
    later = house.receive(b"{}")
    rest = inbox(house, limit=3, cursor=first.next_cursor)
    assert [item["id"] for item in first.data + rest.data] == [new, broken, orphan, joined]
    assert rest.next_cursor is None
    assert inbox(house, limit=1).data[0]["id"] == later
    with pytest.raises(InvalidInput):
        inbox(house, cursor=first.next_cursor, state="joined")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", ("", "utf-8")),
        ("नमस्ते\x00".encode(), ("नमस्ते\x00", "utf-8")),
        (b"\xff\x00", (base64.b64encode(b"\xff\x00").decode(), "base64")),
    ],
)
def test_a_callback_is_shown_as_it_came(house: House, body: bytes, told: tuple[str, str]) -> None:
    id = house.receive(body, lane="a", join=False)
    shown = house.database.read(lambda c: callbacks.get_callback(c, id))
    assert set(shown) == ITEM | {"request", "fingerprint"}
    assert shown["lane"] == "a"
    assert shown["request"] == {
        "method": "POST", "path": "/callbacks/thundersms", "query": "", "remote": "127.0.0.1",
        "headers": [["content-type", "application/json"]], "body": told[0], "body_encoding": told[1],
    }  # fmt: skip
