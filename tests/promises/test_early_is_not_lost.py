"""Promise: early is not lost.

A callback can arrive before the provider's answer was stored. Whatever way the sender, who commits the id and then
looks for callbacks that were earlier, and the joiner, who reads callbacks and looks for their submission, run through
each other: in the end the callback is joined. The interleavings are steered here, not hoped for.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.lifecycle.house import NUMBER, House
from tests.recording_provider import accepted
from tracker.domain.matching import match
from tracker.lifecycle.sending.claim import Claim
from tracker.lifecycle.services import build_services
from tracker.providers.base import HttpResponse
from tracker.store.queue import jobs

ID = "3b69aca9-3b55-4e2d-bfe0-02b910dbe156"
RECORD = {"id": ID, "status": "BUSY"}


def claimed(house: House) -> tuple[str, Claim]:
    call = house.place(send=False)
    claim = house.program.sender.claim(house.submissions(call)[0].id)
    assert claim is not None
    return call, claim


def answer(house: House, claim: Claim) -> None:
    reply = HttpResponse(
        status=200, headers=((b"content-type", b"application/json"),), body=accepted(ID).body
    )
    house.program.sender.record_response(claim, reply, house.clock())


def test_the_joiner_is_first_and_the_sender_finds_its_orphan(house: House) -> None:
    call, claim = claimed(house)
    callback = house.receive(RECORD)
    assert house.standing(callback).state == "orphaned"
    answer(house, claim)
    assert house.standing(callback).state == "joined"
    assert house.timeline(call).status == "busy"


def test_the_sender_is_first_and_the_joiner_sees_the_id(house: House) -> None:
    call, claim = claimed(house)
    answer(house, claim)
    callback = house.receive(RECORD)
    assert house.standing(callback).state == "joined"
    assert house.timeline(call).status == "busy"


def test_the_id_is_committed_while_the_joiner_has_already_looked(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The joiner has read the submissions, without the id, and not committed its orphan yet: then the sender comes."""
    call, claim = claimed(house)
    callback = house.receive(RECORD, join=False)
    has_looked, may_go_on = threading.Event(), threading.Event()
    real = match.match

    def match_slowly(*args: Any) -> Any:
        verdicts = real(*args)
        if threading.current_thread() is joiner:
            has_looked.set()
            assert may_go_on.wait(20)
        return verdicts

    monkeypatch.setattr("tracker.lifecycle.joining.match_context.match", match_slowly)
    joiner = threading.Thread(target=house.program.joiner.join_batch)
    joiner.start()
    assert has_looked.wait(20)
    # on PostgreSQL the sender commits the id and waits for the joiner's lock; on SQLite it waits for the transaction
    sender = threading.Thread(target=answer, args=(house, claim))
    sender.start()
    sender.join(0.3)
    may_go_on.set()
    joiner.join(20)
    sender.join(20)
    assert not joiner.is_alive()
    assert not sender.is_alive()
    assert house.standing(callback).state == "joined"
    assert house.timeline(call).status == "busy"


def test_the_sender_dies_between_its_commit_and_its_look(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody looks; the timer does."""
    call, claim = claimed(house)
    callback = house.receive(RECORD)

    with monkeypatch.context() as context:
        context.setattr(house.program.joiner, "match_after_accept", _die)
        with pytest.raises(SystemExit):
            answer(house, claim)
    assert house.standing(callback).state == "orphaned"
    house.clock.forward(seconds=6)
    assert house.program.joiner.retry_orphans() == 1
    assert house.standing(callback).state == "joined"
    assert house.timeline(call).status == "busy"


def test_the_sender_dies_before_its_look_and_the_circumstances_had_joined_the_callback(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No timer looks at what is joined, and an id may well say that it belongs elsewhere: so a worker looks where the
    sender did not."""
    call, claim = claimed(house)
    callback = house.receive({**RECORD, "to": NUMBER.lstrip("+")})
    assert house.standing(callback).matched_by == "number-and-time"
    with monkeypatch.context() as context:
        context.setattr(house.program.joiner, "match_after_accept", _die)
        with pytest.raises(SystemExit):
            answer(house, claim)
    assert house.standing(callback).matched_by == "number-and-time"
    house.clock.forward(seconds=6)

    async def work() -> None:
        worker = house.worker()
        running = asyncio.create_task(worker.run())
        while await asyncio.to_thread(house.database.read, lambda c: jobs.count_due(c, house.clock())):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        worker.stop()
        await running

    asyncio.run(asyncio.wait_for(work(), 60))
    assert house.standing(callback).matched_by == "submission-id"
    assert house.timeline(call).status == "busy"


def _die(_: object, **__: object) -> None:
    raise SystemExit


@pytest.mark.parametrize("senders_first", [True, False])
def test_another_process_joins_what_this_one_sent(house: House, senders_first: bool) -> None:
    """Two programs over one database: one sends, the other receives and joins."""
    other = build_services(house.database, house.program.accounts, house.clock)
    call, claim = claimed(house)
    callback = house.receive(RECORD, join=False)
    steps: list[Callable[[], object]] = [lambda: answer(house, claim), other.joiner.join_batch]
    for step in steps if senders_first else reversed(steps):
        step()
    assert house.standing(callback).state == "joined"
    assert house.timeline(call).status == "busy"


def test_what_nobody_of_ours_placed_is_given_up_after_a_week(house: House) -> None:
    """A subscription reports all calls of the account, also those of others."""
    callback = house.receive({"id": "somebody-elses", "status": "ANSWER"})
    for _ in range(60):
        house.clock.forward(hours=3)
        house.program.joiner.retry_orphans()
    assert (house.standing(callback).state, house.standing(callback).reason) == ("ignored", "foreign")
