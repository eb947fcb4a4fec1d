"""A pause: somebody wants no dial to leave for now, of all calls, of an account, or of a campaign."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tracker.domain.calls import Call


class PauseReason(StrEnum):
    """Who wanted it."""

    operator = "operator"  #: a person
    restored = "restored"  #: a backup was restored: what happened after it is not known here
    copying = "copying"  #: this database is a copy that is not complete, or whose original may still work


@dataclass(frozen=True, kw_only=True)
class Pause:
    """One pause. Neither account nor campaign: of all calls."""

    account: str | None = None
    campaign: str | None = None
    #: UTC
    since: datetime
    why: PauseReason = PauseReason.operator

    @property
    def scope(self) -> str:
        """Of what: `all`, `account NAME`, `campaign NAME`."""
        if self.account is not None:
            return f"account {self.account}"
        return f"campaign {self.campaign}" if self.campaign is not None else "all"

    def applies_to(self, call: Call) -> bool:
        """Whether it is about this call."""
        if self.account is not None:
            return self.account == call.account
        return self.campaign is None or self.campaign == call.campaign


def find_pause(call: Call, pauses: Iterable[Pause]) -> Pause | None:
    """The pause that holds a call, the widest where there are several."""
    found = [p for p in pauses if p.applies_to(call)]
    return min(found, key=lambda p: (p.account is not None, p.campaign is not None), default=None)
