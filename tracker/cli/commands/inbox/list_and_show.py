"""`tracker inbox list` and `tracker inbox show`: callbacks, and what became of them."""

from __future__ import annotations

from typing import Annotated

import typer

from tracker.cli.input.common_options import CursorOption, JsonOption, LimitOption, UtcOption


def list_callbacks(
    state: Annotated[
        str | None,
        typer.Option(help="One of pending, joined, orphaned, unreadable, ignored and quarantined."),
    ] = None,
    account: Annotated[str | None, typer.Option(help="Of this account.")] = None,
    call: Annotated[str | None, typer.Option(metavar="CALL", help="Joined to this call.")] = None,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    utc: UtcOption = False,
    json: JsonOption = False,
) -> None:
    """List callbacks, newest first.

    Each receipt is a line of its own, also if the provider repeats a callback.
    """
    from tracker.cli.context import load_cli_settings, open_database
    from tracker.cli.input.filters import callback_filter, unknown_account_warning
    from tracker.cli.output.callbacks import render_callback_list
    from tracker.cli.output.json import print_json
    from tracker.cli.output.text import escape_control, print_text
    from tracker.store.read import callbacks
    from tracker.web.api.documents import callback_document, plain

    settings = load_cli_settings()
    query = callback_filter({"state": state, "account": account, "call": call}, settings)
    if warning := unknown_account_warning(account, settings.accounts):
        typer.echo(escape_control(warning), err=True)
    with open_database(settings) as database:
        page = database.read(lambda c: callbacks.list_callbacks(c, query, limit=limit, cursor=cursor))
    documents = [plain(callback_document(each)) for each in page.data]
    if json:
        print_json({"data": documents, "next_cursor": page.next_cursor})
    elif not documents:
        typer.echo("No callback matches.", err=True)
    else:
        print_text(render_callback_list(documents, utc=utc))


def show_callback(
    callback: Annotated[str, typer.Argument(help="The callback's id, cb_….")],
    utc: UtcOption = False,
    json: JsonOption = False,
) -> None:
    """Show one callback with its raw request.

    For an orphan it also shows the submissions that it may belong to. Characters that a terminal would obey are shown
    as \\x1b and the like.
    """
    from tracker.cli.context import load_cli_settings, open_database
    from tracker.cli.output.callbacks import render_callback
    from tracker.cli.output.json import print_json
    from tracker.cli.output.text import print_text
    from tracker.lifecycle.operations.orphan_candidates import load_callback_details
    from tracker.web.api.documents import callback_details_document, plain

    with open_database(load_cli_settings()) as database:
        details = database.read(lambda c: load_callback_details(c, callback))
    document = plain(callback_details_document(details))
    if json:
        print_json(document)
    else:
        print_text(render_callback(document, utc=utc))
