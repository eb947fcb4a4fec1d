"""What ThunderSMS says when it is asked: the outcome of a submission, and whose token this is.

https://portal.thundersms.com/docs/v2/reach/status, in both generations. What an id gives that is unknown or still
queued is not documented: no row, a 404 and the word `queued` all mean "not yet known".
"""

from __future__ import annotations

import re
from typing import Any, Final

from tracker.domain.accounts import Account
from tracker.domain.call_reports import StatusResult
from tracker.domain.calls import CallStatus, Reason
from tracker.errors import ProviderError, ProviderRefused
from tracker.providers.base import HttpResponse
from tracker.providers.field_lookup import FieldLookup
from tracker.providers.thundersms import scalars
from tracker.providers.thundersms.api_response import (
    ApiResponse,
    error_message,
    is_web_page,
    parse_api_response,
    refusal_reason,
)
from tracker.providers.thundersms.call_report import ID_NAMES, STATUS_API_BRIDGE_NAMES, parse_call_report

_SUFFIX = re.compile(r":[0-9]{1,9}", re.ASCII)
#: what a path gets that is none of the API's; of a poll the 404 was taken for "not yet known" before
_WRONG_PATH_STATUSES: Final = (404, 405, 410)


def parse_status_response(account: Account, submission_id: str, reply: HttpResponse) -> StatusResult:
    """The records of this submission; none where the provider does not know yet.

    Raises ProviderRefused for bad credentials and ProviderError where the reply is no answer.
    """
    if reply.status == 404:
        return StatusResult()
    document = _require_api_response(account, reply)
    if not document.success:
        if document.code == 404:
            return StatusResult()
        raise _provider_error(account, reply, document)
    rows = [FieldLookup([row]) for row in document.rows]
    records = (
        parse_call_report(
            row, zone=account.poll_time_zone, region=account.region, bridge_names=STATUS_API_BRIDGE_NAMES
        )
        for row in rows
        if _is_row_about(submission_id, row, alone=len(rows) == 1)
    )
    return StatusResult(
        reports=tuple(
            r for r in records if r.provider_status is not None and r.status is not CallStatus.queued
        )
    )


def parse_credentials_response(account: Account, reply: HttpResponse) -> str:
    """One sentence about whose credentials these are. Raises ProviderRefused or ProviderError."""
    document = _require_api_response(account, reply)
    # Not every status here is that of the reply: a user may be "active".
    if document.code is not None or (document.word or "").lower() in ("error", "fail", "failed"):
        raise _provider_error(account, reply, document)
    holder = document.rows[0] if document.rows else document.fields
    who = [
        w
        for w in (
            scalars.parse_word(_text_or_none(holder.get(name))) for name in ("name", "username", "email")
        )
        if w
    ]
    owner = f" and belongs to {', '.join(dict.fromkeys(who))}" if who else ""
    return f"The access token of account {account.name} is valid{owner}."


def _require_api_response(account: Account, reply: HttpResponse) -> ApiResponse:
    """The reply's document, where the provider took the question."""
    document = parse_api_response(reply)
    login = 300 <= reply.status < 400 or (reply.status < 300 and document is None and is_web_page(reply))
    if reply.status in (401, 403) or login:
        raise ProviderRefused(
            f"The provider refused the access token of account {account.name} "
            f"({error_message(account, reply, document)}); check access_token and base_url."
        )
    if reply.status != 200 or reply.body_error or document is None:
        raise _provider_error(account, reply, document)
    return document


def _provider_error(account: Account, reply: HttpResponse, document: ApiResponse | None) -> ProviderError:
    said = error_message(account, reply, document)
    if document and not document.success and refusal_reason(reply.status, document) is Reason.bad_credentials:
        return ProviderRefused(f"The provider refused the access token of account {account.name} ({said}).")
    if reply.body_error or reply.status == 429 or reply.status >= 500:
        return ProviderError(
            f"The provider gave no usable answer for account {account.name} ({said}); try again later."
        )
    if document is None or reply.status in _WRONG_PATH_STATUSES:
        return ProviderError(
            f"{account.base_url} answered for account {account.name} as the provider's API does not ({said}); check "
            "base_url, above all its path."
        )
    return ProviderError(f"The provider answered for account {account.name} with an error ({said}).")


def _is_row_about(submission_id: str, row: FieldLookup, *, alone: bool) -> bool:
    """Whether this row is about the submission; one without an id is, if it is the only answer to the question."""
    ids = [found for found in map(scalars.parse_id, row.all(ID_NAMES)) if found]
    return any(_is_same_id(found, submission_id) for found in ids) if ids else alone


def _is_same_id(found: str, asked: str) -> bool:
    """Whether an id is the one asked for, ignoring case, and the suffix where only one of them has it."""
    found, asked = found.lower(), asked.lower()
    longer, shorter = sorted((found, asked), key=len, reverse=True)
    return found == asked or (
        longer.startswith(shorter) and _SUFFIX.fullmatch(longer[len(shorter) :]) is not None
    )


def _text_or_none(value: Any) -> Any:
    return value if isinstance(value, str) else None
