"""The scenarios of the simulator: the same seed plans the same ones, and each is consistent."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tracker.simulator.options import SimulatorOptions
from tracker.simulator.scenarios import Scenario, draw_refusal, plan_scenario
from tracker.simulator.thundersms.vocabulary import REFUSAL_FAULTS, Fault, Outcome

NUMBER = "918919525224"
numbers = st.from_regex(r"9[0-9]{9,12}", fullmatch=True)
all_options = st.builds(
    SimulatorOptions,
    seed=st.integers(),
    faults=st.dictionaries(st.sampled_from(Fault), st.floats(0, 1)),
    mix=st.dictionaries(st.sampled_from(Outcome), st.floats(0.1, 100), min_size=1),
    max_dials=st.integers(1, 5),
)
intervals = st.sampled_from([0, 5, 60])


def plan_many(options: SimulatorOptions, count: int = 400) -> list[Scenario]:
    """Return the scenarios of the first submission to each of many numbers."""
    return [plan_scenario(options, str(918900000000 + i), 1, interval_min=0) for i in range(count)]


@given(all_options, numbers, st.integers(1, 50), intervals)
def test_same_seed_plans_the_same_scenario(
    options: SimulatorOptions, number: str, n: int, interval: int
) -> None:
    reordered = replace(
        options,
        mix=dict(reversed(list(options.mix.items()))),
        faults=dict(reversed(list(options.faults.items()))),
    )
    first, second = (plan_scenario(each, number, n, interval_min=interval) for each in (options, reordered))
    assert first == second
    assert draw_refusal(options, number, n) == draw_refusal(reordered, number, n)


@given(all_options, numbers, st.integers(1, 50), intervals)
def test_scenario_is_consistent(options: SimulatorOptions, number: str, n: int, interval: int) -> None:
    scenario = plan_scenario(options, number, n, interval_min=interval)
    dials = scenario.dials
    assert 1 <= len(dials) <= (options.max_dials if interval else 1)
    assert not any(dial.outcome.is_answered for dial in dials[:-1]), "an answered dial is not repeated"
    assert dials[-1].outcome.is_answered or len(dials) == options.max_dials or not interval
    for dial in dials:
        assert dial.outcome in options.mix
        assert (dial.talk_s > 0) is dial.outcome.is_answered
    assert scenario.faults <= set(options.faults) - set(REFUSAL_FAULTS)
    if Fault.never in scenario.faults:
        assert not scenario.faults & {Fault.early, Fault.late, Fault.duplicate, Fault.out_of_order}


@given(all_options, numbers, st.sampled_from(Fault))
def test_rate_of_one_fault_changes_nothing_else(options: SimulatorOptions, number: str, fault: Fault) -> None:
    options = replace(options, faults={})
    plain = plan_scenario(options, number, 1, interval_min=5)
    spoiled = plan_scenario(replace(options, faults={fault: 1.0}), number, 1, interval_min=5)
    assert spoiled == replace(plain, faults=frozenset({fault} - set(REFUSAL_FAULTS)))


def test_another_seed_plans_other_scenarios() -> None:
    one, two = plan_many(SimulatorOptions(seed=1)), plan_many(SimulatorOptions(seed=2))
    assert {scenario.uuid for scenario in one}.isdisjoint(scenario.uuid for scenario in two)
    assert [scenario.dials for scenario in one] != [scenario.dials for scenario in two]


def test_every_submission_has_an_id_of_its_own() -> None:
    planned = [
        plan_scenario(SimulatorOptions(), str(918900000000 + i), n, interval_min=0)
        for i in range(50)
        for n in (1, 2)
    ]
    assert len({scenario.uuid for scenario in planned}) == len(planned)


def test_mix_is_kept_roughly() -> None:
    options = SimulatorOptions(mix={Outcome.ANSWER: 3, Outcome.BUSY: 1})
    outcomes = [scenario.dials[0].outcome for scenario in plan_many(options)]
    assert set(outcomes) == {Outcome.ANSWER, Outcome.BUSY}
    assert 250 < outcomes.count(Outcome.ANSWER) < 350  # 300 expected of 400; the seed is fixed


def test_fault_rate_is_kept_roughly() -> None:
    planned = plan_many(SimulatorOptions(faults={Fault.duplicate: 0.25}))
    having = sum(Fault.duplicate in scenario.faults for scenario in planned)
    assert 60 < having < 140  # 100 expected of 400


def test_scripted_outcomes_replace_the_mix_and_last_repeats() -> None:
    options = SimulatorOptions(outcomes={NUMBER: (Outcome.BUSY, Outcome.NOANSWER, Outcome.ANSWER)})
    outcomes = [plan_scenario(options, NUMBER, n, interval_min=0).dials[0].outcome for n in (1, 2, 3, 4)]
    assert outcomes == [Outcome.BUSY, Outcome.NOANSWER, Outcome.ANSWER, Outcome.ANSWER]
    redialled = plan_scenario(options, NUMBER, 1, interval_min=5)
    assert [dial.outcome for dial in redialled.dials] == [Outcome.BUSY, Outcome.NOANSWER, Outcome.ANSWER]


def test_scripted_refusal_ends_after_the_first_request() -> None:
    options = SimulatorOptions(scripted_faults={NUMBER: frozenset({Fault.rate_limit})})
    first, second = draw_refusal(options, NUMBER, 1), draw_refusal(options, NUMBER, 2)
    assert first is not None
    assert first.fault is Fault.rate_limit
    assert second is None


def test_refusals_come_in_all_their_shapes() -> None:
    for fault, shapes in (
        (Fault.no_balance, {"402", "400", "200"}),
        (Fault.rate_limit, {"retry-after", "bare"}),
    ):
        options = SimulatorOptions(faults={fault: 1.0})
        refusals = [draw_refusal(options, NUMBER, n) for n in range(1, 40)]
        assert {refusal.shape for refusal in refusals if refusal} == shapes
