"""`tracker pause`: stop dialling until it is resumed."""

from __future__ import annotations

from typing import Annotated, Final

import typer

#: why dialling is paused if no person paused it
_BECAUSE: Final = {
    "operator": "",
    "restored": ", because a backup was restored",
    "copied": ", because `tracker db copy` has copied this database, and the copy dials instead",
}


def pause(
    account: Annotated[str | None, typer.Option(help="Only of this account.")] = None,
    campaign: Annotated[str | None, typer.Option(help="Only of this campaign.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Lift the pause of this scope.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the present pauses as JSON.")] = False,
) -> None:
    """Stop dialling on all workers until it is resumed.

    It stops all calls, or those of an account or a campaign. They stay pending and are sent after `--resume` if their
    time has not passed; retries by hand wait, too. Requests that are under way are not recalled. Callbacks are taken
    and joined as always.
    """
    from tracker.cli.context import load_cli_settings, open_database
    from tracker.cli.input.option_errors import name_options
    from tracker.cli.output.formatting import format_time
    from tracker.cli.output.json import print_json
    from tracker.cli.output.text import escape_control
    from tracker.cli.program_name import with_program_name
    from tracker.domain.time_text import iso
    from tracker.errors import InvalidInput
    from tracker.lifecycle.services import build_services
    from tracker.store.read.calls import CallFilter, list_calls
    from tracker.web.api.documents import pause_document, plain

    settings = load_cli_settings()
    with open_database(settings) as database:
        pauser = build_services(database, settings.account_values()).pauser
        try:
            resumed = pauser.resume(account=account, campaign=campaign) if resume else None
            pauses = pauser.list_pauses() if resume else pauser.pause(account=account, campaign=campaign)
        except InvalidInput as error:
            raise name_options(error) from None
        is_campaign_unused = False
        if campaign is not None and not resume:
            of_campaign = CallFilter(campaign=campaign)
            is_campaign_unused = not database.read(lambda c: list_calls(c, of_campaign, limit=1)).data
    if is_campaign_unused:
        typer.echo(
            f"No call has the campaign {escape_control(campaign or '')} yet. Future ones will wait.", err=True
        )
    if json:
        released = {"released": resumed.released} if resumed else {}
        print_json(plain({"paused": [pause_document(each) for each in pauses], **released}))
        return
    scope = f"account {account}" if account else f"campaign {campaign}" if campaign else "all"
    if resumed and resumed.lifted is None:
        typer.echo(f"There was no pause of {escape_control(scope)} to lift.")
    elif resumed:
        n = resumed.released
        due = "1 call that waited is" if n == 1 else f"{n} calls that waited are"
        typer.echo(f"Dialling goes on ({escape_control(scope)}); {due} due now.")
    for each in pauses:
        reason = with_program_name(_BECAUSE[each.why])
        since = format_time(iso(each.since))
        typer.echo(f"Dialling is paused: {escape_control(each.scope)}, since {since}{reason}.")
    typer.echo(f"Database: {escape_control(settings.database_location)}")
