"""Other versions of tracker, to be run as real processes beside the one under test."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
LAST_LANDED = Path(__file__).parent / "LAST_LANDED"


def last_landed(folder: Path) -> Path:
    """The package of the last landed version, out of git's history, in `folder`. Fails where there is no history."""
    commit = LAST_LANDED.read_text().strip()
    done = subprocess.run(
        ["git", "-C", ROOT, "archive", "--format=tar", commit, "tracker"], capture_output=True, check=False
    )
    assert done.returncode == 0, (
        f"This test runs the last landed version, commit {commit}, out of git's history, which is not here: test in a "
        f"whole clone (`git fetch --unshallow`). git says: {done.stderr.decode(errors='replace').strip()}"
    )
    folder.mkdir(exist_ok=True)
    # not tarfile: before Python 3.11.4 it had no filter for what it extracts
    subprocess.run(["tar", "-x", "-C", folder], input=done.stdout, check=True)
    return folder


def next_version(folder: Path, revision: str, down_revision: str, oldest_able: str) -> Path:
    """A version after this one in `folder`: this one with one more migration, which adds a column to the calls."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "tracker", folder / "tracker", ignore=ignored)
    versions = folder / "tracker" / "store" / "schema" / "migrations" / "versions"
    (versions / f"{revision}_calls_have_a_language.py").write_text(
        f'''"""calls have a language"""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{down_revision}"
branch_labels = None
depends_on = None
oldest_able = "{oldest_able}"


def upgrade() -> None:
    op.add_column("calls", sa.Column("language", sa.String(), nullable=True))
'''
    )
    return folder
