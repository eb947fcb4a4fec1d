"""`tracker pause`, and what other commands say while it stands."""

from __future__ import annotations

from tests.cli.conftest import NUMBER, Cli
from tests.recording_provider import RecordingProvider


def test_pausing_and_resuming(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    cli("db", "upgrade")
    told = cli.json("pause")
    assert [(p["scope"], p["why"]) for p in told["paused"]] == [("all", "operator")]
    assert "Dialling is paused: all, since" in cli("pause").stdout

    call = cli("call", NUMBER, "--flow", "24")
    assert call.exit_code == 0
    assert "Dialling is paused" in call.stderr
    assert provider.sent == []
    assert [p["scope"] for p in cli.json("status", code=1)["paused"]] == ["all"]
    assert "tracker pause --resume" in cli("status").stdout

    assert cli.json("pause", "--resume") == {"paused": [], "released": 1}
    assert "no pause of all to lift" in cli("pause", "--resume").stdout


def test_a_scope(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    cli("db", "upgrade")
    assert cli.json("pause", "--account", "thundersms")["paused"][0]["account"] == "thundersms"
    assert len(cli.json("pause", "--campaign", "spring")["paused"]) == 2
    assert "account thundersms" in cli("pause", "--account", "thundersms", "--resume").stdout
    for campaign in ("", " ", "a" * 201, "a\x00"):
        wrong = cli("pause", "--campaign", campaign)
        assert (wrong.exit_code, wrong.stdout) == (2, "")
        assert wrong.stderr.startswith("campaign: must ")
    wrong = cli("pause", "--account", "nobody")
    assert wrong.exit_code == 2
    assert "configured: thundersms" in wrong.stderr
