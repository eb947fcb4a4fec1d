"""`tracker demo` as a stranger runs it: real processes, and somebody else's configuration in the way."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.processes import eventually
from tracker.cli.demo import processes
from tracker.cli.demo.performance import Performance, Scene
from tracker.cli.demo.processes import Child, ChildEnded, environment
from tracker.cli.demo.story import cast
from tracker.cli.demo.summary import summarise
from tracker.errors import TrackerError

#: settings of the caller's that would break or redirect the demo if it read them
CALLERS = {
    "TRACKER_SERVER__PORT": "not a port",
    "TRACKER_ACCOUNTS__SIMULATED__BASE_URL": "https://portal.thundersms.com/api/v2/",
    "TRACKER_CONFIG": "/nowhere/tracker.toml",
}


def started(directory: Path, *flags: str) -> subprocess.Popen[str]:
    """A demo whose temporary directories lie in `directory`, beside a tracker.toml that nobody can read."""
    (directory / "tmp").mkdir()
    (directory / "tracker.toml").write_text("this is [ no TOML")
    environ = os.environ | CALLERS | {"TMPDIR": str(directory / "tmp"), "COLUMNS": "80"}
    return subprocess.Popen(
        [sys.executable, "-m", "tracker", "demo", *flags],
        cwd=directory, env=environ, text=True, encoding="utf-8", stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def listens(url: str) -> bool:
    """Whether somebody takes connections there."""
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 0), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[int, str, str, Path]]]:
    """Two whole demos, side by side: exit status, output, errors, and where they ran."""
    flags = {"json": ("--once", "--json"), "text": ("--once",)}
    places = {name: tmp_path_factory.mktemp(name) for name in flags}
    running = {name: started(places[name], *flags[name]) for name in flags}
    try:
        found = {}
        for name, demo in running.items():
            out, err = demo.communicate(timeout=110)
            found[name] = (demo.returncode, out, err, places[name])
        yield found
    finally:
        for demo in running.values():
            demo.kill()
            demo.wait()


@pytest.fixture(scope="module")
def summary(runs: dict[str, tuple[int, str, str, Path]]) -> dict[str, Any]:
    status, out, err, _ = runs["json"]
    assert (status, err) == (0, ""), (err, out)
    document: dict[str, Any] = json.loads(out)
    return document


def test_every_call_of_the_story_is_settled_with_its_outcome(summary: dict[str, Any]) -> None:
    assert summary["simulated"] is True
    assert (summary["complete"], summary["missing"]) == (True, [])
    assert summary["calls"]["placed"] == summary["calls"]["settled"] == len(summary["story"]) == 24
    assert summary["calls"]["by_status"] == {
        "completed": 11, "busy": 4, "no-answer": 4, "failed": 2, "canceled": 2, "rejected": 1,
    }  # fmt: skip
    assert summary["calls"]["disputed"] == 0
    assert all(call["settled"] and call["events"] for call in summary["story"])


def test_every_callback_that_the_provider_sent_is_kept_and_joined_if_it_can_be_read(
    summary: dict[str, Any],
) -> None:
    callbacks, provider = summary["callbacks"], summary["provider"]
    assert callbacks["by_state"] == {"joined": 25, "unreadable": 1}
    assert callbacks["orphaned"] == 0
    assert callbacks["received"] == provider["callbacks_answered_200"] == 26
    assert provider["callbacks_not_answered_200"] == 0
    assert sum(callbacks["matched_by"].values()) == callbacks["joined"]
    assert {"submission-id", "number-and-time"} <= callbacks["matched_by"].keys()


def test_what_goes_wrong_on_the_way_is_in_the_story(summary: dict[str, Any]) -> None:
    callbacks, calls = summary["callbacks"], summary["calls"]
    assert callbacks["repeats"] == 2
    assert callbacks["early"] == 2
    assert callbacks["without_id"] == 5
    assert callbacks["out_of_order"] == 1
    assert callbacks["in_another_zone"] == 1
    assert callbacks["forms"].keys() == {"form", "JSON", "GET", "PUT"}
    assert calls["sent_again_after_429"] == 1
    assert calls["without_clear_answer"] == 2
    assert calls["requests_repeated_safely"] == 1
    assert summary["provider"]["accepted_twice"] == 0


def test_each_timeline_is_shown_with_its_sources_and_the_providers_word(
    runs: dict[str, tuple[int, str, str, Path]],
) -> None:
    status, out, err, _ = runs["text"]
    assert (status, err) == (0, ""), (err, out)
    titles = re.findall(r"^#(\d\d)  \S.* ─+$", out, re.MULTILINE)
    assert sorted(titles) == [f"{n:02}" for n in range(1, 25)]
    assert len(re.findall(r"^call_\w+ +\S", out, re.MULTILINE)) == 24
    for word in ("ANSWER", "BUSY", "NOANSWER", "CONGESTION", "CHANUNAVAIL", "CANCEL", "MISSED"):
        assert f'"{word}"' in out
    for source in ("sender", "callback", "operator"):
        assert re.search(rf"^\d\d:\d\d:\d\d .* {source}\b", out, re.MULTILINE)
    assert re.search(r"came \d+ ms before the provider's answer", out)
    assert "24 calls settled, 26 callbacks received, all joined but 1 unreadable" in " ".join(out.split())


def test_it_says_that_all_is_simulated_and_fits_a_small_terminal(
    runs: dict[str, tuple[int, str, str, Path]],
) -> None:
    out = runs["text"][1]
    assert "simulated: no phone rings" in out.splitlines()[0]
    assert "\x1b" not in out
    # an address is never broken
    assert [line for line in out.splitlines() if len(line) > 80 and "  recording http" not in line] == []


@pytest.mark.parametrize("name", ["json", "text"])
def test_nothing_is_left_behind(runs: dict[str, tuple[int, str, str, Path]], name: str) -> None:
    place = runs[name][3]
    assert list((place / "tmp").iterdir()) == []
    assert sorted(path.name for path in place.iterdir()) == ["tmp", "tracker.toml"]


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_in_the_middle_leaves_nothing_behind(tmp_path: Path, sign: signal.Signals) -> None:
    demo = started(tmp_path)
    try:
        assert demo.stdout is not None
        said = [demo.stdout.readline()]
        while "placed" not in said[-1]:
            assert said[-1], demo.communicate()
            said.append(demo.stdout.readline())
        urls = re.findall(r"^(?:tracker|provider) +(http://\S+)", "".join(said), re.MULTILINE)
        assert [listens(url) for url in urls] == [True, True]
        demo.send_signal(sign)
        out, err = demo.communicate(timeout=60)
    finally:
        demo.kill()
        demo.wait()
    assert (demo.returncode, err) == (1, "")
    assert "Both processes are gone" in out
    assert [listens(url) for url in urls] == [False, False]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_demo_that_is_killed_takes_its_processes_along(tmp_path: Path) -> None:
    """Nobody can end them any more, so they end by themselves."""
    demo = started(tmp_path)
    try:
        assert demo.stdout is not None
        said = [demo.stdout.readline()]
        while "placed" not in said[-1]:
            assert said[-1], demo.communicate()
            said.append(demo.stdout.readline())
        urls = re.findall(r"^(?:tracker|provider) +(http://\S+)", "".join(said), re.MULTILINE)
        assert [listens(url) for url in urls] == [True, True]
    finally:
        demo.kill()
        demo.communicate()
    eventually(lambda: not any(listens(url) for url in urls), "both should be gone")


def test_a_process_that_ends_by_itself_is_told_with_its_last_words(tmp_path: Path) -> None:
    child = Child("simulator", ["simulate", "--mix", "nonsense"], tmp_path, environment(tmp_path / "none"))
    with pytest.raises(ChildEnded, match=r"(?s)simulator ended .* status 2.*'nonsense'.*Run the demo again"):
        child.announcement("control")
    child.end()


def test_a_story_that_was_not_seen_is_said_to_be_missing() -> None:
    seen = Performance(scenes=[Scene(part=part) for part in cast(20)], callbacks=[], dialled=[], took_s=90.0)
    summary = summarise(seen)
    assert summary["complete"] is False
    assert "a call is busy" in summary["missing"]
    assert any("every call is settled" in sentence and "#20" in sentence for sentence in summary["missing"])
    assert "not all of the story was seen" in summary["verdict"]


def test_no_other_provider_is_taken() -> None:
    with pytest.raises(TrackerError, match="only through its own simulator"):
        processes._refuse_any_other("https://portal.thundersms.com/api/v2/")


def test_no_setting_of_the_callers_reaches_the_processes(tmp_path: Path) -> None:
    theirs = environment(tmp_path / "tracker.toml", {**CALLERS, "tracker_server__port": "1", "LANG": "C"})
    assert {name: value for name, value in theirs.items() if name.upper().startswith("TRACKER_")} == {
        "TRACKER_CONFIG": str(tmp_path / "tracker.toml")
    }
    assert theirs["LANG"] == "C"


def test_the_shortest_demo_has_the_whole_story() -> None:
    parts = cast(20)
    faults = {fault for part in parts for fault in part.faults}
    assert faults >= {
        "duplicate", "early", "no-id", "out-of-order", "broken-json", "wrong-zone", "rate-limit", "no-balance",
        "error-after-accept", "hang", "composed-get", "composed-put",
    }  # fmt: skip
    assert len({part.number for part in cast(500)}) == 500
