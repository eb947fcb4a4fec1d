"""`tracker db restore` and `tracker db after-restore`: use a backup without dialling any call twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tracker.cli.output.text import can_ask

if TYPE_CHECKING:
    from tracker.lifecycle.maintenance.after_restore import RestoreReport
    from tracker.lifecycle.maintenance.restore import Restored


def restore(
    file: Annotated[Path, typer.Argument(help="The backup.", metavar="FILE")],
    json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Replace an SQLite database with a backup, and pause dialling.

    Dialling is paused because calls of the backup may have been dialled since. Stop all processes that use the database
    first; otherwise the restore is refused. Both files of the backup are checked and prepared beside the database, and
    then take its place. The database's own inbox file stays if it is sound, because it has the callbacks that came
    after the backup. The previous files stay beside the new ones under a dated name.
    """
    from tracker.cli.cleanup_on_signal import cleanup_on_signal
    from tracker.cli.context import database_error_context, load_cli_settings, warn_if_database_unnamed
    from tracker.cli.output.json import print_json
    from tracker.cli.output.progress import show_progress
    from tracker.cli.output.text import escape_control
    from tracker.errors import ConfigurationError
    from tracker.lifecycle.maintenance.restore import restore as restore_backup
    from tracker.store.engine.database import Database

    settings = load_cli_settings()
    if not settings.is_sqlite:
        raise ConfigurationError(
            "This database is PostgreSQL's. Restore it with `pg_restore` or from a snapshot, and run `tracker db "
            "after-restore` before you start anything. See docs/how-to/backup-and-restore.md."
        )
    database = Database(settings.database_url)
    path = database.path
    database.close()
    if path is None:
        raise ConfigurationError("`database.url` is one of SQLite's own forms (file:…). Name a plain file.")
    warn_if_database_unnamed(settings)
    with (
        cleanup_on_signal("The database is either as it was, or the backup. Run it again."),
        database_error_context(settings),
        show_progress("submissions looked after", visible=not json) as progress,
    ):
        restored = restore_backup(file, path, progress=progress)
    if json:
        document = {
            "database": str(path.absolute()),
            "kept": str(restored.kept) if restored.kept else None,
            "inbox": "stayed" if restored.has_own_inbox else "restored",
            "kept_inbox": str(restored.kept_inbox) if restored.kept_inbox else None,
            "unjoined_callbacks": restored.unjoined,
            "rows": restored.records.counts,
            "schema": restored.schema,
            **restored.report.document(),
        }
        print_json(document)
        return
    rows = ", ".join(f"{n:,} {name}" for name, n in restored.records.counts.items())
    typer.echo(f"{escape_control(str(path.absolute()))} is the backup now: {rows}.")
    if restored.records.schema != restored.schema:
        typer.echo(f"Its schema was {restored.records.schema} and was upgraded to {restored.schema}.")
    typer.echo(_describe_inbox(restored))
    if kept := [escape_control(str(file)) for file in (restored.kept, restored.kept_inbox) if file]:
        typer.echo(f"The previous database is {' with '.join(kept)}.")
    typer.echo()
    _print_report(restored.report, settings.database_location)


def after_restore(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask. Without a terminal it never asks.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print what was done as JSON. It asks nothing.")
    ] = False,
) -> None:
    """Make a restored database safe: pause dialling, mark open calls.

    Calls that were waiting or being sent become unconfirmed, because they may have been dialled since the backup. This
    cannot be taken back, so do not run it on a database in use: calls that wait in it would be marked, too.

    `tracker db restore` does this itself. With PostgreSQL, run it after pg_restore and before you start anything. On a
    terminal it asks first; it warns if a worker was heard of lately. If it is run again, it also marks calls that were
    placed since and wait.
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
        if workers := database.read(lambda c: heartbeats.find_workers(c, datetime.now(UTC))):
            warning = (
                f"A worker was heard of in this database just now ({workers[0].id}). Run this on a restored database "
                "only, before anything is started on it."
            )
            typer.echo(escape_control(warning), err=True)
        if not (yes or json) and can_ask():
            question = (
                f"Pause all dialling in {settings.database_location}, and mark every call that waits in it as "
                "unconfirmed, for good?"
            )
            typer.confirm(escape_control(question), abort=True)
        with show_progress("submissions looked after", visible=not json) as progress:
            report = make_safe(database, progress=progress)
    if json:
        print_json(report.document())
        return
    _print_report(report, settings.database_location)


def _describe_inbox(restored: Restored) -> str:
    n = restored.unjoined
    callbacks = "1 callback" if n == 1 else f"{n:,} callbacks"
    if not restored.has_own_inbox:
        return (
            f"Its inbox is the backup's, too ({callbacks} to read). Callbacks after the backup are unknown."
        )
    if not n:
        return "Its inbox stayed in place. No callback came after the backup."
    return (
        f"Its inbox stayed in place. A worker reads {callbacks} that came after the backup, and they tell what became "
        "of calls."
    )


def _print_report(report: RestoreReport, place: str) -> None:
    from tracker.cli.output.text import escape_control
    from tracker.cli.program_name import with_program_name

    for sentence in _describe(report, escape_control(place)):
        typer.echo(with_program_name(sentence))


def _describe(report: RestoreReport, place: str) -> Iterator[str]:
    """Return the sentences about what was done, and the steps that follow."""
    from tracker.cli.output.formatting import format_time
    from tracker.domain.time_text import iso

    latest = (
        f" The latest event in it is of {format_time(iso(report.known_until))}." if report.known_until else ""
    )
    yield f"Dialling is paused in {place}, on all workers.{latest}"
    if n := report.unconfirmed:
        named = ", ".join(report.calls[:3])
        others = " and others" if n > len(report.calls[:3]) else ""
        were = "1 submission was" if n == 1 else f"{n} submissions were"
        yield (
            f"{were} waiting or being sent, and may have been dialled since. They are unconfirmed now "
            f"({named}{others}), and are not dialled again by themselves."
        )
    if n := report.asked:
        are, them = ("1 submission is", "it") if n == 1 else (f"{n} submissions are", "them")
        yield f"{are} with the provider, which is asked about {them} as soon as a worker runs."
    if n := report.planned:
        are = "1 call is" if n == 1 else f"{n} calls are"
        yield f"{are} planned for later; that stays so. Cancels since the backup are unknown."
    yield "What to do next:"
    yield (
        "1. Start `tracker serve` or `tracker worker`. Callbacks are taken and the provider is asked, but no call is "
        "dialled."
    )
    yield (
        "2. Compare `tracker calls --status unconfirmed` with the provider's own list. Dial each call that was not "
        'dialled by POST /api/v1/calls/{id}/retry with {"force": true}. Give up each call that was dialled by POST '
        "/api/v1/calls/{id}/cancel with the same body."
    )
    yield (
        "3. Look at `tracker calls --status pending`. The Idempotency-Keys used since the backup are unknown, and so "
        "are the calls that they placed. A program that repeats such a request places the call again."
    )
    yield "4. Resume dialling with `tracker pause --resume`."
