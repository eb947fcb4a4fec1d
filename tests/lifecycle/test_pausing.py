"""Pausing: no dial leaves while it stands; calls stay pending, say why, and go on when it is resumed."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
import sqlalchemy as sa

from tests.lifecycle.house import NUMBER, House
from tests.recording_provider import RecordingProvider, error
from tracker.domain.events import EventType
from tracker.errors import InvalidInput
from tracker.store.policy import pauses
from tracker.store.queue import jobs
from tracker.worker import Worker

OTHER = "+918867130003"


def due(house: House) -> list[str]:
    """The submissions that are due to be sent."""

    def work(c: sa.Connection) -> list[str]:
        found = jobs.claim(
            c,
            jobs.SEND,
            ["thundersms"],
            owner="a-test",
            now=house.clock(),
            lease=timedelta(0),
            limit=100,
        )
        return [job.subject for job in found]

    return house.database.write(work)


def test_nothing_leaves_and_the_timeline_says_why(house: House, provider: RecordingProvider) -> None:
    house.program.pauser.pause()
    call = house.place()

    assert provider.sent == []
    timeline = house.timeline(call)
    assert (timeline.status, timeline.settled, timeline.next_attempt_at) == ("pending", False, None)
    [decision] = [e for e in timeline.events if e.type is EventType.decision]
    assert (decision.reason, decision.detail["decision"]) == ("paused", "wait")
    assert decision.detail["checked"]["paused"] == "all"
    house.clock.forward(days=30)
    assert due(house) == []


def test_the_same_pause_is_told_once(house: House) -> None:
    house.program.pauser.pause()
    call = house.place()
    house.submit(house.submissions(call)[0].id)
    assert len(house.events(call)) == 1


def test_it_goes_on_when_it_is_resumed(house: House, provider: RecordingProvider) -> None:
    house.program.pauser.pause()
    call = house.place()
    resumed = house.program.pauser.resume()

    assert resumed.lifted is not None
    assert resumed.released == 1
    [submission] = due(house)
    house.submit(submission)
    assert len(provider.sent) == 1
    assert house.statuses(call) == ["submitting", "queued"]
    assert house.program.pauser.resume() == type(resumed)(lifted=None, released=0)


def test_a_worker_lets_nothing_out_and_then_everything(house: House, provider: RecordingProvider) -> None:
    async def scenario() -> None:
        worker = Worker(house.program)
        working = asyncio.create_task(worker.run())
        await asyncio.to_thread(house.program.pauser.pause)
        for n in range(5):
            house.program.placer.place({"to": f"+91900000000{n}", "flow_id": "24"})
        house.clock.forward(minutes=1)  # beyond the placer's grace
        while house.database.read(_unheld):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert provider.sent == []
        await asyncio.to_thread(house.program.pauser.resume)
        while len(provider.sent) < 5:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        worker.stop()
        await working

    asyncio.run(asyncio.wait_for(scenario(), 60))
    assert len({seen.body for seen in provider.sent}) == 5


def _unheld(c: sa.Connection) -> int:
    return int(
        c.execute(
            sa.text("select count(*) from jobs where due_at < :held"), {"held": pauses.HELD_UNTIL}
        ).scalar_one()
    )


def test_a_pause_holds_its_scope_alone(house: House, provider: RecordingProvider) -> None:
    pauser = house.program.pauser
    pauser.pause(campaign="spring")
    spring = house.place(campaign="spring")
    autumn = house.place(OTHER, campaign="autumn")
    assert (house.timeline(spring).status, house.timeline(autumn).status) == ("pending", "queued")

    pauser.pause(account="thundersms")
    without = house.place("+918867130004")
    assert house.timeline(without).status == "pending"
    # lifting one leaves what the other one holds
    assert pauser.resume(account="thundersms").released == 1
    assert due(house) == [house.submissions(without)[0].id]
    assert [p.scope for p in pauser.list_pauses()] == ["campaign spring"]
    assert pauser.resume(campaign="spring").released == 1
    assert pauser.list_pauses() == []


def test_a_wider_pause_still_holds_what_a_narrower_one_lets_go(house: House) -> None:
    pauser = house.program.pauser
    pauser.pause()
    pauser.pause(account="thundersms")
    house.place()
    assert pauser.resume(account="thundersms").released == 0
    assert due(house) == []
    assert pauser.resume().released == 1


def test_what_was_canceled_or_expired_is_not_held(house: House) -> None:
    soon = (house.clock() + timedelta(minutes=1)).isoformat()
    house.program.pauser.pause()
    canceled, expiring = house.place(), house.place(OTHER, not_after=soon)
    assert house.program.call_actions.cancel(canceled) is True
    house.clock.forward(minutes=2)
    assert house.program.pauser.resume().released == 1
    for submission in due(house):
        house.submit(submission)
    assert house.timeline(canceled).reason == "operator"
    assert (house.timeline(expiring).status, house.timeline(expiring).reason) == ("canceled", "expired")


def test_a_retry_by_hand_and_a_resend_wait_too(house: House, provider: RecordingProvider) -> None:
    provider.sends.extend([error(400, "no"), error(429, "slow down", Retry_After="1")])
    refused, told_to_wait = house.place(), house.place(OTHER)
    assert len(provider.sent) == 2
    house.program.pauser.pause()
    house.submit(house.program.call_actions.retry(refused).submission)
    house.program.sender.resend(house.submissions(told_to_wait)[0].id)
    for submission in due(house):
        house.submit(submission)
    assert len(provider.sent) == 2
    assert house.timeline(refused).status == house.timeline(told_to_wait).status == "pending"
    assert house.program.pauser.resume().released == 2


def test_whose_time_has_not_come_waits_for_it_first(house: House) -> None:
    later = (house.clock() + timedelta(minutes=1)).isoformat()
    house.program.pauser.pause()
    call = house.place(not_before=later)
    assert house.timeline(call).next_attempt_at is not None
    assert house.program.pauser.resume().released == 0


def test_a_time_that_was_told_before_does_not_outlive_the_pause(house: House) -> None:
    later = (house.clock() + timedelta(minutes=1)).isoformat()
    call = house.place(not_before=later)
    assert house.timeline(call).next_attempt_at is not None
    house.program.pauser.pause()
    house.clock.forward(minutes=2)
    house.submit(house.submissions(call)[0].id)
    assert house.timeline(call).next_attempt_at is None


def test_who_was_killed_while_he_resumed_leaves_nobody_waiting(house: House) -> None:
    house.program.pauser.pause()
    house.place()
    assert house.program.pauser.finish_resuming() == 0
    house.database.write(lambda c: pauses.delete_pause(c, None, None))  # and then the power went
    assert due(house) == []
    assert house.program.pauser.finish_resuming() == 1
    assert len(due(house)) == 1


def test_what_cannot_be_paused_is_refused(house: House) -> None:
    with pytest.raises(InvalidInput, match="configured: thundersms"):
        house.program.pauser.pause(account="nobody")
    with pytest.raises(InvalidInput, match="cannot stand beside"):
        house.program.pauser.pause(account="thundersms", campaign="spring")
    assert house.place(NUMBER)
