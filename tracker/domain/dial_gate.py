"""Decides whether a call may be dialled now.

Every dial passes this gate, including the first one and those that an operator starts. It is the only place that can
hold back or refuse a dial, except the pace (`calls_per_second`).
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
    """The decision of the gate, with its reason and with every value that was checked."""

    #: `dial`, `wait` or `refuse`
    decision: Decision
    reason: Reason | None = None
    #: UTC, the time of the next try; only with `wait`, and None if it is unknown
    until: datetime | None = None
    checked: Mapping[str, Any]

    def detail(self) -> dict[str, Any]:
        """Return the detail of the decision event."""
        until = {"until": iso(self.until)} if self.until else {}
        return {"decision": self.decision, "checked": dict(self.checked), **until}


def evaluate_gate(
    account: Account, call: Call, *, cancel_requested: bool, pause: Pause | None, now: datetime
) -> GateDecision:
    """Return whether `call` may be dialled at `now` (UTC).

    `pause` is the pause that holds back the call, if any. The checks run in a fixed order, and the first that fails
    decides.
    """
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
