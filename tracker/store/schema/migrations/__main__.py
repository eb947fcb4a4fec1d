"""Compare the tables with the migrations, or write the migration that makes them equal.

For developers; see docs/contributing/migrations.md. It works on a temporary SQLite database, never on yours.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

import sqlalchemy as sa
from alembic import command

from tracker.store.engine.database import Database
from tracker.store.schema import upgrade
from tracker.store.schema.migrations.compare import OPTIONS, differences


def main() -> int:
    """Return the exit status: 0 done or nothing to do, 1 there are differences, 2 wrong usage."""
    parser = argparse.ArgumentParser(prog="scripts/migration", description=__doc__)
    parser.add_argument(
        "message", nargs="?", help="write a new migration with this name (without it: compare only)"
    )
    arguments = parser.parse_args()
    if not arguments.message:
        return _compare()
    _write(f"{int(upgrade.head()) + 1:04}", arguments.message)
    return 0


def _compare() -> int:
    with _TemporaryDatabase() as connection:
        found = differences(connection)
    sys.stdout.write("\n".join(found or ["The migrations make the tables as they are declared."]) + "\n")
    return 1 if found else 0


def _write(revision: str, message: str) -> None:
    with _TemporaryDatabase() as connection:
        config = upgrade.alembic_config(
            connection, OPTIONS | {"render_item": _render_item, "render_as_batch": True}
        )
        script = command.revision(config, message, autogenerate=True, rev_id=revision)
    assert script is not None
    assert not isinstance(script, list)
    written = Path(script.path)
    lines = written.read_text().splitlines(keepends=True)
    written.write_text("".join(line for line in lines if not line.lstrip().startswith("# ###")))
    for step in (["check", "--fix"], ["format"]):
        subprocess.run([sys.executable, "-m", "ruff", *step, "--quiet", script.path], check=True)  # noqa: S603
    sys.stdout.write(f"{script.path} is a draft. Read it, and tidy it by hand.\n")


class _TemporaryDatabase:
    """A new SQLite database in which all migrations were run; enter it for a connection."""

    def __enter__(self) -> sa.Connection:
        self._folder = tempfile.TemporaryDirectory()
        self._database = Database(f"sqlite:///{self._folder.name}/tracker.db")
        upgrade.upgrade(self._database)
        self._connection = self._database.engine.connect()
        self._connection.begin()
        return self._connection

    def __exit__(self, *_error: object) -> None:
        self._connection.close()
        self._database.close()
        self._folder.cleanup()


def _render_item(kind: str, item: object, _context: object) -> str | Literal[False]:
    """Return SQLModel's own types as SQLAlchemy's, so that no migration needs SQLModel; False leaves it to alembic."""
    if kind != "type":
        return False
    if isinstance(item, sa.types.TypeDecorator):
        item = item.impl_instance
    if isinstance(item, sa.DateTime):
        return f"sa.DateTime(timezone={item.timezone})"
    if type(item) is sa.String:
        return f"sa.String({item.length or ''})"
    if type(item) is sa.JSON:
        return "sa.JSON()"
    return False


if __name__ == "__main__":
    sys.exit(main())
