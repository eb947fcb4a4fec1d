"""`after_restore`: open submissions become unconfirmed, queued ones are polled, and nothing is dialled."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from tests.lifecycle.house import NUMBER, House
from tests.recording_provider import RecordingProvider, error
from tracker.domain.pause import PauseReason
from tracker.errors import Conflict
from tracker.lifecycle.maintenance.after_restore import RestoreReport, after_restore
from tracker.lifecycle.polling.poll import Poller
from tracker.store.calls.secrets import load_secrets
from tracker.store.queue import jobs

NUMBERS = [f"+91886713000{n}" for n in range(10)]


def mark_restored(house: House) -> RestoreReport:
    return after_restore(house.database, house.clock)


def due(house: House, kind: str) -> list[str]:
    def work(c: Any) -> list[str]:
        now = house.clock()
        found = jobs.claim(c, kind, ["thundersms"], owner="test", now=now, lease=timedelta(0), limit=100)
        return [job.subject for job in found]

    return house.database.write(work)


def test_pending_submission_becomes_unconfirmed_with_a_reason(
    house: House, provider: RecordingProvider
) -> None:
    call = house.place(send=False)
    done = mark_restored(house)

    assert (done.unconfirmed, done.calls, done.asked) == (1, [call], 0)
    timeline = house.timeline(call)
    assert (timeline.status, timeline.settled, timeline.reason) == ("unconfirmed", False, "restored")
    [event] = timeline.events
    assert (event.source, event.detail["was"]) == ("inferred", "pending")
    [pause] = house.program.pauser.list_pauses()
    assert (pause.scope, pause.why) == ("all", PauseReason.restored)


def test_unconfirmed_submission_is_not_dialled_by_itself(house: House, provider: RecordingProvider) -> None:
    call = house.place(send=False)
    mark_restored(house)
    house.program.pauser.resume()
    house.clock.forward(days=1)
    assert due(house, jobs.SEND) == []
    house.submit(house.submissions(call)[0].id)
    house.program.sender.end_leases()
    assert provider.sent == []
    assert house.timeline(call).status == "unconfirmed"


def test_submitting_submission_becomes_unconfirmed(house: House) -> None:
    call = house.place(send=False)
    assert house.program.sender.claim(house.submissions(call)[0].id) is not None
    requested_at = house.submissions(call)[0].requested_at
    assert mark_restored(house).unconfirmed == 1
    [submission] = house.submissions(call)
    assert (submission.status, submission.lease_until) == ("unconfirmed", None)
    assert submission.requested_at == requested_at


def test_due_resend_is_recorded_as_unconfirmed(house: House, provider: RecordingProvider) -> None:
    provider.sends.append(error(429, "slow down", Retry_After="60"))
    call = house.place()
    assert mark_restored(house).unconfirmed == 1

    first, second = house.submissions(call)
    assert (first.status, second.status, second.trigger) == ("rejected", "unconfirmed", "resend")
    timeline = house.timeline(call)
    assert (timeline.status, timeline.settled, timeline.next_attempt_at) == ("unconfirmed", False, None)
    house.clock.forward(hours=1)
    assert due(house, jobs.RESEND) == due(house, jobs.SEND) == []


def test_provider_is_asked_about_queued_submissions(house: House) -> None:
    queued, settled = house.place(), house.place(NUMBERS[0])
    house.receive({"id": house.provider_id(settled), "status": "BUSY"})
    assert mark_restored(house).asked == 1
    assert house.timeline(queued).status == "queued"
    assert due(house, jobs.POLL) == [house.submissions(queued)[0].id]


def test_call_with_a_later_start_stays_planned(house: House, provider: RecordingProvider) -> None:
    later = (house.clock() + timedelta(hours=1)).isoformat()
    call = house.place(not_before=later)
    done = mark_restored(house)
    assert (done.unconfirmed, done.planned) == (0, 1)
    house.clock.forward(hours=2)
    house.program.pauser.resume()
    for submission in due(house, jobs.SEND):
        house.submit(submission)
    assert house.timeline(call).status == "queued"
    assert len(provider.sent) == 1


def test_call_whose_start_has_passed_becomes_unconfirmed(house: House) -> None:
    later = (house.clock() + timedelta(hours=1)).isoformat()
    call = house.place(not_before=later)
    house.clock.forward(hours=2)
    assert mark_restored(house).unconfirmed == 1
    assert house.timeline(call).status == "unconfirmed"


def test_second_run_changes_nothing(house: House, provider: RecordingProvider) -> None:
    provider.sends.append(error(429, "slow down", Retry_After="60"))
    calls = [house.place(), house.place(NUMBERS[0], send=False), house.place(NUMBERS[1])]
    mark_restored(house)
    before = [(house.events(call), house.submissions(call)) for call in calls]
    pauses = house.program.pauser.list_pauses()
    house.clock.forward(hours=1)
    again = mark_restored(house)
    assert (again.unconfirmed, again.asked) == (0, 1)
    assert [(house.events(call), house.submissions(call)) for call in calls] == before
    assert house.program.pauser.list_pauses() == pauses


def test_open_work_is_marked_in_several_transactions(house: House) -> None:
    waiting = [house.place(number, send=False) for number in NUMBERS[:5]]
    with_provider = [house.place(number) for number in NUMBERS[5:]]
    seen: list[int] = []
    done = after_restore(house.database, house.clock, seen.append, batch=2)
    assert (done.unconfirmed, done.asked) == (5, 5)
    assert set(done.calls) == set(waiting)
    assert seen[-1] == 10
    assert {house.timeline(call).status for call in waiting} == {"unconfirmed"}
    assert len(due(house, jobs.POLL)) == len(with_provider)


def test_pause_of_a_person_becomes_one_of_the_restore(house: House) -> None:
    house.program.pauser.pause()
    mark_restored(house)
    assert [p.why for p in house.program.pauser.list_pauses()] == ["restored"]


def test_later_callback_settles_an_unconfirmed_call(house: House) -> None:
    call = house.place(send=False)
    mark_restored(house)
    house.receive(house.default_push("BUSY"))
    assert house.timeline(call).outcome == "busy"


def test_callback_with_our_own_id_settles_an_unconfirmed_call(house: House) -> None:
    call = house.place(send=False)
    mark_restored(house)
    house.receive({"custom": house.submissions(call)[0].id, "status": "ANSWER", "duration": "5"})
    assert house.timeline(call).outcome == "completed"


def test_forced_retry_dials_after_the_pause(house: House, provider: RecordingProvider) -> None:
    call = house.place(send=False)
    mark_restored(house)
    with pytest.raises(Conflict, match="force"):
        house.program.call_actions.retry(call)
    second = house.program.call_actions.retry(call, force=True).submission
    house.submit(second)
    assert provider.sent == []
    assert house.timeline(call).status == "pending"

    house.program.pauser.resume()
    for submission in due(house, jobs.SEND):
        house.submit(submission)
    assert len(provider.sent) == 1
    first, latest = house.timeline(call).submissions
    assert (first.outcome, first.reason, latest.status) == ("unknown", "restored", "queued")


def test_retry_does_not_hide_the_first_attempts_outcome(house: House) -> None:
    call = house.place(send=False)
    mark_restored(house)
    first = house.submissions(call)[0].id
    house.program.call_actions.retry(call, force=True)
    house.receive({"custom": first, "status": "ANSWER", "duration": "5"})
    assert house.timeline(call).status == "completed"


def test_forced_cancel_gives_up_without_dialling(house: House, provider: RecordingProvider) -> None:
    """Otherwise a person who knows that it was dialled would have to dial again to settle it."""
    call = house.place(send=False)
    mark_restored(house)
    house.program.pauser.resume()
    actions = house.program.call_actions
    assert actions.cancel(call) is False
    assert house.timeline(call).status == "unconfirmed"

    assert actions.cancel(call, force=True) is True
    timeline = house.timeline(call)
    assert (timeline.status, timeline.outcome, timeline.reason) == ("unknown", "unknown", "restored")
    assert timeline.settled
    assert (provider.sent, due(house, jobs.SEND)) == ([], [])
    with pytest.raises(Conflict, match="settled"):
        actions.cancel(call, force=True)
    mark_restored(house)
    assert house.timeline(call).status == "unknown"


def test_callback_settles_a_call_that_was_given_up(house: House) -> None:
    call = house.place(NUMBER, send=False)
    mark_restored(house)
    house.program.call_actions.cancel(call, force=True)
    house.receive({"to": NUMBER.lstrip("+"), "status": "ANSWER", "duration": "5"})
    assert house.timeline(call).outcome == "completed"


def test_forced_cancel_of_another_call_changes_nothing(house: House, provider: RecordingProvider) -> None:
    call = house.place()
    assert house.program.call_actions.cancel(call, force=True) is False
    assert (house.timeline(call).outcome, house.timeline(call).settled) == (None, False)


def test_secret_variables_of_unconfirmed_calls_are_erased(database_url: str) -> None:
    house = House(database_url, "http://127.0.0.1:9/", secret_variables=("otp",))
    call = house.place(send=False, variables={"otp": "123456"})
    mark_restored(house)
    assert house.database.read(lambda c: load_secrets(c, call)) == {}
    house.close()


def test_poll_of_a_submission_without_id_is_refused(house: House) -> None:
    call = house.place(NUMBER, send=False)
    mark_restored(house)
    poller: Poller = house.program.poller
    with pytest.raises(Conflict):
        asyncio.run(poller.poll(house.submissions(call)[0].id))
    assert json.dumps(mark_restored(house).document())
