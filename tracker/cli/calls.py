"""`tracker calls`: the calls, newest first."""

from __future__ import annotations

from typing import Annotated

import typer

from tracker.cli import app


@app.command()
def calls(
    status: Annotated[str | None, typer.Option(help="Of this status; several with commas.")] = None,
    outcome: Annotated[str | None, typer.Option(help="Of this outcome; several with commas.")] = None,
    settled: Annotated[bool, typer.Option("--settled", help="Settled.")] = False,
    still_open: Annotated[bool, typer.Option("--open", help="Still open.")] = False,
    answered: Annotated[bool | None, typer.Option(help="Answered, or known not to be.")] = None,
    disputed: Annotated[bool | None, typer.Option(help="With records that contradict each other.")] = None,
    account: Annotated[str | None, typer.Option(help="Of this account.")] = None,
    campaign: Annotated[str | None, typer.Option(help="Of this campaign.")] = None,
    to: Annotated[str | None, typer.Option(metavar="NUMBER", help="To this number.")] = None,
    reference: Annotated[str | None, typer.Option(help="With this reference of yours.")] = None,
    submission_id: Annotated[
        str | None, typer.Option(metavar="ID", help="With this submission id of the provider.")
    ] = None,
    created_after: Annotated[
        str | None, typer.Option(metavar="TIME", help="2026-01-31T09:00:00Z, or -2h.")
    ] = None,
    created_before: Annotated[str | None, typer.Option(metavar="TIME")] = None,
    updated_after: Annotated[str | None, typer.Option(metavar="TIME")] = None,
    order: Annotated[
        str, typer.Option(help="created_at, -created_at, updated_at or -updated_at; - is newest first.")
    ] = "-created_at",
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many at most.")] = 50,
    cursor: Annotated[
        str | None, typer.Option(help="Go on behind a page: its next_cursor, from --json.")
    ] = None,
    utc: Annotated[bool, typer.Option("--utc", help="Show times in UTC.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List calls. The filters are those of GET /api/v1/calls.

    What was created or changed at the very moment of a --…-after or --…-before is not among them.
    """
    from tracker.cli import reading
    from tracker.cli.context import configured, opened
    from tracker.cli.terminal import harmless, print_json, show
    from tracker.store.read import calls as queries

    over = True if settled else False if still_open else None
    asked = {
        "status": status, "outcome": outcome, "settled": over, "answered": answered, "disputed": disputed,
        "account": account, "campaign": campaign, "to": to, "reference": reference, "submission_id": submission_id,
        "created_after": created_after, "created_before": created_before, "updated_after": updated_after,
    }  # fmt: skip
    if settled and still_open:
        raise typer.BadParameter(
            "--settled and --open exclude each other: give one of them, or neither for all"
        )
    try:
        which = reading.call_filter(asked)
        if order not in queries.ORDERS:
            raise ValueError(f"--order: there is no {order!r}; there are {', '.join(queries.ORDERS)}")
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    settings = configured()
    if warning := reading.not_configured(account, settings.accounts):
        typer.echo(harmless(warning), err=True)
    with opened(settings) as database:
        page = database.read(lambda c: queries.list_calls(c, which, order=order, limit=limit, cursor=cursor))
    if json:
        print_json({"data": page.data, "next_cursor": page.next_cursor})
        return
    found, more = page.data, page.next_cursor is not None
    if not found:
        typer.echo("No call is there that fits.", err=True)
        return
    from tracker.cli.rendering import calls_table

    show(calls_table(found, utc=utc))
    if more:
        typer.echo(f"There are more than these {limit}; ask with --limit or a filter.", err=True)
