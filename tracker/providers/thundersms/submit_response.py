"""What ThunderSMS answered to a submission.

Two generations: https://portal.thundersms.com/docs/v2/reach/call, and the same page before 2024. The order in which
an answer is read decides whether somebody may be called twice, so it stands here in one piece.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

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

_ID_NAMES = ("id", "callId", "call_id")
_MAX_RETRY_AFTER_S = 24 * 3600.0


def parse_submit_response(account: Account, result: HttpResponse | ExchangeFailure) -> SubmitResult:
    """What the answer means for the submission. `unclear` is all that says neither yes nor no."""
    if isinstance(result, ExchangeFailure):
        kind = SubmitResultKind.never_left if result.never_left else SubmitResultKind.unclear
        reason = Reason.provider_unreachable if result.never_left else Reason.no_clear_answer
        return SubmitResult(kind=kind, reason=reason, message=result.message[:MAX_MESSAGE_LENGTH])

    document = parse_api_response(result)
    status = result.status
    if document and document.success and (row := _find_row_with_id(document)):
        return _accepted_result(account, document, *row)
    if status == 429:
        return _result(
            SubmitResultKind.rate_limited,
            account,
            result,
            document,
            reason=Reason.rate_limited,
            retry_after_s=_parse_retry_after_s(result),
        )
    if status == 408 or status >= 500:
        return _result(SubmitResultKind.unclear, account, result, document, reason=Reason.no_clear_answer)
    if 400 <= status < 500:
        return _result(
            SubmitResultKind.refused, account, result, document, reason=refusal_reason(status, document)
        )
    if 300 <= status < 400:
        return _redirect_result(account, result, document)
    if result.body_error:
        return _result(SubmitResultKind.unclear, account, result, document, reason=Reason.no_clear_answer)
    if document is None and is_web_page(result):
        return _result(SubmitResultKind.refused, account, result, document, reason=Reason.bad_credentials)
    if document and document.word is not None and not document.success:
        return _result(
            SubmitResultKind.refused, account, result, document, reason=refusal_reason(status, document)
        )
    if document and document.success and document.has_empty_data:
        return _result(
            SubmitResultKind.refused, account, result, document, reason=refusal_reason(status, document)
        )
    return _result(SubmitResultKind.unclear, account, result, document, reason=Reason.no_clear_answer)


def _find_row_with_id(document: ApiResponse) -> tuple[str, dict[str, Any]] | None:
    """The first id that the answer gives, with the fields that stand beside it."""

    def places() -> Iterator[dict[str, Any]]:
        yield from (dict(row) for row in document.rows)
        yield dict(document.fields)

    for place in places():
        for name in _ID_NAMES:
            if (found := scalars.parse_id(place.get(name))) is not None:
                return found, place
    return None


def _accepted_result(
    account: Account, document: ApiResponse, submission_id: str, row: dict[str, Any]
) -> SubmitResult:
    accepted_raw, at = scalars.parse_timestamp(
        row.get("submitted_at") or row.get("created_at"), account.answer_time_zone
    )
    charges = scalars.parse_amount(row.get("charges"))
    message = scalars.parse_text(document.fields.get("message"))
    return SubmitResult(
        kind=SubmitResultKind.accepted,
        submission_id=submission_id,
        message=masker_of(account.secrets).mask_text(message)[:MAX_MESSAGE_LENGTH] if message else None,
        provider_status=scalars.parse_word(row.get("status")) or document.word,
        charges=charges if charges is not None else scalars.parse_amount(row.get("credits")),
        accepted_at=at,
        accepted_raw=accepted_raw,
    )


def _result(
    kind: SubmitResultKind,
    account: Account,
    reply: HttpResponse,
    document: ApiResponse | None,
    *,
    reason: Reason,
    retry_after_s: float | None = None,
) -> SubmitResult:
    return SubmitResult(
        kind=kind,
        reason=reason,
        message=error_message(account, reply, document),
        provider_status=document.word if document else None,
        retry_after_s=retry_after_s,
    )


def _redirect_result(account: Account, reply: HttpResponse, document: ApiResponse | None) -> SubmitResult:
    """A redirect is not followed. To a login page the provider sends who shows it a bad token."""
    location = scalars.replace_unstorable((reply.header("location") or "").partition("?")[0])
    target = masker_of(account.secrets).mask_text(location)[:200]
    reason = Reason.bad_credentials if "login" in target.lower() else Reason.refused
    message = f"HTTP {reply.status}: redirected to {target or 'nowhere'}; check the account's base_url and access_token"
    return SubmitResult(
        kind=SubmitResultKind.refused,
        reason=reason,
        message=message,
        provider_status=document.word if document else None,
    )


def _parse_retry_after_s(reply: HttpResponse) -> float | None:
    """Seconds from now, of `Retry-After: 120` or of a date; the date is compared with the provider's own clock."""
    text = (reply.header("retry-after") or "").strip()
    try:
        wait = float(text)
    except ValueError:
        try:
            wait = (
                _parse_http_date(text) - _parse_http_date(reply.header("date") or "", datetime.now(UTC))
            ).total_seconds()
        except ValueError:
            return None
    return min(max(wait, 0.0), _MAX_RETRY_AFTER_S) if math.isfinite(wait) else None


def _parse_http_date(text: str, otherwise: datetime | None = None) -> datetime:
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        if otherwise is None:
            raise ValueError("no date") from None
        return otherwise
    return at if at.tzinfo else at.replace(tzinfo=UTC)
