"""Other versions of tracker: packages to run as processes beside this one, and a database of an unreleased one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Final

from tracker.store.engine.database import Connection, Database
from tracker.store.schema import upgrade

ROOT: Final = Path(__file__).resolve().parent.parent.parent
#: the commit of the last landed version from which a rolling upgrade is possible, or `none`
LAST_LANDED: Final = Path(__file__).parent / "LAST_LANDED"
ADD_COLUMN: Final = 'op.add_column("calls", sa.Column("language", sa.String(), nullable=True))'


def last_landed(folder: Path) -> Path:
    """Put the package of the last landed version into `folder`, out of git's history, and return `folder`.

    As long as LAST_LANDED says `none`, it is this version's. Fails if the commit is not in the history.
    """
    commit = LAST_LANDED.read_text().strip()
    if commit == "none":
        return this_version(folder)
    done = subprocess.run(
        ["git", "-C", ROOT, "archive", "--format=tar", commit, "tracker"], capture_output=True, check=False
    )
    assert done.returncode == 0, (
        f"This test runs the last landed version, commit {commit}, which is not in git's history here. Test in a whole "
        f"clone (`git fetch --unshallow`). git says: {done.stderr.decode(errors='replace').strip()}"
    )
    folder.mkdir(exist_ok=True)
    # not tarfile: before Python 3.11.4 it had no filter for what it extracts
    subprocess.run(["tar", "-x", "-C", folder], input=done.stdout, check=True)
    return folder


def this_version(folder: Path) -> Path:
    """Put a copy of this version's package into `folder`, and return `folder`."""
    shutil.copytree(ROOT / "tracker", folder / "tracker", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def next_revision() -> str:
    """Return the number of the migration that follows this version's last one."""
    return f"{int(upgrade.head()) + 1:04}"


def next_version(folder: Path, oldest_able: str, migration: str = ADD_COLUMN) -> Path:
    """Put this version's package with one more migration into `folder`, and return `folder`.

    oldest_able: what the migration declares. migration: the body of its `upgrade`, by default a new column of calls.
    """
    versions = this_version(folder) / "tracker" / "store" / "schema" / "migrations" / "versions"
    (versions / f"{next_revision()}_calls_have_a_language.py").write_text(
        f'''"""calls have a language"""

import sqlalchemy as sa
from alembic import op

revision = "{next_revision()}"
down_revision = "{upgrade.head()}"
branch_labels = None
depends_on = None
oldest_able = "{oldest_able}"


def upgrade() -> None:
    {migration}
'''
    )
    return folder


def run_upgrade(package: Path, database_url: str) -> subprocess.CompletedProcess[str]:
    """Run `tracker db upgrade` of the version in `package`."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
    return subprocess.run(
        [sys.executable, "-m", "tracker", "db", "upgrade"],
        cwd=package, env=environ | {"PYTHONPATH": str(package), "TRACKER_DATABASE__URL": database_url},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def create_unreleased(url: str, revision: str) -> None:
    """Create a database with one call, as a version before the first release left it, in what an upgrade looks at."""

    def work(c: Connection) -> None:
        for statement in (
            "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)",
            f"INSERT INTO alembic_version VALUES ('{revision}')",
            "CREATE TABLE settings (name VARCHAR NOT NULL PRIMARY KEY, value VARCHAR NOT NULL)",
            "INSERT INTO settings VALUES ('oldest-able-schema', '0001')",
            "CREATE TABLE calls (id VARCHAR NOT NULL PRIMARY KEY)",
            "INSERT INTO calls VALUES ('call_1')",
        ):
            c.exec_driver_sql(statement)

    with closing(Database(url, has_inbox=False)) as database:
        database.write(work)
