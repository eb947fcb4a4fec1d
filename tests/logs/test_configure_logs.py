"""Tests the set-up of logging: form, levels, streams, and the loggers of libraries."""

from __future__ import annotations

import errno
import io
import json
import logging
from collections.abc import Callable

import pytest
import structlog

from tests.logs.outputs import Terminal, run
from tests.logs.planters import NUMBER, ThingWithSecrets
from tracker.logs import configure_logs


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
