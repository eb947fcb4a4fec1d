"""Tests that logs hold no number and no secret, wherever in an entry they are planted."""

from __future__ import annotations

import errno
import io
import json
import logging
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator

import pytest
import structlog

from tracker.logs import configure_logs

NUMBER = "+918919525224"
SECRET = 'hunter2-"and"-more'
URL = f"https://portal.example.com/send?access_token=unconfigured-token&to={NUMBER[1:]}"
UNCONFIGURED = "unconfigured-token"


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    """Restore all logging of the process after each test."""
    hooks = sys.excepthook, threading.excepthook
    names = ["", "uvicorn", "uvicorn.error", "uvicorn.access", "httpx", "httpcore", "asyncio"]
    before = [
        (logger, logger.level, logger.propagate, logger.disabled) for logger in map(logging.getLogger, names)
    ]
    yield
    for logger, level, propagate, disabled in before:
        logger.level, logger.propagate, logger.disabled = level, propagate, disabled
    for handler in logging.getLogger().handlers[:]:
        if type(handler).__module__ == "tracker.logs":
            logging.getLogger().removeHandler(handler)
    logging.captureWarnings(False)
    sys.excepthook, threading.excepthook = hooks
    structlog.reset_defaults()


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


@pytest.fixture
def lines() -> Callable[[], list[dict[str, object]]]:
    """Set up logging as JSON; return a function that returns the entries so far."""
    stream = io.StringIO()
    configure_logs(secrets=[SECRET], stream=stream)
    return lambda: [json.loads(line) for line in stream.getvalue().split("\n") if line]


class ThingWithSecrets:
    """An object with a number and a secret in its repr."""

    def __repr__(self) -> str:
        return f"<thing of {NUMBER} with {SECRET}>"


def fail(local: str) -> None:
    password = local + SECRET  # a traceback with local variables would show it
    raise ValueError(f"cannot dial {NUMBER} with {SECRET} at {URL}{password[:0]}")


def plant_in_a_field() -> None:
    structlog.get_logger().info(
        "call.placed", to=NUMBER, bare=int(NUMBER[1:]), key=SECRET, thing=ThingWithSecrets()
    )


def plant_in_nested_fields() -> None:
    body = json.dumps({"to": int(NUMBER[1:]), "secret": SECRET})
    fields = {
        "numbers": [NUMBER, {NUMBER: SECRET}],
        "raw": body.encode(),
        "pair": (NUMBER, SECRET),
        "set": {SECRET},
    }
    structlog.get_logger().warning("callback.stored", **fields, body=body, url=URL)


def plant_in_context() -> None:
    with structlog.contextvars.bound_contextvars(to=NUMBER, authorization=f"Bearer {UNCONFIGURED}"):
        structlog.get_logger().bind(secret=SECRET).error("call.refused")


def plant_in_the_message() -> None:
    structlog.get_logger().info(f"dialled {NUMBER} with {SECRET} at {URL}")


def plant_in_an_exception() -> None:
    try:
        fail("local ")
    except ValueError as error:
        try:
            raise RuntimeError(f"sending to {NUMBER[1:]} with {SECRET}") from error
        except RuntimeError:
            structlog.get_logger().exception("sending.failed")
            logging.getLogger("somebody").exception("sending to %s failed", NUMBER)


def plant_in_a_record_of_the_standard_library() -> None:
    logging.getLogger("somebody").warning(
        "dialled %s with %s at %s", NUMBER, SECRET, URL, extra={"to": NUMBER}
    )
    logging.getLogger("somebody").debug(f"dialled {NUMBER} with {SECRET}", stack_info=True)


def plant_in_records_of_uvicorn() -> None:
    logging.getLogger("uvicorn.access").info(
        '%s - "%s %s HTTP/%s" %d', "127.0.0.1:5", "GET", f"/numbers/{NUMBER}?token={SECRET}", "1.1", 200
    )
    logging.getLogger("uvicorn.error").error(
        "Exception in ASGI application for %s\n",
        NUMBER,
        extra={"color_message": f"\x1b[1m{NUMBER} {SECRET}\x1b[0m"},
    )


def plant_in_records_of_httpx() -> None:
    logging.getLogger("httpx").info('HTTP Request: %s %s "%s %d %s"', "POST", URL, "HTTP/1.1", 200, "OK")
    logging.getLogger("httpcore.http11").debug(
        "send_request_headers.started request=%r", [(b"Authorization", f"Bearer {SECRET}".encode())]
    )
    logging.getLogger("httpx").warning(
        "refused by %s with %r", URL, {"Authorization": f"Bearer {UNCONFIGURED}"}
    )


def plant_in_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn(f"{NUMBER} {SECRET}", stacklevel=1)


def plant_in_an_uncaught_exception() -> None:
    try:
        fail("local ")
    except ValueError as error:
        sys.excepthook(type(error), error, error.__traceback__)


def plant_in_an_uncaught_exception_of_a_thread() -> None:
    thread = threading.Thread(target=fail, args=("local ",))
    thread.start()
    thread.join()


PLANTERS = [
    plant_in_a_field,
    plant_in_nested_fields,
    plant_in_context,
    plant_in_the_message,
    plant_in_an_exception,
    plant_in_a_record_of_the_standard_library,
    plant_in_records_of_uvicorn,
    plant_in_records_of_httpx,
    plant_in_a_warning,
    plant_in_an_uncaught_exception,
    plant_in_an_uncaught_exception_of_a_thread,
]


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


