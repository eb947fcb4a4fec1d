"""The command `tracker call`: one call is placed, sent and waited for."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time

import pytest

from tests.cli.conftest import NUMBER, Cli, simulated
from tests.recording_provider import RecordingProvider, Told, accepted, callstatus, error
from tracker.cli.commands.calls.wait import wait_until_settled, watch_call
from tracker.cli.context import open_services

ID = "70fa87e0-9df9-4327-bc80-a561c48703d8:1"


def record(word: str, **more: str) -> Told:
    """Return the provider's answer to a status request, with one record."""
    row = {
        "id": ID,
        "mobile": NUMBER[1:],
        "status": word,
        "start_at": "",
        "end_at": "",
        "duration": "00:00:00",
    }
    return callstatus({**row, **more})


def test_call_sends_once_and_prints_the_provider_id(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    provider.sends.append(accepted(ID))
    result = cli("call", NUMBER, "--flow", "24", "--var", "Name=Your=Name", "--reference", "order-42")
    assert result.exit_code == 0
    assert ID in result.stdout
    assert "queued" in result.stdout
    [sent] = provider.sent
    assert sent.json()["to"] == "918919525224"
    assert sent.json()["flow_id"] == "24"
    assert sent.json()["variables[Name]"] == "Your=Name"


def test_call_json_is_the_call(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    provider.sends.append(accepted(ID))
    call = cli.json("call", NUMBER, "--flow-id", "24", "--meta", "order=42")
    assert (call["to"], call["status"], call["settled"]) == (NUMBER, "queued", False)
    assert call["submissions"][0]["submission_id"] == ID
    assert call["metadata"] == {"order": "42"}


def test_call_names_every_wrong_option_and_sends_nothing(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    result = cli("call", "91886713XXXX", "--interval", "7", "--audio", "nothing")
    assert result.exit_code == 2
    for field in ("to:", "--interval:", "--audio:"):
        assert field in result.stderr
    result = cli("call", NUMBER)
    assert (result.exit_code, result.stderr) == (
        2,
        "--flow: is needed, unless `--audio` is given: what the callee hears\n",
    )
    result = cli("call", NUMBER, "--flow", "1", "--account", "nobody")
    assert result.stderr == "--account: is not configured; configured: thundersms\n"
    assert provider.seen == []


def test_call_is_refused_when_the_account_has_no_token(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    file = cli.folder / "tracker.toml"
    file.write_text(file.read_text().replace('access_token = "a-token-of-the-account"\n', ""))
    result = cli("call", NUMBER, "--flow", "24")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "accounts.thundersms.access_token" in result.stderr
    assert cli.json("calls")["data"] == []
    assert cli("call", NUMBER).exit_code == 2  # another field is wrong as well
    assert provider.seen == []


@pytest.mark.parametrize(
    "wrong",
    [
        ["--var", "no-value"],
        ["--wait", "--timeout", "soon"],
        ["--not-after", "tomorrow"],
        ["--not-before", "+10"],
        ["--var", "a=1", "--var", "a=2"],
    ],
)
def test_wrong_option_is_refused_before_anything_is_stored(
    cli: Cli, provider: RecordingProvider, wrong: list[str]
) -> None:
    cli.configure(provider.base_url)
    result = cli("call", NUMBER, "--flow", "24", *wrong)
    assert result.exit_code == 2
    assert f"{wrong[-2]}: " in result.stderr
    assert not (cli.folder / "tracker.db").exists()


def test_call_to_a_number_outside_the_allowlist_is_not_sent(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url, more='dialling = "allowlist"\nallow_to = ["+918867130003"]')
    result = cli("call", NUMBER, "--flow", "24")
    assert result.exit_code == 1
    assert "allow_to" in result.stderr
    assert provider.seen == []


def test_call_fails_with_the_reason_when_rejected(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    provider.sends.append(error(401, "Unauthenticated."))
    result = cli("call", NUMBER, "--flow", "24")
    assert result.exit_code == 1
    assert "bad-credentials" in result.stderr


def test_call_that_is_not_due_waits_for_a_worker(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    result = cli("call", NUMBER, "--flow", "24", "--not-before", "+10m")
    assert result.exit_code == 0
    assert "tracker serve" in result.stdout
    assert provider.seen == []


def test_call_succeeds_when_the_answer_is_unclear(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    provider.sends.append(error(500, "oops"))
    result = cli("call", NUMBER, "--flow", "24")
    assert result.exit_code == 0
    assert "may be ringing" in result.stdout


def test_repeated_idempotency_key_sends_nothing(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    first, second = (cli.json("call", NUMBER, "--flow", "24", "--idempotency-key", "k") for _ in range(2))
    assert first["id"] == second["id"]
    assert len(provider.sent) == 1
    other = cli("call", NUMBER, "--flow", "25", "--idempotency-key", "k")
    assert other.exit_code == 1
    assert "Idempotency-Key" in other.stderr


def test_timeout_without_wait_is_refused(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    refused = cli("call", NUMBER, "--flow", "24", "--timeout", "10s")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "only applies together with `--wait`" in " ".join(refused.stderr.split())
    assert provider.sent == []
    assert not (cli.folder / "tracker.db").exists()


def test_planned_time_is_printed_in_utc_with_utc_option(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    planned = cli("call", NUMBER, "--flow", "24", "--not-before", "2999-01-31T09:00:00Z", "--utc")
    assert "09:00" in planned.stdout


def waited(cli: Cli, *, timeout_s: float = 60.0) -> bool:
    """Place a call and wait for it; the provider is asked almost at once."""
    with open_services(create=True) as program:
        placed = program.placer.place({"to": NUMBER, "flow_id": "24"})
        waiting = wait_until_settled(
            program, placed, timeout_s=timeout_s, utc=True, visible=True, first_ask_s=0.05
        )
        return asyncio.run(waiting)


def test_wait_asks_until_the_provider_knows_the_outcome(
    cli: Cli, provider: RecordingProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.configure(provider.base_url)
    provider.sends.append(accepted(ID))
    provider.polls += [callstatus(), error(503, "try later"), record("BUSY")]
    assert waited(cli) is True
    out, err = capsys.readouterr()
    assert '"BUSY"' in out
    assert "Try again later" in err
    assert len([s for s in provider.seen if "callstatus" in s.path]) == 3


def test_watch_asks_the_provider_and_sends_nothing(
    cli: Cli, provider: RecordingProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    """A call is settled without a server, a worker or a callback."""
    cli.configure(provider.base_url)
    provider.sends.append(accepted(ID))
    id = cli.json("call", NUMBER, "--flow", "24")["id"]
    provider.polls += [callstatus(), record("BUSY")]
    with open_services() as program:
        assert asyncio.run(watch_call(program, id, utc=True, asks=True, first_ask_s=0.05)) is True
    assert '"BUSY"' in capsys.readouterr().out
    assert len(provider.sent) == 1


def test_watch_with_no_ask_only_reads(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    provider.sends.append(accepted(ID))
    id = cli.json("call", NUMBER, "--flow", "24")["id"]

    async def some_looks() -> None:
        with open_services() as program:
            await asyncio.wait_for(watch_call(program, id, utc=True, asks=False, first_ask_s=0.01), 0.7)

    with pytest.raises(TimeoutError):
        asyncio.run(some_looks())
    assert [s for s in provider.seen if "callstatus" in s.path] == []


def test_number_without_country_code_is_printed_as_understood(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    provider.sends += [accepted(ID), accepted(f"{ID}1"), accepted(f"{ID}2")]
    short = cli("call", "89195 25224", "--flow", "24")
    assert f" to {NUMBER} is queued" in short.stdout
    assert f"89195 25224 is understood as {NUMBER}" in short.stderr
    for sure in (NUMBER, NUMBER[1:]):
        result = cli("call", sure, "--flow", "24")
        assert f" to {NUMBER} is queued" in result.stdout
        assert result.stderr == ""


def test_wait_sends_again_after_a_429(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    provider.sends += [error(429, "Too many", Retry_After="0"), accepted(ID)]
    provider.polls.append(record("NOANSWER"))
    assert waited(cli) is True
    assert len(provider.sent) == 2


def test_wait_ends_at_its_timeout(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    assert waited(cli, timeout_s=0.2) is False
    result = cli("call", NUMBER, "--flow", "24", "--wait", "--timeout", "0s")
    assert result.exit_code == 1
    assert "--watch" in result.stderr


def test_provider_text_is_escaped_on_the_terminal(
    cli: Cli, provider: RecordingProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.configure(provider.base_url)
    provider.sends.append(accepted(ID))
    provider.polls.append(record("ANSWER", dtmf="\x1b]0;owned\x07[red]1\u202e2"))
    assert waited(cli) is True
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "\u202e" not in out
    assert "[red]1" in out


def test_first_call_needs_only_a_token(cli: Cli) -> None:
    """A real process and a simulated provider without callbacks: asking alone brings the outcome."""
    with simulated(
        "--speed", "20", "--outcome", "918919525224=busy", "--token", "a-token-of-the-account"
    ) as base_url:
        cli.configure(base_url)
        command = [sys.executable, "-m", "tracker", "call", NUMBER, "--flow", "24", "--wait"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "busy" in ended.stdout
    assert ended.stderr == ""


def test_ctrl_c_ends_the_wait_and_not_the_call(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    command = [sys.executable, "-m", "tracker", "call", NUMBER, "--flow", "24", "--wait", "--json"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        while not provider.sent and running.poll() is None:
            time.sleep(0.02)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 1
    assert json.loads(out)["status"] == "queued"
    assert "tracker show" in err
