"""Classifies the response of ThunderSMS to a submission: accepted, refused, or unclear.

Two generations: https://portal.thundersms.com/docs/v2/reach/call, and the same page before 2024. The order of the
checks decides whether somebody may be called twice, so all of it is in this module.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from tracker.domain.accounts import Account
from tracker.domain.call_reports import SubmitResult, SubmitResultKind
from tracker.domain.calls import Reason
from tracker.logs.redaction import masker_of
from tracker.providers.base import ExchangeFailure, HttpResponse
from tracker.providers.thundersms import scalars
from tracker.providers.thundersms.api_response import (
    MAX_MESSAGE_LENGTH,
    ApiResponse,
    error_message,
    is_web_page,
    parse_api_response,
    refusal_reason,
)

_ID_NAMES: Final = ("id", "callId", "call_id")
_MAX_RETRY_AFTER_S: Final = 24 * 3600.0


def parse_submit_response(account: Account, result: HttpResponse | ExchangeFailure) -> SubmitResult:
    """Return the meaning of the result for the submission: `unclear` unless it is a clear yes or no."""
    if isinstance(result, ExchangeFailure):
        kind = SubmitResultKind.never_left if result.never_left else SubmitResultKind.unclear
        reason = Reason.provider_unreachable if result.never_left else Reason.no_clear_answer
        return SubmitResult(kind=kind, reason=reason, message=result.message[:MAX_MESSAGE_LENGTH])

    parsed = parse_api_response(result)
    if parsed and parsed.is_success and (accepted := _find_id(parsed)):
        return _accepted_result(account, parsed, *accepted)
    if 300 <= result.status < 400:
        return _redirect_result(account, result, parsed)
    kind, reason = _classify(result, parsed)
    return SubmitResult(
        kind=kind,
        reason=reason,
        message=error_message(account, result, parsed),
        provider_status=parsed.provider_status if parsed else None,
        retry_after_s=_parse_retry_after_s(result) if kind is SubmitResultKind.rate_limited else None,
    )


def _classify(response: HttpResponse, parsed: ApiResponse | None) -> tuple[SubmitResultKind, Reason]:
    """Return the meaning of a response that is neither a success with an id nor a redirect."""
    unclear = SubmitResultKind.unclear, Reason.no_clear_answer
    if response.status == 429:
        return SubmitResultKind.rate_limited, Reason.rate_limited
    if response.status == 408 or response.status >= 500:
        return unclear
    refused = SubmitResultKind.refused, refusal_reason(response.status, parsed)
    if 400 <= response.status < 500:
        return refused
    if response.body_error:
        return unclear
    if parsed is None:
        if is_web_page(response):
            return SubmitResultKind.refused, Reason.bad_credentials
        return unclear
    if parsed.is_success:
        return refused if parsed.has_empty_data else unclear
    return unclear if parsed.provider_status is None else refused


def _find_id(parsed: ApiResponse) -> tuple[str, Mapping[str, Any]] | None:
    """Return the first id in the response and the object that it belongs to."""
    for holder in (*parsed.rows, parsed.fields):
        for name in _ID_NAMES:
            if (id := scalars.parse_id(holder.get(name))) is not None:
                return id, holder
    return None


def _accepted_result(
    account: Account, parsed: ApiResponse, submission_id: str, row: Mapping[str, Any]
) -> SubmitResult:
    accepted_raw, accepted_at = scalars.parse_timestamp(
        row.get("submitted_at") or row.get("created_at"), account.answer_time_zone
    )
    charges = scalars.parse_amount(row.get("charges"))
    message = scalars.parse_text(parsed.fields.get("message"))
    return SubmitResult(
        kind=SubmitResultKind.accepted,
        submission_id=submission_id,
        message=masker_of(account.secrets).mask_text(message)[:MAX_MESSAGE_LENGTH] if message else None,
        provider_status=scalars.parse_word(row.get("status")) or parsed.provider_status,
        charges=charges if charges is not None else scalars.parse_amount(row.get("credits")),
        accepted_at=accepted_at,
        accepted_raw=accepted_raw,
    )


def _redirect_result(account: Account, response: HttpResponse, parsed: ApiResponse | None) -> SubmitResult:
    """Return a refusal. Redirects are not followed; one to the login page means that the token is wrong."""
    location = scalars.replace_unstorable((response.header("location") or "").partition("?")[0])
    target = masker_of(account.secrets).mask_text(location)[:200]
    return SubmitResult(
        kind=SubmitResultKind.refused,
        reason=Reason.bad_credentials if "login" in target.lower() else Reason.refused,
        message=(
            f"HTTP {response.status}: redirected to {target or 'nowhere'}. "
            "Check the account's base_url and access_token."
        ),
        provider_status=parsed.provider_status if parsed else None,
    )


def _parse_retry_after_s(response: HttpResponse) -> float | None:
    """Return the seconds of `Retry-After`, at most a day; None if it is missing or unreadable.

    A date in it is compared with the response's `Date`, the provider's own clock, and without that with ours.
    """
    text = (response.header("retry-after") or "").strip()
    try:
        wait_s = float(text)
    except ValueError:
        try:
            until = _parse_http_date(text)
        except ValueError:
            return None
        try:
            now = _parse_http_date(response.header("date") or "")
        except ValueError:
            now = datetime.now(UTC)
        wait_s = (until - now).total_seconds()
    return min(max(wait_s, 0.0), _MAX_RETRY_AFTER_S) if math.isfinite(wait_s) else None


def _parse_http_date(text: str) -> datetime:
    """Return the date of a header; raises ValueError if there is none in the text."""
    try:
        at = parsedate_to_datetime(text)
    except OverflowError as error:
        raise ValueError("no date") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)
