"""Pausing: no further dial leaves, on whatever worker, until it is resumed. What is under way is not recalled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from tracker.clock import Clock, system_clock
from tracker.domain.accounts import Account
from tracker.domain.pause import Pause, PauseReason
from tracker.domain.wish.call_wish import WISH_FIELDS
from tracker.errors import FieldError, IncompleteCopy, InvalidInput
from tracker.store.engine.database import Connection, Database
from tracker.store.policy import pauses

log = structlog.get_logger()

#: held work that one transaction makes due
_AT_ONCE: Final = 2_000


@dataclass(frozen=True, kw_only=True)
class Resumed:
    """What lifting a pause brought about."""

    #: None where none of this scope stood
    lifted: Pause | None
    #: calls that are sent now
    released: int


class Pauser:
    """Pauses and resumes, for people."""

    def __init__(
        self, database: Database, accounts: Mapping[str, Account], clock: Clock = system_clock
    ) -> None:
        self._database, self._accounts, self._clock = database, accounts, clock

    def pause(
        self,
        *,
        account: str | None = None,
        campaign: str | None = None,
        why: PauseReason = PauseReason.operator,
    ) -> list[Pause]:
        """Let no further dial leave: of an account, of a campaign, or, without either, at all; gives all pauses that
        stand. The same again changes nothing. Raises InvalidInput, StorageUnavailable."""
        self._check(account, campaign)
        new = Pause(account=account, campaign=campaign, since=self._clock(), why=why)
        begun = self._database.write(lambda c: pauses.begin(c, new))
        if begun:
            log.info("dialling.paused", scope=new.scope, why=why.value)
        return self.standing()

    def resume(
        self, *, account: str | None = None, campaign: str | None = None, force: bool = False
    ) -> Resumed:
        """Lift the pause of exactly this scope, and have what it held be due; other pauses go on holding.

        Raises InvalidInput, StorageUnavailable; IncompleteCopy where such a one pauses (unless `force`).
        """
        self._check(account, campaign, resuming=True)
        lifted = self._database.write(lambda c: _end(c, account, campaign, force=force))
        released = self.release(account)
        if lifted is not None:
            log.info("dialling.resumed", scope=lifted.scope, released=released)
        return Resumed(lifted=lifted, released=released)

    def standing(self) -> list[Pause]:
        """All pauses that stand."""
        return self._database.read(pauses.standing)

    def release(self, account: str | None = None) -> int:
        """Have all work be due that is held by no pause any more; gives how much there was."""
        released = 0
        while True:
            done = self._database.write(
                lambda c: pauses.release(
                    c, pauses.standing(c), self._clock(), limit=_AT_ONCE, account=account
                )
            )
            released += done
            if done < _AT_ONCE:
                return released

    def release_forgotten(self) -> int:
        """The same where nothing is paused any more, for a process that was killed while it resumed."""
        left = self._database.read(lambda c: not pauses.standing(c) and pauses.holds_any(c))
        return self.release() if left else 0

    def _check(self, account: str | None, campaign: str | None, *, resuming: bool = False) -> None:
        errors = []
        if account is not None and campaign is not None:
            message = "cannot stand beside `account`: give one of them, or neither for all calls"
            errors.append(FieldError(field="campaign", message=message))
        # one that is no longer configured can still be resumed
        if account is not None and account not in self._accounts and not resuming:
            known = ", ".join(sorted(self._accounts)) or "none is configured"
            errors.append(FieldError(field="account", message=f"is not configured; configured: {known}"))
        if campaign is not None and not resuming:
            try:
                WISH_FIELDS["campaign"].parse(campaign)
            except ValueError as error:
                errors.append(FieldError(field="campaign", message=str(error)))
        if errors:
            raise InvalidInput(errors)


def _end(c: Connection, account: str | None, campaign: str | None, *, force: bool) -> Pause | None:
    lifted = pauses.end(c, account, campaign)
    if lifted is not None and lifted.why is PauseReason.copying and not force:
        raise IncompleteCopy
    return lifted


def require_complete_database(c: Connection) -> None:
    """What people do waits until a copy is complete, or somebody has forced it open: else it never could be, for what
    came into being in it would be lost. Raises IncompleteCopy."""
    if any(p.why is PauseReason.copying for p in pauses.standing(c)):
        raise IncompleteCopy
