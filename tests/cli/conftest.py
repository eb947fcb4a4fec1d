"""The command line in this process: an empty working directory, its output in two streams, and the log as it was."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner, Result

from tests.recording_provider import RecordingProvider
from tracker.cli.commands import app

NUMBER = "+918919525224"


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    hooks = sys.excepthook, threading.excepthook
    names = ["", "uvicorn", "uvicorn.error", "uvicorn.asgi", "uvicorn.access", "httpx", "httpcore", "asyncio"]
    before = [(g, g.level, g.propagate, g.disabled, g.handlers[:]) for g in map(logging.getLogger, names)]
    configuration = structlog.get_config()
    yield
    for logger, level, propagate, disabled, handlers in before:
        logger.setLevel(level)
        logger.propagate, logger.disabled, logger.handlers[:] = propagate, disabled, handlers
    logging.captureWarnings(False)
    sys.excepthook, threading.excepthook = hooks
    structlog.configure(**configuration)


class Cli:
    """`tracker …` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: str, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(app, list(arguments), input=stdin)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def json(self, *arguments: str, code: int = 0) -> Any:
        """What a command prints with --json; it must end with this code."""
        result = self(*arguments, "--json")
        assert result.exit_code == code, result.stderr
        return json.loads(result.stdout)

    def configure(self, base_url: str, *, more: str = "", port: int = 8000) -> None:
        """A tracker.toml for this provider, with everything that a call needs."""
        (self.folder / "tracker.toml").write_text(
            f"""\
[server]
port = {port}
api_token = "an-api-token-of-tests"

[accounts.thundersms]
base_url = "{base_url}"
access_token = "a-token-of-the-account"
webhook_secrets = ["a-secret-of-the-webhook"]
webhook_token = "a-validation-key"
bridge = "918068280000"
calls_per_second = 1000.0
{more}
"""
        )


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    return Cli(tmp_path)


@pytest.fixture
def provider() -> Iterator[RecordingProvider]:
    with RecordingProvider() as running:
        yield running


@contextmanager
def simulated(*flags: str) -> Iterator[str]:
    """The base URL of a simulated provider, which is a process of its own."""
    command = [sys.executable, "-m", "tracker", "simulate", "--port", "0", "--json", *flags]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        yield json.loads(running.stdout.readline())["url"]
    finally:
        running.terminate()
        running.communicate()
