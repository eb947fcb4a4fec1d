"""The bench asks for all that can be asked, and says what is too slow."""

from __future__ import annotations

import random
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import pytest

from bench import servers
from bench.fill import fill
from bench.plan import Plan
from bench.reading import OPEN, SPAN, Case, Reader, cases, together, verdict
from tracker.store.read.calls import CallFilter

PLAN = Plan(OPEN + 50, span=SPAN)


def test_every_filter_is_asked_for_alone() -> None:
    chance = random.Random(1)
    alone = {tuple(case.ask(chance)) for case in cases(PLAN) if not case.timeline}
    assert {(field.name,) for field in fields(CallFilter)} <= alone


def test_a_real_server_answers_each_question_and_its_log_says_how_long_it_took(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'tracker.db'}"
    fill(url, PLAN, open_calls=OPEN)
    with servers.tracker(tmp_path, url) as running, closing(Reader(running, PLAN)) as reader:
        for case in cases(PLAN):
            told = reader.measure(case, 3)
            assert 0 <= told["p50_ms"] <= told["p95_ms"] <= told["max_ms"]
            assert told["largest"] <= 50
            if case.timeline:
                assert told["empty"] == 0


@pytest.mark.parametrize(
    ("small", "large", "wrong"),
    [
        (10.0, 14.9, []),
        (10.0, 15.1, ["grew by more than half"]),
        (0.2, 0.6, []),
        (0.2, 0.8, ["grew by more than half"]),
        (29.0, 30.0, ["not below 30 ms"]),
        (1.0, 31.0, ["not below 30 ms", "grew by more than half"]),
    ],
)
def test_a_verdict_is_about_the_limit_and_the_growth(small: float, large: float, wrong: list[str]) -> None:
    case = Case(name="page", most_ms=30.0, ask=lambda chance: {})
    assert verdict({"p95_ms": small}, {"p95_ms": large}, case.most_ms) == wrong


def test_a_bad_second_of_the_machine_is_in_one_round_only() -> None:
    rounds = [
        {"p50_ms": 1.0, "p95_ms": 2.0, "max_ms": 3.0, "empty": 1, "largest": 50},
        {"p50_ms": 1.1, "p95_ms": 40.0, "max_ms": 90.0, "empty": 0, "largest": 3},
        {"p50_ms": 0.9, "p95_ms": 2.2, "max_ms": 4.0, "empty": 2, "largest": 50},
    ]
    assert together(rounds) == {"p50_ms": 1.0, "p95_ms": 2.2, "max_ms": 4.0, "empty": 3, "largest": 50}
