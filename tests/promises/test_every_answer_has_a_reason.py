"""Promise: every answer has a reason. Each event names its source, each join how it matched, each decision why."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.lifecycle.house import House
from tests.recording_provider import RecordingProvider, callstatus, error
from tracker.domain.accounts import Dialling
from tracker.domain.events import Event, EventSource, EventType
from tracker.domain.time_text import iso


def decisions(house: House, call: str) -> list[Event]:
    return [e for e in house.events(call) if e.type is EventType.decision]


def test_every_event_says_how_we_know(house: House, provider: RecordingProvider) -> None:
    provider.sends.append(error(429, "Too many", Retry_After="1"))
    call = house.place()
    house.program.sender.resend(house.submissions(call)[0].id)
    house.submit(house.submissions(call)[1].id)
    house.receive(house.default_push("BUSY"))
    provider.polls.append(
        callstatus({"id": house.provider_id(call), "status": "BUSY", "charges": "0.1500", "dtmf": "1"})
    )
    asyncio.run(house.program.poller.poll(house.submissions(call)[1].id))
    events = house.events(call)
    assert {e.source for e in events} >= {EventSource.sender, EventSource.callback, EventSource.poll}
    for e in events:
        assert e.id.startswith("ev_")
        assert e.recorded_at is not None
        if e.source is EventSource.callback:
            assert e.matched_by is not None
            assert e.callback is not None
        if e.type is EventType.decision:
            assert e.detail["decision"]
    timeline = house.timeline(call)
    assert (timeline.charges, timeline.dtmf) == ("0.1500", "1")


def test_a_dial_says_what_was_checked(house: House) -> None:
    (decision,) = decisions(house, house.place())
    assert decision.detail["decision"] == "dial"
    assert decision.detail["checked"]["dialling"] == "live"


@pytest.mark.parametrize(
    ("account", "fields", "reason"),
    [
        ({"dialling": Dialling.off}, {}, "dialling-off"),
        ({"dialling": Dialling.allowlist, "allow_to": frozenset({"+917619360003"})}, {}, "not-allowed"),
        ({}, {"not_after": "2020-01-01T00:00:00Z"}, "expired"),
    ],
)
def test_a_no_says_why(
    house: House, provider: RecordingProvider, account: dict[str, Any], fields: dict[str, Any], reason: str
) -> None:
    house.with_account(**account)
    call = house.place(**fields)
    timeline = house.timeline(call)
    assert (timeline.status, timeline.reason, timeline.settled) == ("canceled", reason, True)
    (decision,) = decisions(house, call)
    assert (decision.detail["decision"], decision.reason) == ("refuse", reason)
    assert provider.sent == []


def test_a_not_yet_says_when(house: House, provider: RecordingProvider) -> None:
    at = (house.clock() + timedelta(hours=1)).replace(microsecond=0)
    call = house.place(not_before=iso(at))
    timeline = house.timeline(call)
    assert (timeline.status, timeline.settled, timeline.next_attempt_at) == ("pending", False, at)
    house.clock.forward(hours=2)
    house.submit(house.submissions(call)[0].id)
    assert house.timeline(call).status == "queued"
    assert [d.detail["decision"] for d in decisions(house, call)] == ["wait", "dial"]


def test_an_orphan_says_why(house: House) -> None:
    nobody = house.receive({"to": "917619360003", "status": "BUSY"})
    assert (house.standing(nobody).state, house.standing(nobody).reason) == ("orphaned", "no-submission")
    broken = house.receive(b'{"status": ')
    assert house.standing(broken).state == "unreadable"
    assert house.standing(broken).reason
    sms = house.receive({"event": "voice:unsubscription", "payload": {"id": "1", "receiver": "918919525224"}})
    assert (house.standing(sms).state, house.standing(sms).reason) == ("ignored", "unsubscription")


def test_what_an_operator_did_stands_in_the_timeline(house: House) -> None:
    first, second = house.place("+918919525224"), house.place("+917619360003")
    callback = house.receive(house.default_push("BUSY"))
    assert house.standing(callback).call == first
    house.program.callback_actions.join(callback, submission=house.submissions(second)[0].id, force=True)
    assert house.standing(callback).matched_by == "operator"
    assert (house.timeline(first).status, house.timeline(second).status) == ("queued", "busy")
    assert decisions(house, second)[-1].detail["decision"] == "join"
    assert decisions(house, first)[-1].source is EventSource.operator
    house.program.callback_actions.ignore(callback)
    assert (house.standing(callback).state, house.timeline(second).status) == ("ignored", "queued")
    house.program.callback_actions.join(callback, submission_id=house.provider_id(first))
    assert (house.timeline(first).status, house.timeline(second).status) == ("busy", "queued")
