"""From nothing to a configuration that works and dials nobody but its owner."""

from __future__ import annotations

import json
import os
import pty
import stat
import subprocess
import sys

import pytest

from tests.cli.conftest import NUMBER, Cli, simulated
from tests.recording_provider import RecordingProvider
from tracker.settings import load_settings
from tracker.store.engine.database import Database


def test_what_it_writes_loads_and_dials_nobody_but_its_owner(cli: Cli) -> None:
    result = cli("init", "--no-check", "--my-number", "89195 25224", "--bridge", "+91 80682 80000")
    assert result.exit_code == 0
    account = load_settings().account_values()["thundersms"]
    assert account.dialling == "allowlist"
    assert account.allow_to == {NUMBER}
    assert account.bridge == "918068280000"
    assert len(account.webhook_secrets[0]) >= 32
    assert account.webhook_token is not None
    assert load_settings().api_token
    load_settings().require_authenticated_callbacks()


def test_who_gives_no_number_is_told_that_no_phone_can_ring(cli: Cli) -> None:
    told = cli("init", "--no-check", "--yes").stdout
    assert "no phone can ring before you enter your number in " in told
    assert load_settings().account_values()["thundersms"].allow_to == frozenset()
    given = cli("init", "--no-check", "--yes", "--force", "--my-number", NUMBER).stdout
    assert "only your own phone can ring" in given


