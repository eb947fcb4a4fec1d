"""The commands `tracker calls` and `tracker show`, and what all commands that read have in common."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import ID, NUMBER, Cli
from tests.cli.stored_callbacks import callback_body, receive_callbacks
from tests.recording_provider import RecordingProvider
from tracker.cli.context import load_cli_settings, open_database


def test_show_finds_a_call_by_each_of_its_ids(cli: Cli, placed: str) -> None:
    call = cli.json("show", placed)
    assert [e["status"] for e in call["timeline"] if e["type"] == "status"] == ["submitting", "queued"]
    assert cli.json("show", call["submissions"][0]["id"])["id"] == placed
    assert cli.json("show", ID.upper())["id"] == placed
    assert cli.json("show", ID.partition(":")[0])["id"] == placed


def test_unknown_id_is_one_sentence_on_standard_error(cli: Cli, placed: str) -> None:
    for command in (["show", "call_0"], ["inbox", "show", "cb_0"], ["inbox", "join", "cb_0", "sub_0"]):
        result = cli(*command)
        assert (result.exit_code, result.stdout) == (1, "")
        assert len(result.stderr.splitlines()) == 1


def test_show_prints_matches_and_repeats(cli: Cli, placed: str) -> None:
    receive_callbacks(callback_body(), times=3)
    out = cli("show", placed, "--utc").stdout
    assert out.splitlines()[0].split() == [placed, "busy"]
    assert "order-42" in out
    output = " ".join(out.split())
    assert 'busy callback "BUSY"' in output
    assert "matched by submission-id" in output
    assert "said 3 times" in output


def test_show_evidence_is_escaped_and_without_secrets(cli: Cli, placed: str) -> None:
    receive_callbacks(callback_body())
    out = cli("show", placed, "--evidence").stdout
    assert "outgoing/send" in out
    assert '"flow_id":"24"' in out
    assert "X-Odd: \\x9b\\x00" in out
    assert "a-token-of-the-account" not in out
    assert "\x1b" not in out
    document = cli.json("show", placed, "--evidence")["evidence"]
    assert {"exchanges", "callbacks", "decisions"} <= set(document)


def test_bodies_and_ids_are_unbroken_on_a_terminal(
    cli: Cli, placed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = callback_body(status="BUSY", recording_url="https://recordings.example.com/" + "x y" * 60)
    [id] = receive_callbacks(body)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    for command in (["show", placed, "--evidence"], ["inbox", "show", id]):
        assert body.decode() in cli(*command).stdout
    lines = cli("inbox", "list").stdout.splitlines()
    assert max(len(line) for line in lines) <= 80
    assert [line.split()[0] for line in lines] == ["callback", id, placed]


def test_watch_ends_when_the_call_is_settled(cli: Cli, placed: str) -> None:
    receive_callbacks(callback_body())
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
def test_list_warns_of_an_account_that_is_not_configured(cli: Cli, placed: str, command: list[str]) -> None:
    """It is no failure, because an account that was configured once has left its calls here."""
    result = cli(*command, "--account", "thundrsms")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "thundrsms is not configured; configured: thundersms" in result.stderr
    assert "configured" not in cli(*command, "--account", "thundersms").stderr


def test_calls_continue_after_a_cursor(cli: Cli, placed: str) -> None:
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
def test_wrong_filter_is_wrong_usage(cli: Cli, placed: str, wrong: list[str]) -> None:
    result = cli(*wrong)
    assert result.exit_code == 2
    assert result.stderr


def test_reading_command_makes_no_database(cli: Cli, provider: RecordingProvider) -> None:
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


def test_missing_database_directory_is_one_sentence(
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


def test_misspelt_variable_is_named_on_standard_error(
    cli: Cli, placed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKER_DATABASE_URL", "sqlite:///another.db")
    result = cli("calls", "--json")
    assert [call["id"] for call in json.loads(result.stdout)["data"]] == [placed]
    assert result.stderr == (
        "TRACKER_DATABASE_URL is ignored, because it has single underscores; the setting is TRACKER_DATABASE__URL.\n"
    )
    assert "TRACKER_DATABASE__URL" in " ".join(c["message"] for c in cli.json("doctor", code=1)["checks"])


def test_empty_list_is_no_failure(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    with open_database(load_cli_settings(), create=True):
        pass
    for command in (["calls"], ["inbox", "list"]):
        result = cli(*command)
        assert (result.exit_code, result.stdout) == (0, "")
        assert result.stderr
