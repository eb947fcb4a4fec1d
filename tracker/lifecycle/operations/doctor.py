"""Checks everything that placing calls and receiving callbacks depends on: one function per question.

Each check says what is, and what to do if something is to be done.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryFile
from typing import Any, Final, Protocol
from urllib.parse import urlencode

from tracker.domain.accounts import Account, Dialling
from tracker.errors import ConfigurationError, ProviderError, StorageUnavailable, TrackerError
from tracker.providers.base import ExchangeFailure, HttpRequest, HttpResponse
from tracker.providers.registry import get_provider
from tracker.providers.transport import exchange
from tracker.store.engine.database import Database
from tracker.store.engine.error_hints import error_hint
from tracker.store.maintenance import integrity
from tracker.store.schema import upgrade

#: if the clocks differ by more, times of receipt and times of the payload are hard to compare
_MAX_CLOCK_DIFFERENCE: Final = timedelta(seconds=60)
#: the provider waits as long for the answer to a callback
_CALLBACK_TIMEOUT_S: Final = 3.0
#: numbers of the allowlist that are named
_NUMBERS_NAMED: Final = 5


class CheckState(StrEnum):
    """How a check came out."""

    ok = "ok"
    warn = "warn"  #: works, but is probably not meant
    fail = "fail"  #: does not work


@dataclass(frozen=True, kw_only=True)
class Check:
    """The answer to one question: one sentence, with what to do if something is to be done."""

    name: str
    state: CheckState
    message: str


class Configuration(Protocol):
    """The part of the settings that the checks read; `tracker.settings.Settings` has it."""

    @property
    def config_file(self) -> Path | None: ...
    @property
    def accounts(self) -> Mapping[str, Any]: ...
    @property
    def api_token(self) -> str | None: ...
    @property
    def database_url(self) -> str: ...
    @property
    def database_location(self) -> str: ...
    def no_file_phrase(self) -> str: ...
    def secrets(self) -> tuple[str, ...]: ...
    def account_values(self) -> dict[str, Account]: ...
    def require_accounts(self) -> None: ...
    def require_authenticated_callbacks(self) -> None: ...
    def limitations(self) -> list[str]: ...
    def warnings(self) -> list[str]: ...


def run_checks(configuration: Configuration, *, public_url: str | None) -> Iterator[Check]:
    """Run every check and return each as soon as it is done. public_url: where the provider reaches this server."""
    yield from check_configuration(configuration)
    yield from check_database(configuration.database_url, configuration.database_location)
    for account in configuration.account_values().values():
        yield check_dialling(account)
        yield from check_provider(account)
        yield check_callbacks(public_url, account)


def check_configuration(configuration: Configuration) -> Iterator[Check]:
    """Check that the values fit together. Loading has checked each of them alone."""
    problems = list(_configuration_problems(configuration))
    yield from problems
    if all(check.state is not CheckState.fail for check in problems):
        file = configuration.config_file
        source = (
            str(file.absolute())
            if file
            else f"the environment alone, because {configuration.no_file_phrase()}"
        )
        accounts = ", ".join(configuration.accounts)
        message = f"read from {source}; accounts: {accounts}"
        yield Check(name="configuration", state=CheckState.ok, message=message)


def _configuration_problems(configuration: Configuration) -> Iterator[Check]:
    name = "configuration"
    try:
        configuration.require_accounts()
    except ConfigurationError as error:
        yield Check(name=name, state=CheckState.fail, message=str(error))
        return
    try:
        configuration.require_authenticated_callbacks()
    except ConfigurationError as error:
        for problem in str(error).splitlines():
            yield Check(
                name=name, state=CheckState.fail, message=f"`tracker serve` will not start: {problem}"
            )
    for lack in configuration.limitations():
        yield Check(name=name, state=CheckState.fail, message=lack)
    for warning in configuration.warnings():
        yield Check(name=name, state=CheckState.warn, message=warning)
    if configuration.api_token is None:
        message = (
            "`server.api_token` is not set, so the API rejects every request. Set it to a long random string."
        )
        yield Check(name=name, state=CheckState.warn, message=message)
    if (file := configuration.config_file) and _is_secret_readable_by_others(file, configuration.secrets()):
        message = f"{file} holds secrets and others on this machine can read it. Run `chmod 600 {file}`."
        yield Check(name=name, state=CheckState.warn, message=message)


def _is_secret_readable_by_others(file: Path, secrets: tuple[str, ...]) -> bool:
    try:
        text = file.read_text(encoding="utf-8-sig")
        return bool(file.stat().st_mode & 0o077) and any(secret in text for secret in secrets)
    except OSError:
        return False


def check_database(url: str, place: str) -> Iterator[Check]:
    """Check that the database answers, takes a write, is sound, and has the schema that this version needs.

    place: the database's name for people, without its password.
    """
    name = "database"
    try:
        database = Database(url)
    except TrackerError as error:
        yield Check(name=name, state=CheckState.fail, message=f"{place}: {error}")
        return
    revision = None
    try:
        if database.path is not None and not database.path.exists():
            yield _check_missing_file(name, database.path.absolute())
            return
        problems = integrity.find_problems(database)
        revision = None if problems else upgrade.current(database)
    except StorageUnavailable as error:
        hint = error_hint(error.__cause__, database.path)
        problems = [f"{str(error).removesuffix('.')}. {hint}" if hint else str(error)]
    except TrackerError as error:
        problems = [str(error)]
    finally:
        database.close()
    for problem in problems:
        yield Check(name=name, state=CheckState.fail, message=f"{place}: {problem}")
    if not problems:
        message = f"{place} is sound and has {upgrade.describe(revision)}"
        yield Check(name=name, state=CheckState.ok, message=message)


def _check_missing_file(name: str, path: Path) -> Check:
    """Check that the database's file can be made, by making another one beside it and removing that."""
    try:
        with TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        message = (
            f"{path} does not exist and cannot be made ({error.strerror}). Make the directory {path.parent}, let this "
            "user write there, or change `database.url`."
        )
        return Check(name=name, state=CheckState.fail, message=message)
    message = f"{path} does not exist yet; `tracker serve` and `tracker call` make it"
    return Check(name=name, state=CheckState.ok, message=message)


