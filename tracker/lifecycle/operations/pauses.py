"""Pauses and resumes dialling for operators, on all workers. Requests that are under way are not recalled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from tracker.clock import Clock, system_clock
from tracker.domain.accounts import Account
from tracker.domain.pause import Pause, PauseReason
from tracker.domain.wish.call_wish import WISH_FIELDS
from tracker.errors import FieldError, InvalidInput
from tracker.store.engine.database import Database
from tracker.store.policy import pauses

log = structlog.get_logger()

#: held jobs that one transaction releases
_BATCH: Final = 2_000


@dataclass(frozen=True, kw_only=True)
class Resumed:
    """The result of resuming."""

    #: None if there was no pause of this scope
    lifted: Pause | None
    #: the number of calls that are sent now
    released: int


class Pauser:
    """Pauses and resumes dialling of the configured accounts."""

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
        """Let no further dial leave, and return all pauses. A pause of the same scope stays as it is.

        account, campaign: the scope; without both, all calls. Raises InvalidInput, StorageUnavailable.
        """
        self._check_scope(account, campaign)
        new = Pause(account=account, campaign=campaign, since=self._clock(), why=why)
        if self._database.write(lambda c: pauses.insert_pause(c, new)):
            log.info("dialling.paused", scope=new.scope, why=why.value)
        return self.list_pauses()

    def resume(self, *, account: str | None = None, campaign: str | None = None) -> Resumed:
        """Lift the pause of exactly this scope, and release what no other pause holds back.

        Raises InvalidInput, StorageUnavailable.
        """
        self._check_scope(account, campaign, is_resuming=True)
        lifted = self._database.write(lambda c: pauses.delete_pause(c, account, campaign))
        released = self._release(account)
        if lifted is not None:
            log.info("dialling.resumed", scope=lifted.scope, released=released)
        return Resumed(lifted=lifted, released=released)

    def list_pauses(self) -> list[Pause]:
        """Return all pauses. Raises StorageUnavailable."""
        return self._database.read(pauses.find_pauses)

    def finish_resuming(self) -> int:
        """Release what is held back without any pause, and return how many jobs that were.

        A process that was killed while it resumed leaves such jobs. Raises StorageUnavailable.
        """
        is_left = self._database.read(lambda c: not pauses.find_pauses(c) and pauses.has_held_jobs(c))
        return self._release() if is_left else 0

    def _release(self, account: str | None = None) -> int:
        released = 0
        while True:
            count = self._database.write(
                lambda c: pauses.release_held_jobs(
                    c, pauses.find_pauses(c), self._clock(), limit=_BATCH, account=account
                )
            )
            released += count
            if count < _BATCH:
                return released

    def _check_scope(self, account: str | None, campaign: str | None, *, is_resuming: bool = False) -> None:
        errors = []
        if account is not None and campaign is not None:
            message = "cannot stand beside `account`: give one of them, or neither for all"
            errors.append(FieldError(field="campaign", message=message))
        # an account that is not configured any more can still be resumed
        if account is not None and account not in self._accounts and not is_resuming:
            known = ", ".join(sorted(self._accounts)) or "none is configured"
            errors.append(FieldError(field="account", message=f"is not configured; configured: {known}"))
        if campaign is not None and not is_resuming:
            try:
                WISH_FIELDS["campaign"].parse(campaign)
            except ValueError as error:
                errors.append(FieldError(field="campaign", message=str(error)))
        if errors:
            raise InvalidInput(errors)
