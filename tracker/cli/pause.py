"""`tracker pause`: no further dial leaves, until it is resumed."""

from __future__ import annotations

from typing import Annotated

import typer

from tracker.cli import app
from tracker.errors import InvalidInput


@app.command()
def pause(
    account: Annotated[str | None, typer.Option(help="Only of this account.")] = None,
    campaign: Annotated[str | None, typer.Option(help="Only of this campaign.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Lift the pause of this scope again.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --resume: also in a copy that is not complete.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the pauses that stand as JSON.")] = False,
) -> None:
    """Let no further dial leave, on whatever worker: of all calls, of an account, or of a campaign.

    Calls stay pending and are sent once it is resumed, if their time has not passed. Requests that are under way are
    not recalled; callbacks are taken in and joined as always. Retries by hand wait, too.
    """
    from tracker.cli.context import configured, opened
    from tracker.cli.given import in_options
    from tracker.cli.moments import short_time
    from tracker.cli.terminal import harmless, print_json
    from tracker.domain.documents import pause_document
    from tracker.domain.time_text import iso
    from tracker.lifecycle.services import build_services
    from tracker.store.read.calls import CallFilter, list_calls

    settings = configured()
    with opened(settings) as database:
        pauser = build_services(database, settings.account_values()).pauser
        try:
            resumed = pauser.resume(account=account, campaign=campaign, force=force) if resume else None
            standing = pauser.standing() if resume else pauser.pause(account=account, campaign=campaign)
        except InvalidInput as error:
            raise in_options(error) from None
        unheard = False
        if campaign is not None and not resume:
            which = CallFilter(campaign=campaign)
            unheard = not database.read(lambda c: list_calls(c, which, limit=1)).data
    if unheard:
        typer.echo(
            f"No call has the campaign {harmless(campaign or '')} yet; those to come will wait.", err=True
        )
    scope = f"account {account}" if account else f"campaign {campaign}" if campaign else "all"
    if json:
        told = {"released": resumed.released} if resumed else {}
        print_json({"paused": [pause_document(p) for p in standing], **told})
        return
    if resumed and resumed.lifted is None:
        typer.echo(f"There was no pause of {harmless(scope)} to lift.")
    elif resumed:
        due = (
            "1 call that waited is" if resumed.released == 1 else f"{resumed.released} calls that waited are"
        )
        typer.echo(f"Dialling goes on ({harmless(scope)}); {due} due now.")
    for p in standing:
        why = "" if p.why == "operator" else f" ({p.why})"
        typer.echo(f"Dialling is paused: {harmless(p.scope)}, since {short_time(iso(p.since))}{why}.")
    typer.echo(f"Database: {harmless(settings.database_place)}")