def check_dialling(account: Account) -> Check:
    """Check which numbers the account can call at all."""
    name = f"dialling {account.name}"
    if account.dialling is Dialling.off:
        return Check(name=name, state=CheckState.ok, message="off: no number is dialled; calls are canceled")
    if account.dialling is Dialling.live:
        return Check(name=name, state=CheckState.ok, message="live: every number can be dialled")
    if not account.allow_to:
        message = "allowlist, and `allow_to` is empty, so no number is dialled. Enter yours there."
        return Check(name=name, state=CheckState.warn, message=message)
    numbers = sorted(account.allow_to)
    others = f" and {len(numbers) - _NUMBERS_NAMED} more" if len(numbers) > _NUMBERS_NAMED else ""
    message = f"allowlist: only {', '.join(numbers[:_NUMBERS_NAMED])}{others} can be dialled"
    return Check(name=name, state=CheckState.ok, message=message)


def check_provider(account: Account, now: datetime | None = None) -> Iterator[Check]:
    """Check that the provider accepts the account's token, and that its clock and ours agree.

    Skips an account without a token, which the check of the configuration reports.
    """
    name = f"provider {account.name}"
    if not account.access_token:
        return
    provider = get_provider(account.provider)
    request = provider.credentials_request(account)
    result = asyncio.run(exchange(request, timeout_s=account.timeout_s, proxy=account.proxy))
    if isinstance(result, ExchangeFailure):
        message = (
            f"{account.base_url} cannot be reached ({result.message}). Check `base_url`, network and proxy."
        )
        yield Check(name=name, state=CheckState.fail, message=message)
        return
    try:
        yield Check(
            name=name, state=CheckState.ok, message=provider.parse_credentials_response(account, result)
        )
    except ProviderError as error:
        yield Check(name=name, state=CheckState.fail, message=str(error))
    yield _check_clock(account, result, now or datetime.now(UTC))


def _check_clock(account: Account, response: HttpResponse, now: datetime) -> Check:
    name = f"clock {account.name}"
    try:
        provider_time = parsedate_to_datetime(response.header("date") or "")
    except ValueError:
        message = "the provider's answer has no readable date to compare this machine's clock with"
        return Check(name=name, state=CheckState.warn, message=message)
    difference = now - (provider_time if provider_time.tzinfo else provider_time.replace(tzinfo=UTC))
    seconds = round(abs(difference).total_seconds())
    if abs(difference) <= _MAX_CLOCK_DIFFERENCE:
        message = f"within {max(seconds, 1)} s of the provider's"
        return Check(name=name, state=CheckState.ok, message=message)
    side = "ahead of" if difference > timedelta(0) else "behind"
    message = f"this machine is {seconds} s {side} the provider. Synchronise its clock (`timedatectl set-ntp true`)."
    return Check(name=name, state=CheckState.warn, message=message)


def check_callbacks(public_url: str | None, account: Account) -> Check:
    """Check that the public address leads to a server with this configuration, by the provider's own handshake."""
    name = f"callbacks {account.name}"
    if public_url is None:
        message = "`server.public_url` is not set. Set it to the address under which the provider reaches this server."
        return Check(name=name, state=CheckState.warn, message=message)
    url, challenge = f"{public_url}/callbacks/{account.name}", token_hex(8)
    request = _handshake_request(url, account, challenge)
    result = asyncio.run(exchange(request, timeout_s=_CALLBACK_TIMEOUT_S))
    state, message = _judge_handshake(url, account, challenge, result)
    return Check(name=name, state=state, message=message)


def _handshake_request(url: str, account: Account, challenge: str) -> HttpRequest:
    """Return the verification request that the provider sends when a webhook is made."""
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


def _judge_handshake(
    url: str, account: Account, challenge: str, result: HttpResponse | ExchangeFailure
) -> tuple[CheckState, str]:
    if isinstance(result, ExchangeFailure):
        return CheckState.fail, (
            f"{url} cannot be reached from here ({result.message}). Do `tracker serve` and the proxy before it run?"
        )
    if result.status == 401:
        return CheckState.fail, (
            f"{url} refuses the account's webhook secret. Restart `tracker serve` with this configuration."
        )
    if result.status == 503:
        return (
            CheckState.fail,
            f"{url} cannot store callbacks now (HTTP 503). See the log of `tracker serve`.",
        )
    if result.status != 200:
        return CheckState.fail, (
            f"{url} answers HTTP {result.status}. Pass on /callbacks/ from `public_url` to `tracker serve`."
        )
    try:
        is_echoed = json.loads(result.body).get("challenge") == challenge
    except (ValueError, AttributeError):
        return CheckState.fail, f"{url} answers, but not as tracker does. Does `public_url` lead elsewhere?"
    if is_echoed:
        return CheckState.ok, f"{url} answers, and knows the provider's handshake"
    if account.webhook_token is None:
        return CheckState.warn, (
            f"{url} answers, but the provider cannot verify it. Set `accounts.{account.name}.webhook_token` to the "
            "validation token of the webhook."
        )
    return CheckState.fail, (
        f"{url} does not know `accounts.{account.name}.webhook_token`. Restart `tracker serve` with this configuration."
    )
