"""`tracker status`: the state of the system on one screen, and an exit status for monitors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import typer

from tracker.cli.input.common_options import JsonOption, UtcOption

if TYPE_CHECKING:
    from rich.table import Table

    from tracker.lifecycle.operations.health_report import HealthFacts

#: callbacks that were counted and not stored, by the name of their counter
_NOT_KEPT: Final = {
    "quarantined": "more without the secret, beyond those in quarantine",
    "unknown-account": "for an account that is not configured",
    "too-large": "too large",
}


def status(utc: UtcOption = False, json: JsonOption = False) -> None:
    """Show what is wrong, in a sentence each, and the state of all work.

    The exit status is 1 if something is wrong: no worker runs, work or callbacks wait too long, a provider cannot be
    reached or is silent, a submission is unconfirmed, dialling is paused because a backup was restored or the database
    was copied, or a callback of the last 24 hours is orphaned, unreadable, or was refused while one was expected.

    Older callbacks, and a pause made by hand, are notes. They leave the exit status at 0.

    It reads the database, so no server is needed. docs/reference/http.md explains the keys of `--json`.
    """
    from datetime import UTC, datetime

    from tracker.cli.context import load_cli_settings, open_database
    from tracker.cli.output.json import print_json
    from tracker.cli.output.text import print_text
    from tracker.cli.program_name import with_program_name
    from tracker.domain.time_text import iso
    from tracker.lifecycle.operations.health_report import find_notes, find_problems, load_health_facts
    from tracker.store.engine.file_rights import obstacles

    settings = load_cli_settings()
    with open_database(settings) as database:
        facts = database.read(lambda c: load_health_facts(c, settings.accounts, datetime.now(UTC)))
        # notes, because they are about the user who asks here, and not about the processes that work
        missing_rights = [f"{settings.database_location}: {obstacle}." for obstacle in obstacles(database)]
    problems, notes = list(find_problems(facts)), [*find_notes(facts), *missing_rights]
    if json:
        from tracker.web.api.documents import plain, status_document

        document = plain(status_document(facts.status))
        waiting = {"calls": facts.waiting, "next_at": iso(facts.next_at) if facts.next_at else None}
        print_json({"ok": not problems, "problems": problems, "notes": notes, "waiting": waiting, **document})
    else:
        for problem in problems:
            typer.echo(with_program_name(problem))
        if not problems:
            typer.echo("All is well.")
        for note in notes:
            typer.echo(with_program_name(f"note: {note}"))
        typer.echo()
        print_text(_render_status(facts, utc=utc))
    if problems:
        raise typer.Exit(1)


def _render_status(facts: HealthFacts, *, utc: bool) -> Table:
    from rich.table import Table
    from rich.text import Text

    from tracker.cli.output.text import escape_control

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for title, text in _status_rows(facts, utc=utc):
        table.add_row(Text(escape_control(title), "bold"), Text(escape_control(text)))
    return table


def _status_rows(facts: HealthFacts, *, utc: bool) -> Iterator[tuple[str, str]]:
    from tracker.cli.output.formatting import format_time
    from tracker.domain.time_text import format_duration, iso

    status, workers = facts.status, facts.status.workers
    latest = f", the latest heard {format_time(iso(workers[0].seen_at), utc=utc)}" if workers else ""
    yield "workers", f"{len(workers)}{latest}"
    inbox = ", ".join(f"{n} {state}" for state, n in status.callbacks.items())
    lag = f", the oldest unread for {format_duration(status.lag_s)}" if status.lag_s else ""
    yield "inbox", inbox + lag
    yield "due work", ", ".join(f"{n} to {kind}" for kind, n in sorted(status.jobs_due.items())) or "none"
    waiting = f"{facts.waiting}{' or more' if facts.has_more_waiting else ''}"
    next_at = f", the next at {format_time(iso(facts.next_at), utc=utc)}" if facts.next_at else ""
    yield "calls to be sent", waiting + next_at
    yield "unconfirmed", str(status.unconfirmed_submissions)
    for name, account in status.accounts.items():
        heard = "never" if account.silent_s is None else f"{format_duration(account.silent_s)} ago"
        n = account.open_submissions
        yield f"account {name}", f"last callback {heard}, {n} submission{'' if n == 1 else 's'} open"
    for counter in status.counts:
        kind = _NOT_KEPT.get(counter.name, counter.name)
        of_account = f", account {counter.account}" if counter.account else ""
        last = format_time(iso(counter.last_at), utc=utc)
        yield "not kept", f"{counter.count} {kind}{of_account}, the latest {last}"
