"""Declares the settings of one account, `[accounts.NAME]`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo

import phonenumbers
from pydantic import Field, SecretStr, ValidationInfo, field_validator

from tracker.domain.accounts import CREDENTIALS_MISSING, Account, Dialling, VariablesEncoding
from tracker.domain.phone_numbers import InvalidNumber, parse_bridge, parse_number
from tracker.settings.field_types import (
    Digits,
    MaskPassword,
    OptionalSecret,
    OptionalText,
    Positive,
    Section,
    TimeZone,
    http_url,
    is_plain_http,
)

CallbackKey = Literal[
    "id", "submission", "to", "from", "bridge", "status", "start_at", "end_at", "duration", "mid", "flow_id",
    "recording_url", "webhook_id",
]  # fmt: skip

#: fields of the request to the provider that a call sets itself, so `extra` may not contain them
RESERVED_FIELDS = ("to", "bridge", "flow_id", "audio", "name", "interval", "variables")
PLACEHOLDERS = ("submission", "call", "reference")

_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


class AccountSettings(Section):
    """One set of credentials at one provider. Its name is part of its callback URL: `/callbacks/NAME`."""

    provider: Literal["thundersms"] = Field(
        default="thundersms", description="The provider that places the calls."
    )
    base_url: str = Field(
        default="https://portal.thundersms.com/api/v2/",
        description="The address of the provider's API, used exactly as written: https never falls back to http.",
    )
    access_token: OptionalSecret = Field(
        default=None,
        description="The provider's access token. It is all that `tracker call … --wait` needs.",
    )
    webhook_id: OptionalText = Field(
        default=None,
        description="The provider's webhook that is sent with every call, unless the call names another. Not needed "
        "if the account has a subscription.",
    )
    webhook_secrets: tuple[SecretStr, ...] = Field(
        default=(),
        description="The bearer secrets that callbacks may carry; several during a rotation. In a file, one per line.",
    )
    allow_unsigned: bool = Field(
        default=False, description="Whether callbacks are accepted without a secret."
    )
    webhook_token: OptionalSecret = Field(
        default=None, description="The validation key of the provider's handshake."
    )
    lanes: dict[str, str] = Field(
        default_factory=dict,
        description="Further webhooks of the provider, by the name of their lane. The webhook of lane `a` posts to "
        "`/callbacks/NAME/a`.",
    )
    callback_keys: dict[CallbackKey, str] = Field(
        default_factory=dict,
        description="The keys in which a composed webhook sends "
        + ", ".join(f"`{k}`" for k in get_args(CallbackKey))
        + ". A dot stands for nesting.",
    )
    extra: dict[str, Any] = Field(
        default_factory=dict,
        description="Further fields that are sent with every call. In their texts, `{submission}`, `{call}` and "
        "`{reference}` are replaced.",
    )
    variables_encoding: VariablesEncoding = Field(
        default=VariablesEncoding.json,
        description="How a flow's variables are sent: `json` (flat keys), `json-nested` (an object) or `form`.",
    )
    secret_variables: tuple[str, ...] = Field(
        default=(),
        description="Variables that are stored in the clear only until they are sent, then as a keyed digest.",
    )
    bridge: Digits | None = Field(
        default=None, description="The number that calls, unless a call names another; 3 to 15 digits."
    )
    time_zone: TimeZone = Field(
        default=ZoneInfo("Asia/Kolkata"), description="The zone of times in callbacks that name no zone."
    )
    poll_time_zone: TimeZone = Field(
        default=ZoneInfo("UTC"), description="The zone of times in the response to a status query."
    )
    answer_time_zone: TimeZone = Field(
        default=ZoneInfo("Asia/Kolkata"),
        description="The zone of times in the response to a placed call.",
    )
    region: str = Field(
        default="IN",
        description="The country, as two letters, by which numbers without a country code are read.",
    )
    calls_per_second: Positive = Field(
        default=5.0,
        description="How many calls are placed in a second, over all processes; 0.5 is one in two seconds.",
    )
    timeout_s: Positive = Field(
        default=10.0,
        le=120,
        description="Seconds for one whole request to the provider, from connecting to the last byte.",
    )
    proxy: Annotated[OptionalText, MaskPassword()] = Field(
        default=None,
        description="An HTTP proxy for requests to the provider. Proxies named in the environment are not used.",
    )
    dialling: Dialling = Field(
        default=Dialling.live,
        description="The numbers that may be dialled: `live` (all), `allowlist` (those in `allow_to`) or `off` (none).",
    )
    allow_to: tuple[Digits, ...] = Field(
        default=(), description='The numbers that `dialling = "allowlist"` allows.'
    )

    @field_validator("base_url")
    @classmethod
    def _base_url(cls, value: str) -> str:
        parts = http_url(value)
        if parts.query or parts.fragment:
            raise ValueError("must be an http:// or https:// URL without query and fragment")
        return value if value.endswith("/") else value + "/"

    @field_validator("proxy")
    @classmethod
    def _proxy(cls, value: str | None) -> str | None:
        if value is not None:
            http_url(value)
        return value

    @field_validator("access_token", "webhook_token")
    @classmethod
    def _no_spaces(cls, value: SecretStr | None) -> SecretStr | None:
        if value and re.search(r"\s", value.get_secret_value()):
            raise ValueError("must have no spaces and be one line")
        return value

    @field_validator("webhook_secrets")
    @classmethod
    def _webhook_secrets(cls, values: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if not all(v.get_secret_value().strip() for v in values):
            raise ValueError("must not contain an empty secret")
        return values

    @field_validator("lanes")
    @classmethod
    def _lanes(cls, lanes: dict[str, str]) -> dict[str, str]:
        if not all(re.fullmatch("[a-z0-9_]+", name) for name in lanes):
            raise ValueError("must have names of a-z, 0-9 and _")
        if "" in lanes.values() or len(set(lanes.values())) < len(lanes):
            raise ValueError("must name another webhook for every lane")
        return lanes

    @field_validator("callback_keys")
    @classmethod
    def _callback_keys(cls, keys: dict[str, str]) -> dict[str, str]:
        if "" in keys.values():
            raise ValueError("must name a key of the callback, not an empty one")
        return keys

    @field_validator("extra")
    @classmethod
    def _extra(cls, extra: dict[str, Any]) -> dict[str, Any]:
        if taken := [key for key in extra if key in RESERVED_FIELDS or key.startswith("variables[")]:
            raise ValueError(f"must not contain {', '.join(taken)}: that is sent from the call itself")
        try:
            json.dumps(extra, allow_nan=False)
        except (TypeError, ValueError):
            raise ValueError(
                "must contain only what JSON has: texts, numbers, true, false, lists, tables"
            ) from None
        if unknown := [
            name for text in _texts(extra) for name in _PLACEHOLDER.findall(text) if name not in PLACEHOLDERS
        ]:
            raise ValueError(
                f"must not contain {{{unknown[0]}}}: only {{submission}}, {{call}}, {{reference}} are filled in"
            )
        return extra

    @field_validator("secret_variables")
    @classmethod
    def _secret_variables(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name) for name in names):
            raise ValueError("must be names of letters, digits and _, a letter first")
        return names

    @field_validator("bridge")
    @classmethod
    def _bridge(cls, value: str | None) -> str | None:
        return parse_bridge(value) if value else None

    @field_validator("region")
    @classmethod
    def _region(cls, value: str) -> str:
        if value.upper() not in phonenumbers.SUPPORTED_REGIONS:
            raise ValueError('must be a country of two letters, such as "IN"')
        return value.upper()

    @field_validator("allow_to")
    @classmethod
    def _allow_to(cls, values: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        numbers, wrong = [], []
        for value in values:
            # a wrong region is a problem of its own, and only numbers with a country code can be judged without it
            if "region" not in info.data and not value.strip().startswith("+"):
                continue
            try:
                numbers.append(parse_number(value, info.data.get("region", "IN")))
            except InvalidNumber as error:
                wrong.append(f"{value[:40]!r}: {error}")
        if wrong:
            raise ValueError("; ".join(wrong))
        return tuple(numbers)

    def to_account(self, name: str) -> Account:
        """Return the account as the rest of the program takes it."""
        plain = {key: getattr(self, key) for key in type(self).model_fields}
        plain |= {
            "access_token": self.access_token.get_secret_value() if self.access_token else "",
            "webhook_token": self.webhook_token.get_secret_value() if self.webhook_token else None,
            "webhook_secrets": tuple(s.get_secret_value() for s in self.webhook_secrets),
            "allow_to": frozenset(self.allow_to),
        }
        return Account(name=name, **plain)

    def limitations(self) -> Iterator[str]:
        """Return a sentence, beginning with a setting, for each thing that this account cannot do."""
        if not self.access_token:
            yield CREDENTIALS_MISSING

    def warnings(self) -> Iterator[str]:
        """Return a sentence, beginning with a setting, for each value that works but is probably not meant."""
        if is_plain_http(self.base_url):
            yield "base_url is plain http: the access token and every number can be read on the way"
        if any(len(s.get_secret_value()) < 16 for s in self.webhook_secrets):
            yield "webhook_secrets has a secret of fewer than 16 characters, which can be guessed"
        if self.allow_unsigned:
            yield "allow_unsigned is true: anybody who knows the address can report outcomes"
        if self.dialling is Dialling.allowlist and not self.allow_to:
            yield 'allow_to is empty and dialling is "allowlist": no number may be dialled'


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
