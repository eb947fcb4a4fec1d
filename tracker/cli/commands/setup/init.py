"""`tracker init`: write a configuration that works and can dial only its owner."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer

_TOKEN_VARIABLE: Final = "TRACKER_ACCOUNTS__{}__ACCESS_TOKEN"  # noqa: S105 -- the name of a variable


def init(
    config: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="The file to write; TRACKER_CONFIG or ./tracker.toml by default."),
    ] = None,
    database: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="SQLite's file; tracker.db beside the configuration by default."),
    ] = None,
    account: Annotated[str, typer.Option(help="The name of the account here.")] = "thundersms",
    provider: Annotated[str, typer.Option(help="The provider that places the calls.")] = "thundersms",
    base_url: Annotated[
        str,
        typer.Option(help="The provider's API. https is tried first; the scheme that answers is written."),
    ] = "https://portal.thundersms.com/api/v2/",
    access_token_file: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="The file with the provider's access token; tracker.toml will refer to it. With - the token is read "
            "from standard input into tracker.toml. Without this option it is asked for on a terminal.",
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
        str | None, typer.Option(metavar="ID", help="The provider's webhook, if there is one already.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an existing file, and its secrets.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing; values that are not given stay open.")
    ] = False,
    check: Annotated[bool, typer.Option(help="Try which scheme the provider answers to.")] = True,
    json: Annotated[
        bool, typer.Option("--json", help="Print what was written as JSON, including secrets.")
    ] = False,
) -> None:
    """Write tracker.toml, and show what to enter at the provider.

    The secrets in it are new. On a terminal it asks for each value that no option gives; elsewhere, and with `--yes`
    or `--json`, such values stay open. Unless `--no-check` is given, it tries whether the provider answers to https;
    the token is not sent for that.

    Only your own number can be dialled, or none if you give none, until you change `allow_to` or `dialling`.
    """
    from tracker.cli.commands.setup.config_file import ConfigValues, require_writable, write_config
    from tracker.cli.commands.setup.scheme_probe import find_answering_scheme
    from tracker.cli.input.option_types import (
        parse_account_name,
        parse_base_url,
        parse_bridge_number,
        parse_phone_number,
        parse_public_url,
    )
    from tracker.cli.output.json import print_json
    from tracker.cli.output.placed_call import country_code_warning
    from tracker.cli.program_name import program_name
    from tracker.errors import ConfigurationError
    from tracker.providers.registry import get_provider
    from tracker.providers.thundersms.setup_guide import COMPOSED_FIELDS, WebhookSetup, setup_guide
    from tracker.store.engine.files import kind_of

    path = config or Path(os.environ.get("TRACKER_CONFIG") or "tracker.toml")
    require_writable(path, force=force)
    database_path = (database or path.parent / "tracker.db").absolute()
    if kind := kind_of(database_path):
        raise typer.BadParameter(f"--database: {database_path} is {kind}. Name a file.")
    try:
        get_provider(provider)
    except ConfigurationError as error:
        raise typer.BadParameter(f"--provider: {error}") from None
    can_prompt = not yes and not json and sys.stdin.isatty() and sys.stderr.isatty()

    def option_or_answer(
        option: str, value: str | None, parse: Callable[[str], str], question: str
    ) -> str | None:
        """Return the option's value, or the answer to the question on a terminal; None if there is neither."""
        if value is not None:
            try:
                return parse(value)
            except ValueError as error:
                raise typer.BadParameter(f"{option}: {error}") from None
        while can_prompt:
            answer = typer.prompt(question, default="", show_default=False, err=True).strip()
            if not answer:
                return None
            try:
                return parse(answer)
            except ValueError as error:
                typer.echo(f"  {error}", err=True)
        return None

    account = option_or_answer("--account", account, parse_account_name, "") or account
    base_url = option_or_answer("--base-url", base_url, parse_base_url, "") or base_url
    token, token_file = _read_token(access_token_file, account, can_prompt=can_prompt)
    values = ConfigValues(
        provider=provider,
        account=account,
        base_url=find_answering_scheme(provider, base_url) if check else base_url,
        access_token=token,
        access_token_file=token_file,
        my_number=option_or_answer(
            "--my-number",
            my_number,
            parse_phone_number,
            "Your own phone number, the only one that may be dialled for now",
        ),
        bridge=option_or_answer(
            "--bridge", bridge, parse_bridge_number, "The number that calls (bridge; empty: not known yet)"
        ),
        public_url=option_or_answer(
            "--public-url",
            public_url,
            parse_public_url,
            "Public address of this server (empty: not known yet)",
        ),
        webhook_id=option_or_answer(
            "--webhook-id", webhook_id, str, "Id of the webhook at the provider (empty: none yet)"
        ),
        database=database_path,
    )
    write_config(path, values, force=force)
    if not (token or token_file or os.environ.get(_TOKEN_VARIABLE.format(account.upper()))):
        typer.echo(f"No call can be placed yet. Enter the provider's access_token in {path}.", err=True)
    if values.my_number is None:
        typer.echo(f"No number may be dialled yet. Enter yours in {path} as allow_to.", err=True)
    elif warning := country_code_warning(my_number or "+", values.my_number):
        typer.echo(warning, err=True)
    if json:
        document = {
            "config": str(path), "database": str(values.database), "account": values.account,
            "base_url": values.base_url, "callback_url": values.callback_url, "api_token": values.api_token,
            "webhook_secret": values.webhook_secret, "webhook_token": values.webhook_token,
            "composed_fields": COMPOSED_FIELDS,
        }  # fmt: skip
        print_json(document)
        return
    typer.echo(f"Wrote {path.absolute()}; only you can read it. The database will be {values.database}.\n")
    is_found_by_default = config is None and not os.environ.get("TRACKER_CONFIG")
    program = program_name()
    if not is_found_by_default:
        program = f"TRACKER_CONFIG={shlex.quote(str(path.absolute()))} {program}"
    webhook = WebhookSetup(
        config_file=path, base_url=values.base_url, callback_url=values.callback_url,
        webhook_secret=values.webhook_secret, webhook_token=values.webhook_token, webhook_id=values.webhook_id,
        my_number=values.my_number, bridge=values.bridge,
    )  # fmt: skip
    typer.echo(setup_guide(webhook, program), nl=False)


def _read_token(file: str | None, account: str, *, can_prompt: bool) -> tuple[str | None, str | None]:
    """Return the access token, or the absolute path of the file that holds it, or neither.

    The token is never an argument, because everybody on the machine can read those.
    """
    variable = _TOKEN_VARIABLE.format(account.upper())
    if file == "-":
        token = sys.stdin.readline().strip()
        if not token:
            raise typer.BadParameter("--access-token-file: standard input holds no token.")
        return token, None
    if file is not None:
        if not Path(file).is_file():
            raise typer.BadParameter(f"--access-token-file: there is no file {file}.")
        return None, str(Path(file).absolute())
    if os.environ.get(variable):
        typer.echo(f"The access token stays in {variable}.", err=True)
        return None, None
    if can_prompt:
        question = "The provider's access token (not shown; empty: not known yet)"
        token = typer.prompt(question, default="", show_default=False, hide_input=True, err=True).strip()
        return token or None, None
    return None, None
