"""Parses the parts that all responses of ThunderSMS share: success, errors, the login page.

Errors: https://portal.thundersms.com/docs/v2/errors ("status OK or 200 is success and the rest is failed"). An error
can come with HTTP status 200, and a success with any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tracker.domain.accounts import Account
from tracker.domain.calls import Reason
from tracker.logs.redaction import masker_of
from tracker.providers.base import HttpResponse
from tracker.providers.field_lookup import canonical_name
from tracker.providers.payloads import PayloadError, parse_json
from tracker.providers.thundersms import scalars

#: characters
MAX_MESSAGE_LENGTH: Final = 500
_WEB_PAGE: Final = re.compile(
    rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)

_BALANCE_WORDS: Final = re.compile(
    r"\b(?:balance|credits?|funds?|wallet)\b|\binsufficient\b(?!.{0,20}\b(?:permission|privilege|scope|access|right))",
    re.IGNORECASE,
)
_CREDENTIAL_WORDS: Final = re.compile(
    r"\bunauth|\bforbidden\b|\bcredentials?\b|\b(?:access|api|bearer|auth)[ _-]?(?:token|key)\b|\btoken\b",
    re.IGNORECASE,
)
_INVALID_NUMBER_WORDS: Final = re.compile(
    r"\binvalid\b.{0,20}\b(?:number|mobile|phone|msisdn|recipient|receiver|destination)s?\b"
    r"|\b(?:number|mobile|phone|msisdn|recipient|receiver|destination)s?\b.{0,30}\b(?:invalid|not valid)\b",
    re.IGNORECASE | re.DOTALL,
)
_RATE_LIMIT_WORDS: Final = re.compile(r"\btoo many\b|\brate.?limit", re.IGNORECASE)
_INVALID_FIELD_WORDS: Final = re.compile(r"\binvalid\b|\brequired\b|\bmissing\b|\bnot valid\b", re.IGNORECASE)
_NUMBER_FIELDS: Final = frozenset({"to", "mobile", "number", "receiver", "recipient", "phone", "msisdn"})


@dataclass(frozen=True, kw_only=True)
class ApiResponse:
    """The JSON object in a response."""

    fields: Mapping[str, Any]

    @property
    def provider_status(self) -> str | None:
        """The status in the body, as text."""
        return scalars.parse_word(self.fields.get("status"))

    @property
    def is_success(self) -> bool:
        status = self.fields.get("status")
        return not isinstance(status, bool) and (self.provider_status or "").upper() in ("200", "OK")

    @property
    def data(self) -> Any:
        return self.fields.get("data")

    @property
    def has_empty_data(self) -> bool:
        return "data" in self.fields and self.data in ([], {}, "", None)

    @property
    def rows(self) -> list[Mapping[str, Any]]:
        """The objects in `data`, which is a list of them or a single one."""
        rows = self.data if isinstance(self.data, list) else [self.data]
        return [row for row in rows if isinstance(row, dict)]

    @property
    def error_code(self) -> int | None:
        """The HTTP status of an error that the body itself names, as `code` or as `status`."""
        for name in ("code", "status"):
            text = scalars.parse_text(self.fields.get(name))
            if text and len(text) == 3 and text.isdecimal() and text[0] in "45":
                return int(text)
        return None

    @property
    def field_errors(self) -> Mapping[str, Any]:
        """The refused fields, each with its errors."""
        holders = [self.fields, self.data, self.fields.get("error"), _member(self.data, "error")]
        candidates = (_member(holder, "errors") for holder in holders)
        return next((errors for errors in candidates if isinstance(errors, dict) and errors), {})

    def messages(self) -> Iterator[str]:
        """Yield the messages in the body, then the refused fields with the first error of each."""
        for value in (
            self.fields.get("message"),
            self.fields.get("error"),
            _member(self.data, "error"),
            _member(self.data, "message"),
        ):
            message = value if isinstance(value, str) else _member(value, "message")
            if isinstance(message, str) and message.strip():
                yield scalars.replace_unstorable(message.strip())
        for name, errors in self.field_errors.items():
            first = next(iter(errors), None) if isinstance(errors, list) else errors
            yield scalars.replace_unstorable(f"{name}: {first}" if isinstance(first, str) else name)


def _member(holder: Any, name: str) -> Any:
    return holder.get(name) if isinstance(holder, dict) else None


def parse_api_response(response: HttpResponse) -> ApiResponse | None:
    """Return the JSON object in the response, or None if its body is something else."""
    try:
        fields = parse_json(response.body)
    except PayloadError:
        return None
    return ApiResponse(fields=fields) if isinstance(fields, dict) else None


def is_web_page(response: HttpResponse) -> bool:
    """Return whether the body is a web page. A wrong token gets the provider's login page, with status 200."""
    return _WEB_PAGE.match(response.body.removeprefix(b"\xef\xbb\xbf")[:2000]) is not None


def error_message(account: Account, response: HttpResponse, parsed: ApiResponse | None) -> str:
    """Return the provider's messages in at most 500 characters, with the account's secrets masked.

    The HTTP status is added if it is no success, or if there is no message.
    """
    parts = list(dict.fromkeys(parsed.messages())) if parsed else []
    if not parts and is_web_page(response):
        parts = ["a web page instead of an answer"]
    if not parts or response.status >= 300:
        parts = [f"HTTP {response.status}", *parts]
    if response.body_error:
        parts.append(response.body_error)
    return masker_of(account.secrets).mask_text("; ".join(parts))[:MAX_MESSAGE_LENGTH]


def refusal_reason(http_status: int, parsed: ApiResponse | None) -> Reason:
    """Return our reason for a refusal of the provider."""
    code = http_status if http_status >= 400 or parsed is None else parsed.error_code
    messages = "; ".join(parsed.messages()) if parsed else ""
    refused = {canonical_name(name.partition(".")[0]) for name in parsed.field_errors} if parsed else set()
    if code == 402 or _BALANCE_WORDS.search(messages):  # first, because it also comes with status 403
        return Reason.insufficient_balance
    if code in (401, 403) or (not refused and _CREDENTIAL_WORDS.search(messages)):
        return Reason.bad_credentials
    if refused & _NUMBER_FIELDS or _INVALID_NUMBER_WORDS.search(messages):
        return Reason.invalid_number
    if code == 429 or _RATE_LIMIT_WORDS.search(messages):
        return Reason.rate_limited
    if refused or code in (400, 422) or _INVALID_FIELD_WORDS.search(messages):
        return Reason.invalid_field
    return Reason.refused
