"""Everything that can be chosen about a simulation, checked once when it is made."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tracker.simulator.thundersms.vocabulary import Fault, Generation, Mid, Pending, Style, Word

#: Of a hundred dials, as one might see in a collections campaign.
DEFAULT_MIX: Mapping[Word, float] = {
    Word.ANSWER: 60,
    Word.BUSY: 15,
    Word.NOANSWER: 15,
    Word.CONGESTION: 5,
    Word.CHANUNAVAIL: 3,
    Word.CANCEL: 2,
}

#: What a composed webhook sends unless its owner chose other keys: key → template.
DEFAULT_FIELDS: Mapping[str, str] = {
    "id": "{{id}}",
    "to": "{{to}}",
    "status": "{{status}}",
    "start_at": "{{start_at}}",
    "end_at": "{{end_at}}",
    "duration": "{{duration}}",
    "recording_url": "{{recording_url}}",
}


class WrongOption(ValueError):
    """An option has a value that it cannot have; the message names the option and what is allowed."""


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """Where callbacks go, and how they look. `fields` (key → template) is for the composed styles."""

    id: str
    uri: str
    name: str = ""
    secret: str = field(default="", repr=False)  #: sent as `Authorization: Bearer …` if not empty
    token: str = field(default="", repr=False)  #: the validation key of the handshake
    active: bool = True
    style: Style = Style.default
    fields: Mapping[str, str] = field(default_factory=lambda: DEFAULT_FIELDS)


@dataclass(frozen=True, kw_only=True)
class SimulatorOptions:
    """Raises WrongOption for a value that cannot be. Seconds are simulated ones unless said otherwise."""

    host: str = "127.0.0.1"
    port: int = 8090  #: 0 takes a free one
    token: str = field(default="simulated-token", repr=False)  #: the access token that the API accepts
    seed: int = 1  #: same seed, same story
    generation: Generation = Generation.old
    speed: float = 1.0  #: simulated seconds in one real second
    mix: Mapping[Word, float] = field(default_factory=lambda: DEFAULT_MIX)  #: weights, of any sum
    #: number (digits) → its dials' outcomes in order; the last one repeats. Goes before the mix.
    outcomes: Mapping[str, tuple[Word, ...]] = field(default_factory=dict)
    faults: Mapping[Fault, float] = field(default_factory=dict)  #: rate of each fault, 0 to 1
    #: number (digits) → faults that it certainly has, whatever the rates; a refusal only at its first request
    scripted_faults: Mapping[str, frozenset[Fault]] = field(default_factory=dict)
    webhooks: tuple[Webhook, ...] = ()  #: known from the start, without a handshake
    webhook_style: Style = Style.default  #: of webhooks registered through the API
    subscribe: str | None = None  #: the id of a webhook that gets every outcome
    late_by_s: float = 600.0  #: how late a late callback is
    max_dials: int = 3  #: dials of a submission with an interval, until one is answered
    repeat_pause_s: float = 60.0  #: between two attempts at a callback that was not answered 200 or 202
    callback_timeout_s: float = 3.0  #: the provider's patience with an answer, in real seconds
    retry_after_s: int = 1  #: what a 429 with Retry-After says, in real seconds
    mid: Mid = Mid.campaign
    pending: Pending = Pending.mixed
    allow_remote: bool = False  #: post callbacks to addresses that are not loopback

    def __post_init__(self) -> None:
        _at_least("speed", self.speed, 0.001)
        _at_least("late_by_s", self.late_by_s, 0)
        _at_least("max_dials", self.max_dials, 1)
        _at_least("repeat_pause_s", self.repeat_pause_s, 0)
        _at_least("callback_timeout_s", self.callback_timeout_s, 0.01)
        _at_least("retry_after_s", self.retry_after_s, 0)
        if not 0 <= self.port <= 65535:
            raise WrongOption(f"port: {self.port} is not between 0 and 65535")
        if any(not w >= 0 for w in self.mix.values()) or not sum(self.mix.values()) > 0:
            raise WrongOption("mix: weights must not be negative, and one must be more than zero")
        for fault, rate in self.faults.items():
            if not 0 <= rate <= 1:
                raise WrongOption(f"{fault}: {rate:g} is not a rate between 0 and 1")
        for name, numbers in (("outcomes", self.outcomes), ("scripted_faults", self.scripted_faults)):
            if wrong := [number for number in numbers if not re.fullmatch(r"[0-9]{8,15}", number)]:
                message = f"{wrong[0]!r} is not a number; give 8 to 15 digits, country code first"
                raise WrongOption(f"{name}: {message}")
        if not all(self.outcomes.values()):
            raise WrongOption("outcomes: give at least one outcome for each number")
        self._check_webhooks()

    def _check_webhooks(self) -> None:
        ids = [w.id for w in self.webhooks]
        for webhook in self.webhooks:
            if ids.count(webhook.id) > 1:
                raise WrongOption(f"webhooks: {webhook.id} is given twice; ids must differ")
            problem = uri_problem(webhook.uri, allow_remote=self.allow_remote)
            if problem:
                raise WrongOption(f"webhooks: {webhook.id}: {problem}")
        if self.subscribe is not None and self.subscribe not in ids:
            known = ", ".join(ids) or "none"
            raise WrongOption(f"subscribe: there is no webhook {self.subscribe}; known: {known}")


def uri_problem(uri: str, *, allow_remote: bool) -> str | None:
    """Why callbacks cannot be sent to this address, as one sentence; None if they can.

    Strangers must not be posted to: unless `allow_remote`, the host is a loopback address or `localhost`.
    """
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "the address cannot be read as a URL"
    if parts.scheme not in ("http", "https") or not host:
        return "the address must start with http:// or https:// and name a host"
    if allow_remote or host == "localhost":
        return None
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    return None if loopback else f"{host} is not this machine; use --allow-remote to post elsewhere"


def _at_least(name: str, value: float, least: float) -> None:
    if not least <= value < float("inf"):
        raise WrongOption(f"{name}: {value:g} is too small or not finite; the least is {least:g}")
