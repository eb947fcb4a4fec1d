"""Tests that no dial leaves while a pause of its scope exists, and that the calls go on when it is lifted."""

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

OTHER = "+918867130003"


def claim_sends(house: House) -> list[str]:
    """Claim the sends that are due, and return their submissions."""
    lease, accounts = timedelta(0), house.program.accounts
    claimed = house.database.write(
        lambda c: jobs.claim(
            c, jobs.SEND, accounts, owner="a-test", now=house.clock(), lease=lease, limit=100
        )
    )
    return [job.subject for job in claimed]


def test_paused_call_waits_and_says_why(house: House, provider: RecordingProvider) -> None:
    house.program.pauser.pause()
    call = house.place()

    assert provider.sent == []
    timeline = house.timeline(call)
    assert (timeline.status, timeline.settled, timeline.next_attempt_at) == ("pending", False, None)
    [decision] = [e for e in timeline.events if e.type is EventType.decision]
    assert (decision.reason, decision.detail["decision"]) == ("paused", "wait")
    assert decision.detail["checked"]["paused"] == "all"
    house.clock.forward(days=30)
    assert claim_sends(house) == []


def test_same_pause_is_one_event(house: House) -> None:
    house.program.pauser.pause()
    call = house.place()
    house.submit(house.submissions(call)[0].id)
    assert len(house.events(call)) == 1


def test_held_call_is_sent_once_dialling_resumes(house: House, provider: RecordingProvider) -> None:
    house.program.pauser.pause()
    call = house.place()
    resumed = house.program.pauser.resume()

    assert resumed.lifted is not None
    assert resumed.released == 1
    [submission] = claim_sends(house)
    house.submit(submission)
    assert len(provider.sent) == 1
    assert house.statuses(call) == ["submitting", "queued"]
    assert house.program.pauser.resume() == type(resumed)(lifted=None, released=0)


def test_worker_sends_nothing_until_dialling_resumes(house: House, provider: RecordingProvider) -> None:
    async def scenario() -> None:
        worker = house.worker()
        working = asyncio.create_task(worker.run())
        await asyncio.to_thread(house.program.pauser.pause)
        for n in range(5):
            house.program.placer.place({"to": f"+91900000000{n}", "flow_id": "24"})
        house.clock.forward(minutes=1)  # until workers send what its placer did not
        while house.database.read(_count_sends_not_held):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert provider.sent == []
        await asyncio.to_thread(house.program.pauser.resume)
        while len(provider.sent) < 5:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        worker.stop()
        await working

    asyncio.run(asyncio.wait_for(scenario(), 60))
    assert len({request.body for request in provider.sent}) == 5


def _count_sends_not_held(c: sa.Connection) -> int:
    query = sa.text("select count(*) from jobs where due_at < :held")
    return int(c.execute(query, {"held": pauses.HELD_UNTIL}).scalar_one())


def test_pause_holds_back_its_scope_only(house: House) -> None:
    pauser = house.program.pauser
    pauser.pause(campaign="spring")
    spring = house.place(campaign="spring")
    autumn = house.place(OTHER, campaign="autumn")
    assert (house.timeline(spring).status, house.timeline(autumn).status) == ("pending", "queued")

    pauser.pause(account="thundersms")
    no_campaign = house.place("+918867130004")
    assert house.timeline(no_campaign).status == "pending"
    # lifting one pause leaves what the other holds back
    assert pauser.resume(account="thundersms").released == 1
    assert claim_sends(house) == [house.submissions(no_campaign)[0].id]
    assert [p.scope for p in pauser.list_pauses()] == ["campaign spring"]
    assert pauser.resume(campaign="spring").released == 1
    assert pauser.list_pauses() == []


def test_wider_pause_holds_back_what_a_narrower_one_releases(house: House) -> None:
    pauser = house.program.pauser
    pauser.pause()
    pauser.pause(account="thundersms")
    house.place()
    assert pauser.resume(account="thundersms").released == 0
    assert claim_sends(house) == []
    assert pauser.resume().released == 1


def test_canceled_or_expired_call_is_not_sent_after_a_pause(house: House) -> None:
    soon = (house.clock() + timedelta(minutes=1)).isoformat()
    house.program.pauser.pause()
    canceled, expiring = house.place(), house.place(OTHER, not_after=soon)
    assert house.program.call_actions.cancel(canceled) is True
    house.clock.forward(minutes=2)
    assert house.program.pauser.resume().released == 1
    for submission in claim_sends(house):
        house.submit(submission)
    assert house.timeline(canceled).reason == "operator"
    assert (house.timeline(expiring).status, house.timeline(expiring).reason) == ("canceled", "expired")


def test_retry_and_resend_wait_for_a_pause(house: House, provider: RecordingProvider) -> None:
    provider.sends.extend([error(400, "no"), error(429, "slow down", Retry_After="1")])
    refused, rate_limited = house.place(), house.place(OTHER)
    assert len(provider.sent) == 2
    house.program.pauser.pause()
    house.submit(house.program.call_actions.retry(refused).submission)
    house.program.sender.resend(house.submissions(rate_limited)[0].id)
    for submission in claim_sends(house):
        house.submit(submission)
    assert len(provider.sent) == 2
    assert house.timeline(refused).status == house.timeline(rate_limited).status == "pending"
    assert house.program.pauser.resume().released == 2


def test_not_before_counts_before_a_pause(house: House) -> None:
    later = (house.clock() + timedelta(minutes=1)).isoformat()
    house.program.pauser.pause()
    call = house.place(not_before=later)
    assert house.timeline(call).next_attempt_at is not None
    assert house.program.pauser.resume().released == 0


def test_pause_withdraws_the_time_of_the_next_attempt(house: House) -> None:
    later = (house.clock() + timedelta(minutes=1)).isoformat()
    call = house.place(not_before=later)
    assert house.timeline(call).next_attempt_at is not None
    house.program.pauser.pause()
    house.clock.forward(minutes=2)
    house.submit(house.submissions(call)[0].id)
    assert house.timeline(call).next_attempt_at is None


def test_killed_resume_is_finished(house: House) -> None:
    house.program.pauser.pause()
    house.place()
    assert house.program.pauser.finish_resuming() == 0
    house.database.write(lambda c: pauses.delete_pause(c, None, None))  # then the process is killed
    assert claim_sends(house) == []
    assert house.program.pauser.finish_resuming() == 1
    assert len(claim_sends(house)) == 1


def test_invalid_scope_is_refused(house: House) -> None:
    with pytest.raises(InvalidInput, match="configured: thundersms"):
        house.program.pauser.pause(account="nobody")
    with pytest.raises(InvalidInput, match="cannot stand beside"):
        house.program.pauser.pause(account="thundersms", campaign="spring")
    assert house.place(NUMBER)
