"""Callbacks of calls of which something was heard already: worked out beforehand as well, and the same comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from tests.flow.house import House
from tests.flow.test_straight import during, events, row, told
from tests.recording_provider import RecordingProvider, callstatus
from tracker.flow import joining, straight
from tracker.store import tables as t

FIRST = {"status": "BUSY", "start_at": "2026-01-05 10:00:00", "end_at": "2026-01-05 10:00:09"}
OTHER = {
    "status": "ANSWER",
    "start_at": "2026-01-05 10:05:00",
    "end_at": "2026-01-05 10:05:09",
    "duration": "9",
}
#: what may be heard behind the first, and whether it says what was said
HEARD: dict[str, tuple[dict[str, str], bool]] = {
    "the same again": (FIRST, True),
    "the same with a detail": ({**FIRST, "recording_url": "https://example.com/r.mp3"}, True),
    "the same in another zone": (
        {"status": "busy", "start_at": "2026-01-05 15:30:00", "end_at": "2026-01-05 15:30:09"},
        True,
    ),
    "another record": (OTHER, False),
    "a word that nobody knows": ({**FIRST, "status": "SOMETHING NEW"}, False),
    "that it is to ring": ({"status": "QUEUED"}, False),
}


def repeats(house: House, callbacks: list[str]) -> list[str | None]:
    with house.database.engine.connect() as c:
        rows = c.execute(sa.select(t.callbacks.c.id, t.callbacks.c.repeat_of))
        found: dict[str, str | None] = {row.id: row.repeat_of for row in rows}
    return [found[id] for id in callbacks]


def weighs_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(straight, "prepare", lambda *_: [])


@pytest.mark.parametrize("heard", HEARD)
@pytest.mark.parametrize("interval", [0, 15])
@pytest.mark.parametrize("together", [False, True], ids=["one by one", "in one batch"])
def test_straight_or_weighed_it_comes_to_the_same(
    house: House, monkeypatch: pytest.MonkeyPatch, heard: str, interval: int, together: bool
) -> None:
    more, _ = HEARD[heard]
    one, other = (house.place(to, interval=interval) for to in ("+918919525224", "+918919525225"))

    def hear(call: str) -> list[str]:
        ids = []
        for fields in (FIRST, more, more):
            house.clock.forward(seconds=1)
            ids.append(house.receive({**fields, "id": house.provider_id(call)}, join=not together))
        house.join()
        return ids

    straightly = hear(one)
    weighs_everything(monkeypatch)
    weighed = hear(other)
    assert events(house, one) == events(house, other)
    assert told(house, one) == told(house, other)
    assert row(house, t.calls, one) == row(house, t.calls, other)
    assert [s.status for s in house.submissions(one)] == [s.status for s in house.submissions(other)]
    mine = dict(zip(straightly, weighed, strict=True))
    assert [mine.get(of or "") for of in repeats(house, straightly)] == repeats(house, weighed)
    for a, b in mine.items():
        rows = [row(house, t.callbacks, id) for id in (a, b)]
        assert rows[0] | {"repeat_of": None} == rows[1] | {"repeat_of": None}


@pytest.mark.parametrize("heard", HEARD)
def test_what_is_heard_after_the_first_goes_straight(
    house: House, monkeypatch: pytest.MonkeyPatch, heard: str
) -> None:
    more, is_a_repeat = HEARD[heard]
    call = house.place()
    first = house.receive({**FIRST, "id": house.provider_id(call)})
    house.clock.forward(seconds=1)
    second = house.receive({**more, "id": house.provider_id(call)}, join=False)
    assert during(monkeypatch, house, lambda: None) == [{second}]
    assert house.standing(second).state == "joined"
    assert repeats(house, [first, second]) == [None, first if is_a_repeat else None]


def test_several_in_one_batch_go_straight_together(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    call = house.place()
    record = {**FIRST, "id": house.provider_id(call)}
    three = [house.receive(record, join=False) for _ in range(3)]
    assert during(monkeypatch, house, lambda: None) == [set(three)]
    assert repeats(house, three) == [None, three[0], three[0]]
    assert [e.status for e in house.timeline(call).events if e.source == "callback"] == ["initiated", "busy"]


def test_what_came_first_but_is_read_last_is_weighed(
    house: House, provider: RecordingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider was asked meanwhile, and its answer was written first: the fact gets another first witness."""
    call = house.place()
    record = {**FIRST, "id": house.provider_id(call)}
    early = house.receive(record, join=False)
    house.clock.forward(seconds=5)
    provider.polls.append(callstatus(record))
    asyncio.run(house.program.asker.ask(house.submissions(call)[0].id))
    assert during(monkeypatch, house, lambda: None) == []
    assert house.standing(early).state == "joined"
    assert {e.callback for e in house.timeline(call).events if e.status == "busy"} == {early}


