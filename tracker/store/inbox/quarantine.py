"""The quarantine: requests that were not believed, kept within bounds so that a wrong secret can be mended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tracker.store.schema import tables as t

QUARANTINED: Final = "quarantined"
#: why: they stay the reasons of what somebody has ignored, for that is not believed either
SHOWED_WRONG: Final = "wrong-secret"
SHOWED_NONE: Final = "no-secret"

#: rows of quarantine per account; one a second, the rest is counted
QUARANTINE_ROWS: Final = 1000
QUARANTINE_PAUSE: Final = timedelta(seconds=1)


@dataclass
class Room:
    """What an account's quarantine holds, and when the last of it came."""

    held: int
    last: datetime | None

    def take(self, at: datetime) -> bool:
        """Whether one that came then is kept."""
        if self.held >= QUARANTINE_ROWS or (self.last and at - self.last < QUARANTINE_PAUSE):
            return False
        self.held, self.last = self.held + 1, at
        return True


def room_of(connection: Connection, account: str) -> Room:
    """What the quarantine of this account holds now."""
    c = t.callbacks.c
    mine = sa.and_(c.state == QUARANTINED, t.unjoined, c.account == account)
    held, last = connection.execute(sa.select(sa.func.count(), sa.func.max(c.received_at)).where(mine)).one()
    return Room(held, last)
