"""Callbacks of calls of which something was heard already: worked out beforehand as well, and the same comes of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa

from tests import oracle
from tests.lifecycle.house import House
from tests.lifecycle.test_straight import during, events, row, told
from tests.processes import eventually
from tests.recording_provider import RecordingProvider, accepted, callstatus
from tracker.domain.calls import Submission
from tracker.lifecycle.joining import fast_path, joiner
from tracker.lifecycle.timeline import event_writer
from tracker.providers.base import HttpResponse
from tracker.store.calls import records
from tracker.store.engine.database import Connection
from tracker.store.inbox import preconditions, states
from tracker.store.maintenance import prune
from tracker.store.schema import tables as t

FIRST = {"status": "BUSY", "start_at": "2026-01-05 10:00:00", "end_at": "2026-01-05 10:00:09"}
OTHER = {
    "status": "ANSWER",
    "start_at": "2026-01-05 10:05:00",
    "end_at": "2026-01-05 10:05:09",
    "duration": "9",
}
JSON = ((b"content-type", b"application/json"),)
#: of a call's second attempt
SECOND_ID = "0123dd3a-4d9f-46a4-8a3c-30d3b1c3f2ba:1"
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
    monkeypatch.setattr(fast_path, "prepare", lambda *_: [])


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
    asyncio.run(house.program.poller.poll(house.submissions(call)[0].id))
    assert during(monkeypatch, house, lambda: None) == []
    assert house.standing(early).state == "joined"
    assert {e.callback for e in house.timeline(call).events if e.status == "busy"} == {early}


def _joined_meanwhile(house: House, provider: RecordingProvider, call: str) -> None:
    house.receive({**OTHER, "id": house.provider_id(call)}, join=False)
    house.program.joiner.join_pending()


def _asked_meanwhile(house: House, provider: RecordingProvider, call: str) -> None:
    provider.polls.append(callstatus({**OTHER, "id": house.provider_id(call)}))
    asyncio.run(house.program.poller.poll(house.submissions(call)[0].id))


def _canceled_meanwhile(house: House, provider: RecordingProvider, call: str) -> None:
    house.program.call_actions.cancel(call)


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
    monkeypatch.setattr(joiner, "_MOST", 2)
    monkeypatch.setattr(joiner, "_FEWEST", 2)
    call = house.place(interval=15)
    first = house.receive({**FIRST, "id": house.provider_id(call)})
    many = [house.receive({**FIRST, "id": house.provider_id(call)}, join=False) for _ in range(5)]
    assert during(monkeypatch, house, lambda: house.program.call_actions.cancel(call)) == [set()]
    assert [house.standing(id).state for id in many] == [*["joined"] * 2, *["pending"] * 3]
    house.join()
    assert {house.standing(id).state for id in many} == {"joined"}
    assert repeats(house, many) == [first] * 5


def test_a_repeat_leaves_its_call_as_it_was(house: House) -> None:
    """Whoever asks what changed since then is not told of it."""
    call = house.place()
    house.receive({**FIRST, "id": house.provider_id(call)})

    before = updated_at(house, call)
    house.clock.forward(minutes=1)
    house.receive({**FIRST, "id": house.provider_id(call)})
    assert updated_at(house, call) == before


def updated_at(house: House, call: str) -> datetime:
    with house.database.engine.connect() as c:
        found = c.scalar(sa.select(t.calls.c.updated_at).where(t.calls.c.id == call))
    assert isinstance(found, datetime)
    return found


@pytest.mark.parametrize("heard_before", [False, True])
def test_what_is_written_is_dated_when_it_is_written(
    house: House, monkeypatch: pytest.MonkeyPatch, heard_before: bool
) -> None:
    """However long ago it was worked out: whoever asked what changed until now was told all."""
    one, other = (house.place(to, interval=15) for to in ("+918919525224", "+918919525225"))
    if heard_before:
        house.receive({**FIRST, "id": house.provider_id(one)})
    house.receive({**OTHER, "id": house.provider_id(one)}, join=False)

    def meanwhile() -> None:
        house.clock.forward(seconds=5)
        house.program.call_actions.cancel(other)

    assert during(monkeypatch, house, meanwhile) != [set()]
    assert updated_at(house, one) > updated_at(house, other)
    recorded = {e.recorded_at for e in house.timeline(one).events if e.provider_status == "ANSWER"}
    assert recorded == {updated_at(house, one)}


def test_where_one_of_a_call_falls_all_of_it_fall(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows was worked out from all of them together."""
    call = house.place()
    busy = house.receive({**FIRST, "id": house.provider_id(call)}, join=False)
    answered = house.receive({**OTHER, "id": house.provider_id(call)}, join=False)

    def another_process_closes_it() -> None:
        closed = states.MatchState(id=answered, state=states.IGNORED)
        house.database.write(lambda c: states.write_match_states(c, [closed]))

    assert during(monkeypatch, house, another_process_closes_it) == [set()]
    assert house.standing(busy).state == "joined"
    assert house.standing(answered).state == "ignored"
    assert row(house, t.calls, call)["status"] == house.timeline(call).status == "busy"


