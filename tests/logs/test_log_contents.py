"""Tests that logs hold no number and no secret, wherever in an entry they are planted."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest
import structlog

from tests.logs.outputs import Terminal, run
from tests.logs.planters import NUMBER, PLANTERS, SECRET, UNCONFIGURED, fail
from tracker.logs import configure_logs


@pytest.fixture(params=["json", "console", "terminal"])
def output(request: pytest.FixtureRequest) -> io.StringIO:
    """Set up logging in each format; return the stream that it writes to."""
    stream = Terminal() if request.param == "terminal" else io.StringIO()
    configure_logs(
        secrets=[SECRET],
        json={"json": None, "console": False, "terminal": None}[request.param],
        level="debug",
        stream=stream,
    )
    return stream


@pytest.mark.parametrize("plant", PLANTERS)
def test_log_output_holds_no_number_and_no_secret(
    plant: Callable[[], None], output: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    plant()

    captured = capfd.readouterr()
    everything = output.getvalue() + captured.out + captured.err
    assert output.getvalue().endswith("\n")
    assert NUMBER[4:] not in everything
    assert "hunter2" not in everything
    assert UNCONFIGURED not in everything
    assert "***" in everything


@pytest.mark.parametrize("plant", PLANTERS[:8])
def test_json_log_holds_one_document_per_line(
    plant: Callable[[], None], lines: Callable[[], list[dict[str, object]]]
) -> None:
    plant()

    assert all({"event", "level", "timestamp"} <= line.keys() for line in lines())
    assert lines()


def test_logged_exception_has_no_local_variables(lines: Callable[[], list[dict[str, object]]]) -> None:
    try:
        fail("a local variable")
    except ValueError:
        structlog.get_logger().exception("sending.failed")

    (entry,) = lines()
    text = json.dumps(entry)
    assert "cannot dial +91********24 with ***" in text
    assert "planters.py" in text
    assert "a local variable" not in text


def test_crash_is_logged_without_number_and_secret() -> None:
    done = run(f"raise SystemError('cannot dial {NUMBER}: ' + {SECRET!r})")

    assert done.returncode == 1
    assert json.loads(done.stderr)["event"] == "process.crashed"
    assert "cannot dial +91********24: ***" in done.stderr
    assert NUMBER[4:] not in done.stdout + done.stderr
    assert "hunter2" not in done.stdout + done.stderr


def test_unwritable_entry_is_reported_without_arguments() -> None:
    """Needs a process of its own, because pytest's log handler raises instead."""
    done = run(f"logging.getLogger('somebody').error('%d calls to %s', {NUMBER!r}, {SECRET!r})")

    assert done.returncode == 0
    assert done.stderr.startswith("Cannot log an entry of somebody (<string>:2): ")
    assert NUMBER[4:] not in done.stdout + done.stderr
    assert "hunter2" not in done.stdout + done.stderr
