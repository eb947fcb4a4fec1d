"""Posting a documented callback to one's own server, as the provider would."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from tracker.cli import samples
from tracker.cli.context import opened
from tracker.domain.accounts import Account
from tracker.domain.matching.heuristics import MATCH_WINDOW
from tracker.errors import ConfigurationError, Conflict, NotFound, ProviderError, SchemaMismatch
from tracker.providers.base import ExchangeFailure, HttpRequest
from tracker.providers.transport import exchange
from tracker.settings import Settings
from tracker.store.read.calls import CallFilter, list_calls

#: the provider waits as long
_PATIENCE_S: Final = 3.0


def sample_account(settings: Settings, name: str | None) -> Account:
    """The account of that name, or the only one. Raises NotFound, ConfigurationError."""
    accounts = settings.account_values()
    if name is None and len(accounts) == 1:
        return next(iter(accounts.values()))
    known = ", ".join(sorted(accounts)) or "none"
    if name is None:
        raise ConfigurationError(f"Name one of the configured accounts with --account: {known}.")
    if name not in accounts:
        raise NotFound(f"There is no account {name}; configured: {known}.")
    return accounts[name]


def refuse_real_call(settings: Settings, *, number: str | None, ids: Sequence[str]) -> None:
    """Raises Conflict where a call of the last 24 hours has this number or one of these ids of the provider's.

    number: None for the one that samples have of their own. Raises StorageUnavailable.
    """
    since = datetime.now(UTC) - MATCH_WINDOW
    asked = [CallFilter(to=(number or samples.CALLEE,), updated_after=since)]
    asked += [CallFilter(submission_id=id, updated_after=since) for id in ids]
    try:
        with opened(settings) as database:
            found = [call for which in asked for call in database.read(lambda c: list_calls(c, which)).data]  # noqa: B023
    except SchemaMismatch:  # without a database there are no calls
        return
    if found:
        call = found[0]
        raise Conflict(
            f"{call['id']} to {call['to']} is a call of the last 24 hours, and this sample would become its outcome; "
            "use another --to or --id, or --force."
        )


async def post_sample(
    settings: Settings,
    account: Account,
    word: str,
    *,
    composed: bool = False,
    id: str | None = None,
    to: str | None = None,
    mid: str | None = None,
    flow: str | None = None,
    bridge: str | None = None,
    lane: str | None = None,
    public: bool = False,
) -> dict[str, Any]:
    """Post it; gives `url`, `body` as sent, and the `status` and text of the `answer`.

    Raises ConfigurationError where no address is known, ProviderError where nobody answers.
    """
    now = datetime.now(UTC)
    if composed:
        fields = samples.composed(account, word, now, to=to, id=id)
    else:
        fields = samples.default_push(account, word, now, to=to, mid=mid, flow=flow, bridge=bridge)
    body = samples.written(fields)
    url = _address(settings, public=public) + f"/callbacks/{account.name}" + (f"/{lane}" if lane else "")
    headers = {"Content-Type": "application/json", "User-Agent": "tracker-sample"}
    if account.webhook_secrets:
        headers["Authorization"] = f"Bearer {account.webhook_secrets[0]}"
    request = HttpRequest(method="POST", url=url, headers=headers, body=body)
    result = await exchange(request, timeout_s=_PATIENCE_S)
    if isinstance(result, ExchangeFailure):
        raise ProviderError(f"{url} cannot be reached ({result.message}); is `tracker serve` running?")
    answer = result.body.decode("utf-8", "backslashreplace")
    return {"url": url, "body": body.decode(), "status": result.status, "answer": answer}


def _address(settings: Settings, *, public: bool) -> str:
    """Where the server is, without a slash at the end."""
    server = settings.server
    if public:
        if server.public_url is None:
            raise ConfigurationError("server.public_url is not set; set it, or leave --public out.")
        return server.public_url
    if server.port == 0:
        raise ConfigurationError("server.port is 0, so nobody knows where the server is; set a port.")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(server.host, server.host)  # noqa: S104 -- it is compared
    return f"http://[{host}]:{server.port}" if ":" in host else f"http://{host}:{server.port}"
