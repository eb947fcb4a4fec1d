"""The command `tracker status`: problems, notes and the exit status."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from tests.cli.conftest import NUMBER, Cli
from tests.cli.stored_callbacks import receive_callbacks
from tests.documents import statusz_shown
from tests.recording_provider import RecordingProvider, error
from tracker.cli.context import load_cli_settings, open_database
from tracker.store.inbox import states
from tracker.store.queue import counters, heartbeats


def test_status_fails_when_there_is_a_problem(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    provider.sends.append(error(500, "oops"))
    cli("call", NUMBER, "--flow", "24")
    document = cli.json("status", code=1)
    statusz = statusz_shown()
    shared = [key for key in statusz if key not in ("inbox_waiting", "worker_here")]
    assert list(document) == ["ok", "problems", "notes", "waiting", *shared]
    assert document["ok"] is False
    assert len(document["problems"]) == 2  # no worker runs, and one submission is unconfirmed
    assert document["unconfirmed_submissions"] == 1
    out = cli("status").stdout
    assert "No worker runs" in out
    assert re.search(r"^account thundersms +last callback never, 1 submission open$", out, re.MULTILINE)


def test_status_counts_waiting_calls(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    first = cli.json("call", NUMBER, "--flow", "24", "--not-before", "+1h")
    cli("call", NUMBER, "--flow", "24", "--not-before", "+2h")
    assert cli.json("status", code=1)["waiting"] == {"calls": 2, "next_at": first["next_attempt_at"]}
    assert re.search(r"^calls to be sent +2, the next at ", cli("status").stdout, re.MULTILINE)


def test_status_fails_when_the_provider_is_unreachable(cli: Cli) -> None:
    cli.configure("http://127.0.0.1:9/api/v2/")
    assert cli.json("call", NUMBER, "--flow", "24")["status"] == "pending"
    document = cli.json("status", code=1)
    assert [p for p in document["problems"] if "provider cannot be reached, and 1 call waits" in p]
    assert document["waiting"]["calls"] == 1


def test_status_sees_workers_and_quarantined_callbacks(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    now = datetime.now(UTC)
    with open_database(load_cli_settings(), create=True) as database:
        database.write(lambda c: heartbeats.record_heartbeat(c, "a-worker", now))
    assert cli.json("status")["ok"] is True
    assert cli("status").stdout.startswith("All is well.")
    cli("call", NUMBER, "--flow", "24")
    assert cli.json("status")["ok"] is True
    now = datetime.now(UTC)
    [stranger] = receive_callbacks(b"", state=states.QUARANTINED)
    [problem] = cli.json("status", code=1)["problems"]
    assert "secret" in problem
    assert cli.json("inbox", "ignore", stranger)["state"] == "ignored"
    document = cli.json("status")
    assert (document["ok"], document["accounts"]["thundersms"]["silent_s"]) == (True, None)


def test_status_prints_notes_and_counters(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    now = datetime.now(UTC)
    with open_database(load_cli_settings(), create=True) as database:
        database.write(lambda c: heartbeats.record_heartbeat(c, "a-worker", now))
        database.write(
            lambda c: counters.add_counts(c, {("quarantined", "thundersms"): 1, ("too-large", ""): 2}, now)
        )
    cli("pause", "--campaign", "spring")
    output = cli("status")
    assert output.exit_code == 0
    assert output.stdout.splitlines()[0] == "All is well."
    assert output.stdout.splitlines()[1].startswith("note: Dialling has been paused (campaign spring)")
    assert re.search(
        r"^not kept +1 more without the secret, beyond .*, account thundersms, the latest ",
        output.stdout,
        re.M,
    )
    assert re.search(r"^not kept +2 too large, the latest ", output.stdout, re.M)


def test_status_without_database_is_one_sentence(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    result = cli("status")
    assert (result.exit_code, result.stdout) == (1, "")
    assert len(result.stderr.splitlines()) == 1
