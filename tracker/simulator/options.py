"""Declares everything that can be chosen about a simulation. The values are checked once, when they are made."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tracker.simulator.thundersms.vocabulary import (
    CallbackStyle,
    Fault,
    Generation,
    MidContent,
    Outcome,
    PendingAnswer,
)

#: Of a hundred dials, as in a collections campaign.
DEFAULT_MIX: Mapping[Outcome, float] = {
    Outcome.ANSWER: 60,
    Outcome.BUSY: 15,
    Outcome.NOANSWER: 15,
    Outcome.CONGESTION: 5,
    Outcome.CHANUNAVAIL: 3,
    Outcome.CANCEL: 2,
}

#: The fields of a composed webhook unless its owner chose others: key → template.
DEFAULT_FIELDS: Mapping[str, str] = {
    "id": "{{id}}",
    "to": "{{to}}",
    "status": "{{status}}",
    "start_at": "{{start_at}}",
    "end_at": "{{end_at}}",
    "duration": "{{duration}}",
    "recording_url": "{{recording_url}}",
}


class InvalidOption(ValueError):
    """An option has a value that it cannot have. The message names the option and what is allowed."""


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """An address for callbacks, and their form. `fields` (key → template) is for the composed styles."""

    id: str
    uri: str
    name: str = ""
    secret: str = field(default="", repr=False)  #: sent as `Authorization: Bearer …` unless empty
    token: str = field(default="", repr=False)  #: the validation key of the handshake
    is_active: bool = True
    style: CallbackStyle = CallbackStyle.default
    fields: Mapping[str, str] = field(default_factory=lambda: DEFAULT_FIELDS)


@dataclass(frozen=True, kw_only=True)
class SimulatorOptions:
    """All options of a simulation. Seconds are simulated ones unless a comment says otherwise.

    Raises InvalidOption for a value that is not allowed.
    """

    host: str = "127.0.0.1"
    port: int = 8090  #: 0 takes a free one
    token: str = field(default="simulated-token", repr=False)  #: the access token that the API accepts
    seed: int = 1  #: same seed, same scenarios
    generation: Generation = Generation.old
    speed: float = 1.0  #: simulated seconds in one real second
    mix: Mapping[Outcome, float] = field(default_factory=lambda: DEFAULT_MIX)  #: weights, of any sum
    #: number (digits) → its dials' outcomes in order; the last one repeats. Goes before the mix.
    outcomes: Mapping[str, tuple[Outcome, ...]] = field(default_factory=dict)
    faults: Mapping[Fault, float] = field(default_factory=dict)  #: rate of each fault, 0 to 1
    #: number (digits) → faults that it certainly has, whatever the rates; a refusal only at its first request
    scripted_faults: Mapping[str, frozenset[Fault]] = field(default_factory=dict)
    webhooks: tuple[Webhook, ...] = ()  #: known from the start, without a handshake
    webhook_style: CallbackStyle = CallbackStyle.default  #: of webhooks registered through the API
    subscribe: str | None = None  #: the id of a webhook that gets every outcome
    late_by_s: float = 600.0  #: how late a late callback is
    max_dials: int = 3  #: dials of a submission with an interval, until one is answered
    repeat_pause_s: float = 60.0  #: between two attempts at a callback that was not answered 200 or 202
    callback_timeout_s: float = 3.0  #: real seconds that the receiver of a callback has to answer
    retry_after_s: int = 1  #: the Retry-After of a 429, in real seconds
    mid: MidContent = MidContent.campaign
    pending: PendingAnswer = PendingAnswer.mixed
    allow_remote: bool = False  #: post callbacks to addresses that are not loopback

    def __post_init__(self) -> None:
        _require_at_least("speed", self.speed, 0.001)
        _require_at_least("late_by_s", self.late_by_s, 0)
        _require_at_least("max_dials", self.max_dials, 1)
        _require_at_least("repeat_pause_s", self.repeat_pause_s, 0)
        _require_at_least("callback_timeout_s", self.callback_timeout_s, 0.01)
        _require_at_least("retry_after_s", self.retry_after_s, 0)
        if not 0 <= self.port <= 65535:
            raise InvalidOption(f"port: {self.port} is not between 0 and 65535.")
        if any(not weight >= 0 for weight in self.mix.values()) or not sum(self.mix.values()) > 0:
            raise InvalidOption(
                "mix: A weight is negative, or all are zero. Give at least one positive weight."
            )
        for fault, rate in self.faults.items():
            if not 0 <= rate <= 1:
                raise InvalidOption(f"{fault}: {rate:g} is not a rate between 0 and 1.")
        for name, numbers in (("outcomes", self.outcomes), ("scripted_faults", self.scripted_faults)):
            if wrong := [number for number in numbers if not re.fullmatch(r"[0-9]{8,15}", number)]:
                message = f"{wrong[0]!r} is not a phone number. Give 8 to 15 digits, country code first."
                raise InvalidOption(f"{name}: {message}")
        if not all(self.outcomes.values()):
            raise InvalidOption("outcomes: A number has no outcome. Give at least one for each number.")
        self._check_webhooks()

    def _check_webhooks(self) -> None:
        ids = [webhook.id for webhook in self.webhooks]
        for webhook in self.webhooks:
            if ids.count(webhook.id) > 1:
                raise InvalidOption(f"webhooks: {webhook.id} is given twice. Give each webhook its own id.")
            problem = find_uri_problem(webhook.uri, allow_remote=self.allow_remote)
            if problem:
                raise InvalidOption(f"webhooks: {webhook.id}: {problem}")
        if self.subscribe is not None and self.subscribe not in ids:
            known = ", ".join(ids) or "none"
            raise InvalidOption(f"subscribe: There is no webhook {self.subscribe}. Known webhooks: {known}.")


def find_uri_problem(uri: str, *, allow_remote: bool) -> str | None:
    """Return why callbacks cannot be sent to this address, as one sentence; None if they can.

    Unless `allow_remote`, the host must be a loopback address or `localhost`: nothing is posted to strangers.
    """
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "The address cannot be read as a URL."
    if parts.scheme not in ("http", "https") or not host:
        return "The address must start with http:// or https:// and name a host."
    if allow_remote or host == "localhost":
        return None
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    return None if is_loopback else f"{host} is not this machine. Use `--allow-remote` to post elsewhere."


def _require_at_least(name: str, value: float, least: float) -> None:
    if not least <= value < float("inf"):
        raise InvalidOption(f"{name}: {value:g} is too small or not finite. Give at least {least:g}.")