def _joined_meanwhile(house: House, provider: RecordingProvider, call: str) -> None:
    house.receive({**OTHER, "id": house.provider_id(call)}, join=False)
    house.program.joiner.join_pending()


def _asked_meanwhile(house: House, provider: RecordingProvider, call: str) -> None:
    provider.polls.append(callstatus({**OTHER, "id": house.provider_id(call)}))
    asyncio.run(house.program.asker.ask(house.submissions(call)[0].id))


def _canceled_meanwhile(house: House, provider: RecordingProvider, call: str) -> None:
    house.program.operator.cancel(call)


@pytest.mark.parametrize("meanwhile", [_joined_meanwhile, _asked_meanwhile, _canceled_meanwhile])
@pytest.mark.parametrize("heard", HEARD)
def test_what_was_worked_out_from_less_than_is_known_now_is_weighed(
    house: House,
    provider: RecordingProvider,
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: Callable[[House, RecordingProvider, str], None],
    heard: str,
) -> None:
    more, _ = HEARD[heard]
    call = house.place(interval=15)
    first = house.receive({**FIRST, "id": house.provider_id(call)})
    second = house.receive({**more, "id": house.provider_id(call)}, join=False)
    written = during(monkeypatch, house, lambda: meanwhile(house, provider, call))
    assert written[-1] == set()
    assert house.standing(second).state == "joined"
    before = events(house, call), repeats(house, [first, second])
    house.database.write(lambda c: house.program.joiner.weigh_again(c, "thundersms", [first, second]))
    assert (events(house, call), repeats(house, [first, second])) == before


def test_where_many_hold_no_more_some_are_weighed_and_the_others_come_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would read all that is known of its call again, while nobody else may write."""
    monkeypatch.setattr(joining, "_MOST", 2)
    monkeypatch.setattr(joining, "_FEWEST", 2)
    call = house.place(interval=15)
    first = house.receive({**FIRST, "id": house.provider_id(call)})
    many = [house.receive({**FIRST, "id": house.provider_id(call)}, join=False) for _ in range(5)]
    assert during(monkeypatch, house, lambda: house.program.operator.cancel(call)) == [set()]
    assert [house.standing(id).state for id in many] == [*["joined"] * 2, *["pending"] * 3]
    house.join()
    assert {house.standing(id).state for id in many} == {"joined"}
    assert repeats(house, many) == [first] * 5


def test_a_repeat_leaves_its_call_as_it_was(house: House) -> None:
    """Whoever asks what changed since then is not told of it."""
    call = house.place()
    house.receive({**FIRST, "id": house.provider_id(call)})

    def updated_at() -> Any:
        with house.database.engine.connect() as c:
            return c.scalar(sa.select(t.calls.c.updated_at).where(t.calls.c.id == call))

    before = updated_at()
    house.clock.forward(minutes=1)
    house.receive({**FIRST, "id": house.provider_id(call)})
    assert updated_at() == before
