"""Parses the status API of ThunderSMS: the call records of a submission, and the owner of a token.

https://portal.thundersms.com/docs/v2/reach/status, in both generations. It does not document the response for an id
that is unknown or still queued. No row, a 404 and the word `queued` therefore all mean "not yet known".
"""

from __future__ import annotations

import re
from typing import Final

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

_ID_SUFFIX: Final = re.compile(r":[0-9]{1,9}", re.ASCII)
#: statuses of a path that is not the API's; a 404 to a poll has been handled before
_WRONG_PATH_STATUSES: Final = (404, 405, 410)


def parse_status_response(account: Account, submission_id: str, response: HttpResponse) -> StatusResult:
    """Return the call records of this submission; none if the provider does not know them yet.

    Raises ProviderRefused if the token is refused, and ProviderError if the response holds no answer.
    """
    if response.status == 404:
        return StatusResult()
    parsed = _require_api_response(account, response)
    if not parsed.is_success:
        if parsed.error_code == 404:
            return StatusResult()
        raise _provider_error(account, response, parsed)
    rows = [FieldLookup([row]) for row in parsed.rows]
    reports = (
        parse_call_report(
            row, zone=account.poll_time_zone, region=account.region, bridge_names=STATUS_API_BRIDGE_NAMES
        )
        for row in rows
        if _is_row_about(submission_id, row, is_only_row=len(rows) == 1)
    )
    return StatusResult(
        reports=tuple(
            report
            for report in reports
            if report.provider_status is not None and report.status is not CallStatus.queued
        )
    )


def parse_credentials_response(account: Account, response: HttpResponse) -> str:
    """Return a sentence about the owner of the token.

    Raises ProviderRefused if the token is refused, and ProviderError if the response holds no answer.
    """
    parsed = _require_api_response(account, response)
    # Not every status here is that of the response: a user may be "active".
    status = (parsed.provider_status or "").lower()
    if parsed.error_code is not None or status in ("error", "fail", "failed"):
        raise _provider_error(account, response, parsed)
    owner = parsed.rows[0] if parsed.rows else parsed.fields
    texts = (owner.get(name) for name in ("name", "username", "email"))
    names = dict.fromkeys(scalars.parse_word(text) for text in texts if isinstance(text, str))
    belongs = ", ".join(name for name in names if name)
    suffix = f" and belongs to {belongs}" if belongs else ""
    return f"The access token of account {account.name} is valid{suffix}."


def _require_api_response(account: Account, response: HttpResponse) -> ApiResponse:
    """Return the JSON object in the response. Raises ProviderRefused or ProviderError if there is none."""
    parsed = parse_api_response(response)
    is_login = 300 <= response.status < 400 or (
        response.status < 300 and parsed is None and is_web_page(response)
    )
    if response.status in (401, 403) or is_login:
        raise ProviderRefused(
            f"The provider refused the access token of account {account.name} "
            f"({error_message(account, response, parsed)}). Check access_token and base_url."
        )
    if response.status != 200 or response.body_error or parsed is None:
        raise _provider_error(account, response, parsed)
    return parsed


def _provider_error(account: Account, response: HttpResponse, parsed: ApiResponse | None) -> ProviderError:
    message = error_message(account, response, parsed)
    if parsed and not parsed.is_success and refusal_reason(response.status, parsed) is Reason.bad_credentials:
        return ProviderRefused(
            f"The provider refused the access token of account {account.name} ({message}). Check access_token."
        )
    if response.body_error or response.status == 429 or response.status >= 500:
        return ProviderError(
            f"The provider gave no usable answer for account {account.name} ({message}). Try again later."
        )
    if parsed is None or response.status in _WRONG_PATH_STATUSES:
        return ProviderError(
            f"{account.base_url} did not answer like the provider's API for account {account.name} ({message}). "
            "Check base_url, above all its path."
        )
    return ProviderError(f"The provider answered with an error for account {account.name} ({message}).")


def _is_row_about(submission_id: str, row: FieldLookup, *, is_only_row: bool) -> bool:
    """Return whether this row is about the submission. A row without an id is if it is the only one."""
    ids = [id for id in map(scalars.parse_id, row.all_values(ID_NAMES)) if id]
    return any(_is_same_id(id, submission_id) for id in ids) if ids else is_only_row


def _is_same_id(one: str, other: str) -> bool:
    """Return whether two ids are the same, in any case, also if only one of them has the suffix `:n`."""
    shorter, longer = sorted((one.lower(), other.lower()), key=len)
    return shorter == longer or (
        longer.startswith(shorter) and _ID_SUFFIX.fullmatch(longer[len(shorter) :]) is not None
    )
