"""What every command has in common: help that answers at once, and errors in one sentence."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from tests.cli.conftest import Cli
from tracker import __version__
from tracker.cli import app


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


ALL = list(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_explains_itself(cli: Cli, path: tuple[str, ...]) -> None:
    result = cli(*path, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: tracker" if path == () else "Usage: ")
    assert result.stderr == ""


def test_the_commands_of_the_design_are_there() -> None:
    assert {("init",), ("call",), ("inbox", "tail"), ("doctor",), ("db", "upgrade"), ("db", "check")} <= set(
        ALL
    )


def test_help_imports_nothing_that_is_slow() -> None:
    code = (
        "import sys, tracker.cli\n"
        "try:\n    tracker.cli.app(['--help'])\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        "slow = {'sqlalchemy', 'sqlmodel', 'alembic', 'httpx', 'rich', 'pydantic', 'structlog'}\n"
        "slow |= {'starlette', 'uvicorn', 'phonenumbers'}\n"
        "print(sorted(slow & set(sys.modules)), file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stderr.strip() == "[]"
    assert "Commands:" in ended.stdout


def test_the_version_is_told(cli: Cli) -> None:
    assert cli("--version").stdout == f"tracker {__version__}\n"


def test_a_wrong_configuration_is_one_line_for_each_problem_on_standard_error(cli: Cli) -> None:
    (cli.folder / "tracker.toml").write_text("[server]\nprot = 1\n[database]\nurl = 'mysql://x'\n")
    result = cli("db", "check")
    assert (result.exit_code, result.stdout) == (1, "")
    assert len(result.stderr.splitlines()) == 2
    assert "server.port" in result.stderr


def test_an_unknown_command_is_wrong_usage(cli: Cli) -> None:
    assert cli("frobnicate").exit_code == 2
