"""Defines pauses, which hold back every dial of all calls, of an account, or of a campaign."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tracker.domain.calls import Call


class PauseReason(StrEnum):
    """The cause of a pause."""

    operator = "operator"  #: an operator paused dialling
    restored = "restored"  #: a backup was restored, and it is unknown what happened after it was made
    copied = "copied"  #: `tracker db copy` has copied the database, and the copy dials instead


@dataclass(frozen=True, kw_only=True)
class Pause:
    """A pause of an account, of a campaign, or of all calls if it names neither."""

    account: str | None = None
    campaign: str | None = None
    #: UTC
    since: datetime
    why: PauseReason = PauseReason.operator

    @property
    def scope(self) -> str:
        """The scope as text: `all`, `account NAME` or `campaign NAME`."""
        if self.account is not None:
            return f"account {self.account}"
        return f"campaign {self.campaign}" if self.campaign is not None else "all"

    def applies_to(self, call: Call) -> bool:
        """Whether the pause holds back this call."""
        if self.account is not None:
            return self.account == call.account
        return self.campaign is None or self.campaign == call.campaign


def find_pause(call: Call, pauses: Iterable[Pause]) -> Pause | None:
    """Return the pause that holds back a call, or None. Of several, return the widest."""
    applicable = [p for p in pauses if p.applies_to(call)]
    return min(applicable, key=lambda p: (p.account is not None, p.campaign is not None), default=None)
