"""Tests who may send a submission: one sender, and only one that has the account."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.lifecycle.house import House
from tracker.lifecycle.services import build_services
from tracker.store.queue import jobs


def test_submission_is_claimed_once(house: House) -> None:
    call, claim = house.claim()
    other = build_services(house.database, house.program.accounts, house.clock).sender
    assert other.claim(claim.submission.id) is None
    assert house.submissions(call)[0].owner == house.program.sender.owner


def test_job_is_claimed_by_a_worker_that_has_its_account(house: House) -> None:
    call = house.place(send=False)
    (submission,) = house.submissions(call)
    house.clock.forward(seconds=6)
    now = house.clock()

    def claim(c: Any, accounts: tuple[str, ...]) -> list[str]:
        claimed = jobs.claim(c, jobs.SEND, accounts, owner="w", now=now, lease=timedelta(seconds=60), limit=5)
        return [job.subject for job in claimed]

    assert house.database.read(lambda c: jobs.next_due(c, (jobs.SEND,), ("another",), now)) == {}
    assert house.database.write(lambda c: claim(c, ("another",))) == []
    assert house.database.write(lambda c: claim(c, ("another", "thundersms"))) == [submission.id]


def test_submission_of_an_unknown_account_stays_pending(house: House) -> None:
    call = house.place(send=False)
    other = build_services(house.database, {}, house.clock).sender
    assert other.claim(house.submissions(call)[0].id) is None
    assert house.timeline(call).status == "pending"
    house.submit(house.submissions(call)[0].id)
    assert house.timeline(call).status == "queued"
