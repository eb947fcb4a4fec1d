"""Finds out by which plans a database runs the statements of a function."""

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
    raw: Any

    def uses(self, index: str) -> bool:
        """Return whether the plan reads this index."""
        return any(f" {index} " in f" {line} " for line in self.lines())

    def lines(self) -> list[str]:
        """Return the steps of the plan as text: what is read, and by which index."""
        if isinstance(self.raw, list):
            return self.raw
        return [
            " ".join(str(node[key]) for key in ("Node Type", "Relation Name", "Index Name") if key in node)
            for node in nodes(self.raw)
        ]


def nodes(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return a node of PostgreSQL's plan and all nodes below it."""
    yield tree
    for below in tree.get("Plans", ()):
        yield from nodes(below)


def plans_of(database: Database, work: Callable[[Connection], object]) -> list[Plan]:
    """Return the statements of `work` with their plans, and roll its changes back.

    PostgreSQL is set to prefer indexes, as it would for a table that does not fit on a few pages.
    """
    statements: list[tuple[str, Any]] = []

    def remember(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        statements.append((statement, parameters[0] if many else parameters))

    with database.engine.connect() as connection:
        database.attach_inbox(connection)
        transaction = connection.begin()
        if not database.is_sqlite:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        sa.event.listen(connection, "before_cursor_execute", remember)
        work(connection)
        sa.event.remove(connection, "before_cursor_execute", remember)
        found = [
            Plan(statement=s, raw=_explain(connection, s, p)) for s, p in statements if _can_be_explained(s)
        ]
        transaction.rollback()
    return found


def _can_be_explained(statement: str) -> bool:
    return statement.lstrip().upper().startswith(("SELECT", "UPDATE", "DELETE", "INSERT", "WITH"))


def _explain(connection: Connection, statement: str, parameters: Any) -> Any:
    if connection.dialect.name == "sqlite":
        return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
    return (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]
