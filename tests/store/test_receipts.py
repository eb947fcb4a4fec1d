"""The quick way into the inbox stores what the usual way stores."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.postgres_server import PostgresServer
from tests.wire import Wire
from tracker.errors import StorageUnavailable
from tracker.store.engine.database import Database
from tracker.store.ids import new_id
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
    path=st.binary(max_size=20), query=st.binary(max_size=20), headers=st.binary(max_size=50),
    body=st.binary(max_size=200),
    size=st.integers(0, 2**31 - 1),
    remote=st.none() | texts,
    state=st.sampled_from([PENDING, IGNORED]),
    reason=st.none() | texts,
    presented=st.just(b""),
)  # fmt: skip


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    upgrade.prepare(opened, create=True)
    yield opened
    opened.close()


def kept(database: Database) -> list[dict[str, Any]]:
    query = t.callbacks.select().order_by(t.callbacks.c.id)
    return database.read(lambda c: [dict(row) for row in c.execute(query).mappings()])


def request(**changes: Any) -> NewCallback:
    plain = NewCallback(
        id=new_id("cb"), account="thundersms", lane=None, received_at=datetime.now(UTC), method="POST",
        path=b"/callbacks/thundersms", query=b"", headers=b"a: b\r\n", body=b"{}", size=2, remote="127.0.0.1",
    )  # fmt: skip
    return plain._replace(**changes)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(st.lists(requests, min_size=1, max_size=5))
def test_both_ways_store_the_same(database: Database, new: list[NewCallback]) -> None:
    database.write(lambda c: c.execute(t.callbacks.delete()))
    database.write(lambda c: log.insert(c, new))
    usual = kept(database)
    # what the database holds itself, and not only what is read of it
    raw = sa.text("select id, received_at, path, headers, body, size from callbacks order by id")
    as_it_stands = database.read(lambda c: c.execute(raw).all())
    database.write(lambda c: c.execute(t.callbacks.delete()))
    log.store(database, new)
    assert kept(database) == usual
    assert database.read(lambda c: c.execute(raw).all()) == as_it_stands


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 63, 64, 65, MOST_ROWS - 1, MOST_ROWS])
def test_any_number_is_stored_in_one_statement(database: Database, count: int) -> None:
    new = [request(body=b"%d" % n) for n in range(count)]
    log.store(database, new)
    assert [row["body"] for row in kept(database)] == [n.body for n in new]


def test_a_second_time_changes_nothing(database: Database) -> None:
    new = [request(), request()]
    log.store(database, new)
    log.store(database, [*new, request()])
    assert [row["id"] for row in kept(database)][:2] == [n.id for n in new]
    assert len(kept(database)) == 3


@pytest.mark.parametrize("bad", [{"method": None}, {"method": "\ud800"}, {"size": 2**70}, {"account": 5j}])
def test_of_a_statement_with_one_that_cannot_be_stored_nothing_is(
    database: Database, bad: dict[str, Any]
) -> None:
    with pytest.raises(Exception) as caught:  # the drivers' own
        log.store(database, [request(), request(**bad)])
    assert not isinstance(caught.value, StorageUnavailable)
    assert kept(database) == []
    log.store(database, [request()])
    assert len(kept(database)) == 1


def test_a_connection_that_was_cut_while_idle_is_made_anew(postgres_server: PostgresServer) -> None:
    url = postgres_server.create_database()
    with Wire(url) as wire:
        database = Database(wire.url)
        upgrade.prepare(database, create=True)
        log.store(database, [request()])
        wire.cut()
        with pytest.raises(StorageUnavailable):
            log.store(database, [request()])
        wire.mend()
        log.store(database, [request()])
        wire.cut()
        wire.mend()
        # nobody hears of a restart between two callbacks
        log.store(database, [request()])
        assert len(kept(database)) == 3
        database.close()
    postgres_server.drop_database(url)
