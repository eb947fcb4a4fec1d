"""The commands that the demo suggests at its end can be pasted into any shell."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from tests.test_documents import problem_with
from tracker.cli.commands.setup.demo import suggestions

CONFIGURATION = Path("/tmp/tracker demo/tracker.toml")


def lines(environ: dict[str, str]) -> list[str]:
    return list(suggestions(CONFIGURATION, "http://127.0.0.1:4", "a-token", environ))


def test_suggested_commands_work_in_any_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tracker").touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", ["./tracker", "demo"])
    commands = [shlex.split(line) for line in lines({}) if line.startswith("  TRACKER_CONFIG=")]
    assert len(commands) == 3
    for variable, program, *words in commands:
        assert variable == f"TRACKER_CONFIG={CONFIGURATION}"
        assert program == str(tmp_path / "tracker")
        assert problem_with(words, complete=True) is None


def test_overriding_variables_of_the_user_are_named() -> None:
    variables = {
        "TRACKER_SERVER__PORT": "1",
        "TRACKER_CONFIG": "/x",
        "TRACKER_TEST_POSTGRES_URL": "y",
        "HOME": "/",
    }
    assert [line for line in lines(variables) if "TRACKER_SERVER__PORT" in line]
    assert not [line for line in lines(variables) if "TEST_POSTGRES" in line]
    assert not [line for line in lines({"TRACKER_CONFIG": "/x"}) if "Unset" in line]
