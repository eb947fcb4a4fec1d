"""What becomes of a submission: pure, seeded, decided before anything happens.

Same seed, same story: a story is a function of the options, the number and `n` (the n-th submission to *that
number*). Submissions to different numbers race each other into the provider; counting per number keeps the race
out of the story. Every choice has a random stream of its own, so that another rate for one fault changes nothing
else.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from random import Random

from tracker.simulator.options import SimulatorOptions
from tracker.simulator.thundersms.vocabulary import REFUSALS, Fault, Mid, Word

#: Shapes in which "no balance" is said; "200" is an error inside an HTTP 200.
NO_BALANCE_SHAPES = ("402", "400", "200")


@dataclass(frozen=True, kw_only=True)
class PlannedDial:
    """One ringing of the phone; times in simulated seconds."""

    word: Word
    ring_s: int
    talk_s: int  #: 0 unless answered
    dtmf: str | None  #: the digits that were pressed


@dataclass(frozen=True, kw_only=True)
class Story:
    """What becomes of one accepted submission."""

    number: str  #: digits
    n: int  #: the n-th accepted submission to this number, from 1
    uuid: str  #: the submission id, without the suffix of the old generation
    mid: str  #: "message id of the campaign"
    queue_s: int  #: simulated seconds between acceptance and the first dial
    dials: tuple[PlannedDial, ...]  #: at least one
    faults: frozenset[Fault]


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A submission that is not accepted, and in which of its shapes that is said."""

    fault: Fault
    shape: str  #: of NO_BALANCE_SHAPES; for a 429 "retry-after" or "bare"


def refuse(options: SimulatorOptions, number: str, request: int) -> Refusal | None:
    """Is the `request`-th well-formed request (from 1) for this number refused, and how."""
    for fault in REFUSALS:
        # A scripted refusal ends, or the number could never be called.
        scripted = request == 1 and fault in options.scripted_faults.get(number, ())
        rng = stream(options.seed, number, request, fault)
        drawn = rng.random() < options.faults.get(fault, 0.0)
        if scripted or drawn:
            shapes = NO_BALANCE_SHAPES if fault is Fault.no_balance else ("retry-after", "bare")
            return Refusal(fault=fault, shape=rng.choice(shapes))
    return None


def tell(options: SimulatorOptions, number: str, n: int, *, interval_min: int) -> Story:
    """The story of the n-th accepted submission (from 1) to this number; `interval_min` above 0 redials."""
    most = options.max_dials if interval_min > 0 else 1
    dials: list[PlannedDial] = []
    while len(dials) < most and not (dials and dials[-1].word.answered):
        dials.append(_dial(options, number, n, len(dials)))
    submission = str(uuid.UUID(int=stream(options.seed, number, n, "id").getrandbits(128), version=4))
    mid = stream(options.seed, number, n, "mid")
    return Story(
        number=number,
        n=n,
        uuid=submission,
        mid=submission
        if options.mid is Mid.submission
        else f"{mid.randint(1000, 9999)}-{mid.randint(1000, 9999)}-{mid.randint(0, 99999):05}",
        queue_s=stream(options.seed, number, n, "queue").randint(1, 4),
        dials=tuple(dials),
        faults=_faults(options, number, n),
    )


def _dial(options: SimulatorOptions, number: str, n: int, index: int) -> PlannedDial:
    rng = stream(options.seed, number, n, "dial", index)
    drawn = rng.choices(list(Word), weights=[options.mix.get(word, 0.0) for word in Word])[0]
    scripted = options.outcomes.get(number)
    word = scripted[min(n - 1 + index, len(scripted) - 1)] if scripted else drawn
    match word:
        case Word.NOANSWER:
            ring = rng.randint(30, 45)
        case Word.BUSY | Word.CONGESTION | Word.CHANUNAVAIL:
            ring = rng.randint(1, 3)
        case _:
            ring = rng.randint(4, 20)
    talk = rng.randint(6, 75) if word.answered else 0
    pressed = rng.choice("12349") if word.answered and rng.random() < 0.3 else None
    return PlannedDial(word=word, ring_s=ring, talk_s=talk, dtmf=pressed)


def _faults(options: SimulatorOptions, number: str, n: int) -> frozenset[Fault]:
    drawn = {
        fault
        for fault, rate in options.faults.items()
        if stream(options.seed, number, n, fault).random() < rate
    }
    faults = (drawn | set(options.scripted_faults.get(number, ()))) - set(REFUSALS)
    # A callback that never comes is not early, late or doubled; an early one is neither late nor overtaken.
    if Fault.never in faults:
        faults -= {Fault.early, Fault.late, Fault.duplicate, Fault.out_of_order}
    if Fault.early in faults:
        faults -= {Fault.late, Fault.out_of_order}
    if Fault.late in faults:
        faults -= {Fault.out_of_order}
    return frozenset(faults)


def stream(seed: int, *what: object) -> Random:
    """Random choices for one thing in one story: the same ones in every run, whatever else is chosen."""
    # A string seed is hashed with SHA-512, so it is the same in every process and Python version.
    return Random("/".join(str(part) for part in (seed, *what)))
