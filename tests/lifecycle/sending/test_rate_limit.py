"""Tests that `calls_per_second` holds, over processes and when the clock is set back."""

from __future__ import annotations

import asyncio

from tests.lifecycle.house import NUMBER, House
from tests.recording_provider import RecordingProvider
from tracker.lifecycle.services import build_services


def test_rate_limit_holds_over_several_processes(house: House, provider: RecordingProvider) -> None:
    """Ten calls at once, three processes, two a second: slots are reserved in the order of asking."""
    house.with_account(calls_per_second=2.0)
    programs = [build_services(house.database, house.program.accounts, house.clock) for _ in range(3)]
    placed = [programs[n % 3].placer.place({"to": NUMBER, "flow_id": "24"}) for n in range(10)]

    def submit_all() -> None:
        for n, p in enumerate(placed):
            asyncio.run(programs[n % 3].sender.submit(p.submission))

    submit_all()
    assert len(provider.sent) == 2
    slots = [house.timeline(p.call).next_attempt_at for p in placed[2:]]
    assert slots == sorted(slots, key=str)
    windows = [round((b - a).total_seconds(), 3) for a, b in zip(slots, slots[2:], strict=False) if a and b]
    assert windows == [1.0] * 6
    # all of them come late, at one moment, and still no second holds more than two
    for expected in (4, 6, 8, 10):
        house.clock.forward(seconds=30 if expected == 4 else 1.001)
        submit_all()
        assert len(provider.sent) == expected


def test_rate_below_one_and_burst_above_one(house: House, provider: RecordingProvider) -> None:
    house.with_account(calls_per_second=0.5)
    house.place()
    waiting = house.timeline(house.place())
    assert (waiting.status, waiting.next_attempt_at is not None, len(provider.sent)) == ("pending", True, 1)
    house.with_account(calls_per_second=200.0)
    house.clock.forward(minutes=1)
    for _ in range(5):
        house.place()
    assert len(provider.sent) == 6


def test_slot_of_a_canceled_call_is_free_again(house: House) -> None:
    house.with_account(calls_per_second=0.01)
    calls = [house.place() for _ in range(6)]
    for call in calls[1:]:
        house.program.call_actions.cancel(call)
    late = house.timeline(house.place())
    assert late.next_attempt_at is not None
    assert (late.next_attempt_at - house.clock()).total_seconds() <= 100


def test_clock_that_was_set_back_blocks_no_dial(house: House, provider: RecordingProvider) -> None:
    house.with_account(calls_per_second=1.0)
    house.place()
    house.clock.forward(hours=-2)
    slot = house.timeline(house.place()).next_attempt_at
    assert slot is not None
    assert (slot - house.clock()).total_seconds() <= 1.0
    house.clock.forward(seconds=2)
    house.place()
    assert len(provider.sent) == 2
