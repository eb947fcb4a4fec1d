"""The steps of the way, put together over one database for the configured accounts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from tracker.domain.accounts import Account
from tracker.flow.asking import Asker
from tracker.flow.clock import Clock, system_clock
from tracker.flow.joining import Joiner
from tracker.flow.keeping import Keeper
from tracker.flow.operating import Operator
from tracker.flow.pausing import Pauser
from tracker.flow.placing import Placer
from tracker.flow.sending import Sender
from tracker.store.database import Database


@dataclass(frozen=True, kw_only=True)
class Program:
    """What every process that writes holds."""

    database: Database
    accounts: Mapping[str, Account]
    clock: Clock
    joiner: Joiner
    placer: Placer
    sender: Sender
    asker: Asker
    operator: Operator
    pauser: Pauser
    keeper: Keeper


def assemble(
    database: Database,
    accounts: Mapping[str, Account],
    clock: Clock = system_clock,
    *,
    keep: timedelta | None = None,
    beside: bool = False,
) -> Program:
    """The program over a database whose schema was prepared; `accounts` by name.

    keep: how long its worker keeps what is over; None: for ever. beside: its joiner may start a process of its own,
    which ends with the worker.
    """
    joiner = Joiner(database, accounts, clock, beside=beside)
    pauser = Pauser(database, accounts, clock)
    return Program(
        database=database,
        accounts=accounts,
        clock=clock,
        joiner=joiner,
        placer=Placer(database, accounts, clock),
        sender=Sender(database, accounts, joiner, clock),
        asker=Asker(database, accounts, joiner, clock),
        operator=Operator(database, accounts, joiner, clock),
        pauser=pauser,
        keeper=Keeper(database, pauser, clock, keep),
    )
