"""Promise: a trigger fires once.

"Too many requests" makes one new submission, however many workers see it, and however often callbacks are repeated.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from tests.lifecycle.house import House
from tests.recording_provider import RecordingProvider, error
from tracker.lifecycle.services import Services, build_services


def refused_for_now(house: House, provider: RecordingProvider) -> tuple[str, str]:
    provider.sends.append(error(429, "Too many", Retry_After="1"))
    call = house.place()
    return call, house.submissions(call)[0].id


def test_many_workers_make_one_new_submission(house: House, provider: RecordingProvider) -> None:
    call, refused = refused_for_now(house, provider)
    programs = [build_services(house.database, house.program.accounts, house.clock) for _ in range(6)]
    start = threading.Barrier(6)

    def resend(program: Services) -> None:
        start.wait()
        program.sender.resend(refused)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(resend, programs))
    assert [s.trigger for s in house.submissions(call)] == ["first", "resend"]


def test_a_withdrawn_plan_makes_none(house: House, provider: RecordingProvider) -> None:
    """The provider refused it, and yet a phone rang: an answer that arrives late withdraws the plan."""
    call, refused = refused_for_now(house, provider)
    house.receive({"reference": refused, "status": "ANSWER"})
    assert house.timeline(call).status == "completed"
    house.program.sender.resend(refused)
    assert len(house.submissions(call)) == 1
    assert house.timeline(call).settled


def test_a_canceled_plan_makes_none(house: House, provider: RecordingProvider) -> None:
    call, refused = refused_for_now(house, provider)
    assert house.program.call_actions.cancel(call) is True
    house.program.sender.resend(refused)
    assert len(house.submissions(call)) == 1
    timeline = house.timeline(call)
    assert (timeline.settled, timeline.outcome, timeline.reason) == (True, "canceled", "operator")


def test_a_failed_outcome_without_a_rule_is_followed_by_nothing(
    house: House, provider: RecordingProvider
) -> None:
    call = house.place()
    push = house.default_push("NOANSWER")
    for _ in range(3):
        house.receive(push)
    timeline = house.timeline(call)
    assert (timeline.outcome, timeline.settled, timeline.next_attempt_at) == ("no-answer", True, None)
    assert len(house.submissions(call)) == 1
    assert len(provider.sent) == 1