def test_log_entry_is_one_line_with_its_fields(lines: Callable[[], list[dict[str, object]]]) -> None:
    structlog.get_logger().info(
        "callback.stored", callback="cb_01jd8r7q6b3k5v9x2m4n6p8s0t", size=312, to=NUMBER, ok=None
    )

    (entry,) = lines()
    timestamp = entry.pop("timestamp")
    assert isinstance(timestamp, str)
    assert timestamp.endswith("Z")
    assert entry == {
        "event": "callback.stored",
        "level": "info",
        "callback": "cb_01jd8r7q6b3k5v9x2m4n6p8s0t",
        "size": 312,
        "to": "+91********24",
        "ok": None,
    }


def test_library_entry_has_the_same_form(lines: Callable[[], list[dict[str, object]]]) -> None:
    logging.getLogger("uvicorn.error").info("Started server process [%d]", 7)

    (entry,) = lines()
    assert entry | {"timestamp": ""} == {
        "event": "Started server process [7]",
        "level": "info",
        "logger": "uvicorn.error",
        "timestamp": "",
    }


def test_library_start_up_message_is_not_logged(
    lines: Callable[[], list[dict[str, object]]],
) -> None:
    for name in ("alembic.runtime.migration", "alembic.runtime.plugins", "httpx"):
        logging.getLogger(name).info("Context impl SQLiteImpl.")
    assert lines() == []


def test_logged_exception_has_no_local_variables(lines: Callable[[], list[dict[str, object]]]) -> None:
    try:
        fail("a local variable")
    except ValueError:
        structlog.get_logger().exception("sending.failed")

    (entry,) = lines()
    text = json.dumps(entry)
    assert "cannot dial +91********24 with ***" in text
    assert "test_configure_logs.py" in text
    assert "a local variable" not in text


def test_library_request_lines_are_not_logged(lines: Callable[[], list[dict[str, object]]]) -> None:
    logging.getLogger("uvicorn.access").error("127.0.0.1 GET /")
    logging.getLogger("httpx").info("HTTP Request: GET /")
    logging.getLogger("httpcore.connection").info("connect_tcp.started")

    assert lines() == []


def test_log_drops_entries_below_its_level(lines: Callable[[], list[dict[str, object]]]) -> None:
    structlog.get_logger().debug("call.placed")
    logging.getLogger("somebody").debug("call placed")

    assert lines() == []


def test_second_configuration_replaces_the_first() -> None:
    first, second = io.StringIO(), io.StringIO()
    log = structlog.get_logger()
    configure_logs(secrets=[], stream=first)
    log.info("call.placed")
    configure_logs(secrets=[], stream=second)
    log.info("call.settled")
    logging.getLogger("somebody").warning("seen")

    assert [json.loads(line)["event"] for line in first.getvalue().splitlines()] == ["call.placed"]
    assert [json.loads(line)["event"] for line in second.getvalue().splitlines()] == ["call.settled", "seen"]


@pytest.mark.parametrize(
    "fields",
    [
        {"text": "\ud800 and \x00"},
        {"number": 2**70},
        {"keys": {(1, 2): 3, None: 4}},
        {"bytes": b"\xff\xfe"},
        {"thing": ThingWithSecrets()},
        {"line": "a\nb\u2028c"},
    ],
)
def test_log_writes_entries_with_unusual_values(
    fields: dict[str, object], lines: Callable[[], list[dict[str, object]]]
) -> None:
    around: list[object] = []
    around.append(around)
    structlog.get_logger().info("callback.stored", **fields)
    structlog.get_logger().info("callback.stored", around=around)

    assert [line["event"] for line in lines()] == ["callback.stored", "callback.stored"]


def test_terminal_log_is_colored() -> None:
    stream = Terminal()
    configure_logs(secrets=[], stream=stream)
    structlog.get_logger().info("call.placed", to=NUMBER)

    assert "\x1b[" in stream.getvalue()
    assert "+91********24" in stream.getvalue()


def test_unknown_log_level_is_refused() -> None:
    with pytest.raises(KeyError):
        configure_logs(secrets=[], level="loud")


def run(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program with logging set up in a process of its own; return its output."""
    setup = f"import logging; from tracker.logs import configure_logs; configure_logs(secrets=[{SECRET!r}])"
    return subprocess.run(
        [sys.executable, "-c", f"{setup}\n{program}"], capture_output=True, text=True, check=False
    )


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


def test_uvicorn_access_log_is_off() -> None:
    """uvicorn calls hasHandlers() before it formats the line of a request."""
    assert run("print(logging.getLogger('uvicorn.access').hasHandlers())").stdout == "False\n"


def test_log_on_a_full_disk_stops_no_work() -> None:
    """The disk is full, or the reader of the pipe is gone."""

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def flush(self) -> None:
            raise BrokenPipeError

    stream = Full()
    configure_logs(secrets=[], json=True, stream=stream)
    structlog.get_logger().warning("callbacks.not_stored", count=1)
    logging.getLogger("uvicorn.error").warning("of a library")
    stream.close()
    structlog.get_logger().warning("callbacks.not_stored", count=1)
