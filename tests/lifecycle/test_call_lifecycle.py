"""Tests calls from sending over joining to their timelines, without a server."""

from __future__ import annotations

from tests.lifecycle.house import House
from tests.recording_provider import RecordingProvider, accepted
from tracker.lifecycle.operations.orphan_candidates import load_callback_details

ID = "3b69aca9-3b55-4e2d-bfe0-02b910dbe156"


def candidate_calls(house: House, callback: str) -> list[str]:
    """Return the calls that an orphan is shown to fit."""
    details = house.database.read(lambda c: load_callback_details(c, callback))
    return [candidate.call for candidate in details.candidates]


def test_call_is_sent_accepted_and_completed(house: House, provider: RecordingProvider) -> None:
    provider.sends.append(accepted("70fa87e0-9df9-4327-bc80-a561c48703d8:1"))
    call = house.place(variables={"Name": "YourName"})
    assert [s.json()["to"] for s in provider.sent] == ["918919525224"]
    assert house.provider_id(call) == "70fa87e0-9df9-4327-bc80-a561c48703d8:1"
    assert house.statuses(call) == ["submitting", "queued"]

    report = {"id": "70FA87E0-9DF9-4327-BC80-A561C48703D8:1", "status": "ANSWER", "duration": "23"}
    callback = house.receive({**report, "to": "918919525224"})
    assert house.standing(callback).state == "joined"
    assert house.standing(callback).matched_by == "submission-id"
    timeline = house.timeline(call)
    assert (timeline.outcome, timeline.settled, timeline.duration_s) == ("completed", True, 23)


def test_default_push_is_joined_by_number_and_time(house: House) -> None:
    call = house.place()
    callback = house.receive(house.default_push("BUSY"))
    assert house.standing(callback).matched_by == "number-and-time"
    assert house.statuses(call) == ["submitting", "queued", "initiated", "busy"]


def test_repeated_callback_adds_no_event(house: House) -> None:
    call = house.place()
    push = house.default_push("NOANSWER")
    first = house.receive(push)
    before = house.events(call)
    second = house.receive(push)
    assert house.events(call) == before
    assert house.standing(second).submission == house.standing(first).submission


def test_callback_without_id_is_ambiguous_between_two_calls(house: House) -> None:
    first, second = house.place(), house.place()
    callback = house.receive(house.default_push("BUSY"))
    assert (house.standing(callback).state, house.standing(callback).reason) == ("orphaned", "ambiguous")
    assert candidate_calls(house, callback) == [first, second]
    # a report about the first call by its id contradicts, so only the second is left
    house.receive({"id": house.provider_id(first), "status": "ANSWER"})
    assert house.standing(callback).state == "joined"
    assert candidate_calls(house, callback) == []
    assert house.timeline(second).status == "busy"
    assert house.timeline(first).status == "completed"


def test_early_callback_is_joined_once_the_id_is_known(house: House, provider: RecordingProvider) -> None:
    callback = house.receive({"id": ID, "status": "BUSY"})
    assert house.standing(callback).state == "orphaned"
    provider.sends.append(accepted(ID))
    call = house.place()
    assert house.standing(callback).state == "joined"
    assert house.timeline(call).status == "busy"


def test_failed_dial_leaves_a_call_with_an_interval_open(house: House) -> None:
    call = house.place(interval=5)
    house.receive(house.default_push("BUSY", ago_s=700))
    timeline = house.timeline(call)
    assert (timeline.status, timeline.outcome, timeline.settled) == ("busy", None, False)
    house.receive(house.default_push("ANSWER", ago_s=1))
    timeline = house.timeline(call)
    assert (timeline.outcome, timeline.settled, timeline.disputed) == ("completed", True, False)
    assert house.statuses(call)[-4:] == ["initiated", "busy", "initiated", "completed"]
