"""What can go wrong between the commit to `submitting` and the recorded answer, and what is never made worse by it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.lifecycle.house import NUMBER, House
from tests.recording_provider import RecordingProvider, Told, accepted, error
from tracker.errors import Conflict, StorageUnavailable
from tracker.lifecycle.sending.claim import Claim
from tracker.providers.base import ExchangeFailure, HttpResponse
from tracker.store.calls.secrets import load_secrets
from tracker.store.queue import jobs

ID = "3b69aca9-3b55-4e2d-bfe0-02b910dbe156"
TOO_MANY = HttpResponse(
    status=429,
    headers=((b"content-type", b"application/json"), (b"retry-after", b"1")),
    body=error(429, "Too many").body,
)
NEVER_LEFT = ExchangeFailure(never_left=True, message="ConnectError")


def claimed(house: House, **fields: Any) -> tuple[str, Claim]:
    call = house.place(send=False, **fields)
    claim = house.program.sender.claim(house.submissions(call)[0].id)
    assert claim is not None
    return call, claim


def database_fails(
    house: House, provider: RecordingProvider, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """The next so many transactions after the request has left fail."""
    real, left = house.database.write, [times]

    def write(work: Any) -> Any:
        if left[0] and provider.sent:
            left[0] -= 1
            raise StorageUnavailable("away for a moment")
        return real(work)

    monkeypatch.setattr(house.database, "write", write)


def test_an_answer_waits_for_a_database_that_is_away(
    house: House, provider: RecordingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.with_sender(record_pauses_s=(0.01,))
    call = house.place(send=False)
    database_fails(house, provider, monkeypatch, 3)
    house.submit(house.submissions(call)[0].id)
    assert house.timeline(call).status == "queued"
    assert len(provider.sent) == 1


def test_an_answer_that_nobody_can_record_is_said_to_be_lost(
    house: House, provider: RecordingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.with_sender(record_for_s=0.1, record_pauses_s=(0.01,))
    call = house.place(send=False)
    with monkeypatch.context() as broken:
        database_fails(house, provider, broken, 10_000)
        with pytest.raises(StorageUnavailable):
            house.submit(house.submissions(call)[0].id)
    house.clock.forward(minutes=5)
    house.program.sender.end_leases()
    assert (house.timeline(call).status, house.timeline(call).reason) == ("unconfirmed", "sender-lost")


def test_an_answer_that_was_committed_unseen_is_recorded_once(
    house: House, provider: RecordingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection broke at the commit: it says that it failed, and it did not. The request never left, and
    another worker has taken the submission meanwhile: the repetition must not take it from its hands."""
    house.with_sender(record_pauses_s=(0.01,))
    call, claim = claimed(house)
    real = house.database.write
    second: list[Claim | None] = []

    def commit_and_fail(work: Any) -> Any:
        real(work)
        monkeypatch.setattr(house.database, "write", real)
        house.clock.forward(seconds=3)
        second.append(house.program.sender.claim(claim.submission.id))
        raise StorageUnavailable("the connection was lost")

    monkeypatch.setattr(house.database, "write", commit_and_fail)
    asyncio.run(house.program.sender.record_until_stored(claim, NEVER_LEFT, house.clock()))
    assert second[0] is not None
    (submission,) = house.submissions(call)
    assert (submission.status, submission.owner) == ("submitting", house.program.sender.owner)
    assert house.program.sender.claim(submission.id) is None
    assert provider.sent == []


def test_a_resend_never_speaks_a_digest(house: House, provider: RecordingProvider) -> None:
    """The lease ended, so the secrets are gone; then the provider's "too many" is recorded after all."""
    house.with_account(secret_variables=("otp",))
    call, claim = claimed(house, variables={"otp": "kx-839201"})
    house.clock.forward(seconds=60)
    house.program.sender.end_leases()
    house.program.sender.answered(claim, TOO_MANY, house.clock())
    timeline = house.timeline(call)
    assert (timeline.status, timeline.settled, timeline.next_attempt_at) == ("rejected", True, None)
    assert [e.reason for e in timeline.events if e.detail.get("decision") == "stop"] == ["secrets-erased"]
    house.program.sender.resend(house.submissions(call)[0].id)
    assert len(house.submissions(call)) == 1


