"""What `tracker doctor` looks at, one function per question; each answers with what is, and what to do about it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryFile
from typing import Final
from urllib.parse import urlencode

from tracker.cli.remedies import remedy
from tracker.domain.accounts import Account, Dialling
from tracker.errors import ConfigurationError, ProviderError, StorageUnavailable, TrackerError
from tracker.providers.base import ExchangeFailure, HttpRequest, HttpResponse
from tracker.providers.registry import get_provider
from tracker.providers.transport import exchange
from tracker.settings import Settings
from tracker.store.engine.database import Database
from tracker.store.schema import upgrade

#: a clock that is further from the provider's makes times of receipt and of the payload hard to compare
_CLOCK_MAY_DIFFER: Final = timedelta(seconds=60)
#: the provider waits as long for the answer to a callback
_CALLBACK_PATIENCE_S: Final = 3.0
#: of those that may be dialled, so many are named
_NUMBERS_TOLD: Final = 5


class State(StrEnum):
    """How a check came out."""

    ok = "ok"
    warn = "warn"  #: works, but is probably not meant
    fail = "fail"  #: does not work


@dataclass(frozen=True, kw_only=True)
class Check:
    """One question and its answer, in one sentence that says what to do where something is to be done."""

    name: str
    state: State
    message: str


def check_configuration(settings: Settings) -> Iterator[Check]:
    """Whether the values go together; that each of them is well formed was seen when they were loaded."""
    name = "configuration"
    found = list(_configuration_problems(settings))
    yield from found
    if all(c.state is not State.fail for c in found):
        file = settings.config_file
        source = str(file.absolute()) if file else f"the environment alone, for {settings.no_file()}"
        accounts = ", ".join(settings.accounts)
        yield Check(name=name, state=State.ok, message=f"read from {source}; accounts: {accounts}")


def _configuration_problems(settings: Settings) -> Iterator[Check]:
    name = "configuration"
    try:
        settings.require_accounts()
    except ConfigurationError as error:
        yield Check(name=name, state=State.fail, message=str(error))
        return
    try:
        settings.require_receivable()
    except ConfigurationError as error:
        for problem in str(error).splitlines():
            yield Check(name=name, state=State.fail, message=f"`tracker serve` will not start: {problem}")
    for lack in settings.lacks():
        yield Check(name=name, state=State.fail, message=lack)
    for warning in settings.warnings():
        yield Check(name=name, state=State.warn, message=warning)
    if settings.api_token is None:
        message = "server.api_token is not set: the API answers nobody; set it to a long random text"
        yield Check(name=name, state=State.warn, message=message)
    if (file := settings.config_file) and _readable_by_others(file, settings):
        message = f"{file} holds secrets and others on this machine can read it: chmod 600 {file}"
        yield Check(name=name, state=State.warn, message=message)


def _readable_by_others(file: Path, settings: Settings) -> bool:
    try:
        text = file.read_text(encoding="utf-8-sig")
        return bool(file.stat().st_mode & 0o077) and any(secret in text for secret in settings.secrets())
    except OSError:
        return False


def check_database(settings: Settings) -> Iterator[Check]:
    """Whether the database answers, takes a write, is sound, and has the schema that this version needs."""
    name, place = "database", settings.database_place
    try:
        database = Database(settings.database_url)
    except TrackerError as error:
        yield Check(name=name, state=State.fail, message=f"{place}: {error}")
        return
    has = None
    try:
        if database.path is not None and not database.path.exists():
            yield _not_there_yet(name, database.path.absolute())
            return
        problems = upgrade.check(database)
        has = None if problems else upgrade.current(database)
    except StorageUnavailable as error:
        todo = remedy(error.__cause__, database.path)
        problems = [f"{error}; {todo}" if todo else str(error)]
    except TrackerError as error:
        problems = [str(error)]
    finally:
        database.close()
    for problem in problems:
        yield Check(name=name, state=State.fail, message=f"{place}: {problem}")
    if not problems:
        message = f"{place} is sound and has {upgrade.told(has)}"
        yield Check(name=name, state=State.ok, message=message)


def _not_there_yet(name: str, path: Path) -> Check:
    """Whether the file can be made is tried out with another one, which is gone afterwards."""
    try:
        with TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        message = (
            f"{path} does not exist and cannot be made ({error.strerror}): make the directory {path.parent}, let this "
            "user write there, or change database.url"
        )
        return Check(name=name, state=State.fail, message=message)
    message = f"{path} does not exist yet; `tracker serve` and `tracker call` make it"
    return Check(name=name, state=State.ok, message=message)


def check_dialling(account: Account) -> Check:
    """Whom this account can call at all."""
    name = f"dialling {account.name}"
    if account.dialling is Dialling.off:
        return Check(name=name, state=State.ok, message="off: no number is dialled; calls are canceled")
    if account.dialling is Dialling.live:
        return Check(name=name, state=State.ok, message="live: every number can be dialled")
    if not account.allow_to:
        message = "allowlist, and allow_to is empty: no number is dialled; enter yours there"
        return Check(name=name, state=State.warn, message=message)
    numbers = sorted(account.allow_to)
    more = f" and {len(numbers) - _NUMBERS_TOLD} more" if len(numbers) > _NUMBERS_TOLD else ""
    message = f"allowlist: only {', '.join(numbers[:_NUMBERS_TOLD])}{more} can be dialled"
    return Check(name=name, state=State.ok, message=message)


def check_provider(account: Account, now: datetime | None = None) -> Iterator[Check]:
    """Whether the provider takes the account's token, and whether its clock and ours agree."""
    name = f"provider {account.name}"
    if not account.access_token:
        return  # the check of the configuration says so
    provider = get_provider(account.provider)
    request = provider.credentials_request(account)
    result = asyncio.run(exchange(request, timeout_s=account.timeout_s, proxy=account.proxy))
    if isinstance(result, ExchangeFailure):
        message = (
            f"{account.base_url} cannot be reached ({result.message}); check base_url, network and proxy"
        )
        yield Check(name=name, state=State.fail, message=message)
        return
    try:
        yield Check(name=name, state=State.ok, message=provider.parse_credentials_response(account, result))
    except ProviderError as error:
        yield Check(name=name, state=State.fail, message=str(error))
    yield from _check_clock(account, result, now or datetime.now(UTC))


