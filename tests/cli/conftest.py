"""Runs the command line in this process, in an empty working directory."""

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

from tests.recording_provider import RecordingProvider, accepted
from tracker.cli.commands import app

NUMBER = "+918919525224"
#: the provider's id of the call that the fixture `placed` places
ID = "70fa87e0-9df9-4327-bc80-a561c48703d8:1"


@pytest.fixture(autouse=True)
def _restored_log() -> Iterator[None]:
    """Undo what a command does to the log and to the hooks for exceptions."""
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
    """Runs `tracker …` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: str, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(app, list(arguments), input=stdin)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def json(self, *arguments: str, code: int = 0) -> Any:
        """Return what a command prints with --json. It must end with this exit status."""
        result = self(*arguments, "--json")
        assert result.exit_code == code, result.stderr
        return json.loads(result.stdout)

    def file_names(self) -> set[str]:
        """Return the names of the files in its folder, without the configuration and SQLite's log."""
        return {path.name for path in self.folder.iterdir()} - {
            "tracker.toml",
            "tracker.db-wal",
            "tracker.db-shm",
        }

    def configure(self, base_url: str, *, more: str = "", port: int = 8000) -> None:
        """Write a tracker.toml for this provider, with everything that a call needs."""
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


@pytest.fixture
def placed(cli: Cli, provider: RecordingProvider) -> str:
    """Place a call that the provider accepts as ID, and return our id of it."""
    cli.configure(provider.base_url)
    provider.sends.append(accepted(ID))
    id: str = cli.json("call", NUMBER, "--flow", "24", "--reference", "order-42")["id"]
    return id


@pytest.fixture
def cli_with_call(cli: Cli, provider: RecordingProvider) -> Cli:
    """Return the command line with a database of one call that the provider accepted."""
    cli.configure(provider.base_url)
    assert cli("call", NUMBER, "--flow", "24").exit_code == 0
    return cli


@contextmanager
def simulated(*flags: str) -> Iterator[str]:
    """Run a simulated provider in a process of its own, and return its base URL."""
    command = [sys.executable, "-m", "tracker", "simulate", "--port", "0", "--json", *flags]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        yield json.loads(running.stdout.readline())["url"]
    finally:
        running.terminate()
        running.communicate()
