"""After a backup was restored: what was open is unconfirmed, what the provider has is asked about, nothing leaves."""

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


def made_safe(house: House) -> RestoreReport:
    return after_restore(house.database, house.clock)


def due(house: House, kind: str) -> list[str]:
    def work(c: Any) -> list[str]:
        now = house.clock()
        found = jobs.claim(c, kind, ["thundersms"], owner="test", now=now, lease=timedelta(0), limit=100)
        return [job.subject for job in found]

    return house.database.write(work)


def test_what_was_pending_is_unconfirmed_and_says_why(house: House, provider: RecordingProvider) -> None:
    call = house.place(send=False)
    done = made_safe(house)

    assert (done.unconfirmed, done.calls, done.asked) == (1, [call], 0)
    timeline = house.timeline(call)
    assert (timeline.status, timeline.settled, timeline.reason) == ("unconfirmed", False, "restored")
    [event] = timeline.events
    assert (event.source, event.detail["was"]) == ("inferred", "pending")
    [pause] = house.program.pauser.list_pauses()
    assert (pause.scope, pause.why) == ("all", PauseReason.restored)


def test_nothing_dials_it_afterwards(house: House, provider: RecordingProvider) -> None:
    call = house.place(send=False)
    made_safe(house)
    house.program.pauser.resume()
    house.clock.forward(days=1)
    assert due(house, jobs.SEND) == []
    house.submit(house.submissions(call)[0].id)
    house.program.sender.end_leases()
    assert provider.sent == []
    assert house.timeline(call).status == "unconfirmed"


def test_what_was_being_sent_is_unconfirmed_at_once(house: House) -> None:
    call = house.place(send=False)
    assert house.program.sender.claim(house.submissions(call)[0].id) is not None
    requested_at = house.submissions(call)[0].requested_at
    assert made_safe(house).unconfirmed == 1
    [submission] = house.submissions(call)
    assert (submission.status, submission.lease_until) == ("unconfirmed", None)
    assert submission.requested_at == requested_at


def test_who_was_told_to_come_again_may_have_come(house: House, provider: RecordingProvider) -> None:
    provider.sends.append(error(429, "slow down", Retry_After="60"))
    call = house.place()
    assert made_safe(house).unconfirmed == 1

    first, second = house.submissions(call)
    assert (first.status, second.status, second.trigger) == ("rejected", "unconfirmed", "resend")
    timeline = house.timeline(call)
    assert (timeline.status, timeline.settled, timeline.next_attempt_at) == ("unconfirmed", False, None)
    house.clock.forward(hours=1)
    assert due(house, jobs.RESEND) == due(house, jobs.SEND) == []


def test_what_the_provider_took_is_asked_about(house: House) -> None:
    queued, settled = house.place(), house.place(NUMBERS[0])
    house.receive({"id": house.provider_id(settled), "status": "BUSY"})
    assert made_safe(house).asked == 1
    assert house.timeline(queued).status == "queued"
    assert due(house, jobs.POLL) == [house.submissions(queued)[0].id]


def test_what_is_planned_for_later_stays_so(house: House, provider: RecordingProvider) -> None:
    later = (house.clock() + timedelta(hours=1)).isoformat()
    call = house.place(not_before=later)
    done = made_safe(house)
    assert (done.unconfirmed, done.planned) == (0, 1)
    house.clock.forward(hours=2)
    house.program.pauser.resume()
    for submission in due(house, jobs.SEND):
        house.submit(submission)
    assert house.timeline(call).status == "queued"
    assert len(provider.sent) == 1


def test_a_time_that_has_come_is_no_longer_later(house: House) -> None:
    later = (house.clock() + timedelta(hours=1)).isoformat()
    call = house.place(not_before=later)
    house.clock.forward(hours=2)
    assert made_safe(house).unconfirmed == 1
    assert house.timeline(call).status == "unconfirmed"


def test_a_second_time_changes_nothing(house: House, provider: RecordingProvider) -> None:
    provider.sends.append(error(429, "slow down", Retry_After="60"))
    calls = [house.place(), house.place(NUMBERS[0], send=False), house.place(NUMBERS[1])]
    made_safe(house)
    before = [(house.events(call), house.submissions(call)) for call in calls]
    pauses = house.program.pauser.list_pauses()
    house.clock.forward(hours=1)
    again = made_safe(house)
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


def test_a_person_s_pause_becomes_one_that_says_why(house: House) -> None:
    house.program.pauser.pause()
    made_safe(house)
    assert [p.why for p in house.program.pauser.list_pauses()] == ["restored"]


def test_a_callback_that_comes_afterwards_tells(house: House) -> None:
    call = house.place(send=False)
    made_safe(house)
    house.receive(house.default_push("BUSY"))
    assert house.timeline(call).outcome == "busy"


def test_its_own_id_in_a_composed_callback_tells(house: House) -> None:
    call = house.place(send=False)
    made_safe(house)
    house.receive({"custom": house.submissions(call)[0].id, "status": "ANSWER", "duration": "5"})
    assert house.timeline(call).outcome == "completed"


def test_only_an_explicit_retry_dials_it_and_not_while_paused(
    house: House, provider: RecordingProvider
) -> None:
    call = house.place(send=False)
    made_safe(house)
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


def test_a_retry_does_not_hide_what_the_first_attempt_came_to(house: House) -> None:
    call = house.place(send=False)
    made_safe(house)
    first = house.submissions(call)[0].id
    house.program.call_actions.retry(call, force=True)
    house.receive({"custom": first, "status": "ANSWER", "duration": "5"})
    assert house.timeline(call).status == "completed"


def test_it_can_be_given_up_without_a_phone_ringing(house: House, provider: RecordingProvider) -> None:
    """Else whoever knows that it was dialled after the backup would have to dial again to see the end of it."""
    call = house.place(send=False)
    made_safe(house)
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
    made_safe(house)
    assert house.timeline(call).status == "unknown"


def test_what_was_given_up_is_still_told_by_its_callback(house: House) -> None:
    call = house.place(NUMBER, send=False)
    made_safe(house)
    house.program.call_actions.cancel(call, force=True)
    house.receive({"to": NUMBER.lstrip("+"), "status": "ANSWER", "duration": "5"})
    assert house.timeline(call).outcome == "completed"


def test_only_what_was_lost_by_restoring_can_be_given_up(house: House, provider: RecordingProvider) -> None:
    call = house.place()
    assert house.program.call_actions.cancel(call, force=True) is False
    assert (house.timeline(call).outcome, house.timeline(call).settled) == (None, False)


def test_secret_variables_are_not_kept_for_what_may_have_been_said(database_url: str) -> None:
    house = House(database_url, "http://127.0.0.1:9/", secret_variables=("otp",))
    call = house.place(send=False, variables={"otp": "123456"})
    made_safe(house)
    assert house.database.read(lambda c: load_secrets(c, call)) == {}
    house.close()


def test_the_asker_is_content_with_an_attempt_that_has_no_id(house: House) -> None:
    call = house.place(NUMBER, send=False)
    made_safe(house)
    poller: Poller = house.program.poller
    with pytest.raises(Conflict):
        asyncio.run(poller.poll(house.submissions(call)[0].id))
    assert json.dumps(made_safe(house).document())
