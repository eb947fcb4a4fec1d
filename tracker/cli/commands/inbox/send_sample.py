"""`tracker inbox send-sample`: post a callback as the provider documents it to one's own server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tracker.cli.input.common_options import JsonOption

if TYPE_CHECKING:
    from tracker.domain.accounts import Account
    from tracker.settings import Settings


def send_sample(
    outcome: Annotated[
        str,
        typer.Argument(
            help="answer, completed, received, missed, busy, noanswer, cancel, congestion or chanunavail."
        ),
    ],
    account: Annotated[str | None, typer.Option(help="Needed if several are configured.")] = None,
    composed: Annotated[
        bool, typer.Option("--composed", help="A composed webhook, which carries the call's id.")
    ] = False,
    id: Annotated[
        str | None, typer.Option(help="The provider's submission id; implies `--composed`.")
    ] = None,
    to: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="The number that was called, of no call of yours.")
    ] = None,
    mid: Annotated[str | None, typer.Option(help="The message id of the default callback.")] = None,
    flow: Annotated[
        str | None, typer.Option(help="The flow's id, if the default callback is to name it.")
    ] = None,
    bridge: Annotated[str | None, typer.Option(metavar="NUMBER", help="The number that called.")] = None,
    lane: Annotated[str | None, typer.Option(help="Send it to this lane of the account.")] = None,
    public: Annotated[
        bool, typer.Option("--public", help="Send it to server.public_url instead of this machine.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also send it if it would settle one of your calls.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Post a sample callback to your own server.

    It looks as in the provider's documents and carries the account's secret. Without `--id` it is the provider's
    default callback, which is joined by number and time. Without `--to` it is about the number in the provider's
    documents.

    A sample is believed like any callback. If its number or id is that of a call of the last 24 hours, it would become
    that call's outcome, so it is only sent with `--force`. Exit status 1 if the provider would take the server's answer
    for a failure.
    """
    import asyncio
    from datetime import UTC, datetime

    from tracker.cli.context import load_cli_settings
    from tracker.cli.input.option_types import parse_bridge_number, parse_option, parse_phone_number
    from tracker.cli.output.json import print_json
    from tracker.cli.output.text import escape_control
    from tracker.lifecycle.operations.sample_callbacks import post_sample
    from tracker.providers.thundersms import samples

    settings = load_cli_settings()
    if outcome not in samples.SAMPLE_STATUSES:
        outcomes = ", ".join(samples.SAMPLE_STATUSES)
        raise typer.BadParameter(f"There is no sample {outcome!r}. Use one of {outcomes}.")
    is_composed = composed or id is not None
    if is_composed and mid:
        raise typer.BadParameter(
            "`--mid` only applies to the default callback. Remove it, or `--composed` and `--id`."
        )
    chosen = _choose_account(settings, account)
    try:
        number = (
            parse_option("--to", lambda text: parse_phone_number(text, chosen.region), to) if to else None
        )
        caller = parse_option("--bridge", parse_bridge_number, bridge) if bridge else None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if not force:
        _refuse_recent_call(settings, number or samples.DOCUMENTED_NUMBER, [i for i in (id, mid) if i])
    now = datetime.now(UTC)
    if is_composed:
        fields = samples.composed_callback(chosen, outcome, now, to=number, id=id)
    else:
        fields = samples.default_callback(
            chosen, outcome, now, to=number, message_id=mid, flow=flow, bridge=caller
        )
    url = f"{_server_url(settings, public=public)}/callbacks/{chosen.name}" + (f"/{lane}" if lane else "")
    sent = asyncio.run(post_sample(url, chosen, samples.encode_body(fields)))
    if json:
        print_json(sent)
    else:
        typer.echo(f"sent      {escape_control(sent['body'])}")
        typer.echo(f"to        {escape_control(sent['url'])}")
        typer.echo(f"answered  {sent['status']} {escape_control(sent['answer'])}")
    if sent["status"] not in (200, 202):
        raise typer.Exit(1)


def _choose_account(settings: Settings, name: str | None) -> Account:
    """Return the account of that name, or the only one. Raises NotFound, ConfigurationError."""
    from tracker.errors import ConfigurationError, NotFound

    accounts = settings.account_values()
    if name is None and len(accounts) == 1:
        return next(iter(accounts.values()))
    names = ", ".join(sorted(accounts)) or "none"
    if name is None:
        raise ConfigurationError(f"Name one of the configured accounts with `--account`: {names}.")
    if name not in accounts:
        raise NotFound(f"There is no account {name}; configured: {names}.")
    return accounts[name]


def _refuse_recent_call(settings: Settings, number: str, submission_ids: list[str]) -> None:
    """Raise Conflict if the sample would become the outcome of a call of the last 24 hours."""
    from datetime import UTC, datetime

    from tracker.cli.context import open_database
    from tracker.errors import Conflict, SchemaMismatch
    from tracker.lifecycle.operations.sample_callbacks import require_no_recent_call

    now = datetime.now(UTC)
    try:
        with open_database(settings) as database:
            database.read(
                lambda c: require_no_recent_call(c, number=number, submission_ids=submission_ids, now=now)
            )
    except SchemaMismatch:  # there is no database yet, and so no call
        return
    except Conflict as error:
        raise Conflict(f"{error} Use another `--to` or `--id`, or `--force`.") from None


def _server_url(settings: Settings, *, public: bool) -> str:
    """Return the address of the server, without a slash at its end. Raises ConfigurationError if it is not known."""
    from tracker.errors import ConfigurationError

    server = settings.server
    if public:
        if server.public_url is None:
            raise ConfigurationError("`server.public_url` is not set. Set it, or remove `--public`.")
        return server.public_url
    if server.port == 0:
        raise ConfigurationError("`server.port` is 0, so the server's address is not known. Set a port.")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(server.host, server.host)  # noqa: S104 -- it is compared
    return f"http://[{host}]:{server.port}" if ":" in host else f"http://{host}:{server.port}"
