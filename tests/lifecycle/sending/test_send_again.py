"""Tests when a submission is sent again because its request never left, and when a rate-limited call gets a new one."""

from __future__ import annotations

from tests.lifecycle.house import House
from tests.recording_provider import RecordingProvider, error
from tracker.providers.base import ExchangeFailure, HttpResponse

NOWHERE = "http://127.0.0.1:9/api/v2/"
NEVER_LEFT = ExchangeFailure(never_left=True, message="ConnectError")
RATE_LIMITED = HttpResponse(
    status=429,
    headers=((b"content-type", b"application/json"), (b"retry-after", b"1")),
    body=error(429, "Too many").body,
)


def test_request_that_never_left_is_sent_again(house: House) -> None:
    base_url = house.account.base_url
    house.with_account(base_url=NOWHERE)
    call = house.place()
    assert house.timeline(call).status == "pending"
    assert house.timeline(call).next_attempt_at is not None
    house.with_account(base_url=base_url)
    house.submit(house.submissions(call)[0].id)
    assert house.statuses(call) == ["submitting", "submitting", "queued"]


def test_request_that_never_leaves_is_given_up(house: House) -> None:
    house.with_account(base_url=NOWHERE)
    call = house.place()
    for _ in range(40):
        house.clock.forward(seconds=60)
        house.submit(house.submissions(call)[0].id)
    timeline = house.timeline(call)
    assert (timeline.status, timeline.reason, timeline.settled) == ("failed", "provider-unreachable", True)


def test_call_whose_request_never_left_can_be_canceled(house: House) -> None:
    house.with_account(base_url=NOWHERE)
    call = house.place()
    assert house.program.call_actions.cancel(call) is True
    assert house.timeline(call).outcome == "canceled"


def test_foreign_callback_is_let_go_when_the_request_never_left(house: House) -> None:
    """A stranger's call to the number is reported while we try to send. Nothing had left, so it was not ours."""
    call, claim = house.claim()
    callback = house.receive(house.default_push("ANSWER"))
    assert house.timeline(call).status == "completed"
    house.program.sender.record_response(claim, NEVER_LEFT, house.clock())
    assert house.standing(callback).state == "orphaned"
    assert house.timeline(call).status == "pending"
    house.clock.forward(seconds=3)
    house.submit(claim.submission.id)
    assert house.timeline(call).status == "queued"


def test_rate_limited_call_gets_a_new_submission(house: House, provider: RecordingProvider) -> None:
    provider.sends.append(error(429, "Too many", Retry_After="7"))
    call = house.place()
    timeline = house.timeline(call)
    assert (timeline.status, timeline.outcome, timeline.settled) == ("rejected", None, False)
    assert timeline.next_attempt_at is not None
    house.program.sender.resend(house.submissions(call)[0].id)
    house.submit(house.submissions(call)[1].id)
    assert [s.trigger for s in house.submissions(call)] == ["first", "resend"]
    # only the new one can be meant by a callback
    house.receive(house.default_push("ANSWER"))
    timeline = house.timeline(call)
    assert (timeline.status, timeline.settled, timeline.attempts) == ("completed", True, 2)


def test_rate_limited_call_is_given_up(house: House, provider: RecordingProvider) -> None:
    provider.sends.extend(error(429, "Too many") for _ in range(60))
    call = house.place()
    for _ in range(60):
        house.clock.forward(seconds=61)
        house.program.sender.resend(house.submissions(call)[-1].id)
        house.submit(house.submissions(call)[-1].id)
    timeline = house.timeline(call)
    assert (timeline.status, timeline.reason, timeline.settled) == ("rejected", "rate-limited", True)
    assert 3 < timeline.attempts < 20


def test_resend_that_expired_meanwhile_is_not_sent(house: House, provider: RecordingProvider) -> None:
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


def test_withdrawn_resend_stays_withdrawn(house: House, provider: RecordingProvider) -> None:
    """An answered callback withdraws the resend, whose job is gone. Then an operator ignores the callback. The call is
    settled as rejected, because it waits for nothing."""
    provider.sends.append(error(429, "Too many", Retry_After="1"))
    call = house.place()
    refused = house.submissions(call)[0].id
    callback = house.receive({"reference": refused, "status": "ANSWER"})
    house.program.sender.resend(refused)
    house.program.callback_actions.ignore(callback)
    timeline = house.timeline(call)
    assert (timeline.status, timeline.settled, timeline.next_attempt_at) == ("rejected", True, None)


def test_rate_limited_call_that_was_canceled_is_not_resent(house: House) -> None:
    call, claim = house.claim()
    house.program.call_actions.cancel(call)
    house.program.sender.record_response(claim, RATE_LIMITED, house.clock())
    timeline = house.timeline(call)
    assert (timeline.status, timeline.settled, timeline.next_attempt_at) == ("rejected", True, None)


def test_operators_retry_replaces_a_planned_resend(house: House, provider: RecordingProvider) -> None:
    house.with_account(secret_variables=("otp",))
    provider.sends.append(error(429, "Too many", Retry_After="1"))
    call = house.place(variables={"otp": "kx-839201"})
    refused = house.submissions(call)[0].id
    retried = house.program.call_actions.retry(call).submission
    house.program.sender.resend(refused)
    house.submit(retried)
    assert [s.trigger for s in house.submissions(call)] == ["first", "operator"]
    assert [s.json()["variables[otp]"] for s in provider.sent] == ["kx-839201"] * 2
