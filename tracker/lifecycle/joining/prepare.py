"""What can be worked out of the oldest callbacks while others write: what they say, and what the straight ones mean.

It only reads, so it is done by whoever has the time, in this process or beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from tracker.domain.accounts import Account
from tracker.errors import StorageUnavailable
from tracker.lifecycle.joining import fast_path, parse
from tracker.lifecycle.joining.parse import ParsedCallback
from tracker.store.engine.database import Database
from tracker.store.inbox import states

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The oldest callbacks that were pending."""

    ids: Sequence[str]
    #: what follows from those that are straight, in pieces that are each written at once
    prepared: Sequence[fast_path.Prepared]
    #: what the others say
    said: Sequence[ParsedCallback]
    #: as many as were asked for, so more may wait
    full: bool


class Question(NamedTuple):
    """Which batch is wanted."""

    #: callbacks
    most: int
    #: of them in one piece
    at_once: int
    #: callbacks that somebody works on already
    besides: Collection[str]


def work_out(database: Database, accounts: Mapping[str, Account], question: Question) -> Batch:
    """Read the oldest pending callbacks of these accounts, and work out what follows from them. Raises
    StorageUnavailable."""
    raw = database.read(lambda c: states.pending(c, accounts.keys(), question.most, question.besides))
    said = parse.read(accounts, raw)
    prepared = _prepared(database, said, question)
    done = {claim.receipt for p in prepared for claim in p.claims}
    return Batch(
        ids=[s.id for s in said],
        prepared=prepared,
        said=[s for s in said if s.id not in done],
        full=len(raw) >= question.most,
    )


def _prepared(
    database: Database, said: Sequence[ParsedCallback], question: Question
) -> list[fast_path.Prepared]:
    by_account = parse.receipts(said)
    if not by_account:
        return []
    try:
        return database.read(
            lambda c: [
                piece
                for account, group in by_account.items()
                for piece in fast_path.prepare(c, account, group, question.at_once)
            ]
        )
    except StorageUnavailable:
        raise
    except Exception:  # whichever it is that we stumble over, it is found when they are joined one by one
        log.exception("callbacks.not_prepared", count=len(said))
        return []
