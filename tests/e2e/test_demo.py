"""`tracker demo` as a stranger runs it, and its calls held against the records of the simulated provider."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from typer.testing import CliRunner

from tracker.cli.commands import app
from tracker.demo import run
from tracker.demo.run import Demo, running_demo
from tracker.demo.scenario import PlannedCall, plan_calls
from tracker.demo.summary import summarize
from tracker.errors import TrackerError
from tracker.settings import load_settings
from tracker.simulator.thundersms.vocabulary import Fault

# each demo takes some twenty seconds by itself, and more on a machine that is busy
pytestmark = pytest.mark.timeout(300)

#: all calls of the demo that are written out
WRITTEN = 25
#: settings of the user that would break or redirect the demo if it read them
USER_SETTINGS = {
    "TRACKER_SERVER__PORT": "not a port",
    "TRACKER_ACCOUNTS__SIMULATED__BASE_URL": "https://portal.thundersms.com/api/v2/",
    "TRACKER_CONFIG": "/nowhere/tracker.toml",
}
#: what the words of the provider mean
OUTCOMES = {
    "ANSWER": "completed", "MISSED": "completed", "BUSY": "busy", "NOANSWER": "no-answer", "CANCEL": "canceled",
    "CONGESTION": "failed", "CHANUNAVAIL": "failed",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PlayedCall:
    """A planned call, and what the tracker reports of it at the end."""

    plan: PlannedCall
    call: dict[str, Any]
    events: list[dict[str, Any]]
    callbacks: list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Played:
    """The demo after its last call."""

    calls: list[PlayedCall]
    inbox: list[dict[str, Any]]
    provider_calls: list[dict[str, Any]]
    summary: dict[str, Any]

    def having(self, fault: Fault) -> list[PlayedCall]:
        """Return the calls that have this fault."""
        return [played for played in self.calls if fault in played.plan.faults]


@pytest.fixture(scope="module")
def played() -> Played:
    """Play the demo in this process, without its command."""
    plans = plan_calls(WRITTEN)
    with running_demo(plans) as demo:
        until = time.monotonic() + demo.patience_s
        with ThreadPoolExecutor(4) as pool:
            placed = list(pool.map(lambda n: demo.place(plans[n], f"key-{n}"), range(WRITTEN)))
        for id, _ in placed:
            for _ in demo.follow(id, until):
                pass
        demo.wait_until_idle(until)
        read = [demo.read_call(id) for id, _ in placed]
        inbox, provider_calls = demo.callbacks(), demo.provider_calls()
    replayed = sum(is_replayed for _, is_replayed in placed)
    return Played(
        calls=[
            PlayedCall(
                plan=plan, call=call, events=events, callbacks=[c for c in inbox if c["call"] == call["id"]]
            )
            for plan, (call, events) in zip(plans, read, strict=True)
        ],
        inbox=inbox,
        provider_calls=provider_calls,
        summary=summarize(read, inbox, provider_calls, replayed=replayed),
    )


def test_every_outcome_is_what_the_provider_dialled(played: Played) -> None:
    dialled = {call["submission_id"]: OUTCOMES[call["outcome"]] for call in played.provider_calls}
    by_number = {call["number"]: OUTCOMES[call["outcome"]] for call in played.provider_calls}
    for each in played.calls:
        assert each.call["settled"], each
        assert not each.call["disputed"], each
        last = each.call["submissions"][-1]
        if last["status"] == "rejected" or each.plan.is_canceled:
            assert each.plan.number not in by_number
        elif last["submission_id"]:
            assert each.call["outcome"] == dialled[last["submission_id"]]
        else:  # the provider's answer never came
            assert each.call["outcome"] == by_number[each.plan.number]
    assert played.summary["calls"] == {
        "placed": WRITTEN,
        "settled": WRITTEN,
        "by_status": {
            "completed": 11, "busy": 5, "no-answer": 4, "failed": 2, "canceled": 2, "rejected": 1,
        },
    }  # fmt: skip


def test_no_call_is_dialled_twice(played: Played) -> None:
    planned = Counter(each.plan.number for each in played.calls)
    accepted = Counter(call["number"] for call in played.provider_calls)
    assert accepted <= planned
    assert len(played.provider_calls) == WRITTEN - 2  # one is rejected, one canceled
    assert played.summary["sending"]["repeated_without_second_call"] == 1


def test_every_callback_that_was_answered_200_is_kept(played: Played) -> None:
    posted = [callback for call in played.provider_calls for callback in call["callbacks"]]
    assert {callback["status_code"] for callback in posted} == {200}
    assert len(played.inbox) == len(posted) == 26
    counted = played.summary["callbacks"]
    assert counted["received"] == played.summary["provider"]["callbacks_answered_200"] == 26
    states = counted["by_state"]
    # whether the ambiguous ones stay so depends on which of them comes first
    assert states["joined"] + states.get("ambiguous", 0) == 25
    assert states["unreadable"] == 1
    assert sum(counted["matched_by"].values()) == states["joined"]


def test_a_repeated_callback_adds_no_event(played: Played) -> None:
    [twice] = played.having(Fault.duplicate)
    first, repeat = sorted(twice.callbacks, key=lambda c: c["received_at"])
    assert repeat["repeat_of"] == first["id"]
    assert len([e for e in twice.events if e["status"] == "completed"]) == 1


def test_an_early_callback_is_joined(played: Played) -> None:
    for early in played.having(Fault.early):
        assert early.callbacks[0]["received_at"] < early.call["submissions"][0]["accepted_at"]


def test_a_late_callback_settles_its_call(played: Played) -> None:
    [late] = played.having(Fault.late)
    assert [c["state"] for c in late.callbacks] == ["joined"]


def test_another_time_zone_is_warned_of(played: Played) -> None:
    [other_zone] = played.having(Fault.wrong_zone)
    assert [e["reason"] for e in other_zone.events if e["type"] == "warning"] == ["zone"]


def test_a_429_is_sent_again_and_a_rejection_is_not(played: Played) -> None:
    [limited], [rejected] = played.having(Fault.rate_limit), played.having(Fault.no_balance)
    assert [s["trigger"] for s in limited.call["submissions"]] == ["first", "resend"]
    assert rejected.call["reason"] == "insufficient-balance"
    assert rejected.call["attempts"] == 1


def test_an_unclear_answer_is_not_sent_again(played: Played) -> None:
    for unclear in played.having(Fault.hang) + played.having(Fault.error_after_accept):
        assert "unconfirmed" in [e["status"] for e in unclear.events]
        assert unclear.call["attempts"] == 1


def test_callbacks_in_reverse_order_make_one_timeline(played: Played) -> None:
    [redialled] = played.having(Fault.out_of_order)
    received = {c["id"]: c["received_at"] for c in redialled.callbacks}
    no_answer, answer = (e for e in redialled.events if e["status"] in ("no-answer", "completed"))
    assert received[answer["callback"]] < received[no_answer["callback"]]


def test_callbacks_come_in_every_form(played: Played) -> None:
    assert {c["method"] for c in played.inbox} == {"GET", "PUT", "POST"}


def test_the_provider_is_asked_about_ambiguous_calls(played: Played) -> None:
    both = played.calls[-2:]
    assert len({each.plan.number for each in both}) == 1
    assert [each.call["outcome"] for each in both] == ["busy", "busy"]
    assert any(e["source"] == "poll" for each in both for e in each.events)
    assert played.summary["sending"]["provider_asked"] >= 1


def test_the_summary_counts_what_was_special(played: Played) -> None:
    callbacks, sending = played.summary["callbacks"], played.summary["sending"]
    assert callbacks["remarks"].keys() == {"repeat", "without-id", "early"}
    assert (callbacks["remarks"]["repeat"], callbacks["remarks"]["early"]) == (1, 2)
    assert callbacks["remarks"]["without-id"] >= 5
    assert callbacks["in_another_zone"] == 1
    assert (sending["sent_again_after_429"], sending["without_clear_answer"]) == (1, 2)
    assert played.summary["simulated"] is True


def started(directory: Path, *flags: str) -> subprocess.Popen[str]:
    """Start a demo whose temporary directories lie in `directory`, beside a tracker.toml that cannot be read."""
    (directory / "tmp").mkdir()
    (directory / "tracker.toml").write_text("this is [ no TOML")
    environ = os.environ | USER_SETTINGS | {"TMPDIR": str(directory / "tmp"), "COLUMNS": "80"}
    return subprocess.Popen(
        [sys.executable, "-m", "tracker", "demo", *flags],
        cwd=directory, env=environ, text=True, encoding="utf-8", stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def is_listening(url: str) -> bool:
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 0), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def read_until(demo: subprocess.Popen[str], text: str) -> str:
    """Read the output of a demo up to a line that contains the text."""
    assert demo.stdout is not None
    lines = [demo.stdout.readline()]
    while text not in lines[-1]:
        assert lines[-1], demo.communicate()
        lines.append(demo.stdout.readline())
    return "".join(lines)


@contextmanager
def ended_at_last(demo: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Kill the process at the end if it still runs."""
    with demo:
        try:
            yield demo
        finally:
            demo.kill()


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A demo that ended by itself."""

    output: str
    directory: Path


@pytest.fixture(scope="module", params=["--json", "text"])
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    directory = tmp_path_factory.mktemp("demo")
    flags = ["--json"] if request.param == "--json" else []
    with ended_at_last(started(directory, "--once", "--calls", "5", *flags)) as demo:
        output, errors = demo.communicate(timeout=200)
        assert (demo.returncode, errors) == (0, ""), output
    return Finished(output=output, directory=directory)


def test_demo_leaves_nothing_behind(finished: Finished) -> None:
    assert list((finished.directory / "tmp").iterdir()) == []
    assert sorted(path.name for path in finished.directory.iterdir()) == ["tmp", "tracker.toml"]


def test_demo_shows_each_timeline_and_a_summary(finished: Finished) -> None:
    if finished.output.startswith("{"):
        summary = json.loads(finished.output)
        assert summary["calls"]["settled"] == summary["calls"]["placed"] == 5
        return
    assert "simulated: no phone rings" in finished.output.splitlines()[0]
    assert "\x1b" not in finished.output
    assert re.findall(r"^── #(\d\d) ", finished.output, re.MULTILINE) == ["01", "02", "03", "04", "05"]
    assert len(re.findall(r"^call_\w+$", finished.output, re.MULTILINE)) == 5
    for word in ("ANSWER", "BUSY", "NOANSWER"):
        assert f'"{word}"' in finished.output
    assert "5 of 5 settled: 3 completed, 1 busy, 1 no-answer" in finished.output
    assert finished.output.endswith("Every call is settled.\n")


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_demo_cleans_up_after_a_signal(tmp_path: Path, sign: signal.Signals) -> None:
    with ended_at_last(started(tmp_path)) as demo:
        urls = re.findall(r"^(?:tracker|provider) +(http://\S+)", read_until(demo, "── #01"), re.MULTILINE)
        assert [is_listening(url) for url in urls] == [True, True]
        demo.send_signal(sign)
        _, errors = demo.communicate(timeout=120)
    assert demo.returncode == (130 if sign is signal.SIGINT else 1)
    assert errors == (
        f"Ended by {sign.name}. The servers of the demo have stopped, and their directory is removed.\n"
    )
    assert [is_listening(url) for url in urls] == [False, False]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_demo_stays_up_until_ctrl_c(tmp_path: Path) -> None:
    with ended_at_last(started(tmp_path, "--calls", "1")) as demo:
        output = read_until(demo, "state=unreadable")
        [(token, url)] = re.findall(r"'Authorization: Bearer (\w+)' '(http\S+)\?outcome=busy'", output)
        calls = httpx.get(url, headers={"Authorization": f"Bearer {token}"}, trust_env=False).json()["data"]
        assert [call["outcome"] for call in calls] == ["completed"]
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=120)
    assert demo.returncode == 0
    assert list((tmp_path / "tmp").iterdir()) == []


def test_demo_exits_1_when_a_call_is_not_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    call = {
        "id": "call_1", "settled": False, "status": "queued", "outcome": None, "submissions": [],
        "updated_at": "2026-01-31T09:00:00Z",
    }  # fmt: skip
    nothing: dict[str, Any] = {"data": [], "next_cursor": None, "idle": True}

    def answer(request: httpx.Request) -> httpx.Response:
        is_call = request.method == "POST" or request.url.path.endswith("/call_1")
        return httpx.Response(200, json=call if is_call else nothing)

    @contextmanager
    def stuck_demo(_calls: object) -> Iterator[Demo]:
        with httpx.Client(base_url="http://demo/api/v1/", transport=httpx.MockTransport(answer)) as client:
            yield Demo(
                url="http://demo", provider_url="http://provider", api_token="", configuration=Path("tracker.toml"),
                client=client, patience_s=0.0,
            )  # fmt: skip

    monkeypatch.setattr(run, "running_demo", stuck_demo)
    result = CliRunner().invoke(app, ["demo", "--once", "--json", "--calls", "2"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["calls"]["settled"] == 0


def test_demo_refuses_json_without_once() -> None:
    result = CliRunner().invoke(app, ["demo", "--json"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Add `--once`" in result.stderr


def test_demo_refuses_any_other_provider() -> None:
    settings = load_settings({"TRACKER_ACCOUNTS__A__BASE_URL": "https://portal.thundersms.com/api/v2/"})
    with pytest.raises(TrackerError, match="only through its own simulator"):
        run.refuse_other_providers(settings, "http://127.0.0.1:8090")


def test_planned_calls_have_numbers_of_their_own() -> None:
    assert len(plan_calls(1)) == 1
    calls = plan_calls(500)
    assert len({call.number for call in calls}) == 499  # the two ambiguous calls share one
    assert all(call.outcomes for call in calls[:WRITTEN])
    assert not any(call.outcomes for call in calls[WRITTEN:])
