"""Hints for SQLite: SQLAlchemy's compiler passes over them, and its own statistics are no base for a promise."""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects.sqlite.base import SQLiteCompiler


class HintedCompiler(SQLiteCompiler):
    """Writes what `Select.with_hint` says of a table, such as INDEXED BY, behind its name."""

    def get_from_hint_text(self, table: Any, text: str | None) -> str | None:
        return text