def _check_clock(account: Account, reply: HttpResponse, now: datetime) -> Iterator[Check]:
    name = f"clock {account.name}"
    try:
        theirs = parsedate_to_datetime(reply.header("date") or "")
    except ValueError:
        message = "the provider's answer has no readable date to compare this machine's clock with"
        yield Check(name=name, state=State.warn, message=message)
        return
    off = now - (theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC))
    seconds = round(abs(off).total_seconds())
    if abs(off) > _CLOCK_MAY_DIFFER:
        side = "ahead of" if off > timedelta(0) else "behind"
        message = (
            f"this machine is {seconds} s {side} the provider; synchronise it (timedatectl set-ntp true)"
        )
        yield Check(name=name, state=State.warn, message=message)
    else:
        yield Check(name=name, state=State.ok, message=f"within {max(seconds, 1)} s of the provider's")


def check_callbacks(settings: Settings, account: Account) -> Check:
    """Whether the public address leads to a server of this configuration, asked as the provider asks."""
    name = f"callbacks {account.name}"
    public = settings.server.public_url
    if public is None:
        message = (
            "server.public_url is not set: set it to the address under which the provider reaches this server"
        )
        return Check(name=name, state=State.warn, message=message)
    url, challenge = f"{public}/callbacks/{account.name}", token_hex(8)
    request = _handshake(url, account, challenge)
    result = asyncio.run(exchange(request, timeout_s=_CALLBACK_PATIENCE_S))
    state, message = _handshake_answer(url, account, challenge, result)
    return Check(name=name, state=state, message=message)


def _handshake(url: str, account: Account, challenge: str) -> HttpRequest:
    """The verification that the provider sends when a webhook is made."""
    key = account.webhook_token or "no-key"
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if account.webhook_secrets:
        headers["Authorization"] = f"Bearer {account.webhook_secrets[0]}"
    return HttpRequest(
        method="POST",
        url=f"{url}?{urlencode({'token': key})}",
        headers=headers,
        body=json.dumps({"validation_key": key, "challenge": challenge}).encode(),
    )


def _handshake_answer(
    url: str, account: Account, challenge: str, result: HttpResponse | ExchangeFailure
) -> tuple[State, str]:
    if isinstance(result, ExchangeFailure):
        return State.fail, (
            f"{url} cannot be reached from here ({result.message}); do `tracker serve` and the proxy before it run?"
        )
    if result.status == 401:
        return State.fail, (
            f"{url} refuses the account's webhook secret; restart `tracker serve` with this configuration"
        )
    if result.status == 503:
        return State.fail, f"{url} cannot store callbacks now (HTTP 503); see the log of `tracker serve`"
    if result.status != 200:
        return State.fail, (
            f"{url} answers HTTP {result.status}; the way from public_url to `tracker serve` must pass on /callbacks/"
        )
    try:
        echoed = json.loads(result.body).get("challenge") == challenge
    except (ValueError, AttributeError):
        return State.fail, f"{url} answers, but not as tracker does; does public_url lead to another program?"
    if echoed:
        return State.ok, f"{url} answers, and knows the provider's handshake"
    if account.webhook_token is None:
        return State.warn, (
            f"{url} answers, but the provider cannot verify it: set accounts.{account.name}.webhook_token to the "
            "validation token of the webhook"
        )
    return State.fail, (
        f"{url} does not know accounts.{account.name}.webhook_token; restart `tracker serve` with this configuration"
    )


def all_checks(settings: Settings) -> Iterator[Check]:
    """Every check, as each is done."""
    yield from check_configuration(settings)
    yield from check_database(settings)
    for account in settings.account_values().values():
        yield check_dialling(account)
        yield from check_provider(account)
        yield check_callbacks(settings, account)
