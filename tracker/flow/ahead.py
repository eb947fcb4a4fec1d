"""What can be worked out of the oldest callbacks while others write: what they say, and what the straight ones mean.

It only reads, so it is done by whoever has the time, in this process or beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import structlog

from tracker.domain.accounts import Account
from tracker.errors import StorageUnavailable
from tracker.flow import reading, straight
from tracker.flow.clock import Clock
from tracker.flow.reading import Said
from tracker.store import inbox
from tracker.store.database import Database

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The oldest callbacks that were pending. What is in neither of the two fields is not in it."""

    #: what follows from those that are straight, an account each
    prepared: Sequence[straight.Prepared]
    #: what the others say
    said: Sequence[Said]
    #: as many as were asked for, so more may wait
    full: bool

    @property
    def ids(self) -> list[str]:
        return [claim.receipt for p in self.prepared for claim in p.claims] + [s.id for s in self.said]

    def __len__(self) -> int:
        return sum(len(p.claims) for p in self.prepared) + len(self.said)


def work_out(
    database: Database,
    accounts: Mapping[str, Account],
    clock: Clock,
    most: int,
    besides: Collection[str] = (),
) -> Batch:
    """Read the oldest pending callbacks of these accounts, at most so many, and work out what follows from them.

    besides: callbacks that somebody works on already. Raises StorageUnavailable.
    """
    raw = database.read(lambda c: inbox.pending(c, accounts.keys(), most, besides))
    said = reading.read(accounts, raw)
    prepared = _prepared(database, clock, said)
    done = {claim.receipt for p in prepared for claim in p.claims}
    return Batch(
        prepared=prepared, said=[s for s in said if s.id not in done] if done else said, full=len(raw) >= most
    )


def _prepared(database: Database, clock: Clock, said: Sequence[Said]) -> list[straight.Prepared]:
    by_account = reading.receipts(said)
    if not by_account:
        return []
    try:
        found = database.read(
            lambda c: [straight.prepare(c, account, group, clock()) for account, group in by_account.items()]
        )
    except StorageUnavailable:
        raise
    except Exception:  # whichever it is that we stumble over, it is found when they are joined one by one
        log.exception("callbacks.not_prepared", count=len(said))
        return []
    return [prepared for prepared in found if prepared is not None]
