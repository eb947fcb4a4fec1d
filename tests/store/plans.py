"""How a database would carry out what a function asks of it: the plans of its statements."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tracker.store.engine.database import Connection, Database


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The plan of one statement, in the database's own words."""

    statement: str
    #: SQLite's lines; PostgreSQL's tree
    told: Any

    def uses(self, index: str) -> bool:
        return any(f" {index} " in f" {line} " for line in self.lines())

    def lines(self) -> list[str]:
        """What is read, and how: a line for each."""
        if isinstance(self.told, list):
            return self.told
        return [
            " ".join(str(node[key]) for key in ("Node Type", "Relation Name", "Index Name") if key in node)
            for node in nodes(self.told)
        ]


def nodes(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A node of PostgreSQL's plan and all below it."""
    yield tree
    for below in tree.get("Plans", ()):
        yield from nodes(below)


def plans_of(database: Database, work: Callable[[Connection], object]) -> list[Plan]:
    """What `work` asks of the database, each with its plan; nothing of it is kept.

    PostgreSQL is told to prefer an index, as it would where a table does not fit on a few pages.
    """
    asked: list[tuple[str, Any]] = []

    def remember(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        asked.append((statement, parameters[0] if many else parameters))

    with database.engine.connect() as connection, connection.begin() as transaction:
        if not database.is_sqlite:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        sa.event.listen(connection, "before_cursor_execute", remember)
        work(connection)
        sa.event.remove(connection, "before_cursor_execute", remember)
        found = [
            Plan(statement=s, told=_explained(connection, s, p)) for s, p in asked if _can_be_explained(s)
        ]
        transaction.rollback()
    return found


def _can_be_explained(statement: str) -> bool:
    return statement.lstrip().upper().startswith(("SELECT", "UPDATE", "DELETE", "INSERT", "WITH"))


def _explained(connection: Connection, statement: str, parameters: Any) -> Any:
    if connection.dialect.name == "sqlite":
        return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    told = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
    return (json.loads(told) if isinstance(told, str) else told)[0]["Plan"]
