"""What every reply of ThunderSMS has in common, whatever was asked: success, errors, the login page.

Errors: https://portal.thundersms.com/docs/v2/errors ("status OK or 200 is success and the rest is failed"). An error
can come inside an HTTP 200, and a success inside any other code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tracker.domain.accounts import Account
from tracker.domain.calls import Reason
from tracker.logs.redaction import masker_of
from tracker.providers.base import HttpResponse
from tracker.providers.field_lookup import canonical_name
from tracker.providers.payloads import PayloadError, parse_json
from tracker.providers.thundersms import scalars

MAX_MESSAGE_LENGTH = 500
_WEB_PAGE = re.compile(
    rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)

_BALANCE_WORDS = re.compile(
    r"\b(?:balance|credits?|funds?|wallet)\b|\binsufficient\b(?!.{0,20}\b(?:permission|privilege|scope|access|right))",
    re.IGNORECASE,
)
_CREDENTIAL_WORDS = re.compile(
    r"\bunauth|\bforbidden\b|\bcredentials?\b|\b(?:access|api|bearer|auth)[ _-]?(?:token|key)\b|\btoken\b",
    re.IGNORECASE,
)
_INVALID_NUMBER_WORDS = re.compile(
    r"\binvalid\b.{0,20}\b(?:number|mobile|phone|msisdn|recipient|receiver|destination)s?\b"
    r"|\b(?:number|mobile|phone|msisdn|recipient|receiver|destination)s?\b.{0,30}\b(?:invalid|not valid)\b",
    re.IGNORECASE | re.DOTALL,
)
_RATE_LIMIT_WORDS = re.compile(r"\btoo many\b|\brate.?limit", re.IGNORECASE)
_INVALID_FIELD_WORDS = re.compile(r"\binvalid\b|\brequired\b|\bmissing\b|\bnot valid\b", re.IGNORECASE)
_NUMBER_FIELDS = frozenset({"to", "mobile", "number", "receiver", "recipient", "phone", "msisdn"})


@dataclass(frozen=True, kw_only=True)
class ApiResponse:
    """A reply's JSON object, taken apart."""

    fields: Mapping[str, Any]

    @property
    def word(self) -> str | None:
        """The reply's own status, as text."""
        return scalars.parse_word(self.fields.get("status"))

    @property
    def success(self) -> bool:
        status = self.fields.get("status")
        return not isinstance(status, bool) and (self.word or "").upper() in ("200", "OK")

    @property
    def data(self) -> Any:
        return self.fields.get("data")

    @property
    def has_empty_data(self) -> bool:
        return "data" in self.fields and self.data in ([], {}, "", None)

    @property
    def rows(self) -> list[Mapping[str, Any]]:
        """The objects in `data`; one that stands there by itself is a row too."""
        rows = self.data if isinstance(self.data, list) else [self.data]
        return [row for row in rows if isinstance(row, dict)]

    @property
    def code(self) -> int | None:
        """An HTTP code of an error that the body names itself, as `code` or as `status`."""
        for name in ("code", "status"):
            found = scalars.parse_text(self.fields.get(name))
            if found and len(found) == 3 and found.isdecimal() and found[0] in "45":
                return int(found)
        return None

    @property
    def errors(self) -> Mapping[str, Any]:
        """The wrong fields, each with what is wrong about it."""
        holders = [self.fields, self.data, self.fields.get("error"), _member(self.data, "error")]
        return next(
            (e for e in (_member(holder, "errors") for holder in holders) if isinstance(e, dict) and e), {}
        )

    def texts(self) -> Iterator[str]:
        """What the reply says in words."""
        nested = _member(self.data, "error")
        for value in (
            self.fields.get("message"),
            self.fields.get("error"),
            nested,
            _member(self.data, "message"),
        ):
            found = value if isinstance(value, str) else _member(value, "message")
            if isinstance(found, str) and found.strip():
                yield scalars.replace_unstorable(found.strip())
        for name, value in self.errors.items():
            first = next(iter(value), None) if isinstance(value, list) else value
            yield (
                scalars.replace_unstorable(f"{name}: {first}")
                if isinstance(first, str)
                else scalars.replace_unstorable(name)
            )


def _member(holder: Any, name: str) -> Any:
    return holder.get(name) if isinstance(holder, dict) else None


def parse_api_response(reply: HttpResponse) -> ApiResponse | None:
    """The reply's JSON object; None where its body is something else."""
    try:
        fields = parse_json(reply.body)
    except PayloadError:
        return None
    return ApiResponse(fields=fields) if isinstance(fields, dict) else None


def is_web_page(reply: HttpResponse) -> bool:
    """Whether this is a web page: a bad token ends on the provider's login page, with status 200."""
    return _WEB_PAGE.match(reply.body.removeprefix(b"\xef\xbb\xbf")[:2000]) is not None


def error_message(account: Account, reply: HttpResponse, document: ApiResponse | None) -> str:
    """The provider's words, at most 500 characters, without the account's secrets; the HTTP status if it said none."""
    texts = list(dict.fromkeys(document.texts())) if document else []
    if not texts and is_web_page(reply):
        texts = ["a web page instead of an answer"]
    if not texts or reply.status >= 300:
        texts = [f"HTTP {reply.status}", *texts]
    if reply.body_error:
        texts.append(reply.body_error)
    return masker_of(account.secrets).mask_text("; ".join(texts))[:MAX_MESSAGE_LENGTH]


def refusal_reason(status: int, document: ApiResponse | None) -> Reason:
    """Why the provider refused, in our words. `status` is the HTTP code."""
    code = status if status >= 400 or document is None else document.code
    said = "; ".join(document.texts()) if document else ""
    wrong = {canonical_name(name.partition(".")[0]) for name in document.errors} if document else set()
    if code == 402 or _BALANCE_WORDS.search(said):  # first, for it comes as a 403 as well
        return Reason.insufficient_balance
    if code in (401, 403) or (not wrong and _CREDENTIAL_WORDS.search(said)):
        return Reason.bad_credentials
    if wrong & _NUMBER_FIELDS or _INVALID_NUMBER_WORDS.search(said):
        return Reason.invalid_number
    if code == 429 or _RATE_LIMIT_WORDS.search(said):
        return Reason.rate_limited
    if wrong or code in (400, 422) or _INVALID_FIELD_WORDS.search(said):
        return Reason.invalid_field
    return Reason.refused
