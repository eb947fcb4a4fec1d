"""Tests that operators can cancel and retry calls, and when they cannot."""

from __future__ import annotations

import pytest

from tests.lifecycle.house import House
from tests.recording_provider import RecordingProvider, accepted
from tracker.errors import Conflict, NotFound
from tracker.providers.base import HttpResponse

ID = "3b69aca9-3b55-4e2d-bfe0-02b910dbe156"


def test_pending_call_is_canceled(house: House, provider: RecordingProvider) -> None:
    call = house.place(send=False)
    assert house.program.call_actions.cancel(call) is True
    house.submit(house.submissions(call)[0].id)
    timeline = house.timeline(call)
    assert (timeline.status, timeline.reason, timeline.settled) == ("canceled", "operator", True)
    assert [e.type for e in house.events(call)] == ["decision", "status"]
    assert provider.sent == []
    with pytest.raises(Conflict, match="settled"):
        house.program.call_actions.cancel(call)


def test_canceling_a_sent_call_only_ends_further_attempts(house: House) -> None:
    call = house.place()
    assert house.program.call_actions.cancel(call) is False
    timeline = house.timeline(call)
    assert (timeline.status, timeline.cancel_requested, timeline.settled) == ("queued", True, False)
    house.receive(house.default_push("ANSWER"))
    assert house.timeline(call).outcome == "completed"


def test_acceptance_after_cancel_keeps_the_outcome(house: House) -> None:
    """Canceled while it is being sent: the provider has the request."""
    call, claim = house.claim()
    assert house.program.call_actions.cancel(call) is False
    response = HttpResponse(status=200, headers=(), body=accepted(ID).body)
    house.program.sender.record_response(claim, response, house.clock())
    timeline = house.timeline(call)
    assert (timeline.status, timeline.cancel_requested, timeline.settled) == ("queued", True, False)
    house.receive({"id": ID, "status": "NOANSWER"})
    assert (house.timeline(call).outcome, house.timeline(call).settled) == ("no-answer", True)


def test_canceling_leaves_a_finished_attempt_as_it_is(house: House) -> None:
    """The first attempt is open again, because its join was withdrawn; the second was busy."""
    call = house.place()
    first = house.receive(house.default_push("NOANSWER"))
    house.submit(house.program.call_actions.retry(call).submission)
    house.receive({"id": house.provider_id(call), "status": "BUSY"})
    house.program.callback_actions.ignore(first)
    assert house.timeline(call).settled is False
    assert house.program.call_actions.cancel(call) is False
    assert [s.status for s in house.submissions(call)] == ["queued", "busy"]


def test_retry_makes_another_attempt(house: House, provider: RecordingProvider) -> None:
    call = house.place()
    with pytest.raises(Conflict, match="open"):
        house.program.call_actions.retry(call)
    house.receive({"id": house.provider_id(call), "status": "BUSY"})
    retried = house.program.call_actions.retry(call).submission
    assert house.timeline(call).settled is False
    house.submit(retried)
    assert len(provider.sent) == 2
    house.receive({"id": house.provider_id(call), "status": "ANSWER"})
    assert (house.timeline(call).outcome, house.timeline(call).attempts) == ("completed", 2)


def test_answered_call_is_retried_by_force_only(house: House) -> None:
    call = house.place()
    house.receive({"id": house.provider_id(call), "status": "ANSWER"})
    with pytest.raises(Conflict, match="answered"):
        house.program.call_actions.retry(call)
    house.program.call_actions.retry(call, force=True)
    assert [s.trigger for s in house.submissions(call)] == ["first", "operator"]


def test_unknown_call_is_not_found(house: House) -> None:
    with pytest.raises(NotFound):
        house.program.call_actions.retry("call_nobody")
    with pytest.raises(NotFound):
        house.program.call_actions.cancel("call_nobody")