def test_a_name_that_became_secret_later_does_not_stop_a_retry(
    house: House, provider: RecordingProvider
) -> None:
    call = house.place(variables={"otp": "not secret then"})
    house.receive({"id": house.provider_id(call), "status": "BUSY"})
    house.with_account(secret_variables=("otp",))
    house.submit(house.program.call_actions.retry(call).submission)
    assert [s.json()["variables[otp]"] for s in provider.sent] == ["not secret then"] * 2


def test_a_name_that_is_secret_no_more_still_stops_a_retry(house: House, provider: RecordingProvider) -> None:
    house.with_account(secret_variables=("otp",))
    call = house.place(variables={"otp": "kx-839201"})
    house.receive({"id": house.provider_id(call), "status": "BUSY"})
    house.with_account(secret_variables=())
    with pytest.raises(Conflict, match="otp"):
        house.program.call_actions.retry(call)
    assert len(provider.sent) == 1


def test_what_the_provider_says_quotes_no_secret_variable(house: House, provider: RecordingProvider) -> None:
    house.with_account(secret_variables=("otp",))
    provider.sends.append(error(422, "the variable kx-839201 is not a number"))
    call = house.place(variables={"otp": "kx-839201"})
    (rejected,) = [e for e in house.events(call) if e.status == "rejected"]
    assert rejected.detail["message"] == "HTTP 422; the variable *** is not a number"


def test_a_strangers_callback_is_let_go_when_the_request_never_left(house: House) -> None:
    """Somebody else's call to this number is reported while we try to send: with one candidate it is taken for ours.
    Then it turns out that nothing had left, so it cannot have been."""
    call, claim = claimed(house)
    callback = house.receive(house.default_push("ANSWER"))
    assert house.timeline(call).status == "completed"
    house.program.sender.answered(claim, NEVER_LEFT, house.clock())
    assert house.standing(callback).state == "orphaned"
    assert house.timeline(call).status == "pending"
    house.clock.forward(seconds=3)
    house.submit(claim.submission.id)
    assert house.timeline(call).status == "queued"


def test_a_request_that_cannot_be_made_leaves_the_submission_pending(
    house: House, provider: RecordingProvider
) -> None:
    """A mistake of ours before the first byte is no doubt about the phone; mended, it is sent."""
    house.with_account(extra={"too-large-for-json": 2**70})
    call = house.place(send=False)
    with pytest.raises(TypeError):
        house.submit(house.submissions(call)[0].id)
    assert house.timeline(call).status == "pending"
    house.with_account(extra={})
    house.submit(house.submissions(call)[0].id)
    assert house.timeline(call).status == "queued"
    assert len(provider.sent) == 1


def test_a_plan_that_was_withdrawn_stays_withdrawn(house: House, provider: RecordingProvider) -> None:
    """An answer withdraws the plan, and its due work is gone; then an operator takes the answer back. The call is
    settled as rejected: it waits for nothing that nobody will do."""
    provider.sends.append(error(429, "Too many", Retry_After="1"))
    call = house.place()
    refused = house.submissions(call)[0].id
    callback = house.receive({"reference": refused, "status": "ANSWER"})
    house.program.sender.resend(refused)
    house.program.callback_actions.ignore(callback)
    timeline = house.timeline(call)
    assert (timeline.status, timeline.settled, timeline.next_attempt_at) == ("rejected", True, None)


def test_what_expired_between_two_tries_is_not_sent(house: House, provider: RecordingProvider) -> None:
    not_after = (house.clock()).isoformat()
    house.clock.forward(seconds=-30)
    provider.sends.append(error(429, "Too many", Retry_After="20"))
    call = house.place(not_after=not_after)
    house.clock.forward(seconds=31)
    house.program.sender.resend(house.submissions(call)[0].id)
    house.submit(house.submissions(call)[1].id)
    timeline = house.timeline(call)
    assert (timeline.status, timeline.reason, timeline.settled) == ("canceled", "expired", True)
    assert len(provider.sent) == 1


