"""`find_problems`: damage, a schema that was changed by hand, an inbox that does not fit, settings that lose data."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tracker.store.engine.database import Database
from tracker.store.maintenance.integrity import find_problems
from tracker.store.schema import upgrade


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with closing(Database(database_url)) as database:
        yield database


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    with closing(Database(f"sqlite:///{tmp_path / 'tracker.db'}")) as database:
        yield database


def execute(database: Database, statement: str) -> None:
    database.write(lambda c: c.exec_driver_sql(statement).close())


def test_new_sqlite_database_has_no_problems(sqlite: Database) -> None:
    upgrade.upgrade(sqlite)
    assert find_problems(sqlite) == []


def test_new_postgresql_database_has_only_the_servers_problems(postgres_database: str) -> None:
    with closing(Database(postgres_database)) as database:
        upgrade.upgrade(database)
        # the tests' own server trades safety for speed
        assert all(re.match("(fsync|full_page_writes) is off", p) for p in find_problems(database))


@pytest.mark.parametrize(
    ("configured", "used"), [("off", "on"), ("on", "on"), ("remote_apply", "remote_apply")]
)
def test_commit_is_on_disk_however_the_server_is_configured(
    postgres_database: str, configured: str, used: str
) -> None:
    with closing(Database(postgres_database)) as database:
        execute(database, f"ALTER DATABASE {database.url.database} SET synchronous_commit = {configured}")
        database.engine.dispose()
        with database.engine.connect() as connection:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == used


def test_check_of_an_empty_database_names_the_command(database: Database) -> None:
    database.write(lambda c: None)  # this creates the file
    assert find_problems(database) == ["The database is empty. Run `tracker db upgrade`."]


def test_check_of_a_missing_file_does_not_create_it(sqlite: Database) -> None:
    [problem] = find_problems(sqlite)
    assert problem.startswith("The database does not exist yet. Run `tracker db upgrade`")
    assert sqlite.path is not None
    assert not sqlite.path.exists()


def test_check_finds_what_the_schema_lacks_and_permits_additions(database: Database) -> None:
    upgrade.upgrade(database)
    before = find_problems(database)
    execute(database, "CREATE INDEX my_own ON calls (name)")
    execute(database, "DROP INDEX ix_calls_status")
    execute(database, "ALTER TABLE calls DROP COLUMN charges")
    problems = [problem for problem in find_problems(database) if problem not in before]
    assert len(problems) == 2
    assert "add_column calls.charges" in problems[0]
    assert "add_index calls: ix_calls_status" in problems[1]


def test_check_finds_rows_that_refer_to_nothing(sqlite: Database) -> None:
    upgrade.upgrade(sqlite)
    sqlite.close()
    with closing(sqlite3.connect(str(sqlite.path))) as file, file:
        file.execute("INSERT INTO call_secrets VALUES ('call_none', '{}')")
    [problem] = find_problems(sqlite)
    assert "call_secrets refers to a row of calls that does not exist" in problem


@pytest.mark.parametrize(
    "damage",
    ["sql = 'CREATE INDEX my_own ON settings (value)'", "rootpage = 2"],
    ids=["an index that leads nowhere", "a page that is another's"],
)
def test_check_finds_damaged_records(sqlite: Database, damage: str) -> None:
    upgrade.upgrade(sqlite)
    execute(sqlite, "CREATE INDEX my_own ON settings (name)")
    execute(sqlite, "INSERT INTO settings VALUES ('one', '1')")
    execute(sqlite, "PRAGMA writable_schema=ON")
    execute(sqlite, f"UPDATE sqlite_master SET {damage} WHERE name = 'my_own'")
    sqlite.engine.dispose()
    problems = find_problems(sqlite)
    assert problems
    assert all("The file is damaged" in problem for problem in problems)


def replace_by_text(inbox: Path) -> None:
    inbox.write_text("no database at all" * 1000)


def spoil_a_page(inbox: Path) -> None:
    content = bytearray(inbox.read_bytes())
    content[8192:16384] = b"x" * 8192
    inbox.write_bytes(content)


def change_layout(inbox: Path) -> None:
    with closing(sqlite3.connect(inbox)) as file:
        file.execute("PRAGMA user_version=99")


def rename_database(inbox: Path) -> None:
    with closing(sqlite3.connect(inbox)) as file, file:
        file.execute("UPDATE identity SET database_id = 'another'")


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (Path.unlink, "is missing"),
        (replace_by_text, "is damaged"),
        (spoil_a_page, "is damaged"),
        (change_layout, "has layout 99"),
        (rename_database, "belongs to another database"),
    ],
)
def test_check_finds_an_inbox_file_that_does_not_fit(
    sqlite: Database, spoil: Callable[[Path], object], problem: str
) -> None:
    upgrade.upgrade(sqlite)
    sqlite.close()
    assert sqlite.inbox.path is not None
    spoil(sqlite.inbox.path)
    url = f"sqlite:///{sqlite.path}"
    with closing(Database(url)) as database:
        problems = find_problems(database)
    assert problems
    for each in problems:
        assert f"The inbox file {sqlite.inbox.path} {problem}" in each
        assert each.endswith(".")
