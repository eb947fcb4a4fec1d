"""`tracker status`: how the work stands, on one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from tracker.cli import app

if TYPE_CHECKING:
    from rich.table import Table

    from tracker.cli.standing import Facts

#: what was not stored but counted, by the name of its count
_NOT_KEPT: Final = {
    "quarantined": "more without the secret, beyond those in quarantine",
    "unknown-account": "for an account that is not configured",
    "too-large": "too large",
}


@app.command()
def status(
    utc: Annotated[bool, typer.Option("--utc", help="Show times in UTC.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say in a sentence each what is wrong, and how the work stands. Exit status 1 where something is wrong.

    Wrong are: no worker, a backlog, a provider that cannot be reached or is silent, unconfirmed submissions, dialling
    that is paused because of a restore or a copy, and callbacks of the last 24 hours that lie in the inbox as
    orphaned, unreadable, or refused while one was expected; older ones are a note, and so is a pause that somebody
    wanted. A note leaves the exit status at 0.

    It reads the database, so no server is needed. The keys of --json are explained in docs/reference/http.md.
    """
    from datetime import UTC, datetime

    from tracker.cli.context import configured, opened
    from tracker.cli.myself import as_called
    from tracker.cli.reading import facts
    from tracker.cli.standing import notes, problems
    from tracker.cli.terminal import print_json, show
    from tracker.domain.time_text import iso
    from tracker.store.engine.file_rights import obstacles

    settings = configured()
    with opened(settings) as database:
        found = database.read(lambda c: facts(c, settings.accounts, datetime.now(UTC)))
        # of who asks here, and not of the processes that work: so it is no problem of theirs
        shut = [f"{settings.database_place}: {told}" for told in obstacles(database)]
    wrong, noted = list(problems(found)), [*notes(found), *shut]
    if json:
        waiting = {"calls": found.waiting, "next_at": iso(found.next_at) if found.next_at else None}
        print_json({"ok": not wrong, "problems": wrong, "notes": noted, "waiting": waiting, **found.standing})
    else:
        for sentence in wrong:
            typer.echo(as_called(f"{sentence}."))
        if not wrong:
            typer.echo("All is well.")
        for sentence in noted:
            typer.echo(as_called(f"note: {sentence}."))
        typer.echo()
        show(_screen(found, utc=utc))
    if wrong:
        raise typer.Exit(1)


def _screen(found: Facts, *, utc: bool) -> Table:
    from rich.table import Table
    from rich.text import Text

    from tracker.cli.moments import length, short_time
    from tracker.cli.terminal import harmless
    from tracker.domain.time_text import iso

    standing = found.standing

    rows = Table.grid(padding=(0, 2))
    rows.add_column(no_wrap=True)
    rows.add_column(overflow="fold")

    def row(title: str, told: str) -> None:
        rows.add_row(Text(harmless(title), "bold"), Text(harmless(told)))

    living = standing["workers"]
    row(
        "workers",
        f"{len(living)}"
        + (f", the latest heard {short_time(living[0]['seen_at'], utc=utc)}" if living else ""),
    )
    inbox = ", ".join(f"{n} {state}" for state, n in standing["callbacks"].items())
    row(
        "inbox", inbox + (f", the oldest unread for {length(standing['lag_s'])}" if standing["lag_s"] else "")
    )
    row("due work", ", ".join(f"{n} to {kind}" for kind, n in sorted(standing["jobs_due"].items())) or "none")
    waiting = f"{found.waiting}{' or more' if found.waiting_more else ''}"
    next_at = f", the next at {short_time(iso(found.next_at), utc=utc)}" if found.next_at else ""
    row("calls to be sent", waiting + next_at)
    row("unconfirmed", str(standing["unconfirmed_submissions"]))
    for name, told in standing["accounts"].items():
        heard = f"{length(told['silent_s'])} ago" if told["silent_s"] is not None else "never"
        several = "" if told["open_submissions"] == 1 else "s"
        row(f"account {name}", f"last callback {heard}, {told['open_submissions']} submission{several} open")
    for counted in standing["counts"]:
        of = f", account {counted['account']}" if counted["account"] else ""
        what = _NOT_KEPT.get(counted["name"], counted["name"])
        last = short_time(counted["last_at"], utc=utc)
        row("not kept", f"{counted['count']} {what}{of}, the latest {last}")
    return rows