def test_canceled_calls_leave_their_moments_of_the_pace_to_others(
    house: House, provider: RecordingProvider
) -> None:
    house.with_account(calls_per_second=0.01)
    calls = [house.place() for _ in range(6)]
    for call in calls[1:]:
        house.program.call_actions.cancel(call)
    late = house.timeline(house.place())
    assert late.next_attempt_at is not None
    assert (late.next_attempt_at - house.clock()).total_seconds() <= 100


def test_a_clock_that_was_set_back_does_not_stop_the_pace(house: House, provider: RecordingProvider) -> None:
    house.with_account(calls_per_second=1.0)
    house.place()
    house.clock.forward(hours=-2)
    waits = house.timeline(house.place()).next_attempt_at
    assert waits is not None
    assert (waits - house.clock()).total_seconds() <= 1.0
    house.clock.forward(seconds=2)
    house.place()
    assert len(provider.sent) == 2


def test_two_programs_with_different_accounts_leave_each_others_work_alone(house: House) -> None:
    call = house.place(send=False)
    (submission,) = house.submissions(call)
    house.clock.forward(seconds=6)
    now = house.clock()

    def claim(c: Any, accounts: tuple[str, ...]) -> list[str]:
        found = jobs.claim(c, jobs.SEND, accounts, owner="w", now=now, lease=timedelta(seconds=60), limit=5)
        return [job.subject for job in found]

    assert house.database.read(lambda c: jobs.next_due(c, (jobs.SEND,), ("another",), now)) == {}
    assert house.database.write(lambda c: claim(c, ("another",))) == []
    assert house.database.write(lambda c: claim(c, ("another", "thundersms"))) == [submission.id]


def test_silence_and_cancel_and_a_late_yes(house: House, provider: RecordingProvider) -> None:
    """Canceled while it is being sent: the provider has it, and its outcome stands."""
    call, claim = claimed(house)
    assert house.program.call_actions.cancel(call) is False
    reply = HttpResponse(status=200, headers=(), body=accepted(ID).body)
    house.program.sender.answered(claim, reply, house.clock())
    timeline = house.timeline(call)
    assert (timeline.status, timeline.cancel_requested, timeline.settled) == ("queued", True, False)
    house.receive({"id": ID, "status": "NOANSWER"})
    assert (house.timeline(call).outcome, house.timeline(call).settled) == ("no-answer", True)


def test_too_many_after_a_cancel_makes_no_new_submission(house: House) -> None:
    call, claim = claimed(house)
    house.program.call_actions.cancel(call)
    house.program.sender.answered(claim, TOO_MANY, house.clock())
    timeline = house.timeline(call)
    assert (timeline.status, timeline.settled, timeline.next_attempt_at) == ("rejected", True, None)
    assert house.database.read(lambda c: load_secrets(c, call)) == {}


def test_a_retry_by_hand_takes_the_place_of_a_planned_resend(
    house: House, provider: RecordingProvider
) -> None:
    house.with_account(secret_variables=("otp",))
    provider.sends.append(error(429, "Too many", Retry_After="1"))
    call = house.place(variables={"otp": "kx-839201"})
    refused = house.submissions(call)[0].id
    again = house.program.call_actions.retry(call).submission
    house.program.sender.resend(refused)
    house.submit(again)
    assert [s.trigger for s in house.submissions(call)] == ["first", "operator"]
    assert [s.json()["variables[otp]"] for s in provider.sent] == ["kx-839201"] * 2


def test_canceling_says_nothing_about_an_attempt_that_is_over(
    house: House, provider: RecordingProvider
) -> None:
    """The first attempt is open again, since its record was taken back; the second was busy, and remains so."""
    call = house.place()
    first = house.receive(house.default_push("NOANSWER"))
    house.submit(house.program.call_actions.retry(call).submission)
    house.receive({"id": house.provider_id(call), "status": "BUSY"})
    house.program.callback_actions.ignore(first)
    assert house.timeline(call).settled is False
    assert house.program.call_actions.cancel(call) is False
    assert [s.status for s in house.submissions(call)] == ["queued", "busy"]


def test_a_hanging_provider_is_asked_once(house: House, provider: RecordingProvider) -> None:
    house.with_account(timeout_s=0.3)
    provider.sends.append(Told(hang_s=1.0))
    call = house.place(to=NUMBER)
    assert house.timeline(call).reason == "no-clear-answer"
    assert len(provider.sent) == 1
