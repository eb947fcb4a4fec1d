"""keys by call

A call that is removed takes its Idempotency-Keys along, and the database looks for them at each call: without an index it
read all keys each time.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None
oldest_able = "0001"


def upgrade() -> None:
    op.create_index(op.f("ix_idempotency_keys_call_id"), "idempotency_keys", ["call_id"], unique=False)
