"""Inserts a row unless it exists, or updates it if it does, in the dialect of the connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection


def insert_if_absent(connection: Connection, table: sa.Table, row: Mapping[str, Any]) -> bool:
    """Insert a row. Return False, and change nothing, if a row with its primary key exists."""
    insert = _insert(connection, table).values(row).on_conflict_do_nothing()
    # not every driver returns the row count of an insert
    return connection.execute(insert.returning(*table.primary_key.columns)).first() is not None


def upsert(
    connection: Connection,
    table: sa.Table,
    row: Mapping[str, Any],
    *,
    key: tuple[str, ...],
    update: Mapping[str, Any],
) -> None:
    """Insert a row. If a row with the same values in the columns of `key`, which are unique, exists, update it.

    update: the values that an existing row gets, by column.
    """
    insert = _insert(connection, table).values(row)
    connection.execute(insert.on_conflict_do_update(index_elements=key, set_=dict(update)))


def _insert(connection: Connection, table: sa.Table) -> Any:
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table)
