"""One call through sending, receiving, joining and its timeline, without a server, on both databases."""

from __future__ import annotations

from tests.lifecycle.house import House
from tests.recording_provider import RecordingProvider, accepted, error
from tracker.lifecycle.operations.orphan_candidates import shown_callback


def test_a_call_is_sent_accepted_called_back_and_completed(house: House, provider: RecordingProvider) -> None:
    provider.sends.append(accepted("70fa87e0-9df9-4327-bc80-a561c48703d8:1"))
    call = house.place(variables={"Name": "YourName"})
    assert [s.json()["to"] for s in provider.sent] == ["918919525224"]
    assert house.provider_id(call) == "70fa87e0-9df9-4327-bc80-a561c48703d8:1"
    assert house.statuses(call) == ["submitting", "queued"]

    callback = house.receive(
        {
            "id": "70FA87E0-9DF9-4327-BC80-A561C48703D8:1",
            "status": "ANSWER",
            "duration": "23",
            "to": "918919525224",
        }
    )
    assert house.standing(callback).state == "joined"
    assert house.standing(callback).matched_by == "submission-id"
    timeline = house.timeline(call)
    assert (timeline.status, timeline.outcome, timeline.settled, timeline.duration_s) == (
        "completed",
        "completed",
        True,
        23,
    )


def test_a_default_push_is_joined_by_number_and_time(house: House) -> None:
    call = house.place()
    callback = house.receive(house.default_push("BUSY"))
    assert house.standing(callback).matched_by == "number-and-time"
    assert house.statuses(call) == ["submitting", "queued", "initiated", "busy"]


def test_a_repeat_adds_no_event_and_is_known_as_one(house: House) -> None:
    call = house.place()
    push = house.default_push("NOANSWER")
    first = house.receive(push)
    before = house.events(call)
    second = house.receive(push)
    assert house.events(call) == before
    assert house.standing(second).submission == house.standing(first).submission


def candidates(house: House, callback: str) -> list[str]:
    """The calls that a callback is shown to fit."""
    shown = house.database.read(lambda c: shown_callback(c, callback))
    return [candidate["call"] for candidate in shown["candidates"]]


def test_two_calls_to_one_number_leave_a_callback_without_id_ambiguous(house: House) -> None:
    first, second = house.place(), house.place()
    callback = house.receive(house.default_push("BUSY"))
    assert (house.standing(callback).state, house.standing(callback).reason) == ("orphaned", "ambiguous")
    assert candidates(house, callback) == [first, second]
    # an exact record of the first that contradicts leaves only the second
    house.receive({"id": house.provider_id(first), "status": "ANSWER"})
    assert house.standing(callback).state == "joined"
    assert candidates(house, callback) == []
    assert house.timeline(second).status == "busy"
    assert house.timeline(first).status == "completed"


def test_too_many_requests_make_a_new_submission_which_alone_is_a_candidate(
    house: House, provider: RecordingProvider
) -> None:
    provider.sends.append(error(429, "Too many", Retry_After="7"))
    call = house.place()
    timeline = house.timeline(call)
    assert (timeline.status, timeline.outcome, timeline.settled) == ("rejected", None, False)
    assert timeline.next_attempt_at is not None
    refused = house.submissions(call)[0]
    house.program.sender.resend(refused.id)
    house.submit(house.submissions(call)[1].id)
    assert [s.trigger for s in house.submissions(call)] == ["first", "resend"]
    house.receive(house.default_push("ANSWER"))
    timeline = house.timeline(call)
    assert (timeline.status, timeline.settled, timeline.attempts) == ("completed", True, 2)


def test_a_request_that_never_left_is_sent_again(house: House) -> None:
    good = house.account.base_url
    house.with_account(base_url="http://127.0.0.1:9/api/v2/")
    call = house.place()
    assert house.timeline(call).status == "pending"
    assert house.timeline(call).next_attempt_at is not None
    house.with_account(base_url=good)
    house.submit(house.submissions(call)[0].id)
    assert house.statuses(call) == ["submitting", "submitting", "queued"]


def test_an_unclear_answer_is_unconfirmed_and_not_sent_again(
    house: House, provider: RecordingProvider
) -> None:
    provider.sends.append(error(500, "oops"))
    call = house.place()
    assert house.timeline(call).status == "unconfirmed"
    house.submit(house.submissions(call)[0].id)
    assert len(provider.sent) == 1
    house.receive(house.default_push("ANSWER"))
    assert house.timeline(call).status == "completed"


def test_a_callback_that_comes_before_the_answer_is_joined_once_the_id_is_known(
    house: House, provider: RecordingProvider
) -> None:
    early = house.receive({"id": "3b69aca9-3b55-4e2d-bfe0-02b910dbe156", "status": "BUSY"})
    assert house.standing(early).state == "orphaned"
    provider.sends.append(accepted("3b69aca9-3b55-4e2d-bfe0-02b910dbe156"))
    call = house.place()
    assert house.standing(early).state == "joined"
    assert house.timeline(call).status == "busy"
