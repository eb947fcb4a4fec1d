"""Decides what becomes of a submission: pure, seeded, before anything happens.

A scenario is a function of the options, the number and `n` (the n-th submission to *that number*), so the same seed
makes the same scenarios. Submissions to different numbers arrive in any order; counting per number makes the scenarios
independent of it. Every choice has a random stream of its own, so another rate for one fault changes nothing else.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from random import Random

from tracker.simulator.options import SimulatorOptions
from tracker.simulator.thundersms.vocabulary import REFUSAL_FAULTS, Fault, MidContent, Outcome

#: The shapes of a refusal without balance: two HTTP codes, and an error inside an HTTP 200.
NO_BALANCE_SHAPES = ("402", "400", "200")


@dataclass(frozen=True, kw_only=True)
class PlannedDial:
    """One ringing of the phone to come. Times are in simulated seconds."""

    outcome: Outcome
    ring_s: int
    talk_s: int  #: 0 unless answered
    dtmf: str | None  #: the digits that were pressed


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Everything that is to happen to one accepted submission."""

    number: str  #: digits
    n: int  #: the n-th accepted submission to this number, from 1
    uuid: str  #: the submission id, without the suffix of the old generation
    mid: str  #: "message id of the campaign"
    queue_s: int  #: simulated seconds between acceptance and the first dial
    dials: tuple[PlannedDial, ...]  #: at least one
    faults: frozenset[Fault]


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A submission that is not accepted, and the shape of the answer."""

    fault: Fault
    shape: str  #: of NO_BALANCE_SHAPES; for a 429 "retry-after" or "bare"


def draw_refusal(options: SimulatorOptions, number: str, request: int) -> Refusal | None:
    """Return how the `request`-th well-formed request (from 1) for this number is refused; None if it is not."""
    for fault in REFUSAL_FAULTS:
        # A scripted refusal ends after the first request, because otherwise the number could never be called.
        is_scripted = request == 1 and fault in options.scripted_faults.get(number, ())
        rng = random_stream(options.seed, number, request, fault)
        is_drawn = rng.random() < options.faults.get(fault, 0.0)
        if is_scripted or is_drawn:
            shapes = NO_BALANCE_SHAPES if fault is Fault.no_balance else ("retry-after", "bare")
            return Refusal(fault=fault, shape=rng.choice(shapes))
    return None


def plan_scenario(options: SimulatorOptions, number: str, n: int, *, interval_min: int) -> Scenario:
    """Return the scenario of the n-th accepted submission (from 1) to this number.

    interval_min: minutes between two dials; above 0 a dial that is not answered is repeated.
    """
    most = options.max_dials if interval_min > 0 else 1
    dials: list[PlannedDial] = []
    while len(dials) < most and not (dials and dials[-1].outcome.is_answered):
        dials.append(_plan_dial(options, number, n, len(dials)))
    submission = str(uuid.UUID(int=random_stream(options.seed, number, n, "id").getrandbits(128), version=4))
    mid = random_stream(options.seed, number, n, "mid")
    return Scenario(
        number=number,
        n=n,
        uuid=submission,
        mid=submission
        if options.mid is MidContent.submission
        else f"{mid.randint(1000, 9999)}-{mid.randint(1000, 9999)}-{mid.randint(0, 99999):05}",
        queue_s=random_stream(options.seed, number, n, "queue").randint(1, 4),
        dials=tuple(dials),
        faults=_draw_faults(options, number, n),
    )


def _plan_dial(options: SimulatorOptions, number: str, n: int, index: int) -> PlannedDial:
    rng = random_stream(options.seed, number, n, "dial", index)
    drawn = rng.choices(list(Outcome), weights=[options.mix.get(outcome, 0.0) for outcome in Outcome])[0]
    scripted = options.outcomes.get(number)
    outcome = scripted[min(n - 1 + index, len(scripted) - 1)] if scripted else drawn
    match outcome:
        case Outcome.NOANSWER:
            ring_s = rng.randint(30, 45)
        case Outcome.BUSY | Outcome.CONGESTION | Outcome.CHANUNAVAIL:
            ring_s = rng.randint(1, 3)
        case _:
            ring_s = rng.randint(4, 20)
    talk_s = rng.randint(6, 75) if outcome.is_answered else 0
    pressed = rng.choice("12349") if outcome.is_answered and rng.random() < 0.3 else None
    return PlannedDial(outcome=outcome, ring_s=ring_s, talk_s=talk_s, dtmf=pressed)


def _draw_faults(options: SimulatorOptions, number: str, n: int) -> frozenset[Fault]:
    drawn = {
        fault
        for fault, rate in options.faults.items()
        if random_stream(options.seed, number, n, fault).random() < rate
    }
    faults = (drawn | set(options.scripted_faults.get(number, ()))) - set(REFUSAL_FAULTS)
    # A callback that never comes is not early, late or doubled; an early one is neither late nor overtaken.
    if Fault.never in faults:
        faults -= {Fault.early, Fault.late, Fault.duplicate, Fault.out_of_order}
    if Fault.early in faults:
        faults -= {Fault.late, Fault.out_of_order}
    if Fault.late in faults:
        faults -= {Fault.out_of_order}
    return frozenset(faults)


def random_stream(seed: int, *topic: object) -> Random:
    """Return the random choices for one topic: the same ones in every run, whatever else is chosen."""
    # A string seed is hashed with SHA-512, so it is the same in every process and Python version.
    return Random("/".join(str(part) for part in (seed, *topic)))
