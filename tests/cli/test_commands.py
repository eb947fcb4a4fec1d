"""Every command has help that answers at once, and errors in one sentence."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import tracker
from tests.cli.conftest import NUMBER, Cli
from tracker import __version__
from tracker.cli.commands import app
from tracker.cli.program_name import program_name, with_program_name
from tracker.settings import load_settings


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


ALL = list(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_has_help(cli: Cli, path: tuple[str, ...]) -> None:
    result = cli(*path, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: tracker" if path == () else "Usage: ")
    assert result.stderr == ""


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_begins_with_a_line_of_70_characters(path: tuple[str, ...]) -> None:
    command: Any = typer.main.get_command(app)
    for name in path:
        command = command.commands[name]
    first_line = command.help.splitlines()[0]
    assert len(first_line) <= 70
    assert first_line.endswith(".")


def test_main_commands_exist() -> None:
    assert {("init",), ("call",), ("inbox", "tail"), ("doctor",), ("db", "upgrade"), ("db", "check")} <= set(
        ALL
    )


def test_help_imports_no_slow_module() -> None:
    code = (
        "import sys, tracker.cli.commands\n"
        "try:\n    tracker.cli.commands.app(['--help'])\n"
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


def test_version_is_printed(cli: Cli) -> None:
    assert cli("--version").stdout == f"tracker {__version__}\n"


def test_wrong_configuration_is_one_line_for_each_problem(cli: Cli) -> None:
    (cli.folder / "tracker.toml").write_text("[server]\nprot = 1\n[database]\nurl = 'mysql://x'\n")
    result = cli("db", "check")
    assert (result.exit_code, result.stdout) == (1, "")
    assert len(result.stderr.splitlines()) == 2
    assert "server.port" in result.stderr


@pytest.mark.parametrize("command", [["call", NUMBER, "--flow", "24"], ["serve", "--port", "0"], ["worker"]])
def test_commands_start_nothing_without_a_configuration(cli: Cli, command: list[str]) -> None:
    result = cli(*command)
    assert (result.exit_code, result.stdout) == (1, "")
    [sentence] = result.stderr.splitlines()
    assert sentence.startswith(
        f"No configuration was found (no tracker.toml in {cli.folder}, TRACKER_CONFIG is not"
    )
    assert "tracker init" in sentence
    assert list(cli.folder.iterdir()) == []


def test_host_and_port_options_replace_the_settings(cli: Cli) -> None:
    cli.configure("http://127.0.0.1:9/", port=8000)
    changed = load_settings().with_address(host="127.0.0.2", port=0)
    assert (changed.server.host, changed.server.port) == ("127.0.0.2", 0)
    assert changed.config_file == load_settings().config_file
    assert load_settings().with_address(host=None, port=None) == load_settings()


def test_configuration_without_accounts_is_named(cli: Cli) -> None:
    (cli.folder / "tracker.toml").write_text("[server]\nport = 0\n")
    result = cli("serve")
    assert result.exit_code == 1
    assert str(cli.folder / "tracker.toml") in result.stderr


@pytest.mark.parametrize(
    ("url", "place", "todo"),
    [
        ("sqlite:///nowhere/t.db", "/nowhere/t.db", "directory"),
        (
            "postgres://me:a-password@127.0.0.1:1/db",
            "postgres://me:***@127.0.0.1:1/db",
            "Start its server",
        ),
    ],
)
def test_unusable_database_is_named_with_a_hint(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, url: str, place: str, todo: str
) -> None:
    cli.configure("http://127.0.0.1:9/")
    monkeypatch.setenv("TRACKER_DATABASE__URL", url)
    for command in (["call", NUMBER, "--flow", "24"], ["serve", "--port", "0", "--log-level", "error"]):
        result = cli(*command)
        assert result.exit_code == 1
        [sentence] = result.stderr.splitlines()
        assert place in sentence
        assert todo in sentence
        assert str(cli.folder / "tracker.toml") in sentence
        assert "a-password" not in sentence


def test_help_names_values_and_cuts_no_summary(cli: Cli) -> None:
    for path in ALL:
        text = cli(*path, "--help").stdout
        assert not re.search(r"<\w+( range)?>", text.partition("\nOptions:")[2]), path
        assert "..." not in text.partition("\nCommands:")[2], path
    assert "--account TEXT" in cli("calls", "--help").stdout


@pytest.mark.parametrize(
    ("started", "program", "anywhere"),
    [
        ("{bin}/tracker", "tracker", "{bin}/tracker"),
        ("{other}/tracker", "other/tracker", "{other}/tracker"),
        ("{package}/__main__.py", "{root}/scripts/tracker", "{root}/scripts/tracker"),
        ("/usr/bin/pytest", "tracker", "tracker"),
    ],
)
def test_messages_name_the_program_as_it_was_started(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, started: str, program: str, anywhere: str
) -> None:
    package = Path(tracker.__file__).resolve().parent
    places = {
        "bin": cli.folder / "bin", "other": cli.folder / "other", "package": package, "root": package.parent,
    }  # fmt: skip
    for name in ("bin", "other"):
        places[name].mkdir()
        (places[name] / "tracker").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(places["bin"]))
    monkeypatch.setattr(sys, "argv", [started.format(**places)])
    assert program_name() == program.format(**places)
    assert program_name(anywhere=True) == anywhere.format(**places)
    said = with_program_name("see `tracker doctor` in tracker.toml of the tracker")
    assert said == f"see `{program.format(**places)} doctor` in tracker.toml of the tracker"


def test_unknown_command_is_wrong_usage(cli: Cli) -> None:
    assert cli("frobnicate").exit_code == 2
