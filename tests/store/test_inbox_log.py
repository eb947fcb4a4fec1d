"""The log of the inbox: what is appended is read back by position, and nothing is missed."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.inbox import new_callback
from tests.postgres_server import PostgresServer
from tests.wire import Wire
from tracker.errors import StorageUnavailable
from tracker.store.engine.database import Database
from tracker.store.ids import new_id, receipt_id
from tracker.store.inbox import log
from tracker.store.inbox.log import MOST_ROWS, NewCallback
from tracker.store.inbox.states import IGNORED, PENDING
from tracker.store.schema import tables as t
from tracker.store.schema import upgrade

INDIA = timezone(timedelta(hours=5.5))
texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
requests = st.builds(
    NewCallback,
    id=st.builds(new_id, st.just("cb")),
    account=texts,
    lane=st.none() | texts,
    received_at=st.integers(0, 2**52).map(lambda us: datetime(2000, 1, 1, tzinfo=INDIA) + timedelta(microseconds=us)),
    method=st.sampled_from(["POST", "GET"]),
    size=st.integers(0, 2**31 - 1),
    remote=st.none() | texts,
    state=st.sampled_from([PENDING, IGNORED]),
    reason=st.none() | texts,
    fingerprint=st.none() | texts,
    path=st.binary(max_size=20), query=st.binary(max_size=20), headers=st.binary(max_size=50),
    body=st.binary(max_size=200),
)  # fmt: skip


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    upgrade.prepare(opened, create=True)
    yield opened
    opened.close()


def logged(database: Database) -> list[dict[str, Any]]:
    query = t.inbox.select().order_by(t.inbox.c.position)
    return database.inbox.read(lambda c: [dict(row) for row in c.execute(query).mappings()])


def positions(database: Database) -> list[int]:
    return [row["position"] for row in logged(database)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(st.lists(requests, min_size=1, max_size=5))
def test_append_stores_what_sqlalchemy_would_store(database: Database, new: list[NewCallback]) -> None:
    database.inbox.write(lambda c: c.execute(t.inbox.delete()))
    rows = [dict(zip(NewCallback._fields, n, strict=True)) for n in new]
    database.inbox.write(lambda c: c.execute(t.inbox.insert(), rows))
    # what the database holds itself, and not only what is read of it
    raw = sa.text("select id, received_at, path, headers, body, size from inbox order by id")
    usual = database.inbox.read(lambda c: c.execute(raw).all())
    database.inbox.write(lambda c: c.execute(t.inbox.delete()))
    log.append(database, new)
    assert database.inbox.read(lambda c: c.execute(raw).all()) == usual


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 63, 64, 65, MOST_ROWS - 1, MOST_ROWS])
def test_append_keeps_the_order_of_its_rows(database: Database, count: int) -> None:
    log.append(database, [new_callback(b"%d" % n) for n in range(count)])
    assert [row["body"] for row in logged(database)] == [b"%d" % n for n in range(count)]
    assert positions(database) == sorted(positions(database))


def test_append_of_the_same_rows_again_changes_nothing(postgres_database: str) -> None:
    """PostgreSQL only: a batch is repeated if the connection is lost and nobody knows whether it was committed."""
    database = Database(postgres_database)
    upgrade.prepare(database, create=True)
    new = [new_callback(), new_callback()]
    log.append(database, new)
    log.append(database, [*new, new_callback()])
    assert [row["id"] for row in logged(database)][:2] == [n.id for n in new]
    assert len(logged(database)) == 3
    database.close()


@pytest.mark.parametrize("bad", [{"method": None}, {"method": "\ud800"}, {"size": 2**70}, {"account": 5j}])
def test_append_stores_nothing_if_one_row_cannot_be_stored(database: Database, bad: dict[str, Any]) -> None:
    with pytest.raises(Exception) as caught:  # the drivers' own
        log.append(database, [new_callback(), new_callback(**bad)])
    assert not isinstance(caught.value, StorageUnavailable)
    assert logged(database) == []
    log.append(database, [new_callback()])
    assert len(logged(database)) == 1


def test_append_reconnects_after_the_connection_was_cut(postgres_server: PostgresServer) -> None:
    url = postgres_server.create_database()
    with Wire(url) as wire:
        database = Database(wire.url)
        upgrade.prepare(database, create=True)
        log.append(database, [new_callback()])
        wire.cut()
        with pytest.raises(StorageUnavailable):
            log.append(database, [new_callback()])
        wire.mend()
        log.append(database, [new_callback()])
        wire.cut()
        wire.mend()
        # a restart between two callbacks goes unnoticed
        log.append(database, [new_callback()])
        assert len(logged(database)) == 3
        database.close()
    postgres_server.drop_database(url)


def test_read_after_returns_rows_and_their_requests(database: Database) -> None:
    new = [new_callback(b"%d" % n, headers=b"a: %d\r\n" % n) for n in range(5)]
    log.append(database, new)
    first, requests_of_first = database.inbox.read(lambda c: log.read_after(c, 0, 3))
    assert [row.id for row in first] == [n.id for n in new[:3]]
    assert [requests_of_first[row.position].body for row in first] == [b"0", b"1", b"2"]
    assert requests_of_first[first[1].position].headers == ((b"a", b"1"),)
    rest, _ = database.inbox.read(lambda c: log.read_after(c, first[-1].position, 3))
    assert [row.id for row in rest] == [n.id for n in new[3:]]
    assert database.inbox.read(lambda c: log.read_after(c, rest[-1].position, 3)) == ([], {})


def test_positions_are_never_given_twice(database: Database) -> None:
    log.append(database, [new_callback(), new_callback()])
    last = positions(database)[-1]
    database.inbox.write(lambda c: log.remove(c, [last]))
    log.append(database, [new_callback()])
    assert positions(database)[-1] > last


def test_records_see_the_inbox_in_the_same_read(database: Database) -> None:
    new = new_callback(b"hello")
    log.append(database, [new])
    found = database.read(lambda c: log.find_after(c, 0, new.id))
    assert found is not None
    assert database.read(lambda c: log.requests_at(c, [found.position])[found.position].body) == b"hello"
    assert database.read_autocommit(lambda c: log.count_after(c, 0)) == 1
    # a write afterwards locks the records alone
    database.write(lambda c: c.execute(t.settings.insert().values(name="x", value="y")))
    log.append(database, [new_callback()])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(
    delays=st.lists(st.integers(0, 9_000), min_size=1, max_size=40),
    limit=st.integers(1, 7),
    skip=st.integers(0, 3),
)
def test_pages_of_unread_callbacks_are_whole(
    database: Database, delays: list[int], limit: int, skip: int
) -> None:
    """Receipts are logged in the order of commits, which differs from their own order by up to some seconds."""
    database.inbox.write(lambda c: c.execute(t.inbox.delete()))
    began = datetime.now(UTC)
    news = []
    for n, delay in enumerate(delays):
        at = began + timedelta(seconds=n) - timedelta(milliseconds=delay % 2_500)
        news.append(new_callback(id=receipt_id(at), received_at=at))
    log.append(database, news)
    read_to = positions(database)[0] - 1 + skip
    unread = sorted(((n.received_at, n.id) for n in news[skip:]), reverse=True)
    place: tuple[datetime, str] | None = None
    found: list[tuple[datetime, str]] = []
    while True:
        page = database.read(
            lambda c, place=place: log.page_after(  # type: ignore[misc]
                c, read_to, state=None, account=None, before=place, limit=limit
            )
        )
        if not page:
            break
        found += [(row.received_at, row.id) for row in page]
        place = found[-1]
    assert found == unread
    for new in news[skip:]:
        row = database.read(lambda c, id=new.id: log.find_after(c, read_to, id))  # type: ignore[misc]
        assert row is not None
        assert row.id == new.id


def test_a_slow_commit_hides_no_position_from_a_reader(postgres_database: str) -> None:
    """Two servers append at once. Sequence numbers are drawn before the commit, so without a lock the second could
    become visible first, and a reader that continues behind it would never see the first."""
    first, second = Database(postgres_database), Database(postgres_database)
    upgrade.prepare(first, create=True)
    slow, fast = new_callback(), new_callback()
    raw = first.engine.raw_connection()
    connection: Any = raw.driver_connection
    connection.execute("SELECT 1")  # begins a transaction
    log.statement(first, [slow])(connection)
    appending = threading.Thread(target=log.append, args=(second, [fast]))
    appending.start()
    time.sleep(0.3)
    assert second.inbox.read(lambda c: log.read_after(c, 0, 10))[0] == []
    connection.commit()
    appending.join(10)
    read, _ = second.inbox.read(lambda c: log.read_after(c, 0, 10))
    assert [row.id for row in read] == [slow.id, fast.id]
    raw.close()
    first.close()
    second.close()


def test_append_waits_while_another_process_writes_the_file(tmp_path: Path) -> None:
    """`tracker db prune` writes it, and so does a worker of its own."""
    with closing(Database(f"sqlite:///{tmp_path / 'tracker.db'}")) as database:
        upgrade.prepare(database, create=True)
        log.append(database, [new_callback(b"first")])
        with closing(sqlite3.connect(str(database.inbox.path), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            appending = threading.Thread(target=log.append, args=(database, [new_callback(b"second")]))
            appending.start()
            time.sleep(0.2)
            assert appending.is_alive()
            other.execute("ROLLBACK")
            appending.join(30)
        assert [row["body"] for row in logged(database)] == [b"first", b"second"]
