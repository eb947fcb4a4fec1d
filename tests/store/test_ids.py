"""Ids: sortable by time, strictly rising, and never the same twice."""

from __future__ import annotations

import os
import re
import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.store import ids
from tracker.store.ids import Ids, first_id_at, new_id, receipt_id

ID = re.compile(r"[0-9a-hjkmnp-tv-z]{26}", re.ASCII)
moments = st.integers(min_value=0, max_value=2**48 - 1)


def milliseconds(id: str) -> int:
    """What an id says of its time."""
    return sum(ids._ALPHABET.index(c) << 5 * (9 - n) for n, c in enumerate(id[-26:-16]))


@given(st.lists(moments, min_size=1, max_size=50))
def test_they_rise_whatever_the_clock_says(clock: list[int]) -> None:
    fresh = Ids()
    made = [fresh.next(ms) for ms in clock]
    assert all(ID.fullmatch(each) for each in made)
    assert all(earlier < later for earlier, later in pairwise(made))
    # one that is made while the clock is behind goes with the latest
    assert [milliseconds(each) for each in made] == [max(clock[: n + 1]) for n in range(len(clock))]


@given(moments, st.integers(min_value=0, max_value=2**80 - 1))
def test_they_rise_over_every_border_of_their_bits(ms: int, chance: int) -> None:
    fresh = Ids()
    fresh._start(ms, ms << 80 | chance)
    made = [fresh.next(ms) for _ in range(3)]
    assert made == sorted(set(made))


def test_within_a_millisecond_a_million_rise() -> None:
    fresh = Ids()
    last = fresh.next(1)
    fresh._low = ids._LOW - 2
    for _ in range(5):
        last, before = fresh.next(1), last
        assert last > before


@pytest.mark.parametrize(
    "at", [datetime(2026, 11, 25, 17, 0, 0, 1000 * n + 999, UTC) for n in (0, 1, 123, 999)]
)
def test_a_receipt_carries_the_millisecond_in_which_it_came(
    at: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ids, "_receipts", Ids())
    assert milliseconds(receipt_id(at)) == (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
        milliseconds=1
    )


def test_an_id_of_now_carries_the_millisecond() -> None:
    before = datetime.now(UTC)
    id = new_id("call")
    assert id.startswith("call_")
    assert 0 <= milliseconds(id) / 1000 - before.timestamp() + 0.001 < 60


def test_threads_never_get_the_same() -> None:
    fresh = Ids()
    made: list[list[str]] = [[] for _ in range(4)]
    threads = [
        threading.Thread(target=lambda mine=mine: mine.extend(fresh.next(5) for _ in range(5000)))
        for mine in made
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(mine == sorted(mine) for mine in made)
    assert len({id for mine in made for id in mine}) == 20_000


def test_a_forked_process_makes_others() -> None:
    fresh = Ids()
    fresh.next(7)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, fresh.next(7).encode())
        os._exit(0)
    os.waitpid(child, 0)
    there = os.read(read, 100).decode()
    os.close(read)
    os.close(write)
    assert ID.fullmatch(there)
    assert there[:-4] != fresh.next(7)[:-4]


@given(moments, moments)
def test_the_first_one_of_a_moment_stands_between_those_before_and_those_after(one: int, other: int) -> None:
    def at(ms: int) -> datetime:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms % 2**47)

    made = "cb_" + Ids().next(other % 2**47)
    assert (first_id_at("cb", at(one)) <= made) == (at(one) <= at(other))
