"""The schema: created in one way, and refused with the command that helps where it does not fit."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.store.releases import create_unreleased
from tracker.errors import ConfigurationError, SchemaMismatch, StorageUnavailable
from tracker.store.engine.database import Database, inbox_path
from tracker.store.schema import tables as t
from tracker.store.schema import upgrade


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with closing(Database(database_url)) as database:
        yield database


def execute(database: Database, statement: str) -> None:
    database.write(lambda c: c.exec_driver_sql(statement).close())


def tables_of(database: Database) -> list[str]:
    return database.read(lambda connection: sorted(sa.inspect(connection).get_table_names()))


# creating it


def test_empty_database_gets_the_schema(database: Database) -> None:
    assert upgrade.current(database) is None
    upgrade.prepare(database, create=True)
    assert upgrade.current(database) == upgrade.head()
    in_records = {name for name in t.metadata.tables if not (database.is_sqlite and name == "inbox")}
    assert tables_of(database) == sorted([*in_records, "alembic_version"])
    if database.is_sqlite:
        assert tables_of(database.inbox) == ["identity", "inbox"]
    upgrade.prepare(database, create=False)


def test_upgrade_returns_both_revisions_and_repeats_nothing(database: Database) -> None:
    assert upgrade.upgrade(database) == (None, upgrade.head())
    assert upgrade.upgrade(database) == (upgrade.head(), upgrade.head())


def test_rows_survive_another_start_and_upgrade(database: Database) -> None:
    upgrade.prepare(database, create=True)
    when = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
    row = {"id": "w1", "started_at": when, "seen_at": when}
    database.write(lambda connection: connection.execute(sa.insert(t.workers), [row]))
    upgrade.prepare(database, create=True)
    upgrade.upgrade(database)
    assert database.read(lambda c: c.execute(sa.select(t.workers)).all()) == [("w1", when, when)]


PREPARE = """
import sys
from tracker.store.schema import upgrade
from tracker.store.engine.database import Database
database = Database(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
upgrade.prepare(database, create=True)
print(upgrade.current(database))
"""


def test_several_processes_start_at_once_on_an_empty_database(database_url: str) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PREPARE, database_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    ended = [(*process.communicate(), process.returncode) for process in processes]
    assert ended == [(f"{upgrade.head()}\n", "", 0)] * 3


def test_several_threads_start_at_once_on_an_empty_database(database: Database) -> None:
    barrier = threading.Barrier(4)
    failures: list[BaseException] = []

    def start() -> None:
        barrier.wait()
        try:
            upgrade.prepare(database, create=True)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert upgrade.current(database) == upgrade.head()


def test_start_without_an_upgrade_does_not_import_alembic(database_url: str) -> None:
    script = (
        "import sys; from tracker.store.schema import upgrade\n"
        "from tracker.store.engine.database import Database\n"
        "upgrade.prepare(Database(sys.argv[1]), create=True)\n"
        "sys.exit('alembic' in sys.modules)"
    )
    ended = [
        subprocess.run([sys.executable, "-c", script, database_url], capture_output=True, check=False)
        for _ in range(2)
    ]
    assert [(e.stdout, e.stderr) for e in ended] == [(b"", b"")] * 2
    assert [e.returncode for e in ended] == [1, 0]


# refusing it


def test_empty_database_is_refused_and_not_changed(database: Database) -> None:
    with pytest.raises(SchemaMismatch, match="Run `tracker db upgrade`"):
        upgrade.prepare(database, create=False)
    assert database.path is None or not database.path.exists()
    assert tables_of(database) == []


def test_older_schema_is_refused_also_with_create(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade.upgrade(database)
    had, needed = upgrade.head(), f"{int(upgrade.head()) + 1:04}"
    monkeypatch.setattr(upgrade, "revisions", lambda: [had, needed])
    expected = rf"has schema {had} and this version needs {needed}\. Run `tracker db upgrade`"
    with pytest.raises(SchemaMismatch, match=expected):
        upgrade.prepare(database, create=True)


def test_newer_schema_is_refused_and_not_changed(database: Database) -> None:
    upgrade.upgrade(database)
    execute(database, "UPDATE alembic_version SET version_num = '9999'")
    # as that version's upgrade would; test_rolling_upgrade.py has newer ones that allow it
    execute(database, "UPDATE settings SET value = '9999' WHERE name = 'oldest-able-schema'")
    for use in (lambda: upgrade.prepare(database, create=True), lambda: upgrade.upgrade(database)):
        with pytest.raises(SchemaMismatch, match="This version of tracker is older than the database"):
            use()
    assert upgrade.current(database) == "9999"


@pytest.mark.parametrize("revision", ["0001", "0002", "0003"])
def test_unreleased_schema_is_refused_and_not_changed(database_url: str, revision: str) -> None:
    create_unreleased(database_url, revision)
    with closing(Database(database_url)) as database:
        before = tables_of(database)
        for use in (
            lambda: upgrade.prepare(database, create=True),
            lambda: upgrade.prepare(database, create=False),
            lambda: upgrade.upgrade(database),
            lambda: upgrade.require_schema(database),
        ):
            with pytest.raises(SchemaMismatch) as refused:
                use()
            assert f"has schema {revision} of a version before the first release" in str(refused.value)
            assert "Nothing was changed. Name a new database in `database.url`" in str(refused.value)
        assert tables_of(database) == before
        version = database.read(lambda c: c.exec_driver_sql("SELECT * FROM alembic_version").scalar())
        assert version == revision
        assert database.path is None or not inbox_path(database.path).exists()


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE customers (id integer)"],
        [
            "CREATE TABLE alembic_version (version_num varchar(32))",
            "INSERT INTO alembic_version VALUES ('ae1027a6acf')",
        ],
        ["CREATE TABLE alembic_version (version_num varchar(32))"],
    ],
    ids=["tables", "another program's migrations", "no migrations"],
)
def test_foreign_database_is_refused_and_not_changed(database: Database, statements: list[str]) -> None:
    for statement in statements:
        execute(database, statement)
    before = tables_of(database)
    for use in (lambda: upgrade.prepare(database, create=True), lambda: upgrade.upgrade(database)):
        with pytest.raises(SchemaMismatch, match="Name an empty one"):
            use()
    assert tables_of(database) == before


def test_postgresql_user_without_the_right_is_refused(postgres_database: str) -> None:
    owner = Database(postgres_database)
    execute(owner, "REVOKE CREATE ON SCHEMA public FROM public")
    execute(owner, "CREATE ROLE tracker_test_reader LOGIN")
    try:
        url = owner.url.set(username="tracker_test_reader").render_as_string(hide_password=False)
        with (
            closing(Database(url)) as reader,
            pytest.raises(ConfigurationError, match="may not create tables"),
        ):
            upgrade.prepare(reader, create=True)
    finally:
        execute(owner, "DROP ROLE tracker_test_reader")
        owner.close()


def test_text_file_is_not_taken_for_a_database(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear reader, this is not a database.\n" * 40)
    with (
        closing(Database(f"sqlite:///{path}")) as database,
        pytest.raises(StorageUnavailable, match="not a database"),
    ):
        upgrade.prepare(database, create=True)


# what an upgrade records


def test_upgrade_records_the_oldest_compatible_schema(database: Database) -> None:
    upgrade.upgrade(database)

    def oldest(c: Any) -> Any:
        return c.scalar(sa.select(t.settings.c.value).where(t.settings.c.name == "oldest-able-schema"))

    assert database.read(oldest) == upgrade.revisions()[0]
