"""How tables are compared with a database, and how their types are written into a migration."""

from __future__ import annotations

from typing import Any, Final, Literal

import sqlalchemy as sa


def render_item(kind: str, item: object, _context: object) -> str | Literal[False]:
    """Types as SQLAlchemy's own, so that no migration needs SQLModel; False leaves the writing to alembic."""
    if kind != "type":
        return False
    if isinstance(item, sa.types.TypeDecorator):
        item = item.impl_instance
    if isinstance(item, sa.DateTime):
        return f"sa.DateTime(timezone={item.timezone})"
    if isinstance(item, sa.String) and type(item).__name__ in ("String", "AutoString"):
        return f"sa.String({item.length or ''})"
    if isinstance(item, sa.JSON):
        return "sa.JSON()"
    return False


#: for alembic's MigrationContext
OPTIONS: Final[dict[str, Any]] = {
    "render_item": render_item,
    "compare_type": True,
    "compare_server_default": True,
}
