"""A pipe, a socket or a directory is never replaced by a file, and never used as a database."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import NUMBER, Cli
from tests.recording_provider import RecordingProvider


def a_pipe(path: Path) -> None:
    os.mkfifo(path, 0o644)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path.name)  # relative, because the address of a socket must be short


def a_link_to_a_pipe(path: Path) -> None:
    os.mkfifo(path.with_name("behind"), 0o644)
    path.symlink_to("behind")


def a_directory(path: Path) -> None:
    path.mkdir()


KINDS = [
    (a_pipe, "a pipe"),
    (a_socket, "a socket"),
    (a_link_to_a_pipe, "a pipe"),
    (a_directory, "a directory"),
]


@pytest.fixture(params=KINDS, ids=lambda kind: kind[0].__name__)
def special(cli: Cli, request: pytest.FixtureRequest) -> tuple[Path, str]:
    """Return the path of something that is no file, and what messages call it."""
    make: Callable[[Path], None] = request.param[0]
    make(cli.folder / "special")
    return cli.folder / "special", request.param[1]


def test_backup_does_not_replace_a_special_file(
    cli: Cli, provider: RecordingProvider, special: tuple[Path, str]
) -> None:
    cli.configure(provider.base_url)
    cli("call", NUMBER, "--flow", "24")
    path, kind = special
    before, names = path.lstat(), set(cli.folder.iterdir())
    for force in ([], ["--force"]):
        refused = cli("db", "backup", "special", *force)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert refused.stderr == f"special is {kind}, which is never replaced. Name a file.\n"
    assert os.path.samestat(path.lstat(), before)
    assert set(cli.folder.iterdir()) == names


def test_init_does_not_replace_a_special_file(cli: Cli, special: tuple[Path, str]) -> None:
    path, kind = special
    before = path.lstat()
    for force in ([], ["--force"]):
        refused = cli("init", "--yes", "--no-check", "--config", "special", *force)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert f"special is {kind}" in refused.stderr
    assert os.path.samestat(path.lstat(), before)
    wrong = cli("init", "--yes", "--no-check", "--database", "special")
    assert wrong.exit_code == 2
    assert "--database" in wrong.stderr
    assert not (cli.folder / "tracker.toml").exists()


@pytest.mark.parametrize(
    "command",
    [
        ["serve", "--port", "0", "--log-level", "error"],
        ["call", NUMBER, "--flow", "24"],
        ["status"],
        ["db", "upgrade"],
        ["db", "check"],
        ["db", "backup", "b.db"],
        ["db", "restore", "b.db"],
        ["db", "copy", "--to", "sqlite:///b.db"],
    ],
    ids=" ".join,
)
def test_pipe_is_refused_as_a_database(cli: Cli, command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite would wait for a pipe, and creating a database would change the pipe's mode."""
    os.mkfifo(cli.folder / "special", 0o644)
    cli.configure("http://127.0.0.1:9/")
    monkeypatch.setenv("TRACKER_DATABASE__URL", "sqlite:///special")
    refused = cli(*command)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert f"{cli.folder / 'special'}, which is a pipe" in refused.stderr
    assert (cli.folder / "special").stat().st_mode == stat.S_IFIFO | 0o644


def test_copy_and_restore_refuse_a_special_file(
    cli: Cli, provider: RecordingProvider, special: tuple[Path, str]
) -> None:
    cli.configure(provider.base_url)
    cli("call", NUMBER, "--flow", "24")
    path, kind = special
    before = path.lstat()
    copied = cli("db", "copy", "--to", "sqlite:///special")
    assert copied.exit_code == 2
    assert f"--to names {path}, which is {kind}" in " ".join(copied.stderr.split())
    restored = cli("db", "restore", "special")
    assert restored.exit_code == 1
    assert f"special is {kind}" in restored.stderr
    assert os.path.samestat(path.lstat(), before)


def test_force_replaces_a_link_and_not_its_target(cli: Cli, provider: RecordingProvider) -> None:
    cli.configure(provider.base_url)
    cli("call", NUMBER, "--flow", "24")
    for name, command in (
        ("backup.db", ["db", "backup", "backup.db"]),
        ("other.toml", ["init", "--yes", "--no-check", "--config", "other.toml"]),
    ):
        (cli.folder / f"was-{name}").write_text("precious")
        (cli.folder / name).symlink_to(f"was-{name}")
        assert cli(*command).exit_code == 1
        assert cli(*command, "--force").exit_code == 0
        assert not (cli.folder / name).is_symlink()
        assert (cli.folder / f"was-{name}").read_text() == "precious"
