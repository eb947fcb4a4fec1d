"""`tracker inbox tail`: callbacks as they come in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from tracker.cli.input.common_options import UtcOption

if TYPE_CHECKING:
    from tracker.store.engine.database import Database
    from tracker.store.read.views import CallbackView

#: seconds between two reads of the inbox
_READ_INTERVAL_S: Final = 0.5
#: reads after which a callback is shown although it is not joined yet, because perhaps no worker runs
_MAX_PENDING_READS: Final = 3
#: callbacks of one read
_PAGE: Final = 200


def tail_callbacks(
    account: Annotated[str | None, typer.Option(help="Of this account.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Show the latest callbacks, and end.")] = False,
    seconds: Annotated[
        float | None, typer.Option("--for", metavar="SECONDS", min=0, help="End after this time.")
    ] = None,
    last: Annotated[
        int, typer.Option("--last", min=0, max=500, help="Begin with this many that are there already.")
    ] = 10,
    utc: UtcOption = False,
    json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each callback.")] = False,
) -> None:
    """Show callbacks as they come in, until Ctrl-C."""
    import contextlib

    from tracker.cli.context import load_cli_settings, open_database
    from tracker.cli.input.filters import unknown_account_warning
    from tracker.cli.output.text import escape_control

    settings = load_cli_settings()
    if warning := unknown_account_warning(account, settings.accounts):
        typer.echo(escape_control(warning), err=True)
    with open_database(settings) as database, contextlib.suppress(KeyboardInterrupt):
        _follow(database, account=account, last=last, seconds=0.0 if once else seconds, utc=utc, json=json)


def _follow(
    database: Database, *, account: str | None, last: int, seconds: float | None, utc: bool, json: bool
) -> None:
    """Print callbacks as they come in, oldest first.

    seconds: end after this time; 0 ends after one read, None never.
    """
    import time

    from tracker.store.read.callbacks import CallbackFilter, list_callbacks

    deadline = None if seconds is None else time.monotonic() + seconds
    of_account = CallbackFilter(account=account)
    shown: set[str] = set()
    pending_reads: dict[str, int] = {}
    is_first = True
    while True:
        page = database.read(lambda c: list_callbacks(c, of_account, limit=_PAGE)).data
        if is_first:
            shown |= {each.id for each in page[last:]}
        new = [each for each in page if each.id not in shown]
        is_ending = deadline is not None and time.monotonic() >= deadline
        for callback in reversed(new):
            reads = pending_reads[callback.id] = pending_reads.get(callback.id, 0) + 1
            if callback.state == "pending" and reads < _MAX_PENDING_READS and not is_ending:
                continue
            pending_reads.pop(callback.id)
            shown.add(callback.id)
            _print_callback(callback, utc=utc, json=json)
        if is_ending:
            return
        is_first = False
        remaining = _READ_INTERVAL_S if deadline is None else max(deadline - time.monotonic(), 0)
        time.sleep(min(_READ_INTERVAL_S, remaining))


def _print_callback(callback: CallbackView, *, utc: bool, json: bool) -> None:
    from tracker.web.api.documents import callback_document, plain

    document = plain(callback_document(callback))
    if json:
        from json import dumps

        typer.echo(dumps(document))
        return

    from tracker.cli.output.callbacks import render_callback_list
    from tracker.cli.output.text import print_text

    print_text(render_callback_list([document], utc=utc, titles=False))
