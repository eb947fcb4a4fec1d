"""Storing goes first while there is a rush; a rush that does not end is none."""

from __future__ import annotations

from tracker.flow.courtesy import BUSY, RUSH_S, Courtesy


def test_what_comes_while_little_happens_is_joined_together() -> None:
    """One at once, and what comes within the next moments together."""
    assert 0 < Courtesy().rest(0.0, 0.001, more=False, busy=0.0) < 0.1
    assert Courtesy().rest(0.0, 1.0, more=False, busy=0.0) == 0.0


def test_who_is_behind_and_in_nobodys_way_goes_on_at_once() -> None:
    """A worker of its own, or a server after a hiccup: the event loop has little to do."""
    assert Courtesy().rest(0.0, 0.02, more=True, busy=BUSY / 2) == 0.0


def test_in_a_rush_storing_has_nearly_all_of_the_time() -> None:
    courtesy, now, worked, rested = Courtesy(), 0.0, 0.0, 0.0
    while now < RUSH_S:
        worked, now = worked + 0.02, now + 0.02
        rest = courtesy.rest(now, 0.02, more=True, busy=0.9)
        rested, now = rested + rest, now + rest
    assert worked / (worked + rested) < 0.15


def test_a_rush_that_does_not_end_is_none() -> None:
    courtesy = Courtesy()
    assert courtesy.rest(0.0, 0.02, more=True, busy=0.9) > 0
    assert courtesy.rest(RUSH_S + 1, 0.02, more=True, busy=0.9) == 0.0


def test_after_catching_up_the_next_rush_is_one_again() -> None:
    courtesy = Courtesy()
    courtesy.rest(0.0, 0.02, more=True, busy=0.9)
    courtesy.rest(RUSH_S + 1, 0.02, more=False, busy=0.1)
    assert courtesy.rest(RUSH_S + 2, 0.02, more=True, busy=0.9) > 0
