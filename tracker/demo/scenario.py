"""Lists the calls of the demo, with the outcome and the faults that the simulator is to play for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tracker.simulator.options import SimulatorOptions, Webhook
from tracker.simulator.thundersms.vocabulary import CallbackStyle, Fault, Outcome

#: the webhook that most calls name, and another one whose callbacks are JSON
FORM_WEBHOOK: Final = "composed-form"
JSON_WEBHOOK: Final = "composed-json"
#: simulated seconds in one real second
SPEED: Final = 40.0
_FIRST_NUMBER: Final = 918919525201


@dataclass(frozen=True, kw_only=True)
class PlannedCall:
    """A call of the demo. A call without outcomes ends as chance wants it."""

    title: str
    #: with the country code, digits only
    number: str = ""
    #: of its dials, in order
    outcomes: tuple[Outcome, ...] = ()
    faults: tuple[Fault, ...] = ()
    #: minutes until the provider redials a number that was not answered; 0: it does not
    interval_min: int = 0
    webhook_id: str = FORM_WEBHOOK
    #: the same request is sent twice with one Idempotency-Key
    is_repeated: bool = False
    #: it is due tomorrow, and an operator cancels it today
    is_canceled: bool = False

    def fields(self) -> dict[str, Any]:
        """Return the body of `POST /api/v1/calls`."""
        tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        return {
            "to": f"+{self.number}",
            "flow_id": "24",
            "name": "tracker_demo",
            "webhook_id": self.webhook_id,
            **({"interval": self.interval_min} if self.interval_min else {}),
            **({"not_before": tomorrow} if self.is_canceled else {}),
        }


def _call(title: str, outcome: Outcome, *faults: Fault, **fields: Any) -> PlannedCall:
    return PlannedCall(title=title, outcomes=(outcome,), faults=faults, **fields)


#: The last two calls go to one number, so a callback without an id could belong to either of them.
_WRITTEN: Final = (
    _call("answered; the request is sent twice, the phone rings once", Outcome.ANSWER, is_repeated=True),
    _call("busy", Outcome.BUSY),
    _call("not answered", Outcome.NOANSWER),
    _call("the callback comes twice", Outcome.ANSWER, Fault.duplicate),
    _call("the callback comes before the provider's answer", Outcome.ANSWER, Fault.early),
    _call("the callback has no id", Outcome.ANSWER, Fault.no_id),
    _call("the callback comes early, and has no id", Outcome.BUSY, Fault.early, Fault.no_id),
    _call("the callback's times are in another zone", Outcome.NOANSWER, Fault.wrong_zone),
    _call("too many requests (429): sent again", Outcome.ANSWER, Fault.rate_limit),
    _call("the provider's answer never comes", Outcome.BUSY, Fault.hang),
    _call("the provider answers 500, and dials", Outcome.ANSWER, Fault.error_after_accept),
    _call("rejected: no balance", Outcome.ANSWER, Fault.no_balance),
    _call("congestion", Outcome.CONGESTION),
    _call("channel unavailable", Outcome.CHANUNAVAIL),
    _call("the caller hangs up first", Outcome.CANCEL),
    _call("answered, but no agent takes the call", Outcome.MISSED),
    _call("one callback is broken JSON, another is not", Outcome.ANSWER, Fault.broken_json, webhook_id=JSON_WEBHOOK),
    _call("the callback is JSON with a comma too many", Outcome.ANSWER, Fault.no_id, Fault.trailing_comma),
    _call("the callback is a GET request", Outcome.NOANSWER, Fault.composed_get),
    _call("the callback is a PUT request", Outcome.ANSWER, Fault.composed_put),
    _call("canceled by an operator before it was due", Outcome.ANSWER, is_canceled=True),
    _call("the callback comes late", Outcome.NOANSWER, Fault.late),
    PlannedCall(
        title="redialled by the provider, reported in reverse order",
        outcomes=(Outcome.NOANSWER, Outcome.ANSWER), faults=(Fault.out_of_order,), interval_min=5,
    ),
    _call("ambiguous: no id, and two calls to one number", Outcome.BUSY, Fault.no_id),
    _call("ambiguous: the other call; the provider is asked", Outcome.BUSY, Fault.no_id),
)  # fmt: skip


def plan_calls(count: int) -> list[PlannedCall]:
    """Return `count` calls: the written ones first, then calls whose outcome is left to chance."""
    drawn = [PlannedCall(title="as chance wants it")] * (count - len(_WRITTEN))
    calls = [*_WRITTEN, *drawn][:count]
    last_written = len(_WRITTEN) - 1
    numbers = [_FIRST_NUMBER + index - (index == last_written) for index in range(count)]
    return [replace(call, number=str(number)) for call, number in zip(calls, numbers, strict=True)]


def simulator_options(
    calls: Sequence[PlannedCall], *, callback_url: str, webhook_secret: str, access_token: str
) -> SimulatorOptions:
    """Return the options with which the simulator plays these calls. The seed is fixed, so every run is alike."""
    styles = {FORM_WEBHOOK: CallbackStyle.composed_form, JSON_WEBHOOK: CallbackStyle.composed_json}
    return SimulatorOptions(
        token=access_token,
        speed=SPEED,
        outcomes={call.number: call.outcomes for call in calls if call.outcomes},
        scripted_faults={call.number: frozenset(call.faults) for call in calls if call.faults},
        webhooks=tuple(
            Webhook(id=id, uri=callback_url, secret=webhook_secret, style=style)
            for id, style in styles.items()
        ),
        # every outcome is also reported here, so an unreadable callback to the other webhook loses nothing
        subscribe=FORM_WEBHOOK,
        late_by_s=200.0,
        max_dials=2,
    )
