"""`tracker init`: from nothing to a configuration that works and dials nobody but its owner."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from tracker.cli import app

_TOKEN_VARIABLE = "TRACKER_ACCOUNTS__{}__ACCESS_TOKEN"  # noqa: S105 -- the name of a variable
_PROBE_S = 6.0


@app.command()
def init(
    config: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="The file to write; TRACKER_CONFIG or ./tracker.toml by default."),
    ] = None,
    database: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="SQLite's file; tracker.db beside the configuration by default."),
    ] = None,
    account: Annotated[str, typer.Option(help="What the account is called here.")] = "thundersms",
    provider: Annotated[str, typer.Option(help="Who places the calls.")] = "thundersms",
    base_url: Annotated[
        str,
        typer.Option(
            help="The provider's API; https is tried first, and the scheme that answers is written."
        ),
    ] = "https://portal.thundersms.com/api/v2/",
    access_token_file: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="The file that holds the provider's access token, to which tracker.toml will refer; "
            "- reads the token from standard input into tracker.toml. On a terminal it is asked for otherwise.",
        ),
    ] = None,
    bridge: Annotated[str | None, typer.Option(metavar="NUMBER", help="The number that calls.")] = None,
    my_number: Annotated[
        str | None,
        typer.Option(metavar="NUMBER", help="Your own phone: the only number that may be dialled."),
    ] = None,
    public_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The address under which the provider reaches this server."),
    ] = None,
    webhook_id: Annotated[
        str | None, typer.Option(metavar="ID", help="The provider's webhook, where there is one already.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an existing file, and its secrets.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing; what is not given stays open.")
    ] = False,
    check: Annotated[bool, typer.Option(help="Try which scheme the provider answers to.")] = True,
    json: Annotated[
        bool, typer.Option("--json", help="Print what was written as JSON, secrets too.")
    ] = False,
) -> None:
    """Write tracker.toml with fresh secrets, and say what to enter at the provider.

    On a terminal it asks for what no flag says; elsewhere, and with --yes or --json, that stays open. It tries whether
    the provider answers to https, without the token, unless --no-check. Until you change allow_to or dialling, only
    your own number can be dialled, and none where it was not given.
    """
    from tracker.cli import config_file, provider_steps
    from tracker.cli.call import understood
    from tracker.cli.given import a_bridge, a_number, a_public_url, an_account_name, an_http_url
    from tracker.cli.myself import myself
    from tracker.cli.terminal import print_json
    from tracker.errors import ConfigurationError
    from tracker.providers.registry import get_provider
    from tracker.store.engine.files import kind_of

    path = config or Path(os.environ.get("TRACKER_CONFIG") or "tracker.toml")
    config_file.refuse(path, force=force)
    lies = (database or path.parent / "tracker.db").absolute()
    if kind := kind_of(lies):
        raise typer.BadParameter(f"--database: {lies} is {kind}; name a file")
    try:
        get_provider(provider)
    except ConfigurationError as error:
        raise typer.BadParameter(f"--provider: {error}") from None
    asks = not yes and not json and sys.stdin.isatty() and sys.stderr.isatty()

    def given(flag: str, value: str | None, check: Callable[[str], str], question: str) -> str | None:
        if value is not None:
            try:
                return check(value)
            except ValueError as error:
                raise typer.BadParameter(f"{flag}: {error}") from None
        while asks:
            answer = typer.prompt(question, default="", show_default=False, err=True).strip()
            if not answer:
                return None
            try:
                return check(answer)
            except ValueError as error:
                typer.echo(f"  {error}", err=True)
        return None

    account = given("--account", account, an_account_name, "") or account
    base_url = given("--base-url", base_url, an_http_url, "") or base_url
    token, token_file = _token(access_token_file, account, asks=asks)
    wanted = config_file.Wanted(
        provider=provider,
        account=account,
        base_url=_that_answers(provider, base_url) if check else base_url,
        access_token=token,
        access_token_file=token_file,
        my_number=given(
            "--my-number",
            my_number,
            a_number,
            "Your own phone number, the only one that may be dialled for now",
        ),
        bridge=given("--bridge", bridge, a_bridge, "The number that calls (bridge; empty: not known yet)"),
        public_url=given(
            "--public-url", public_url, a_public_url, "Public address of this server (empty: not known yet)"
        ),
        webhook_id=given(
            "--webhook-id", webhook_id, str, "Id of the webhook at the provider (empty: none yet)"
        ),
        database=lies,
    )
    config_file.write(path, wanted, force=force)
    if not (token or token_file or os.environ.get(_TOKEN_VARIABLE.format(account.upper()))):
        typer.echo(f"No call can be placed yet: enter the provider's access_token in {path}.", err=True)
    if wanted.my_number is None:
        typer.echo(f"No number may be dialled yet: enter yours in {path} as allow_to.", err=True)
    elif warning := understood(my_number or "+", wanted.my_number):
        typer.echo(warning, err=True)
    if json:
        told = {
            "config": str(path), "database": str(wanted.database), "account": wanted.account,
            "base_url": wanted.base_url, "callback_url": provider_steps.callback_url(wanted),
            "api_token": wanted.api_token, "webhook_secret": wanted.webhook_secret,
            "webhook_token": wanted.webhook_token, "composed_fields": provider_steps.COMPOSED_FIELDS,
        }  # fmt: skip
        print_json(told)
        return
    typer.echo(f"Wrote {path.absolute()}; only you can read it. The database is to be {wanted.database}.\n")
    found_without = config is None and not os.environ.get("TRACKER_CONFIG")
    program = myself() if found_without else f"TRACKER_CONFIG={shlex.quote(str(path.absolute()))} {myself()}"
    typer.echo(provider_steps.steps(wanted, path, program), nl=False)


def _token(file: str | None, account: str, *, asks: bool) -> tuple[str | None, str | None]:
    """The access token, or the file that holds it. It is never an argument: those can be seen by everybody."""
    variable = _TOKEN_VARIABLE.format(account.upper())
    if file == "-":
        token = sys.stdin.readline().strip()
        if not token:
            raise typer.BadParameter("--access-token-file: standard input holds no token")
        return token, None
    if file is not None:
        if not Path(file).is_file():
            raise typer.BadParameter(f"--access-token-file: there is no file {file}")
        return None, str(Path(file).absolute())
    if os.environ.get(variable):
        typer.echo(f"The access token stays where it is, in {variable}.", err=True)
        return None, None
    if asks:
        question = "The provider's access token (not shown; empty: not known yet)"
        return typer.prompt(
            question, default="", show_default=False, hide_input=True, err=True
        ).strip() or None, None
    return None, None


def _that_answers(provider: str, base_url: str) -> str:
    """The base URL with the scheme that the provider answers to. The token is not shown to find out."""
    from urllib.parse import urlsplit

    from tracker.cli.myself import as_called
    from tracker.settings.field_types import is_plain_http

    rest = base_url.partition("://")[2]
    secure, plain = f"https://{rest}", f"http://{rest}"
    if _answers(provider, secure):
        return secure
    if _answers(provider, plain):
        typer.echo(
            f"{urlsplit(plain).netloc} answers only to plain http, so that is what was written.", err=True
        )
        return plain
    kept = secure if is_plain_http(plain) else base_url  # on this machine nobody listens on the way
    scheme = urlsplit(kept).scheme
    unseen = (
        f"{urlsplit(kept).netloc} does not answer now, so {scheme} was written unseen; see `tracker doctor`."
    )
    typer.echo(as_called(unseen), err=True)
    return kept


def _answers(provider: str, base_url: str) -> bool:
    import asyncio
    from dataclasses import replace

    from tracker.domain.accounts import Account
    from tracker.providers.base import ExchangeFailure
    from tracker.providers.registry import get_provider
    from tracker.providers.transport import exchange

    request = get_provider(provider).credentials_request(Account(name="new", base_url=base_url))
    headers = {k: v for k, v in request.headers.items() if k.lower() != "authorization"}
    result = asyncio.run(exchange(replace(request, headers=headers), timeout_s=_PROBE_S))
    if isinstance(result, ExchangeFailure) or result.status == 404 or result.status >= 500:
        return False
    to_plain_http = (result.header("location") or "").lower().startswith("http://")
    return not (base_url.startswith("https:") and to_plain_http)
