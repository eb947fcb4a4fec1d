"""Arrays that we pack ourselves are to PostgreSQL what the driver's own are, which go as text."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
import sqlalchemy as sa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.postgres_server import PostgresServer
from tracker.store.engine.database import Connection, Database
from tracker.store.engine.pg_arrays import ARRAYS, array

NEW_YEAR = datetime(2000, 1, 1, tzinfo=UTC)  # PostgreSQL counts from there
far = [
    datetime(1, 1, 1, tzinfo=UTC), NEW_YEAR - datetime.resolution, NEW_YEAR,
    datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
]  # fmt: skip
# PostgreSQL's own reading of text knows no zone further off
zones = st.just(UTC) | st.integers(-57599, 57599).map(lambda s: timezone(timedelta(seconds=s)))
words = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=300)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "text": words | st.text("ab", min_size=3, max_size=3),
    "integer": st.integers(-(2**63), 2**63 - 1),
    "boolean": st.booleans(),
    "bytes": st.binary(max_size=300),
    "moment": st.builds(
        lambda at, zone: at.replace(tzinfo=zone), st.datetimes() | st.sampled_from(far), zones
    ),
    "json": st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | words,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
        max_leaves=5,
    ),
}
# few different values, many, and such as repeat
columns = st.sampled_from(sorted(VALUES)).flatmap(
    lambda kind: st.tuples(
        st.just(kind),
        st.lists(st.none() | VALUES[kind], max_size=8)
        | st.lists(VALUES[kind], max_size=3).flatmap(
            lambda some: st.lists(st.sampled_from([*some, None]), min_size=1, max_size=12)
        ),
    )
)


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    opened = Database(postgres_server.create_database())
    yield opened
    opened.close()


def as_text(kind: str, values: list[Any]) -> list[Any]:
    """For the driver's own way."""
    return [v if v is None or kind != "json" else orjson.dumps(v).decode() for v in values]


@settings(deadline=None, max_examples=400)
@given(columns)
@example(("text", ["é", "ab", "\U0001f4de"]))
@example(("text", ["a" * 127, "b" * 127]))
@example(("text", ["a" * 128, "b" * 128]))
@example(("text", ["a" * 255, "b" * 256, "c" * 70_000]))
@example(("json", [{"n": 1}, {"n": True}, {"n": 1.0}]))
@example(("moment", [at.replace(tzinfo=timezone(timedelta(hours=h))) for at in far for h in (-14, 14)]))
def test_an_array_is_to_postgresql_what_the_drivers_own_is(
    database: Database, column: tuple[str, list[Any]]
) -> None:
    kind, values = column
    of = ARRAYS[kind].type
    both = f"SELECT (%s::{of}[])::text, (%s::text[]::{of}[])::text"
    if kind != "json":
        both = f"SELECT (%s::{of}[])::text, (%s::{of}[])::text"
    mine, usual = array(kind, values), as_text(kind, values)

    def ask(c: Connection) -> tuple[Any, ...]:
        return tuple(c.exec_driver_sql(both, (mine, usual)).one())

    packed, plain = database.read(ask)
    assert packed == plain


@pytest.mark.parametrize("kind", sorted(ARRAYS))
def test_an_array_can_be_made_in_another_process(kind: str) -> None:
    made = array(kind, [None, None])
    again = pickle.loads(pickle.dumps(made))
    assert again == made
    assert type(again) is ARRAYS[kind]


def test_whatever_can_be_gone_through_is_a_column() -> None:
    one = array("text", ["a", "bc"])
    assert array("text", ("a", "bc")) == array("text", {"a": 0, "bc": 1}.keys()) == one


def test_text_that_postgresql_cannot_hold_is_an_error_of_the_values(database: Database) -> None:
    def ask(c: Connection) -> None:
        c.exec_driver_sql("SELECT %s::text[]", (array("text", ["a\x00", "b"]),))

    with pytest.raises(sa.exc.DataError):
        database.read(ask)


@pytest.mark.parametrize(
    ("kind", "value", "error"),
    [
        ("text", "\ud800", UnicodeEncodeError),
        ("text", "\ud800é", UnicodeEncodeError),
        ("integer", 2**70, OverflowError),
    ],
)
def test_what_cannot_be_packed_says_so(kind: str, value: Any, error: type[Exception]) -> None:
    for others in ([], [None], ["a", "b"] if kind == "text" else [1, 2]):
        with pytest.raises(error):
            array(kind, [value, *others])


def test_a_statement_that_the_server_has_forgotten_is_prepared_again(database: Database) -> None:
    def ask(c: Connection) -> Any:
        return c.exec_driver_sql("SELECT count(*) FROM unnest(%s::text[])", (array("text", ["a"]),)).scalar()

    def often(c: Connection) -> None:
        for _ in range(10):  # the driver prepares what comes again and again
            assert ask(c) == 1
        assert c.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements").scalar()
        c.exec_driver_sql("DEALLOCATE ALL")
        for _ in range(10):
            assert ask(c) == 1

    database.read(often)
