"""The command `tracker pause`, and what other commands print while dialling is paused."""

from __future__ import annotations

from tests.cli.conftest import NUMBER, Cli
from tests.recording_provider import RecordingProvider


def test_pause_stops_dialling_until_it_is_resumed(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    cli("db", "upgrade")
    document = cli.json("pause")
    assert [(p["scope"], p["why"]) for p in document["paused"]] == [("all", "operator")]
    assert "Dialling is paused: all, since" in cli("pause").stdout

    call = cli("call", NUMBER, "--flow", "24")
    assert call.exit_code == 0
    assert "Dialling is paused (all)" in call.stderr
    assert "`tracker pause --resume`" in call.stderr.replace("scripts/", "")
    assert "is pending because dialling is paused" in call.stdout
    assert provider.sent == []
    assert [p["scope"] for p in cli.json("status", code=1)["paused"]] == ["all"]
    assert "tracker pause --resume" in cli("status").stdout

    assert cli.json("pause", "--resume") == {"paused": [], "released": 1}
    cli("pause")
    cli("call", NUMBER, "--flow", "24")
    assert "1 call that waited is due now" in cli("pause", "--resume").stdout
    assert "no pause of all to lift" in cli("pause", "--resume").stdout


def test_call_says_first_that_dialling_is_paused(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    cli("db", "upgrade")
    cli("pause", "--campaign", "spring time")
    waited = cli("call", NUMBER, "--flow", "24", "--campaign", "spring time", "--wait", "--timeout", "0.1")
    assert waited.exit_code == 1
    assert waited.stderr.startswith("Dialling is paused (campaign spring time)")
    assert "pause --resume --campaign 'spring time'`" in waited.stderr
    assert provider.sent == []
    # the pause of another campaign is not why this call waits
    other = cli("call", NUMBER, "--flow", "24", "--campaign", "autumn", "--not-before", "+1h")
    assert "paused" not in other.stdout + other.stderr
    assert " sends it from " in other.stdout


def test_call_after_a_restore_points_to_status(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    cli("db", "upgrade")
    cli("db", "after-restore")
    call = cli("call", NUMBER, "--flow", "24", "--json")
    assert "status` says why" in call.stderr
    assert "--resume" not in call.stderr


def test_pause_of_an_account_or_a_campaign(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    cli("db", "upgrade")
    assert cli.json("pause", "--account", "thundersms")["paused"][0]["account"] == "thundersms"
    assert len(cli.json("pause", "--campaign", "spring")["paused"]) == 2
    assert "account thundersms" in cli("pause", "--account", "thundersms", "--resume").stdout
    for campaign in ("", " ", "a" * 201, "a\x00"):
        wrong = cli("pause", "--campaign", campaign)
        assert (wrong.exit_code, wrong.stdout) == (2, "")
        assert wrong.stderr.startswith("--campaign: must ")
    wrong = cli("pause", "--account", "nobody")
    assert wrong.exit_code == 2
    assert wrong.stderr == "--account: is not configured; configured: thundersms\n"
    wrong = cli("pause", "--account", "thundersms", "--campaign", "spring")
    assert wrong.stderr.startswith("--campaign: cannot stand beside `--account`: ")


def test_pause_warns_of_a_campaign_without_calls(cli: Cli, provider: RecordingProvider) -> None:
    """The calls of the campaign may be placed later, or its name is misspelt and nothing is paused."""
    cli.configure(provider.base_url)
    cli("db", "upgrade")
    first = cli("pause", "--campaign", "spring")
    assert first.exit_code == 0
    assert first.stderr == "No call has the campaign spring yet. Future ones will wait.\n"
    assert "campaign spring" in first.stdout
    cli("call", NUMBER, "--flow", "24", "--campaign", "spring")
    assert cli("pause", "--campaign", "spring").stderr == ""
    assert cli("pause", "--campaign", "spring", "--resume").stderr == ""
