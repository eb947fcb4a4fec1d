"""Fixtures that set up logging, and restore it after each test."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
import structlog

from tests.logs.planters import SECRET
from tracker.logs import configure_logs


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


@pytest.fixture
def lines() -> Callable[[], list[dict[str, object]]]:
    """Set up logging as JSON; return a function that returns the entries so far."""
    stream = io.StringIO()
    configure_logs(secrets=[SECRET], stream=stream)
    return lambda: [json.loads(line) for line in stream.getvalue().split("\n") if line]
