"""The command `tracker init` writes a configuration that works and dials only its owner."""

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


def test_init_writes_a_configuration_that_dials_its_owner(cli: Cli) -> None:
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


def test_init_without_number_says_that_no_phone_can_ring(cli: Cli) -> None:
    output = cli("init", "--no-check", "--yes").stdout
    assert "no phone can ring before you enter your number in " in output
    assert load_settings().account_values()["thundersms"].allow_to == frozenset()
    given = cli("init", "--no-check", "--yes", "--force", "--my-number", NUMBER).stdout
    assert "only your own phone can ring" in given


def test_init_names_the_database_with_its_whole_path(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = cli.folder / "a folder"
    folder.mkdir()
    document = cli.json("init", "--no-check", "--config", "a folder/t.toml")
    assert document["database"] == str(folder / "tracker.db")
    settings = load_settings({"TRACKER_CONFIG": str(folder / "t.toml")})
    assert settings.database_location == str(folder / "tracker.db")
    monkeypatch.chdir("/")
    assert Database(settings.database_url).path == folder / "tracker.db"
    elsewhere = cli.folder / "data" / "calls.db"
    cli("init", "--no-check", "--config", str(cli.folder / "o.toml"), "--database", str(elsewhere))
    assert load_settings(path=cli.folder / "o.toml").database_location == str(elsewhere)


def test_init_commands_name_a_configuration_elsewhere(cli: Cli) -> None:
    assert "\n    tracker call +91" in cli("init", "--no-check").stdout
    other = cli("init", "--no-check", "--config", "other.toml").stdout
    named = f"TRACKER_CONFIG={cli.folder / 'other.toml'} tracker"
    assert [f"{named} {c}" in other for c in ("call", "serve", "doctor")] == [True] * 3


def test_init_prints_how_a_short_number_is_understood(cli: Cli) -> None:
    assert f"understood as {NUMBER}" in cli("init", "--no-check", "--my-number", "89195 25224").stderr
    sure = cli("init", "--no-check", "--force", "--my-number", NUMBER)
    assert "understood" not in sure.stderr


def test_init_says_that_the_token_is_missing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    without = cli("init", "--no-check", "--config", "a.toml")
    assert "access_token" in without.stderr
    given = cli("init", "--no-check", "--config", "b.toml", "--access-token-file", "-", stdin="tok-5f1e2\n")
    monkeypatch.setenv("TRACKER_ACCOUNTS__THUNDERSMS__ACCESS_TOKEN", "tok-of-the-environment")
    there = cli("init", "--no-check", "--config", "c.toml")
    assert [r.exit_code for r in (without, given, there)] == [0, 0, 0]
    assert "No call can be placed yet" not in given.stderr + there.stderr


def test_init_file_is_readable_by_its_owner_only(cli: Cli) -> None:
    cli("init", "--no-check")
    assert stat.S_IMODE((cli.folder / "tracker.toml").stat().st_mode) == 0o600
    assert [f.name for f in cli.folder.iterdir()] == ["tracker.toml"]


def test_init_writes_new_secrets_each_time(cli: Cli) -> None:
    texts = []
    for _ in range(2):
        assert cli("init", "--no-check", "--force").exit_code == 0
        texts.append((cli.folder / "tracker.toml").read_text())
    keys = ("api_token", "webhook_secrets", "webhook_token")
    for lines in zip(*(t.splitlines() for t in texts), strict=True):
        assert (lines[0] != lines[1]) == lines[0].startswith(keys)


def test_init_replaces_a_file_only_with_force(cli: Cli) -> None:
    (cli.folder / "tracker.toml").write_text("# mine\n")
    result = cli("init", "--no-check")
    assert result.exit_code == 1
    assert "--force" in result.stderr
    assert (cli.folder / "tracker.toml").read_text() == "# mine\n"


def test_init_guide_contains_the_written_secrets(cli: Cli) -> None:
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


def test_init_reads_the_token_and_never_prints_it(cli: Cli) -> None:
    result = cli("init", "--no-check", "--access-token-file", "-", stdin="tok-5f1e2\n")
    assert load_settings().account_values()["thundersms"].access_token == "tok-5f1e2"
    (cli.folder / "token").write_text("tok-from-file\n")
    other = cli("init", "--no-check", "--force", "--access-token-file", "token")
    assert load_settings().account_values()["thundersms"].access_token == "tok-from-file"
    assert "tok-from-file" not in (cli.folder / "tracker.toml").read_text()
    assert "tok-" not in result.stdout + result.stderr + other.stdout + other.stderr


def test_init_leaves_a_token_in_the_environment(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_init_writes_nothing_when_a_value_is_wrong(cli: Cli, flag: str, value: str) -> None:
    result = cli("init", "--no-check", flag, value)
    assert result.exit_code == (1 if flag == "--webhook-id" else 2)
    assert flag in result.stderr or flag == "--webhook-id"
    assert list(cli.folder.iterdir()) == []


def test_init_escapes_quotes_and_backslashes(cli: Cli) -> None:
    cli("init", "--no-check", "--webhook-id", 'a"b\\c')
    assert load_settings().account_values()["thundersms"].webhook_id == 'a"b\\c'


def test_init_writes_the_scheme_that_answers(cli: Cli) -> None:
    with simulated() as base_url:
        result = cli("init", "--base-url", base_url.replace("http:", "https:"))
        assert load_settings().account_values()["thundersms"].base_url == base_url
    assert "plain http" in result.stderr


def test_init_tries_the_scheme_without_the_token(cli: Cli, provider: RecordingProvider) -> None:
    cli("init", "--base-url", provider.base_url, "--access-token-file", "-", stdin="tok-5f1e2\n")
    assert [(s.method, s.path) for s in provider.seen] == [("GET", "/api/v2/auth/me")]
    assert "authorization" not in {name.lower() for name in provider.seen[0].headers}


def test_init_keeps_https_when_the_provider_is_unreachable(cli: Cli) -> None:
    result = cli("init", "--base-url", "http://no-such-host.invalid/api/v2")
    assert load_settings().account_values()["thundersms"].base_url == "https://no-such-host.invalid/api/v2/"
    assert "does not answer" in result.stderr


def test_init_json_contains_secrets_and_callback_url(cli: Cli) -> None:
    result = cli("init", "--no-check", "--json")
    document = json.loads(result.stdout)
    assert document["webhook_secret"] == load_settings().account_values()["thundersms"].webhook_secrets[0]
    assert document["callback_url"].endswith("/callbacks/thundersms")


def test_init_asks_again_on_a_terminal_when_a_value_is_wrong(cli: Cli) -> None:
    """A real process on a terminal of its own does not echo the token."""
    dialogue = [
        (
            "access token (not shown; empty: not known yet): ",
            "tok-5f1e2",
        ),  # answered only when asked, because earlier input is dropped
        ("may be dialled", "91886713XXXX"),
        ("only digits", "89195 25224"),
        ("bridge", ""),
        ("Public address", "https://calls.example.com"),
        ("Id of the webhook", ""),
    ]
    command = [sys.executable, "-m", "tracker", "init", "--no-check"]
    terminal, other_end = pty.openpty()
    # a new session, so that the token is asked for on this terminal and not on that of the tests
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
        except OSError:  # Linux raises it when the other end is closed
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
