"""Defines accounts: sets of credentials at a provider, named in the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final
from zoneinfo import ZoneInfo


class Dialling(StrEnum):
    """The numbers that an account may dial."""

    live = "live"  #: every number
    allowlist = "allowlist"  #: only the numbers in `allow_to`
    off = "off"  #: none


class VariablesEncoding(StrEnum):
    """The form of a flow's variables in the request to the provider."""

    json = "json"  #: flat keys in a JSON object: {"variables[Name]": "…"}
    json_nested = "json-nested"  #: an object: {"variables": {"Name": "…"}}
    form = "form"  #: a form: variables[Name]=…


#: the message about an account without a token; the account's name in the configuration goes before it
CREDENTIALS_MISSING: Final = (
    "access_token is not set, so no call can be placed. Set it to the token from the provider's panel"
)


@dataclass(frozen=True, kw_only=True)
class Account:
    """The configuration of one account. `tracker.settings.account` documents each field."""

    name: str
    provider: str = "thundersms"
    base_url: str = "https://portal.thundersms.com/api/v2/"
    access_token: str = field(default="", repr=False)
    webhook_id: str | None = None
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    allow_unsigned: bool = False
    webhook_token: str | None = field(default=None, repr=False)
    lanes: Mapping[str, str] = field(default_factory=dict)
    callback_keys: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    variables_encoding: VariablesEncoding = VariablesEncoding.json
    secret_variables: tuple[str, ...] = ()
    bridge: str | None = None
    time_zone: ZoneInfo = ZoneInfo("Asia/Kolkata")
    poll_time_zone: ZoneInfo = ZoneInfo("UTC")
    answer_time_zone: ZoneInfo = ZoneInfo("Asia/Kolkata")
    region: str = "IN"
    calls_per_second: float = 5.0
    timeout_s: float = 10.0
    proxy: str | None = None
    dialling: Dialling = Dialling.live
    #: E.164 with "+"
    allow_to: frozenset[str] = frozenset()

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets of this account, which are masked wherever they would be stored or logged."""
        secrets = (self.access_token, self.webhook_token, *self.webhook_secrets)
        return tuple(s for s in secrets if s)
