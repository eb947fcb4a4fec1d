"""Keeps what the provider remembers: accepted calls, webhooks, subscriptions. No I/O; the time is passed in."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tracker.simulator.options import SimulatorOptions, Webhook
from tracker.simulator.scenarios import (
    PlannedDial,
    Refusal,
    Scenario,
    draw_refusal,
    plan_scenario,
    random_stream,
)
from tracker.simulator.thundersms.vocabulary import Generation

#: The event that a subscription must name to get the outcomes of calls.
CALL_EVENT = "voice:message:out"


@dataclass(frozen=True, kw_only=True)
class SendRequest:
    """A well-formed request to place one call."""

    bridge: str
    to: str  #: digits
    flow_id: str | None
    audio: str | None
    interval_min: int
    webhook_id: str | None
    variables: Mapping[str, str]
    fields: Mapping[str, str]  #: everything else, as sent: name, custom, …


@dataclass(kw_only=True)
class Dial:
    """One ringing that has begun. Times are real."""

    planned: PlannedDial
    started_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class CallbackAttempt:
    """One attempt to post one callback."""

    at: datetime
    webhook_id: str
    attempt: int  #: from 1
    method: str
    url: str
    style: str
    body: str
    status_code: int | None  #: None if there was no answer
    error: str | None  #: why there was no answer

    @property
    def is_accepted(self) -> bool:
        """Whether the callback need not be repeated. Only 200 and 202 count; 201 and 204 are failures."""
        return self.status_code in (200, 202)


@dataclass(kw_only=True)
class AcceptedCall:
    """One accepted submission and what has happened to it so far."""

    id: str  #: the submission id as answered, with ":1" in the old generation
    scenario: Scenario
    request: SendRequest
    accepted_at: datetime
    dials: list[Dial] = field(default_factory=list)
    callback_attempts: list[CallbackAttempt] = field(default_factory=list)
    answer: str = "accepted"  #: the answer to its send request: accepted, 500, nothing

    @property
    def ended_dials(self) -> list[Dial]:
        """The dials of which there is a record."""
        return [dial for dial in self.dials if dial.ended_at is not None]


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """A rule that sends all events of one kind to one webhook."""

    id: str
    event: str
    webhook_id: str
    created_at: datetime


class ProviderState:
    """The memory of the provider. It is empty at the start, except for the webhooks of the options."""

    def __init__(self, options: SimulatorOptions, *, now: datetime) -> None:
        self._options = options
        self._requests: Counter[str] = Counter()
        self._accepted: Counter[str] = Counter()
        self._ids = random_stream(options.seed, "ids")
        self._by_uuid: dict[str, AcceptedCall] = {}
        self.calls: list[AcceptedCall] = []
        self.refused: Counter[str] = Counter()
        self.webhooks: dict[str, Webhook] = {webhook.id: webhook for webhook in options.webhooks}
        self.webhook_since: dict[str, datetime] = dict.fromkeys(self.webhooks, now)
        self.subscriptions: dict[str, Subscription] = {}
        if options.subscribe is not None:
            self.subscribe(event=CALL_EVENT, webhook_id=options.subscribe, now=now)

    def submit(self, request: SendRequest, *, now: datetime) -> AcceptedCall | Refusal:
        """Accept a request or refuse it, as its scenario wants it."""
        options, number = self._options, request.to
        self._requests[number] += 1
        refusal = draw_refusal(options, number, self._requests[number])
        if refusal is not None:
            self.refused[refusal.fault] += 1
            return refusal
        self._accepted[number] += 1
        scenario = plan_scenario(options, number, self._accepted[number], interval_min=request.interval_min)
        suffix = ":1" if options.generation is Generation.old else ""
        call = AcceptedCall(id=scenario.uuid + suffix, scenario=scenario, request=request, accepted_at=now)
        self.calls.append(call)
        self._by_uuid[scenario.uuid] = call
        return call

    def webhooks_for(self, call: AcceptedCall) -> list[Webhook]:
        """Return the webhooks that get this call's outcome: the named one, then the subscribed ones, each once."""
        ids = [call.request.webhook_id] if call.request.webhook_id else []
        ids += [s.webhook_id for s in self.subscriptions.values() if s.event == CALL_EVENT]
        webhooks = (self.webhooks.get(id) for id in dict.fromkeys(ids))
        return [webhook for webhook in webhooks if webhook is not None and webhook.is_active]

    def find_calls(self, query: Mapping[str, str]) -> list[AcceptedCall]:
        """Return the calls that match all of `id`, `cid`, `mobile` and `date` that are given.

        date: of acceptance, in UTC, YYYY-MM-DD.
        """
        calls = self.calls
        if "id" in query:
            named = self._by_uuid.get(query["id"].lower().removesuffix(":1"))
            calls = [named] if named else []
        return [call for call in calls if all(_matches(call, key, value) for key, value in query.items())]

    def keep_webhook(self, webhook: Webhook, *, now: datetime) -> None:
        """Remember a new webhook, or a changed one under its old id."""
        self.webhooks[webhook.id] = webhook
        self.webhook_since.setdefault(webhook.id, now)

    def drop_webhook(self, webhook_id: str) -> bool:
        """Forget a webhook and its subscriptions. Return False if there was none."""
        self.subscriptions = {k: s for k, s in self.subscriptions.items() if s.webhook_id != webhook_id}
        return self.webhooks.pop(webhook_id, None) is not None

    def subscribe(self, *, event: str, webhook_id: str, now: datetime) -> Subscription:
        """Send all events of this kind to that webhook from now on."""
        subscription = Subscription(id=self.new_id(), event=event, webhook_id=webhook_id, created_at=now)
        self.subscriptions[subscription.id] = subscription
        return subscription

    def new_id(self) -> str:
        """Return the next UUID, which is the same in every run with this seed."""
        return str(uuid.UUID(int=self._ids.getrandbits(128), version=4))


def _matches(call: AcceptedCall, key: str, value: str) -> bool:
    match key:
        case "id":
            return value.lower() in (call.id, call.scenario.uuid)
        case "mobile":
            return value == call.request.to
        case "date":
            return value == call.accepted_at.strftime("%Y-%m-%d")
        case "cid":
            return value in (call.request.fields.get(name) for name in ("cid", "customid", "custom"))
        case _:
            return False
