"""The health report tells problems from notes."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tracker.domain.pause import Pause, PauseReason
from tracker.lifecycle.operations.health_report import HealthFacts, find_notes, find_problems
from tracker.store.queue.heartbeats import WorkerSeen
from tracker.store.read.system_status import AccountStatus, SystemStatus

NOW = datetime(2026, 11, 23, 13, 30, tzinfo=UTC)


def facts(
    *, newest: dict[str, timedelta] | None = None, oldest_open: timedelta | None = None, **changed: Any
) -> HealthFacts:
    """Return the facts of a system where all is well, with changes. Ages are before NOW."""
    silent_s = changed.pop("silent_s", 10.0)
    refused = changed.pop("refused", None)
    account = AccountStatus(
        last_callback_at=NOW - timedelta(seconds=silent_s) if silent_s is not None else None,
        last_quarantined_at=NOW - refused if refused is not None else None,
        silent_s=silent_s,
        open_submissions=3,
    )
    usual = {
        "at": NOW, "workers": [WorkerSeen(id="w", started_at=NOW, seen_at=NOW)], "lag_s": 0.0,
        "accounts": {"thundersms": account}, "callbacks": {}, "unconfirmed_submissions": 0, "paused": [],
        "jobs_due": {}, "oldest_job_overdue_s": 0.0, "counts": [],
    }  # fmt: skip
    return HealthFacts(
        now=NOW,
        status=SystemStatus(**{**usual, **changed}),
        newest={state: NOW - age for state, age in (newest or {}).items()},
        oldest_open={"thundersms": NOW - oldest_open} if oldest_open else {},
    )


def test_no_sentence_when_all_is_well() -> None:
    assert list(find_problems(facts())) == list(find_notes(facts())) == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"workers": []}, ["tracker worker"]),
        ({"lag_s": 90.0}, ["1 min 30 s", "read"]),
        ({"oldest_job_overdue_s": 3600.0}, ["1 h", "due"]),
        ({"unconfirmed_submissions": 2}, ["2 submissions", "may have been sent", "--status unconfirmed"]),
        ({"callbacks": {"orphaned": 1}, "newest": {"orphaned": timedelta(hours=1)}}, ["1 callback", "1 h ago"]),
        (
            {
                "callbacks": {"quarantined": 2}, "newest": {"quarantined": timedelta(0)}, "refused": timedelta(0),
                "oldest_open": timedelta(minutes=5),
            },
            ["2 callback", "webhook_secrets", "thundersms"],
        ),
        ({"callbacks": {"unreadable": 2}, "newest": {"unreadable": timedelta(0)}}, ["unreadable"]),
        ({"silent_s": None, "oldest_open": timedelta(hours=2)}, ["came ever", "thundersms", "2 h"]),
        ({"silent_s": 3600.0, "oldest_open": timedelta(hours=2)}, ["for 1 h", "3 submissions are open"]),
    ],
)  # fmt: skip
def test_each_problem_is_one_sentence(wrong: dict[str, Any], words: list[str]) -> None:
    [sentence] = find_problems(facts(**wrong))
    assert all(word in sentence for word in words), sentence
    assert "\n" not in sentence


def paused(why: PauseReason, *, account: str | None = None, campaign: str | None = None) -> Pause:
    return Pause(account=account, campaign=campaign, since=NOW - timedelta(hours=1), why=why)


def test_pause_is_a_note_when_a_person_wanted_it() -> None:
    wanted = facts(paused=[paused(PauseReason.operator, account="thundersms")])
    assert list(find_problems(wanted)) == []
    [note] = find_notes(wanted)
    assert "account thundersms" in note
    assert "for 1 h" in note
    assert "`tracker pause --resume --account thundersms`" in note
    [sentence] = find_problems(facts(paused=[paused(PauseReason.restored)]))
    assert "backup was restored" in sentence
    assert "--resume`" in sentence
    [sentence] = find_problems(facts(paused=[paused(PauseReason.copied)]))
    assert "the copy dials instead" in sentence


def test_resume_command_is_quoted_for_a_shell() -> None:
    pause = paused(PauseReason.operator, campaign="$(date) of 'spring'")
    [note] = find_notes(facts(paused=[pause]))
    command = note.split("`")[1]
    assert shlex.split(command) == ["tracker", "pause", "--resume", "--campaign", "$(date) of 'spring'"]


@pytest.mark.parametrize(
    "fine",
    [
        {"lag_s": 1.0},
        {"oldest_job_overdue_s": 5.0},
        {"silent_s": None},
        {"silent_s": None, "oldest_open": timedelta(minutes=5)},
        {"silent_s": 60.0, "oldest_open": timedelta(hours=2)},
    ],
)
def test_usual_delays_are_no_problem(fine: dict[str, Any]) -> None:
    assert list(find_problems(facts(**fine))) == []


@pytest.mark.parametrize("state", ["orphaned", "unreadable", "quarantined"])
def test_old_inbox_backlog_is_a_note(state: str) -> None:
    lying = facts(callbacks={state: 5}, newest={state: timedelta(days=2)})
    assert list(find_problems(lying)) == []
    [note] = find_notes(lying)
    assert "5 callbacks" in note


@pytest.mark.parametrize(
    "about_strangers",
    [
        {"oldest_open": timedelta(minutes=5), "silent_s": 10.0, "refused": timedelta(seconds=20)},
        {"silent_s": None, "refused": timedelta(seconds=20)},
        {"oldest_open": timedelta(seconds=10), "silent_s": None, "refused": timedelta(seconds=20)},
        {"oldest_open": timedelta(minutes=5), "silent_s": None},
    ],
    ids=["the provider is believed since", "nothing is open", "nothing was open", "not of this account"],
)
def test_quarantined_callback_of_a_stranger_is_a_note(about_strangers: dict[str, Any]) -> None:
    """Anybody can post without the secret, and could otherwise hold the exit status at 1."""
    told = facts(
        callbacks={"quarantined": 2}, newest={"quarantined": timedelta(seconds=20)}, **about_strangers
    )
    assert list(find_problems(told)) == []
    [note] = find_notes(told)
    assert "2 callbacks without the account's secret" in note
    assert "--state quarantined" in note
