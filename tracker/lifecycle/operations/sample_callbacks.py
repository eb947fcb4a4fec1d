"""Sends a sample callback to one's own server, and refuses one that would settle a real call."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from tracker.domain.accounts import Account
from tracker.domain.matching.heuristics import MATCH_WINDOW
from tracker.errors import Conflict, ProviderError
from tracker.providers.base import ExchangeFailure, HttpRequest
from tracker.providers.transport import exchange
from tracker.store.engine.database import Connection
from tracker.store.read.calls import CallFilter, list_calls

#: the provider waits as long for the answer to a callback
_TIMEOUT_S: Final = 3.0


def require_no_recent_call(
    c: Connection, *, number: str, submission_ids: Sequence[str], now: datetime
) -> None:
    """Raise Conflict if a sample with this number or these provider's ids would become the outcome of a call.

    Calls are looked at that changed within the time in which a callback without an id is joined. A sample is believed
    like any callback.
    """
    since = now - MATCH_WINDOW
    filters = [CallFilter(to=(number,), updated_after=since)]
    filters += [CallFilter(submission_id=id, updated_after=since) for id in submission_ids]
    for wanted in filters:
        for call in list_calls(c, wanted, limit=1).data:
            raise Conflict(
                f"{call.id} to {call.wish['to']} is a call of the last 24 hours, and this sample would become its "
                "outcome."
            )


async def post_sample(url: str, account: Account, body: bytes) -> dict[str, Any]:
    """Post a callback with the account's secret; return `url`, `body`, and the `status` and text of the `answer`.

    Raises ProviderError if no server answers there.
    """
    headers = {"Content-Type": "application/json", "User-Agent": "tracker-sample"}
    if account.webhook_secrets:
        headers["Authorization"] = f"Bearer {account.webhook_secrets[0]}"
    request = HttpRequest(method="POST", url=url, headers=headers, body=body)
    result = await exchange(request, timeout_s=_TIMEOUT_S)
    if isinstance(result, ExchangeFailure):
        raise ProviderError(f"{url} cannot be reached ({result.message}). Does `tracker serve` run?")
    answer = result.body.decode("utf-8", "backslashreplace")
    return {"url": url, "body": body.decode(), "status": result.status, "answer": answer}
