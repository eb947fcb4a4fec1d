"""`tracker calls`: a list of calls by filter."""

from __future__ import annotations

from typing import Annotated

import typer

from tracker.cli.input.common_options import CursorOption, JsonOption, UtcOption


def calls(
    status: Annotated[str | None, typer.Option(help="With this status; several with commas.")] = None,
    outcome: Annotated[str | None, typer.Option(help="With this outcome; several with commas.")] = None,
    settled: Annotated[bool, typer.Option("--settled", help="Settled.")] = False,
    still_open: Annotated[bool, typer.Option("--open", help="Not settled yet.")] = False,
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
        str | None,
        typer.Option(metavar="TIME", help="Created after this time: 2026-01-31T09:00:00Z, or -2h."),
    ] = None,
    created_before: Annotated[
        str | None, typer.Option(metavar="TIME", help="Created before this time.")
    ] = None,
    updated_after: Annotated[
        str | None, typer.Option(metavar="TIME", help="Changed after this time.")
    ] = None,
    order: Annotated[
        str, typer.Option(help="created_at, -created_at, updated_at or -updated_at; - is newest first.")
    ] = "-created_at",
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many at most.")] = 50,
    cursor: CursorOption = None,
    utc: UtcOption = False,
    json: JsonOption = False,
) -> None:
    """List calls.

    The filters are those of GET /api/v1/calls. A call that was created or changed exactly at the time of an
    `--…-after` or `--…-before` is not listed.
    """
    from tracker.cli.context import load_cli_settings, open_database
    from tracker.cli.input.filters import call_filter, unknown_account_warning
    from tracker.cli.output.call_list import render_call_list
    from tracker.cli.output.json import print_json
    from tracker.cli.output.text import escape_control, print_text
    from tracker.store.read.calls import list_calls
    from tracker.web.api.documents import call_document, plain

    options = {
        "status": status, "outcome": outcome, "settled": True if settled else False if still_open else None,
        "answered": answered, "disputed": disputed, "account": account, "campaign": campaign, "to": to,
        "reference": reference, "submission_id": submission_id, "created_after": created_after,
        "created_before": created_before, "updated_after": updated_after, "order": order,
    }  # fmt: skip
    if settled and still_open:
        raise typer.BadParameter(
            "`--settled` and `--open` exclude each other. Remove one of them, or both for all calls."
        )
    settings = load_cli_settings()
    query, order = call_filter(options, settings)
    if warning := unknown_account_warning(account, settings.accounts):
        typer.echo(escape_control(warning), err=True)
    with open_database(settings) as database:
        page = database.read(lambda c: list_calls(c, query, order=order, limit=limit, cursor=cursor))
    documents = [plain(call_document(each)) for each in page.data]
    if json:
        print_json({"data": documents, "next_cursor": page.next_cursor})
        return
    if not documents:
        typer.echo("No call matches.", err=True)
        return
    print_text(render_call_list(documents, utc=utc))
    if page.next_cursor is not None:
        typer.echo(f"There are more than these {limit}. Use `--limit` or a filter.", err=True)
