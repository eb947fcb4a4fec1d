"""`tracker db restore` and `tracker db after-restore`: a backup becomes the database, and nobody is dialled again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tracker.cli.output.text import can_ask

if TYPE_CHECKING:
    from tracker.lifecycle.maintenance.after_restore import RestoreReport


def restore(
    file: Annotated[Path, typer.Argument(help="The backup.", metavar="FILE")],
    json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Put a backup in the place of an SQLite database, with dialling paused, so that nobody is dialled again.

    Stop everything that uses the database first; it refuses otherwise. The backup is checked and made ready beside the
    database, and takes its place in one step; the database that was there stays beside it under a dated name.
    """
    from tracker.cli.cleanup_on_signal import cleanup_on_signal
    from tracker.cli.context import database_error_context, load_cli_settings, warn_if_database_unnamed
    from tracker.cli.output.json import print_json
    from tracker.cli.output.progress import show_progress
    from tracker.cli.output.text import escape_control
    from tracker.errors import ConfigurationError
    from tracker.lifecycle.maintenance.restore import restore as put_back
    from tracker.store.engine.database import Database

    settings = load_cli_settings()
    if not settings.is_sqlite:
        raise ConfigurationError(
            "This database is PostgreSQL's: restore it with `pg_restore`, or from a snapshot, and run `tracker db "
            "after-restore` before you start anything. See docs/how-to/backup-and-restore.md."
        )
    database = Database(settings.database_url)
    path = database.path
    database.close()
    if path is None:
        raise ConfigurationError("database.url is one of SQLite's own forms (file:…); name the file plainly.")
    warn_if_database_unnamed(settings)
    with (
        cleanup_on_signal("The database is either as it was or the whole backup; run it again."),
        database_error_context(settings),
        show_progress("submissions looked after", visible=not json) as progress,
    ):
        done = put_back(file, path, progress=progress)
    if json:
        document = {
            "database": str(path.absolute()),
            "kept": str(done.kept.absolute()) if done.kept else None,
            "rows": done.contents.counts,
            "schema": done.schema,
            **done.aftermath.document(),
        }
        print_json(document)
        return
    rows = ", ".join(f"{n:,} {name}" for name, n in done.contents.counts.items())
    typer.echo(f"{escape_control(str(path.absolute()))} is the backup now: {rows}.")
    if done.contents.schema != done.schema:
        typer.echo(f"Its schema was {done.contents.schema} and was brought up to {done.schema}.")
    if done.kept:
        typer.echo(f"What was there before is {escape_control(str(done.kept.absolute()))}.")
    typer.echo()
    _tell(done.aftermath, settings.database_place)


def after_restore(
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask. Away from a terminal it never does.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON. Does not ask.")] = False,
) -> None:
    """Make a database that came from a backup safe: pause dialling, and mark what was open as unconfirmed.

    `tracker db restore` does so itself; with PostgreSQL run it after pg_restore and before you start anything. It
    cannot be taken back, and is not for a database in use: calls that wait in it would be marked, too. On a terminal it
    asks; where a worker was heard of lately it warns. It can be run again; calls that were placed since and wait are
    marked then as well.
    """
    from datetime import UTC, datetime

    from tracker.cli.context import load_cli_settings, open_database
    from tracker.cli.output.json import print_json
    from tracker.cli.output.progress import show_progress
    from tracker.cli.output.text import escape_control
    from tracker.lifecycle.maintenance.after_restore import after_restore as make_safe
    from tracker.store.queue import heartbeats

    settings = load_cli_settings()
    with open_database(settings) as database:
        if seen := database.read(lambda c: heartbeats.living(c, datetime.now(UTC))):
            warning = (
                f"A worker was heard of in this database just now ({seen[0].id}): this is for a database that was "
                "restored, before anything is started on it."
            )
            typer.echo(escape_control(warning), err=True)
        if not (yes or json) and can_ask():
            question = (
                f"Pause all dialling in {settings.database_place}, and mark every call that waits in it as "
                "unconfirmed, for good?"
            )
            typer.confirm(escape_control(question), abort=True)
        with show_progress("submissions looked after", visible=not json) as progress:
            done = make_safe(database, progress=progress)
    if json:
        print_json(done.document())
        return
    _tell(done, settings.database_place)


def _tell(done: RestoreReport, place: str) -> None:
    from tracker.cli.output.text import escape_control
    from tracker.cli.program_name import with_program_name

    for sentence in _sentences(done, escape_control(place)):
        typer.echo(with_program_name(sentence))


def _sentences(done: RestoreReport, place: str) -> Iterator[str]:
    from tracker.cli.output.formatting import format_time
    from tracker.domain.time_text import iso

    until = (
        f" The latest thing that it knows of happened at {format_time(iso(done.known_until))}."
        if done.known_until
        else ""
    )
    yield f"Dialling is paused in {place}, on all workers.{until}"
    if done.unconfirmed:
        first = ", ".join(done.calls[:3])
        more = " and others" if done.unconfirmed > len(done.calls[:3]) else ""
        were = "1 submission was" if done.unconfirmed == 1 else f"{done.unconfirmed} submissions were"
        yield (
            f"{were} waiting or being sent, and may have been dialled since: unconfirmed now ({first}{more}), and "
            "nothing dials what is unconfirmed by itself."
        )
    if done.asked:
        are, them = (
            ("1 submission is", "it") if done.asked == 1 else (f"{done.asked} submissions are", "them")
        )
        yield f"{are} with the provider, which is asked about {them} as soon as a worker runs."
    if done.planned:
        are = "1 call is" if done.planned == 1 else f"{done.planned} calls are"
        yield f"{are} planned for a time that has not come; that stays so. Cancels since are unknown."
    yield "What to do next:"
    yield (
        "1. Start `tracker serve` or `tracker worker`: callbacks are taken in and the provider is asked; nobody is "
        "dialled."
    )
    yield (
        "2. Look at `tracker calls --status unconfirmed`, and compare with the provider's own list. What was not "
        'dialled is dialled by POST /api/v1/calls/{id}/retry with {"force": true}, one by one; what was is given up by '
        "POST /api/v1/calls/{id}/cancel with the same."
    )
    yield (
        "3. Idempotency-Keys used after the backup are unknown, and so are the calls that they placed: a program that "
        "repeats such a request places the call anew. Look at `tracker calls --status pending` before you go on."
    )
    yield "4. `tracker pause --resume` lets dialling go on."
