"""`tracker db new-inbox`: begin an empty inbox if the inbox file is lost or damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tracker.cli.output.text import can_ask

if TYPE_CHECKING:
    from tracker.lifecycle.maintenance.new_inbox import InboxLoss


def new_inbox(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Annotated[
        bool,
        typer.Option("--json", help="Print what was done as JSON. It asks nothing, so it needs --yes."),
    ] = False,
) -> None:
    """Begin an empty inbox if an SQLite database has lost its own.

    It is the way out if the inbox file is missing, damaged, older than the database, or another database's, and no
    backup brings it back. Calls and their timelines stay. The requests of earlier callbacks are lost, and so are
    callbacks that were not joined yet. Stop all processes that use the database first; otherwise it is refused. The old
    inbox file stays under a dated name.
    """
    from tracker.cli.context import database_error_context, load_cli_settings, warn_if_database_unnamed
    from tracker.cli.output.json import print_json
    from tracker.cli.output.text import escape_control
    from tracker.errors import ConfigurationError
    from tracker.lifecycle.maintenance.new_inbox import begin_new_inbox, find_inbox_loss
    from tracker.store.engine.database import Database, inbox_path

    if not yes and (json or not can_ask()):
        why = "--json asks nothing" if json else "there is no terminal to ask on"
        raise typer.BadParameter(f"{why}. Add --yes to begin an empty inbox.")
    settings = load_cli_settings()
    if not settings.is_sqlite:
        raise ConfigurationError("This database is PostgreSQL's, whose inbox is one of its tables.")
    warn_if_database_unnamed(settings)
    with database_error_context(settings):
        database = Database(settings.database_url)
        path = database.path
        database.close()
        if path is None:
            raise ConfigurationError(
                "`database.url` is one of SQLite's own forms (file:…). Name a plain file."
            )
        loss = find_inbox_loss(path)
        if not json:
            for sentence in _describe(loss):
                typer.echo(escape_control(sentence))
        if not yes:
            typer.confirm("Begin an empty inbox, for good?", abort=True)
        kept = begin_new_inbox(path)
    if json:
        document = {
            "inbox_file": str(inbox_path(path.absolute())),
            "kept": str(kept) if kept else None,
            "problem": loss.problem,
            "lost_requests": loss.requests,
            "lost_callbacks": loss.unjoined,
        }
        print_json(document)
        return
    typer.echo(f"{escape_control(str(inbox_path(path.absolute())))} is a new and empty inbox.")
    if kept:
        typer.echo(f"The old inbox file is {escape_control(str(kept))}.")


def _describe(loss: InboxLoss) -> list[str]:
    n = loss.requests
    requests = "The request of 1 callback is" if n == 1 else f"The requests of {n:,} callbacks are"
    lost = (
        "Callbacks that were stored and not joined yet are lost, and their number is unknown."
        if loss.unjoined is None
        else f"{loss.unjoined:,} callbacks that were stored and not joined yet are lost."
    )
    return [loss.problem, f"{requests} lost; what they came to stays in the timelines of calls.", lost]
