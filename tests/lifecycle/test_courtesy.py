"""Storing goes first while there is a rush; a rush that does not end is none."""

from __future__ import annotations

from tracker.lifecycle.joining.throttle import CROWD, MANY, RUSH_S, Courtesy, LettingIn

CAN_JOIN = 4_000.0


def after(seconds: float, rate: float) -> Courtesy:
    """Manners of a joiner beside which so many callbacks a second were stored for so long."""
    courtesy = Courtesy()
    for tenth in range(int(seconds * 10) + 1):
        courtesy.arrived(tenth / 10, int(rate * tenth / 10))
    return courtesy


def test_what_comes_while_little_happens_is_joined_together() -> None:
    """One at once, and what comes within the next moments together."""
    assert 0 < after(1, 10).rest(1.0, 0.001, more=False, behind=MANY, can_join=CAN_JOIN) < 0.1
    assert after(1, 10).rest(1.0, 1.0, more=False, behind=MANY, can_join=CAN_JOIN) == 0.0


def test_who_is_behind_and_can_catch_up_goes_on_at_once() -> None:
    """A worker of its own, or a server after a hiccup, in moderate traffic."""
    assert after(1, 0).rest(1.0, 0.02, more=True, behind=MANY, can_join=CAN_JOIN) == 0.0
    assert after(1, CAN_JOIN / 2).rest(1.0, 0.02, more=True, behind=MANY, can_join=CAN_JOIN) == 0.0


def test_in_a_rush_storing_has_nearly_all_of_the_time() -> None:
    courtesy, now, worked, rested = after(1, 12_000), 1.0, 0.0, 0.0
    while now < RUSH_S:
        worked, now = worked + 0.02, now + 0.02
        rest = courtesy.rest(now, 0.02, more=True, behind=MANY, can_join=CAN_JOIN)
        rested, now = rested + rest, now + rest
    assert worked / (worked + rested) < 0.15


def test_a_rush_that_does_not_end_is_none() -> None:
    courtesy = after(1, 12_000)
    assert courtesy.rest(1.0, 0.02, more=True, behind=MANY, can_join=CAN_JOIN) > 0
    assert courtesy.rest(RUSH_S + 2, 0.02, more=True, behind=MANY, can_join=CAN_JOIN) == 0.0


def test_after_catching_up_the_next_rush_is_one_again() -> None:
    courtesy = after(1, 12_000)
    courtesy.rest(1.0, 0.02, more=True, behind=MANY, can_join=CAN_JOIN)
    courtesy.rest(RUSH_S + 2, 0.02, more=False, behind=MANY, can_join=CAN_JOIN)
    assert courtesy.rest(RUSH_S + 3, 0.02, more=True, behind=MANY, can_join=CAN_JOIN) > 0


def test_alone_is_who_stores_hardly_anything_beside() -> None:
    assert after(1, 0).alone
    assert after(1, 5).alone
    assert not after(1, 500).alone


def test_a_spurt_is_no_rush() -> None:
    """Whoever sends as much as is joined sends it in spurts: resting in them would be what keeps it from being more."""
    assert after(1, 12_000).rest(1.0, 0.02, more=True, behind=MANY // 2, can_join=CAN_JOIN) == 0.0


def test_moments_too_short_to_count_are_no_rate() -> None:
    courtesy = after(1, 500)
    courtesy.arrived(1.001, 10_000)
    assert courtesy.rest(1.0, 0.02, more=True, behind=MANY, can_join=CAN_JOIN) == 0.0


def test_who_crowded_while_a_batch_was_written_is_stored_before_the_next() -> None:
    letting_in = LettingIn(1.0, 0.03)
    assert letting_in.goes_on(1.001, CROWD)
    assert letting_in.goes_on(1.002, 0), "they have their answers, and send the next"
    assert letting_in.goes_on(1.003, CROWD + 5)
    assert letting_in.goes_on(1.004, 1)
    assert letting_in.goes_on(1.005, 0)
    assert not letting_in.goes_on(1.006, 0), "they have gone"


def test_a_crowd_that_does_not_go_has_as_long_as_the_batch() -> None:
    letting_in = LettingIn(1.0, 0.03)
    assert letting_in.goes_on(1.029, 1_000)
    assert not letting_in.goes_on(1.03, 1_000)


def test_nobody_waits_for_a_crowd_that_is_none() -> None:
    assert not LettingIn(1.0, 0.03).goes_on(1.0, CROWD - 1)
