"""How the work stands: what is a problem, what is a note, and the exit status."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.cli.conftest import NUMBER, Cli
from tests.documents import statusz_shown
from tests.recording_provider import RecordingProvider, error
from tracker.cli.context import load_cli_settings, open_database
from tracker.lifecycle.operations.health_report import HealthFacts, find_notes, find_problems
from tracker.store.ids import new_id
from tracker.store.inbox import log, states
from tracker.store.queue import counters, heartbeats

NOW = datetime(2026, 11, 23, 13, 30, tzinfo=UTC)


def facts(
    *, newest: dict[str, timedelta] | None = None, oldest_open: timedelta | None = None, **changed: Any
) -> HealthFacts:
    """A house where all is well, changed; ages before NOW."""
    silent_s = changed.pop("silent_s", 10.0)
    refused = changed.pop("refused", None)
    account = {
        "last_callback_at": (NOW - timedelta(seconds=silent_s)).isoformat() if silent_s is not None else None,
        "last_quarantined_at": (NOW - refused).isoformat() if refused is not None else None,
        "silent_s": silent_s, "open_submissions": 3,
    }  # fmt: skip
    standing = {
        "workers": [{"id": "w", "seen_at": "2026-11-23T13:29:58Z"}], "lag_s": 0.0, "accounts": {"thundersms": account},
        "callbacks": {"pending": 0, "orphaned": 0, "unreadable": 0, "quarantined": 0}, "unconfirmed_submissions": 0,
        "paused": [], "incomplete_copy": False, "jobs_due": {}, "oldest_job_overdue_s": 0.0, "counts": [], **changed,
    }  # fmt: skip
    return HealthFacts(
        now=NOW,
        status=standing,
        newest={state: NOW - age for state, age in (newest or {}).items()},
        oldest_open={"thundersms": NOW - oldest_open} if oldest_open else {},
    )


def test_all_is_well() -> None:
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


def paused(why: str, account: str | None = None) -> dict[str, Any]:
    since = (NOW - timedelta(hours=1)).isoformat()
    scope = f"account {account}" if account else "all"
    return {"scope": scope, "account": account, "campaign": None, "since": since, "why": why}


def test_a_pause_is_a_note_where_a_person_wanted_it_and_else_a_problem() -> None:
    wanted = facts(paused=[paused("operator", "thundersms")])
    assert list(find_problems(wanted)) == []
    [note] = find_notes(wanted)
    assert "account thundersms" in note
    assert "for 1 h" in note
    assert "`tracker pause --resume --account thundersms`" in note
    [sentence] = find_problems(facts(paused=[paused("restored")]))
    assert "backup was restored" in sentence
    assert "--resume`" in sentence
    [sentence] = find_problems(facts(paused=[paused("copying")]))
    assert "tracker db copy" in sentence


def test_a_command_that_is_advised_can_be_typed_as_it_is() -> None:
    pause = {**paused("operator"), "scope": "campaign $(date) of 'spring'", "campaign": "$(date) of 'spring'"}
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
def test_what_is_usual_is_no_problem(fine: dict[str, Any]) -> None:
    assert list(find_problems(facts(**fine))) == []


@pytest.mark.parametrize("state", ["orphaned", "unreadable", "quarantined"])
def test_what_lies_there_for_days_is_a_note(state: str) -> None:
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
def test_what_a_stranger_sends_is_a_note(about_strangers: dict[str, Any]) -> None:
    """Anybody can post without the secret, and would hold the exit status at 1 for as long as he likes."""
    told = facts(
        callbacks={"quarantined": 2}, newest={"quarantined": timedelta(seconds=20)}, **about_strangers
    )
    assert list(find_problems(told)) == []
    [note] = find_notes(told)
    assert "2 callbacks without the account's secret" in note
    assert "--state quarantined" in note


def test_the_exit_status_says_whether_something_is_wrong(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    provider.sends.append(error(500, "oops"))
    cli("call", NUMBER, "--flow", "24")
    told = cli.json("status", code=1)
    statusz = statusz_shown()
    shared = [key for key in statusz if key not in ("inbox_waiting", "worker_here")]
    assert list(told) == ["ok", "problems", "notes", "waiting", *shared]
    assert told["ok"] is False
    assert len(told["problems"]) == 2  # nobody works, and one submission is unconfirmed
    assert told["unconfirmed_submissions"] == 1
    out = cli("status").stdout
    assert "No worker runs" in out
    assert re.search(r"^account thundersms +last callback never, 1 submission open$", out, re.MULTILINE)


def test_calls_that_wait_are_counted_with_the_next_time(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    first = cli.json("call", NUMBER, "--flow", "24", "--not-before", "+1h")
    cli("call", NUMBER, "--flow", "24", "--not-before", "+2h")
    assert cli.json("status", code=1)["waiting"] == {"calls": 2, "next_at": first["next_attempt_at"]}
    assert re.search(r"^calls to be sent +2, the next at ", cli("status").stdout, re.MULTILINE)


def test_a_provider_that_cannot_be_reached_is_a_problem(cli: Cli) -> None:
    cli.configure("http://127.0.0.1:9/api/v2/")
    assert cli.json("call", NUMBER, "--flow", "24")["status"] == "pending"
    told = cli.json("status", code=1)
    assert [p for p in told["problems"] if "provider cannot be reached, and 1 call waits" in p]
    assert told["waiting"]["calls"] == 1


def test_it_sees_the_worker_and_what_is_not_believed(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    now = datetime.now(UTC)
    with open_database(load_cli_settings(), create=True) as database:
        database.write(lambda c: heartbeats.record_heartbeat(c, "a-worker", now))
    assert cli.json("status")["ok"] is True
    assert cli("status").stdout.startswith("All is well.")
    cli("call", NUMBER, "--flow", "24")
    assert cli.json("status")["ok"] is True
    now = datetime.now(UTC)
    with open_database(load_cli_settings()) as database:
        stranger = log.NewCallback(
            id=new_id("cb"), account="thundersms", lane=None, received_at=now, method="POST", path=b"/", query=b"",
            headers=b"", body=b"", size=0, remote=None, state=states.QUARANTINED,
        )  # fmt: skip
        database.write(lambda c: log.insert(c, [stranger]))
    [problem] = cli.json("status", code=1)["problems"]
    assert "secret" in problem
    assert cli.json("inbox", "ignore", stranger.id)["state"] == "ignored"
    told = cli.json("status")
    assert (told["ok"], told["accounts"]["thundersms"]["silent_s"]) == (True, None)


def test_a_note_is_not_taken_for_a_problem_and_what_was_only_counted_for_what_is_kept(
    cli: Cli, provider: RecordingProvider
) -> None:
    cli.configure(provider.base_url)
    now = datetime.now(UTC)
    with open_database(load_cli_settings(), create=True) as database:
        database.write(lambda c: heartbeats.record_heartbeat(c, "a-worker", now))
        database.write(
            lambda c: counters.add_counts(c, {("quarantined", "thundersms"): 1, ("too-large", ""): 2}, now)
        )
    cli("pause", "--campaign", "spring")
    told = cli("status")
    assert told.exit_code == 0
    assert told.stdout.splitlines()[0] == "All is well."
    assert told.stdout.splitlines()[1].startswith("note: Dialling has been paused (campaign spring)")
    assert re.search(
        r"^not kept +1 more without the secret, beyond .*, account thundersms, the latest ", told.stdout, re.M
    )
    assert re.search(r"^not kept +2 too large, the latest ", told.stdout, re.M)


def test_a_database_that_is_not_there_is_said_in_a_sentence(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    result = cli("status")
    assert (result.exit_code, result.stdout) == (1, "")
    assert len(result.stderr.splitlines()) == 1
