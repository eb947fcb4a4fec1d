"""Reading the inbox, on both databases."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lifecycle.house import House
from tracker.errors import InvalidInput, NotFound
from tracker.store.read.callbacks import CallbackFilter, get_callback, list_callbacks
from tracker.store.read.cursors import Page
from tracker.store.read.views import CallbackView, RawRequest


def read_page(
    house: House, *, limit: int = 50, cursor: str | None = None, **criteria: Any
) -> Page[CallbackView]:
    """Return a page of the inbox."""
    query = CallbackFilter(**criteria)
    return house.database.read(lambda c: list_callbacks(c, query, limit=limit, cursor=cursor))


def ids(page: Page[CallbackView]) -> list[str]:
    return [callback.id for callback in page.data]


def test_callback_counts_the_callbacks_that_repeat_it(house: House) -> None:
    call = house.place()
    fields = {"id": house.provider_id(call), "status": "BUSY"}
    first = house.receive(fields)
    repeats = [house.receive(fields), house.receive(fields)]
    late = house.receive(fields, join=False)
    callbacks = {callback.id: callback for callback in read_page(house).data}
    assert list(callbacks) == [late, *reversed(repeats), first]
    assert (callbacks[first].repeats, callbacks[first].repeat_of) == (2, None)
    assert [callbacks[id].repeat_of for id in repeats] == [first, first]
    assert (callbacks[first].state, callbacks[first].call) == ("joined", call)
    assert callbacks[first].matched_by == "submission-id"
    pending = callbacks[late]
    assert (pending.state, pending.call, pending.matched_by) == ("pending", None, None)


def test_list_callbacks_applies_each_filter(house: House) -> None:
    call = house.place()
    joined = house.receive({"id": house.provider_id(call), "status": "BUSY"})
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
        ({"call": call}, [joined]),
        ({"account": "another"}, []),
        ({"account": "thundersms", "state": "joined"}, [joined]),
    ]
    for criteria, expected in expectations:
        assert (criteria, ids(read_page(house, **criteria))) == (criteria, expected)


def test_list_callbacks_pages_stay_when_others_arrive(house: House) -> None:
    old = [house.receive(b"{}") for _ in range(4)]
    first = read_page(house, limit=3)
    new = house.receive(b"{}")
    second = read_page(house, limit=3, cursor=first.next_cursor)
    assert ids(first) + ids(second) == old[::-1]
    assert second.next_cursor is None
    assert ids(read_page(house, limit=1)) == [new]
    with pytest.raises(InvalidInput):
        read_page(house, cursor=first.next_cursor, state="joined")


@pytest.mark.parametrize("body", [b"", "नमस्ते\x00".encode(), b"\xff\x00"])
def test_get_callback_returns_the_request_as_it_came(house: House, body: bytes) -> None:
    id = house.receive(body, lane="a", join=False)
    received = house.database.read(lambda c: get_callback(c, id))
    assert (received.callback.lane, received.callback.size) == ("a", len(body))
    assert received.request == RawRequest(
        method="POST", path=b"/callbacks/thundersms", query=b"", remote="127.0.0.1", body=body,
        headers=((b"content-type", b"application/json"),),
    )  # fmt: skip


def test_get_callback_raises_not_found(house: House) -> None:
    with pytest.raises(NotFound, match="nothing_like_this"):
        house.database.read(lambda c: get_callback(c, "nothing_like_this"))
