"""The steps of the way, put together over one database for the configured accounts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from tracker.clock import Clock, system_clock
from tracker.domain.accounts import Account
from tracker.lifecycle.joining.joiner import Joiner
from tracker.lifecycle.maintenance.housekeeping import Housekeeper
from tracker.lifecycle.operations.call_actions import CallActions
from tracker.lifecycle.operations.callback_actions import CallbackActions
from tracker.lifecycle.operations.pauses import Pauser
from tracker.lifecycle.placing.place import Placer
from tracker.lifecycle.polling.poll import Poller
from tracker.lifecycle.sending.send import Sender
from tracker.store.engine.database import Database


@dataclass(frozen=True, kw_only=True)
class Services:
    """What every process that writes holds."""

    database: Database
    accounts: Mapping[str, Account]
    clock: Clock
    joiner: Joiner
    placer: Placer
    sender: Sender
    poller: Poller
    call_actions: CallActions
    callback_actions: CallbackActions
    pauser: Pauser
    keeper: Housekeeper


def build_services(
    database: Database,
    accounts: Mapping[str, Account],
    clock: Clock = system_clock,
    *,
    keep: timedelta | None = None,
) -> Services:
    """The program over a database whose schema was prepared; `accounts` by name.

    keep: how long its worker keeps what is over; None: for ever. beside: its joiner may start a process of its own,
    which ends with the worker.
    """
    joiner = Joiner(database, accounts, clock)
    pauser = Pauser(database, accounts, clock)
    return Services(
        database=database,
        accounts=accounts,
        clock=clock,
        joiner=joiner,
        placer=Placer(database, accounts, clock),
        sender=Sender(database, accounts, joiner, clock),
        poller=Poller(database, accounts, joiner, clock),
        call_actions=CallActions(database, accounts, clock),
        callback_actions=CallbackActions(database, joiner, clock),
        pauser=pauser,
        keeper=Housekeeper(database, pauser, clock, keep),
    )
