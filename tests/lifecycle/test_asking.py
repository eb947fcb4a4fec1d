"""Asking: until the provider knows, and what its answer does for a callback that could be of either of two calls."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from tests.lifecycle.house import House
from tests.recording_provider import RecordingProvider, callstatus, error
from tracker.store.queue import jobs


def row(house: House, call: str, word: str, push: dict[str, Any]) -> dict[str, Any]:
    """What callstatus tells of a call, in UTC where the callback told it in Indian time."""
    told = {"id": house.provider_id(call), "status": word}
    for name in ("start_at", "end_at"):
        date, _, time = push[name].partition(" ")
        moment = datetime.fromisoformat(f"{date} {time}") - timedelta(hours=5, minutes=30)
        told[name] = f"{moment:%Y-%m-%d %H:%M:%S}"
    return told


def due(house: House) -> list[jobs.Job]:
    names = house.program.accounts.keys()
    return house.database.write(
        lambda c: jobs.claim(
            c, jobs.POLL, names, owner="a-test", now=house.clock(), lease=timedelta(seconds=1), limit=10
        )
    )


def ask(house: House, job: jobs.Job) -> bool:
    """What the worker does with a piece of due work; whether it is over."""
    again = asyncio.run(house.program.poller.poll_until_known(job.subject, job.tries))
    if again is None:
        house.database.write(lambda c: jobs.finish(c, job))
    else:
        house.database.write(lambda c: jobs.postpone(c, job, again))
    return again is None


def test_an_ambiguous_callback_is_asked_about_until_one_call_contradicts_it(
    house: House, provider: RecordingProvider
) -> None:
    first, second = house.place(), house.place()
    push = house.default_push("NOANSWER")
    callback = house.receive(push)
    assert house.standing(callback).reason == "ambiguous"
    asked = due(house)
    assert {job.subject for job in asked} == {house.submissions(c)[0].id for c in (first, second)}
    # the first has this very record; the second still rings, and may have the same
    by_call = {house.submissions(c)[0].id: c for c in (first, second)}
    for job in asked:
        provider.polls.append(
            callstatus(row(house, first, "NOANSWER", push)) if by_call[job.subject] == first else callstatus()
        )
        assert ask(house, job) is (by_call[job.subject] == first)
    assert house.standing(callback).reason == "ambiguous"
    house.clock.forward(seconds=16)
    (again,) = due(house)
    provider.polls.append(
        callstatus({"id": house.provider_id(second), "status": "ANSWER", "duration": "00:00:19"})
    )
    assert ask(house, again)
    assert house.standing(callback).call == first
    assert (house.timeline(first).outcome, house.timeline(second).outcome) == ("no-answer", "completed")


def test_a_provider_that_cannot_be_asked_is_asked_again_for_a_day(
    house: House, provider: RecordingProvider
) -> None:
    house.place()
    house.place()
    house.receive(house.default_push("BUSY"))
    questions = 0
    provider.polls.extend(error(503, "down") for _ in range(300))
    for _ in range(300):
        for job in due(house):
            ask(house, job)
            questions += 1
        house.clock.forward(minutes=6)
    assert due(house) == []
    assert 150 < questions < 250
