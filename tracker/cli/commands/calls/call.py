"""`tracker call`: place one call, and wait for its outcome if wanted."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from tracker.cli.input.common_options import UtcOption
from tracker.cli.input.wish_options import OPTIONS, read_wish, with_wish_options

#: of --wait, unless --timeout says otherwise
_TIMEOUT: Final = "2m"


@with_wish_options
def call(
    wish: dict[str, Any],
    idempotency_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="The same key again places no second call.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Show the timeline as it grows, until the call is settled.")
    ] = False,
    timeout: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION", help=f"How long `--wait` waits, such as 90s or 5m; {_TIMEOUT} by default."
        ),
    ] = None,
    utc: UtcOption = False,
    json: Annotated[bool, typer.Option("--json", help="Print the call as JSON.")] = False,
) -> None:
    """Place one call and send it at once.

    It works on the database directly, so no server is needed. With `--wait` it also does what `tracker worker` does,
    and asks the provider if no callback comes. Exit status 1 if no call was placed, or if `--wait` ran out of time.
    """
    import asyncio

    from tracker.cli.commands.calls.call_documents import load_call_documents
    from tracker.cli.context import open_services
    from tracker.cli.input.option_errors import name_options
    from tracker.cli.input.option_types import parse_duration, parse_option
    from tracker.cli.output.json import print_json
    from tracker.cli.output.placed_call import (
        country_code_warning,
        describe_placed_call,
        find_pause,
        pause_warning,
    )
    from tracker.cli.program_name import with_program_name
    from tracker.errors import InvalidInput

    if timeout is not None and not wait:
        raise typer.BadParameter(
            "`--timeout` only applies together with `--wait`. Add `--wait`, or remove `--timeout`."
        )
    try:
        timeout_s = parse_option("--timeout", parse_duration, timeout or _TIMEOUT)
        fields = read_wish(wish)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    with open_services(create=True) as services:
        try:
            placed = services.placer.place(fields, scope="command line", key=idempotency_key)
        except InvalidInput as error:
            raise name_options(error, OPTIONS) from None
        if placed.is_replayed:
            typer.echo(f"This key has placed {placed.call} already, so nothing is sent.", err=True)
        document, _ = load_call_documents(services.database, placed.call)
        if warning := country_code_warning(fields["to"], document["to"]):
            typer.echo(warning, err=True)
        if pause := find_pause(document, services.pauser.list_pauses()):
            typer.echo(with_program_name(pause_warning(pause)), err=True)
        if wait:
            from tracker.cli.commands.calls.wait import wait_until_settled

            is_settled = asyncio.run(
                wait_until_settled(services, placed, timeout_s=timeout_s, utc=utc, visible=not json)
            )
        else:
            is_settled = True
            if not placed.is_replayed:
                asyncio.run(services.sender.submit(placed.submission))
        document, events = load_call_documents(services.database, placed.call)
        pause = find_pause(document, services.pauser.list_pauses())
    if json:
        print_json({**document, "timeline": events} if wait else document)
    sentence, was_placed = describe_placed_call(document, pause, utc=utc)
    if not json:
        typer.echo(with_program_name(sentence), err=not was_placed)
    if not is_settled:
        go_on = f"It is not settled yet. Go on with `tracker show {placed.call} --watch`."
        typer.echo(with_program_name(go_on), err=True)
    if not was_placed or not is_settled:
        raise typer.Exit(1)
