"""${message}"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None
# the oldest schema whose program can still work afterwards; its own number: none
oldest_able = ${repr(up_revision)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}