def test_nothing_of_what_fell_is_written(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of the call nor of its submission, also where its callbacks are not weighed at once."""
    monkeypatch.setattr(joiner, "_MOST", 1)
    monkeypatch.setattr(joiner, "_FEWEST", 1)
    call = house.place(interval=15)
    house.receive({**FIRST, "id": house.provider_id(call)})
    for fields in (FIRST, OTHER):
        house.receive({**fields, "id": house.provider_id(call)}, join=False)
    assert during(monkeypatch, house, lambda: house.program.call_actions.cancel(call)) == [set()]
    timeline = house.timeline(call)
    assert timeline.status != "completed"
    assert row(house, t.calls, call)["status"] == timeline.status
    assert [s.status for s in house.submissions(call)] == [timeline.submissions[0].status]
    house.join()
    assert row(house, t.calls, call)["status"] == "completed"


@pytest.mark.parametrize("more", [{}, {"dtmf": "1"}], ids=["the same", "and more"])
def test_an_earlier_one_that_is_read_late_tells_what_a_later_one_told(
    house: House, monkeypatch: pytest.MonkeyPatch, more: dict[str, str]
) -> None:
    """So an event of the later one is another, or none any more, and the earlier one is weighed."""
    call = house.place()
    record = {**FIRST, "id": house.provider_id(call)}
    detail = {**record, "recording_url": "https://example.com/r.mp3"}
    house.receive(record)
    house.clock.forward(seconds=1)
    early = house.receive({**detail, **more}, join=False)
    house.clock.forward(seconds=1)
    _join_only(house, house.receive(detail, join=False))
    monkeypatch.delattr(joiner.Joiner, "_join_in_parts")  # nothing has to be tried again
    assert during(monkeypatch, house, lambda: None) == []
    assert house.standing(early).state == "joined"
    told = [e.callback for e in house.timeline(call).events if e.detail.get("recording_url")]
    assert told == [early]


def test_an_earlier_one_that_is_read_late_stands_for_what_a_poll_said_first(
    house: House, provider: RecordingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The callback that stood for it so far repeats this one now."""
    call = house.place()
    provider.polls.append(callstatus({**FIRST, "id": house.provider_id(call)}))
    # in Indian time
    times = {"start_at": "2026-01-05 15:30:00", "end_at": "2026-01-05 15:30:09"}
    record = {**FIRST, **times, "id": house.provider_id(call)}
    asyncio.run(house.program.poller.poll(house.submissions(call)[0].id))
    house.clock.forward(seconds=1)
    early = house.receive(record, join=False)
    house.clock.forward(seconds=1)
    later = house.receive(record, join=False)
    _join_only(house, later)
    assert repeats(house, [early, later]) == [None, None]
    assert during(monkeypatch, house, lambda: None) == []
    assert repeats(house, [early, later]) == [None, early]


def _join_only(house: House, callback: str) -> None:
    """As another process might."""
    house.program.joiner._join_in_parts([callback])
    assert house.standing(callback).state == "joined"


def test_what_comes_while_a_call_is_read_is_noticed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known is counted before it is read."""
    call = house.place(interval=15)
    house.receive({**FIRST, "id": house.provider_id(call)})
    second = house.receive({**OTHER, "id": house.provider_id(call)}, join=False)
    real = event_writer.follow

    def follow(*given: Any) -> Any:
        found = real(*given)
        house.program.call_actions.cancel(call)
        return found

    monkeypatch.setattr(fast_path, "follow", follow)
    assert during(monkeypatch, house, lambda: None) == [set()]
    assert house.standing(second).state == "joined"
    assert house.timeline(call).cancel_requested
    assert row(house, t.calls, call)["cancel_requested"]


def test_a_call_that_is_removed_while_it_is_read_costs_only_itself(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = [house.place(to) for to in ("+918919525224", "+918919525225")]
    for call in calls:
        house.receive({**FIRST, "id": house.provider_id(call)})
    callbacks = [house.receive({**FIRST, "id": house.provider_id(call)}, join=False) for call in calls]
    real = preconditions.known

    def known(c: Any, ids: Any) -> Any:
        found = real(c, ids)
        house.database.write(lambda c: prune.remove_calls(c, calls[:1], house.clock()))
        return found

    monkeypatch.setattr(preconditions, "known", known)
    assert during(monkeypatch, house, lambda: None) == [{callbacks[1]}]
    assert house.standing(callbacks[1]).state == "joined"


@pytest.mark.parametrize("weighed", [False, True], ids=["straight", "weighed"])
@pytest.mark.parametrize("retried", [False, True], ids=["two calls", "two attempts"])
def test_two_dials_of_one_number_in_one_batch(
    house: House, monkeypatch: pytest.MonkeyPatch, weighed: bool, retried: bool
) -> None:
    """What waits for the number since the earlier one is seen, whichever stands last in the batch."""
    if weighed:
        weighs_everything(monkeypatch)
    call = house.place()
    earlier = house.provider_id(call)
    loose = house.receive({**OTHER, "status": "NOANSWER", "to": "918919525224"})
    assert house.standing(loose).matched_by == "number-and-time"
    house.clock.forward(seconds=5)
    if retried:
        house.submit(house.program.call_actions.retry(call, force=True).submission)
    later = house.provider_id(call if retried else house.place())
    # the exact record of the earlier one contradicts what was taken for its record
    house.receive({**OTHER, "id": earlier}, join=False)
    house.clock.forward(seconds=1)
    house.receive({**FIRST, "id": later}, join=False)
    house.join()
    before = house.standing(loose)
    house.database.write(lambda c: house.program.joiner.weigh_again(c, "thundersms", [loose]))
    assert house.standing(loose).state == before.state
    assert not house.timeline(call).disputed


def test_it_is_worked_out_by_indexes(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL's statistics know nothing of what came since they were made."""
    call = house.place()
    house.receive({**FIRST, "id": house.provider_id(call)})
    house.receive({**FIRST, "id": house.provider_id(call)}, join=False)
    real, seen = preconditions.known, []

    def known(c: Any, ids: Any) -> Any:
        if not house.database.is_sqlite:
            seen.append(c.exec_driver_sql("SHOW enable_seqscan").scalar_one())
        return real(c, ids)

    monkeypatch.setattr(preconditions, "known", known)
    house.join()
    assert set(seen) == (set() if house.database.is_sqlite else {"off"})


def test_what_moves_between_two_attempts_of_a_call_is_noticed(
    house: House, provider: RecordingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may change no event of the call, but what the next callback of the first attempt repeats."""
    call = house.place()
    first = house.submissions(call)[0]
    provider.polls.append(callstatus({"id": first.submission_id, "status": "BUSY"}))
    asyncio.run(house.program.poller.poll(first.id))
    second = house.program.call_actions.retry(call, force=True).submission
    claim = house.program.sender.claim(second)
    assert claim is not None
    said = house.receive({"custom": second, "status": "BUSY"})
    moves = house.receive({"id": SECOND_ID, "parent_id": first.submission_id, "status": "BUSY"})
    assert house.standing(moves).submission == first.id
    again = house.receive({"id": first.submission_id, "status": "BUSY"}, join=False)
    looks: list[Submission] = []
    look_for = house.program.joiner.look_for
    monkeypatch.setattr(house.program.joiner, "look_for", lambda s, **_: looks.append(s))
    answer = HttpResponse(status=200, headers=JSON, body=accepted(SECOND_ID).body)
    house.program.sender.record_response(claim, answer, house.clock())
    during(monkeypatch, house, lambda: look_for(looks[0]))
    house.join()
    assert house.standing(moves).submission == second
    assert repeats(house, [moves, again]) == [said, None]
    assert oracle.find_differences(house.database, house.program.accounts) == []


@pytest.mark.parametrize("straightly", [True, False], ids=["straight", "weighed"])
def test_what_waits_for_a_lock_is_dated_behind_it(
    postgres_database: str, provider: RecordingProvider, monkeypatch: pytest.MonkeyPatch, straightly: bool
) -> None:
    """One call of a batch is locked by somebody; another of it must not be dated before what was seen meanwhile."""
    house = House(postgres_database, provider.base_url)
    held, waits, seen = (house.place(f"+91891952522{n}", interval=15) for n in range(3))
    if not straightly:
        weighs_everything(monkeypatch)
    for call in (held, waits):
        house.receive({**FIRST, "id": house.provider_id(call)}, join=False)
    joining_thread = threading.Thread(target=house.join)

    def hold(c: Connection) -> None:
        records.lock_calls(c, [held])
        joining_thread.start()
        eventually(lambda: waiting_for_locks(house) > 0, "the joiner waits for the call")
        house.program.call_actions.cancel(seen)

    house.database.write(hold)
    joining_thread.join()
    assert house.timeline(waits).status == "busy"
    assert updated_at(house, waits) >= updated_at(house, seen)
    house.close()


def waiting_for_locks(house: House) -> int:
    with house.database.engine.connect() as c:
        asked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        return int(c.scalar(sa.text(asked)) or 0)
