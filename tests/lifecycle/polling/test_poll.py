"""Tests how long a submission is polled, and what the answer does for an ambiguous callback."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from tests.lifecycle.house import House
from tests.recording_provider import RecordingProvider, callstatus, error
from tracker.store.queue import jobs


def status_row(house: House, call: str, word: str, push: dict[str, Any]) -> dict[str, Any]:
    """Return what callstatus reports of a call: in UTC, while the callback `push` has Indian time."""
    row = {"id": house.provider_id(call), "status": word}
    for name in ("start_at", "end_at"):
        date, _, time = push[name].partition(" ")
        at = datetime.fromisoformat(f"{date} {time}") - timedelta(hours=5, minutes=30)
        row[name] = f"{at:%Y-%m-%d %H:%M:%S}"
    return row


def claim_polls(house: House) -> list[jobs.Job]:
    """Claim the polls that are due."""
    lease, accounts = timedelta(seconds=1), house.program.accounts
    return house.database.write(
        lambda c: jobs.claim(c, jobs.POLL, accounts, owner="a-test", now=house.clock(), lease=lease, limit=10)
    )


def poll(house: House, job: jobs.Job) -> bool:
    """Do a job as the worker does it; return whether it is finished."""
    next_at = asyncio.run(house.program.poller.poll_until_known(job.subject, job.tries))
    if next_at is None:
        house.database.write(lambda c: jobs.finish(c, job))
    else:
        house.database.write(lambda c: jobs.postpone(c, job, next_at))
    return next_at is None


def test_polls_settle_an_ambiguous_callback(house: House, provider: RecordingProvider) -> None:
    first, second = house.place(), house.place()
    push = house.default_push("NOANSWER")
    callback = house.receive(push)
    assert house.standing(callback).reason == "ambiguous"
    call_of = {house.submissions(call)[0].id: call for call in (first, second)}
    polls = claim_polls(house)
    assert {job.subject for job in polls} == call_of.keys()
    # the first call has this very report; the second still rings and may get the same
    for job in polls:
        is_first = call_of[job.subject] == first
        provider.polls.append(
            callstatus(status_row(house, first, "NOANSWER", push)) if is_first else callstatus()
        )
        assert poll(house, job) is is_first
    assert house.standing(callback).reason == "ambiguous"
    house.clock.forward(seconds=16)
    (again,) = claim_polls(house)
    provider.polls.append(
        callstatus({"id": house.provider_id(second), "status": "ANSWER", "duration": "00:00:19"})
    )
    assert poll(house, again)
    assert house.standing(callback).call == first
    assert (house.timeline(first).outcome, house.timeline(second).outcome) == ("no-answer", "completed")


def test_provider_that_fails_is_polled_for_a_day(house: House, provider: RecordingProvider) -> None:
    house.place()
    house.place()
    house.receive(house.default_push("BUSY"))
    polls = 0
    provider.polls.extend(error(503, "down") for _ in range(300))
    for _ in range(300):
        for job in claim_polls(house):
            poll(house, job)
            polls += 1
        house.clock.forward(minutes=6)
    assert claim_polls(house) == []
    assert 150 < polls < 250
