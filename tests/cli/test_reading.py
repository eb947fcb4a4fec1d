"""Looking at calls and at the inbox, and deciding by hand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from tests.cli.conftest import NUMBER, Cli
from tests.recording_provider import RecordingProvider, accepted
from tracker.cli.context import load_cli_settings, open_database, open_services
from tracker.store.ids import new_id
from tracker.store.inbox import log, states

ID = "70fa87e0-9df9-4327-bc80-a561c48703d8:1"


def receive(body: bytes, *, state: str = states.PENDING, times: int = 1) -> list[str]:
    """Callbacks arrive, and are joined unless they are in quarantine; their ids."""
    with open_services() as program:
        news = [
            log.NewCallback(
                id=new_id("cb"), account="thundersms", lane=None, received_at=datetime.now(UTC), method="POST",
                path=b"/callbacks/thundersms", query=b"a=\x1b[31m", headers=b"X-Odd: \x9b\x00\r\n", body=body,
                size=len(body), remote="127.0.0.1", state=state,
            )
            for _ in range(times)
        ]  # fmt: skip
        program.database.write(lambda c: log.insert(c, news))
        while program.joiner.join_pending():
            pass
    return [n.id for n in news]


def record(word: str = "BUSY", **more: str) -> bytes:
    fields = {"id": ID, "status": word, "to": NUMBER[1:], "start_at": "", "end_at": "", **more}
    return json.dumps(fields).encode()


@pytest.fixture
def placed(cli: Cli, provider: RecordingProvider) -> str:
    """The id of a call that the provider took as ID."""
    cli.configure(provider.base_url)
    provider.sends.append(accepted(ID))
    id: str = cli.json("call", NUMBER, "--flow", "24", "--reference", "order-42")["id"]
    return id


def test_a_call_is_found_by_any_of_its_ids(cli: Cli, placed: str) -> None:
    call = cli.json("show", placed)
    assert [e["status"] for e in call["timeline"] if e["type"] == "status"] == ["submitting", "queued"]
    assert cli.json("show", call["submissions"][0]["id"])["id"] == placed
    assert cli.json("show", ID.upper())["id"] == placed
    assert cli.json("show", ID.partition(":")[0])["id"] == placed


def test_what_is_not_there_is_said_in_a_sentence(cli: Cli, placed: str) -> None:
    for command in (["show", "call_0"], ["inbox", "show", "cb_0"], ["inbox", "join", "cb_0", "sub_0"]):
        result = cli(*command)
        assert (result.exit_code, result.stdout) == (1, "")
        assert len(result.stderr.splitlines()) == 1


def test_a_timeline_is_shown_with_how_we_know_and_how_often(cli: Cli, placed: str) -> None:
    receive(record(), times=3)
    out = cli("show", placed, "--utc").stdout
    assert out.splitlines()[0].split() == [placed, "busy"]
    assert "order-42" in out
    told = " ".join(out.split())
    assert 'busy callback "BUSY"' in told
    assert "matched by submission-id" in told
    assert "said 3 times" in told


def test_the_evidence_is_shown_without_secrets_and_without_effect(cli: Cli, placed: str) -> None:
    receive(record())
    out = cli("show", placed, "--evidence").stdout
    assert "outgoing/send" in out
    assert '"flow_id":"24"' in out
    assert "X-Odd: \\x9b\\x00" in out
    assert "a-token-of-the-account" not in out
    assert "\x1b" not in out
    told = cli.json("show", placed, "--evidence")["evidence"]
    assert {"exchanges", "callbacks", "decisions"} <= set(told)


def test_on_a_terminal_bodies_addresses_and_ids_are_in_one_piece(
    cli: Cli, placed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = record(word="BUSY", recording_url="https://recordings.example.com/" + "x y" * 60)
    [id] = receive(body)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    for command in (["show", placed, "--evidence"], ["inbox", "show", id]):
        assert body.decode() in cli(*command).stdout
    lines = cli("inbox", "list").stdout.splitlines()
    assert max(len(line) for line in lines) <= 80
    assert [line.split()[0] for line in lines] == ["callback", id, placed]


def test_watching_ends_when_the_call_is_settled(cli: Cli, placed: str) -> None:
    receive(record())
    result = cli("show", placed, "--watch")
    assert result.exit_code == 0
    assert "busy" in result.stdout
    assert cli("show", placed, "--watch", "--json").exit_code == 2


def test_calls_are_listed_by_filter(cli: Cli, placed: str) -> None:
    assert [c["id"] for c in cli.json("calls")["data"]] == [placed]
    for fits in (
        ["--status", "queued,busy"], ["--open"], ["--to", NUMBER[1:]], ["--to", NUMBER], ["--account", "thundersms"],
        ["--reference", "order-42"], ["--submission-id", ID], ["--created-after", "-1h"], ["--order", "updated_at"],
    ):  # fmt: skip
        assert [c["id"] for c in cli.json("calls", *fits)["data"]] == [placed], fits
    for not_fitting in (
        ["--status", "busy"], ["--outcome", "busy"], ["--settled"], ["--answered"], ["--disputed"],
        ["--created-before", "-1h"], ["--updated-after", "+1h"], ["--campaign", "c"],
    ):  # fmt: skip
        assert cli.json("calls", *not_fitting)["data"] == [], not_fitting
    out = cli("calls").stdout
    assert placed in out
    assert len(out.splitlines()) == 2


def test_calls_to_reads_a_number_by_the_account_s_region(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url, more='region = "GB"')
    placed = cli.json("call", "020 7946 0018", "--flow", "24")
    assert placed["to"] == "+442079460018"
    for to in ("020 7946 0018", "+442079460018", "442079460018"):
        assert [call["id"] for call in cli.json("calls", "--to", to)["data"]] == [placed["id"]]


def test_calls_names_every_wrong_option_at_once(cli: Cli, placed: str) -> None:
    result = cli("calls", "--status", "bussy", "--created-after", "2026-01-01", "--order", "to")
    assert (result.exit_code, result.stdout) == (2, "")
    for option in (
        "--status: must be one of: ",
        "--created-after: must be a time",
        "--order: must be one of: ",
    ):
        assert option in result.stderr


@pytest.mark.parametrize("command", [["calls"], ["inbox", "list"], ["inbox", "tail", "--once"]])
def test_an_account_that_is_not_configured_is_said(cli: Cli, placed: str, command: list[str]) -> None:
    """It is no failure: an account that was configured once has left its calls here."""
    result = cli(*command, "--account", "thundrsms")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "thundrsms is not configured; configured: thundersms" in result.stderr
    assert "configured" not in cli(*command, "--account", "thundersms").stderr


def test_a_list_goes_on_behind_its_cursor(cli: Cli, placed: str) -> None:
    second = cli.json("call", NUMBER, "--flow", "24", "--not-before", "+1h")["id"]
    first_page = cli.json("calls", "--limit", "1")
    assert [c["id"] for c in first_page["data"]] == [second]
    page = cli.json("calls", "--limit", "1", "--cursor", first_page["next_cursor"])
    assert [c["id"] for c in page["data"]] == [placed]
    assert page["next_cursor"] is None
    assert "more" in cli("calls", "--limit", "1").stderr


@pytest.mark.parametrize(
    "wrong",
    [
        ["calls", "--status", "bussy"],
        ["calls", "--outcome", "queued"],
        ["calls", "--to", "91XX"],
        ["calls", "--created-after", "2026-01-01"],
        ["calls", "--order", "to"],
        ["calls", "--limit", "501"],
        ["calls", "--cursor", "nonsense"],
        ["calls", "--settled", "--open"],
        ["calls", "--created-after", "2026-03-02T00:00:01Z", "--created-before", "2026-03-02T00:00:00Z"],
        ["inbox", "list", "--state", "lost"],
        ["inbox", "list", "--cursor", "nonsense"],
    ],
    ids=" ".join,
)
def test_a_filter_that_cannot_be_is_wrong_usage(cli: Cli, placed: str, wrong: list[str]) -> None:
    result = cli(*wrong)
    assert result.exit_code == 2
    assert result.stderr


def test_the_inbox_is_listed_with_what_was_made_of_it(cli: Cli, placed: str) -> None:
    [joined] = receive(record())
    [orphan] = receive(record(id="another", to="918867130003"))
    [unreadable] = receive(b"{")
    rows = {c["id"]: c for c in cli.json("inbox", "list")["data"]}
    assert {id: row["state"] for id, row in rows.items()} == {
        joined: "joined", orphan: "orphaned", unreadable: "unreadable",
    }  # fmt: skip
    assert [c["id"] for c in cli.json("inbox", "list", "--state", "orphaned")["data"]] == [orphan]
    assert [c["id"] for c in cli.json("inbox", "list", "--call", placed)["data"]] == [joined]
    titles, *lines = cli("inbox", "list").stdout.splitlines()
    assert titles.split()[0] == "callback"
    assert [line.split()[0] for line in lines] == [unreadable, orphan, joined]
    assert lines[-1].endswith(f"joined      {placed} by submission-id")


def test_an_ambiguous_callback_is_shown_with_what_it_may_belong_to(
    cli: Cli, placed: str, provider: RecordingProvider
) -> None:
    second = cli.json("call", NUMBER, "--flow", "24")
    [usual] = receive(record("BUSY", id=""))
    found = cli.json("inbox", "show", usual)
    assert found["reason"] == "ambiguous"
    assert list(found)[-2:] == ["candidates", "request"]
    assert [(c["call"], c["status"]) for c in found["candidates"]] == [
        (placed, "queued"),
        (second["id"], "queued"),
    ]
    assert found["candidates"][0]["submission_id"] == ID
    told = cli("inbox", "show", usual).stdout
    assert all(f"{c['submission']} of {c['call']}, queued" in told for c in found["candidates"])
    assert f"`tracker inbox join {usual} SUBMISSION`" in told
    problems = " ".join(cli.json("status", code=1)["problems"])
    assert "no known call" not in problems
    assert "1 callback that could not be joined to a call" in problems

    cli("inbox", "join", usual, ID)
    assert cli.json("inbox", "show", usual)["candidates"] == []


def test_a_request_is_shown_as_it_came_and_acts_on_no_terminal(cli: Cli, placed: str) -> None:
    [id] = receive(b'{"status": "\x1b]0;owned\x07\xe2\x80\xae"}')
    result = cli("inbox", "show", id)
    assert "POST /callbacks/thundersms?a=\\x1b[31m" in result.stdout
    assert '{"status": "\\x1b]0;owned\\x07\\u202e"}' in result.stdout
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(result.stdout)
    assert cli.json("inbox", "show", id)["request"]["body"] == '{"status": "\x1b]0;owned\x07\u202e"}'


def test_a_callback_is_joined_and_ignored_by_hand(cli: Cli, placed: str) -> None:
    [orphan] = receive(record("ANSWER", id="another", to="918867130003"))
    submission = cli.json("show", placed)["submissions"][0]["id"]
    assert cli.json("inbox", "join", orphan, submission, "--force")["matched_by"] == "operator"
    assert cli.json("show", placed)["status"] == "completed"
    told = cli("show", placed).stdout
    assert f"join        operator {orphan}" in " ".join(told.split("\n"))
    ignored = cli("inbox", "ignore", orphan).stdout
    assert f"{orphan} is ignored now." in ignored
    assert f"taken away from {submission} of {placed} (matched by operator)" in ignored
    assert f"{placed}: completed before, queued, not settled now." in ignored
    assert cli.json("show", placed)["status"] == "queued"
    joined = cli("inbox", "join", orphan, ID, "--force").stdout
    assert f"{orphan} belongs to {submission} of {placed} now." in joined
    assert f"{placed}: queued, not settled before, completed now." in joined


def test_a_callback_about_another_number_is_joined_only_by_force(cli: Cli, placed: str) -> None:
    [orphan] = receive(record("ANSWER", id="another", to="918867130003"))
    refused = cli("inbox", "join", orphan, ID)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "+918867130003" in refused.stderr
    assert NUMBER in refused.stderr
    assert "--force" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert cli.json("inbox", "show", orphan)["state"] == "orphaned"


def test_a_join_says_which_callbacks_lost_theirs(cli: Cli, placed: str) -> None:
    """One that fits by number and time only is contradicted by the one that a person is sure of."""
    [usual] = receive(record("BUSY", id="", end_at="2026-01-01 10:00:00"))
    assert cli.json("inbox", "show", usual)["call"] == placed
    [sure] = receive(record("ANSWER", id="another", to=""))
    told = cli("inbox", "join", sure, ID)
    assert told.exit_code == 0
    assert f"{usual} was joined to {placed} too, and is not any more" in told.stdout
    assert f"{placed}: busy before, completed now." in told.stdout
    assert cli.json("inbox", "show", usual)["state"] == "orphaned"
    [back] = cli.json("inbox", "ignore", sure)["changed"]["calls"]
    assert back == {"id": placed, "status_before": "completed", "status": "busy"}


def test_the_tail_shows_what_is_there_and_ends(cli: Cli, placed: str) -> None:
    ids = [receive(record(id=f"another-{n}"))[0] for n in range(3)]
    out = cli("inbox", "tail", "--once").stdout
    assert [line.split()[0] for line in out.splitlines() if line.startswith("cb_")] == ids
    lines = cli("inbox", "tail", "--once", "--last", "1", "--json").stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ids[-1:]
    assert cli("inbox", "tail", "--for", "0.1", "--last", "0").stdout == ""


def test_the_tail_shows_what_comes_in_until_ctrl_c(cli: Cli, placed: str) -> None:
    command = [sys.executable, "-m", "tracker", "inbox", "tail", "--json"]
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    [before] = receive(record(id="another"))
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    try:
        assert running.stdout is not None
        assert json.loads(running.stdout.readline())["id"] == before
        [id] = receive(record())
        told = json.loads(running.stdout.readline())
        assert (told["id"], told["state"], told["call"]) == (id, "joined", placed)
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 0
    finally:
        running.kill()
        running.communicate()


def test_an_empty_database_is_said_and_not_made(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    for command in (["calls"], ["show", "x"], ["inbox", "list"]):
        result = cli(*command)
        assert result.exit_code == 1
        assert "does not exist yet" in result.stderr
        assert "tracker db upgrade" in result.stderr
        assert str(cli.folder / "tracker.db") in result.stderr
        assert str(cli.folder / "tracker.toml") in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert not (cli.folder / "tracker.db").exists()


def test_a_directory_that_is_not_there_is_said(
    cli: Cli, provider: RecordingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.configure(provider.base_url)
    monkeypatch.setenv("TRACKER_DATABASE__URL", f"sqlite:///{cli.folder}/nowhere/tracker.db")
    for command in (["calls"], ["inbox", "list"], ["call", NUMBER, "--flow", "24"]):
        result = cli(*command)
        assert result.exit_code == 1
        assert f"There is no directory {cli.folder}/nowhere" in result.stderr
        assert "db upgrade" not in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_a_variable_that_was_meant_as_a_setting_is_said(
    cli: Cli, placed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKER_DATABASE_URL", "sqlite:///another.db")
    result = cli("calls", "--json")
    assert [call["id"] for call in json.loads(result.stdout)["data"]] == [placed]
    assert result.stderr == (
        "TRACKER_DATABASE_URL is ignored, because it has single underscores; the setting is TRACKER_DATABASE__URL.\n"
    )
    assert "TRACKER_DATABASE__URL" in " ".join(c["message"] for c in cli.json("doctor", code=1)["checks"])


def test_nothing_found_is_no_failure(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    with open_database(load_cli_settings(), create=True):
        pass
    for command in (["calls"], ["inbox", "list"]):
        result = cli(*command)
        assert (result.exit_code, result.stdout) == (0, "")
        assert result.stderr
