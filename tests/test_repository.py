"""What must not land in the repository, and what must stay true of it as a whole."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import tracker

ROOT = Path(__file__).resolve().parent.parent

SCRIPTS = ["scripts/tracker", "scripts/test", "scripts/check", "scripts/bench", ".ci/run"]
LOCKS = ["requirements.lock", "requirements-dev.lock", "requirements-bench.lock"]

#: Folders of the machine that this was written on; spelled so that this file does not contain them.
MACHINE_PATHS = re.compile(r"/(?:wor[k]/(?:main|shared)|far[m]/|roo[t]/|tm[p]/(?:dev|notes))")


def tracked_files() -> list[Path]:
    """The files in git; in an unpacked archive, which has no git, all that are not generated."""
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, check=False)
    if listed.returncode == 0:
        paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    else:
        paths = [
            p for p in ROOT.rglob("*") if not re.search(r"/(\.venv|\.[a-z_]+_cache|__pycache__)", str(p))
        ]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def test_no_file_names_a_path_of_the_machine_it_was_written_on() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in tracked_files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if MACHINE_PATHS.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("path", ["/wor" + "k/main/x", "/far" + "m/bin", "/tm" + "p/dev/bin/python"])
def test_a_path_of_the_machine_would_be_noticed(path: str) -> None:
    assert MACHINE_PATHS.search(f"see {path}")


@pytest.mark.parametrize("name", LOCKS)
def test_lock_files_name_no_host(name: str) -> None:
    lines = (ROOT / name).read_text().splitlines()
    assert [line for line in lines if "://" in line or line.startswith("-")] == []


@pytest.mark.parametrize("name", LOCKS)
def test_everything_locked_has_a_hash(name: str) -> None:
    requirements = re.findall(
        r"^[a-z0-9].*?(?=^[a-z0-9]|\Z)", (ROOT / name).read_text(), re.MULTILINE | re.DOTALL
    )
    assert len(requirements) > 20
    assert [entry.splitlines()[0] for entry in requirements if "--hash=sha256:" not in entry] == []


def test_what_is_declared_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    runtime, dev, bench = (
        set(re.findall(r"^([a-z0-9-]+)==", (ROOT / name).read_text(), re.MULTILINE)) for name in LOCKS
    )
    assert {name_of(r) for r in [*project["dependencies"], *extras["postgres"]]} <= runtime
    assert {name_of(r) for r in extras["dev"]} | runtime <= dev
    assert {name_of(r) for r in extras["bench"]} | dev <= bench


def name_of(requirement: str) -> str:
    """`uvicorn[standard]>=0.54` is a requirement of uvicorn."""
    return re.split(r"[\[><=; ]", requirement)[0].lower()


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_executable(name: str) -> None:
    assert (ROOT / name).stat().st_mode & 0o111 == 0o111


def test_the_version_is_written_once() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert pyproject["project"]["dynamic"] == ["version"]
    assert (ROOT / pyproject["tool"]["hatch"]["version"]["path"]).samefile(tracker.__file__)
    assert re.fullmatch(r"\d+\.\d+\.\d+", tracker.__version__)
