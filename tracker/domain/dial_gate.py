"""The gate: may this number be dialled now? Every dial passes it, also the first, also those by hand.

It is the one place where a dial can be held or refused; policies and do-not-call will stand here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tracker.domain.accounts import Account, Dialling
from tracker.domain.calls import Call, Reason
from tracker.domain.events import Decision
from tracker.domain.pause import Pause
from tracker.domain.time_text import iso


@dataclass(frozen=True, kw_only=True)
class GateDecision:
    """What the gate decided, why, and what it looked at."""

    #: `dial`, `wait` or `refuse`
    decision: Decision
    reason: Reason | None = None
    #: when to come again, UTC; only with `wait`, and not where nobody knows
    until: datetime | None = None
    checked: Mapping[str, Any]

    def detail(self) -> dict[str, Any]:
        """As the detail of a decision event."""
        until = {"until": iso(self.until)} if self.until else {}
        return {"decision": self.decision, "checked": dict(self.checked), **until}


def evaluate_gate(
    account: Account, call: Call, *, cancel_requested: bool, pause: Pause | None, now: datetime
) -> GateDecision:
    """Whether `call` may be dialled at `now`. pause: the one that holds it, if any."""
    checked: dict[str, Any] = {"cancel_requested": cancel_requested}
    if cancel_requested:
        return GateDecision(decision=Decision.refuse, reason=Reason.operator, checked=checked)
    checked["dialling"] = account.dialling.value
    if account.dialling is Dialling.off:
        return GateDecision(decision=Decision.refuse, reason=Reason.dialling_off, checked=checked)
    if account.dialling is Dialling.allowlist:
        checked["in_allow_to"] = call.to in account.allow_to
        if call.to not in account.allow_to:
            return GateDecision(decision=Decision.refuse, reason=Reason.not_allowed, checked=checked)
    checked["not_after"] = iso(call.not_after) if call.not_after else None
    if call.not_after is not None and now > call.not_after:
        return GateDecision(decision=Decision.refuse, reason=Reason.expired, checked=checked)
    checked["not_before"] = iso(call.not_before) if call.not_before else None
    if call.not_before is not None and now < call.not_before:
        return GateDecision(
            decision=Decision.wait, reason=Reason.not_before, until=call.not_before, checked=checked
        )
    checked["paused"] = pause.scope if pause else None
    if pause is not None:
        return GateDecision(decision=Decision.wait, reason=Reason.paused, checked=checked)
    return GateDecision(decision=Decision.dial, checked=checked)