def test_the_database_is_the_same_one_wherever_a_command_is_started(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = cli.folder / "a folder"
    folder.mkdir()
    told = cli.json("init", "--no-check", "--config", "a folder/t.toml")
    assert told["database"] == str(folder / "tracker.db")
    settings = load_settings({"TRACKER_CONFIG": str(folder / "t.toml")})
    assert settings.database_location == str(folder / "tracker.db")
    monkeypatch.chdir("/")
    assert Database(settings.database_url).path == folder / "tracker.db"
    elsewhere = cli.folder / "data" / "calls.db"
    cli("init", "--no-check", "--config", str(cli.folder / "o.toml"), "--database", str(elsewhere))
    assert load_settings(path=cli.folder / "o.toml").database_location == str(elsewhere)


def test_the_commands_that_it_prints_name_a_configuration_that_would_not_be_found(cli: Cli) -> None:
    assert "\n    tracker call +91" in cli("init", "--no-check").stdout
    other = cli("init", "--no-check", "--config", "other.toml").stdout
    named = f"TRACKER_CONFIG={cli.folder / 'other.toml'} tracker"
    assert [f"{named} {c}" in other for c in ("call", "serve", "doctor")] == [True] * 3


def test_a_number_without_country_code_is_told_as_it_is_understood(cli: Cli) -> None:
    assert f"understood as {NUMBER}" in cli("init", "--no-check", "--my-number", "89195 25224").stderr
    sure = cli("init", "--no-check", "--force", "--my-number", NUMBER)
    assert "understood" not in sure.stderr


def test_a_token_that_is_missing_is_told(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    without = cli("init", "--no-check", "--config", "a.toml")
    assert "access_token" in without.stderr
    given = cli("init", "--no-check", "--config", "b.toml", "--access-token-file", "-", stdin="tok-5f1e2\n")
    monkeypatch.setenv("TRACKER_ACCOUNTS__THUNDERSMS__ACCESS_TOKEN", "tok-of-the-environment")
    there = cli("init", "--no-check", "--config", "c.toml")
    assert [r.exit_code for r in (without, given, there)] == [0, 0, 0]
    assert "No call can be placed yet" not in given.stderr + there.stderr


def test_only_its_owner_can_read_the_file(cli: Cli) -> None:
    cli("init", "--no-check")
    assert stat.S_IMODE((cli.folder / "tracker.toml").stat().st_mode) == 0o600
    assert [f.name for f in cli.folder.iterdir()] == ["tracker.toml"]


def test_secrets_are_fresh_each_time(cli: Cli) -> None:
    texts = []
    for _ in range(2):
        assert cli("init", "--no-check", "--force").exit_code == 0
        texts.append((cli.folder / "tracker.toml").read_text())
    keys = ("api_token", "webhook_secrets", "webhook_token")
    for lines in zip(*(t.splitlines() for t in texts), strict=True):
        assert (lines[0] != lines[1]) == lines[0].startswith(keys)


def test_an_existing_file_is_replaced_only_by_force(cli: Cli) -> None:
    (cli.folder / "tracker.toml").write_text("# mine\n")
    result = cli("init", "--no-check")
    assert result.exit_code == 1
    assert "--force" in result.stderr
    assert (cli.folder / "tracker.toml").read_text() == "# mine\n"


def test_what_to_enter_at_the_provider_has_the_secrets_that_were_written(cli: Cli) -> None:
    result = cli("init", "--no-check", "--public-url", "https://calls.example.com/t/")
    settings = load_settings()
    account = settings.account_values()["thundersms"]
    assert settings.server.public_url == "https://calls.example.com/t"
    assert "https://calls.example.com/t/callbacks/thundersms" in result.stdout
    assert account.webhook_secrets[0] in result.stdout
    assert account.webhook_token is not None
    assert account.webhook_token in result.stdout
    assert "{{id}}" in result.stdout
    assert "developer/webhooks" in result.stdout


def test_the_token_comes_from_standard_input_or_a_file_and_is_never_told(cli: Cli) -> None:
    result = cli("init", "--no-check", "--access-token-file", "-", stdin="tok-5f1e2\n")
    assert load_settings().account_values()["thundersms"].access_token == "tok-5f1e2"
    (cli.folder / "token").write_text("tok-from-file\n")
    other = cli("init", "--no-check", "--force", "--access-token-file", "token")
    assert load_settings().account_values()["thundersms"].access_token == "tok-from-file"
    assert "tok-from-file" not in (cli.folder / "tracker.toml").read_text()
    assert "tok-" not in result.stdout + result.stderr + other.stdout + other.stderr


def test_a_token_in_the_environment_stays_there(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_ACCOUNTS__THUNDERSMS__ACCESS_TOKEN", "tok-of-the-environment")
    cli("init", "--no-check")
    assert "tok-of" not in (cli.folder / "tracker.toml").read_text()
    assert load_settings().account_values()["thundersms"].access_token == "tok-of-the-environment"


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--my-number", "91886713XXXX"),
        ("--bridge", "12"),
        ("--base-url", "portal.example.com"),
        ("--public-url", "https://user@calls.example.com"),
        ("--account", "Thunder"),
        ("--provider", "twilio"),
        ("--access-token-file", "no-such-file"),
        ("--webhook-id", "a\x1b]0;b"),
    ],
)
def test_a_wrong_value_is_refused_and_nothing_is_written(cli: Cli, flag: str, value: str) -> None:
    result = cli("init", "--no-check", flag, value)
    assert result.exit_code == (1 if flag == "--webhook-id" else 2)
    assert flag in result.stderr or flag == "--webhook-id"
    assert list(cli.folder.iterdir()) == []


def test_quotes_and_backslashes_are_written_as_they_are(cli: Cli) -> None:
    cli("init", "--no-check", "--webhook-id", 'a"b\\c')
    assert load_settings().account_values()["thundersms"].webhook_id == 'a"b\\c'


def test_the_scheme_that_answers_is_written(cli: Cli) -> None:
    with simulated() as base_url:
        result = cli("init", "--base-url", base_url.replace("http:", "https:"))
        assert load_settings().account_values()["thundersms"].base_url == base_url
    assert "plain http" in result.stderr


def test_the_token_is_not_shown_to_find_out_who_answers(cli: Cli, provider: RecordingProvider) -> None:
    cli("init", "--base-url", provider.base_url, "--access-token-file", "-", stdin="tok-5f1e2\n")
    assert [(s.method, s.path) for s in provider.seen] == [("GET", "/api/v2/auth/me")]
    assert "authorization" not in {name.lower() for name in provider.seen[0].headers}


def test_https_is_kept_where_nobody_answers(cli: Cli) -> None:
    result = cli("init", "--base-url", "http://no-such-host.invalid/api/v2")
    assert load_settings().account_values()["thundersms"].base_url == "https://no-such-host.invalid/api/v2/"
    assert "does not answer" in result.stderr


def test_the_json_has_all_that_a_script_needs(cli: Cli) -> None:
    result = cli("init", "--no-check", "--json")
    told = json.loads(result.stdout)
    assert told["webhook_secret"] == load_settings().account_values()["thundersms"].webhook_secrets[0]
    assert told["callback_url"].endswith("/callbacks/thundersms")


def test_on_a_terminal_it_asks_and_asks_again_for_what_is_wrong(cli: Cli) -> None:
    """A real process on a terminal of its own; the token is not echoed."""
    dialogue = [
        (
            "access token (not shown; empty: not known yet): ",
            "tok-5f1e2",
        ),  # typed earlier, it would be dropped
        ("may be dialled", "91886713XXXX"),
        ("only digits", "89195 25224"),
        ("bridge", ""),
        ("Public address", "https://calls.example.com"),
        ("Id of the webhook", ""),
    ]
    command = [sys.executable, "-m", "tracker", "init", "--no-check"]
    terminal, other_end = pty.openpty()
    # a session without a terminal, so that the token is asked for on this one and not on the tests'
    running = subprocess.Popen(
        command, stdin=other_end, stdout=other_end, stderr=other_end, start_new_session=True
    )
    os.close(other_end)
    said = unread = ""
    try:
        for question, answer in dialogue:
            while question not in unread:
                unread += os.read(terminal, 1000).decode()
            said, unread = said + unread, unread.partition(question)[2]
            os.write(terminal, f"{answer}\n".encode())
        try:
            while piece := os.read(terminal, 1000).decode():
                said += piece
        except OSError:  # Linux's way of saying that the other end is closed
            pass
        assert running.wait(60) == 0
    finally:
        running.kill()
        running.wait()
        os.close(terminal)
    account = load_settings().account_values()["thundersms"]
    assert (account.access_token, account.allow_to, account.bridge) == (
        "tok-5f1e2",
        frozenset({NUMBER}),
        None,
    )
    assert load_settings().server.public_url == "https://calls.example.com"
    assert "tok-5f1e2" not in said
