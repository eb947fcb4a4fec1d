"""`tracker inbox`: what the provider sent, as it came, and what was made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tracker.cli import Commands, app

if TYPE_CHECKING:
    from tracker.cli.deciding import Standing

inbox = typer.Typer(
    cls=Commands, help="What the provider sent, and what was made of it.", no_args_is_help=True
)
app.add_typer(inbox, name="inbox")

_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Utc = Annotated[bool, typer.Option("--utc", help="Show times in UTC.")]


@inbox.command("list")
def list_(
    state: Annotated[
        str | None,
        typer.Option(help="One of pending, joined, orphaned, unreadable, ignored and quarantined."),
    ] = None,
    account: Annotated[str | None, typer.Option(help="Of this account.")] = None,
    call: Annotated[str | None, typer.Option(metavar="CALL", help="Joined to this call.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many, newest first.")] = 50,
    cursor: Annotated[
        str | None, typer.Option(help="Go on behind a page: its next_cursor, from --json.")
    ] = None,
    utc: _Utc = False,
    json: _Json = False,
) -> None:
    """List the callbacks, newest first. Repeats are listed too."""
    from tracker.cli import reading
    from tracker.cli.context import configured, opened
    from tracker.cli.inbox_rendering import table
    from tracker.cli.terminal import harmless, print_json
    from tracker.cli.terminal import show as print_text
    from tracker.store.read import callbacks

    try:
        which = reading.callback_filter(state, account, call)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    settings = configured()
    if warning := reading.not_configured(account, settings.accounts):
        typer.echo(harmless(warning), err=True)
    with opened(settings) as database:
        page = database.read(lambda c: callbacks.list_callbacks(c, which, limit=limit, cursor=cursor))
    found = page.data
    if json:
        print_json({"data": found, "next_cursor": page.next_cursor})
    elif not found:
        typer.echo("No callback is there that fits.", err=True)
    else:
        print_text(table(found, utc=utc))


@inbox.command()
def show(
    callback: Annotated[str, typer.Argument(help="The callback's id, cb_….")],
    utc: _Utc = False,
    json: _Json = False,
) -> None:
    """Show one callback: what was made of it, and the request as it came; of an orphan, what it may belong to.

    Characters that a terminal would obey are shown as \\x1b and the like.
    """
    from tracker.cli.context import configured, opened
    from tracker.cli.inbox_rendering import request
    from tracker.cli.terminal import print_json
    from tracker.cli.terminal import show as print_text
    from tracker.lifecycle.operations.orphan_candidates import shown_callback

    with opened(configured()) as database:
        found = database.read(lambda c: shown_callback(c, callback))
    if json:
        print_json(found)
    else:
        print_text(request(found, utc=utc))


@inbox.command()
def join(
    callback: Annotated[str, typer.Argument(help="The callback's id, cb_….")],
    submission: Annotated[str, typer.Argument(help="Our id of the submission, sub_…, or the provider's.")],
    force: Annotated[
        bool, typer.Option("--force", help="Also where the callback is about another telephone number.")
    ] = False,
    json: _Json = False,
) -> None:
    """Say by hand to which submission a callback belongs; may also move one that is joined.

    Prints what changed by it: from which call it was taken away, the status of the calls before and after, and other
    callbacks that lost their join, because they contradict it or are not the only ones that fit any more.
    """
    from tracker.cli import deciding
    from tracker.cli.context import assembled
    from tracker.errors import NumberMismatch

    ours = submission.lower().startswith("sub_")
    wanted = submission.lower() if ours else submission
    with assembled() as program:
        before = program.database.read(lambda c: deciding.standing(c, callback, wanted))
        ids = {"submission": wanted} if ours else {"submission_id": wanted}
        try:
            program.operator.join(callback, **ids, force=force)
        except NumberMismatch as error:
            raise NumberMismatch(f"{error} To join it all the same, use `--force`.") from None
        after = program.database.read(lambda c: deciding.standing_again(c, before))
    _tell(before, after, json=json)


@inbox.command()
def ignore(
    callback: Annotated[str, typer.Argument(help="The callback's id, cb_….")],
    json: _Json = False,
) -> None:
    """Say by hand that a callback is about nothing of ours; a join of it is taken back.

    Prints what changed by it, as `tracker inbox join` does.
    """
    from tracker.cli import deciding
    from tracker.cli.context import assembled

    with assembled() as program:
        before = program.database.read(lambda c: deciding.standing(c, callback, None))
        program.operator.ignore(callback)
        after = program.database.read(lambda c: deciding.standing_again(c, before))
    _tell(before, after, json=json)


def _tell(before: Standing, after: Standing, *, json: bool) -> None:
    from tracker.cli import deciding
    from tracker.cli.myself import as_called
    from tracker.cli.terminal import harmless, print_json

    if json:
        print_json(deciding.document(before, after))
        return
    for sentence in deciding.told(before, after):
        typer.echo(as_called(harmless(sentence)))


@inbox.command()
def tail(
    account: Annotated[str | None, typer.Option(help="Of this account.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Show what came lately, and end.")] = False,
    seconds: Annotated[
        float | None, typer.Option("--for", metavar="SECONDS", min=0, help="End after so many seconds.")
    ] = None,
    lately: Annotated[
        int, typer.Option("--last", min=0, max=500, help="Begin with so many that are there already.")
    ] = 10,
    utc: _Utc = False,
    json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each callback.")] = False,
) -> None:
    """Show what comes in, as it comes in, until Ctrl-C."""
    import contextlib

    from tracker.cli.context import configured, opened
    from tracker.cli.reading import not_configured
    from tracker.cli.tailing import follow
    from tracker.cli.terminal import harmless

    settings = configured()
    if warning := not_configured(account, settings.accounts):
        typer.echo(harmless(warning), err=True)
    with opened(settings) as database, contextlib.suppress(KeyboardInterrupt):
        follow(database, account=account, last=lately, seconds=0.0 if once else seconds, utc=utc, json=json)


@inbox.command("send-sample")
def send_sample(
    word: Annotated[
        str,
        typer.Argument(
            help="The outcome: answer, completed, received, missed, busy, noanswer, cancel, congestion, chanunavail."
        ),
    ],
    account: Annotated[str | None, typer.Option(help="Needed where several are configured.")] = None,
    composed: Annotated[
        bool, typer.Option("--composed", help="A composed webhook, which carries the call's id.")
    ] = False,
    id: Annotated[str | None, typer.Option(help="The provider's submission id; implies --composed.")] = None,
    to: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="The number that was called, of no call of yours.")
    ] = None,
    mid: Annotated[str | None, typer.Option(help="The message id of the usual callback.")] = None,
    flow: Annotated[
        str | None, typer.Option(help="The flow's id, where the usual callback is to name it.")
    ] = None,
    bridge: Annotated[str | None, typer.Option(metavar="NUMBER", help="The number that called.")] = None,
    lane: Annotated[str | None, typer.Option(help="Send it to this lane of the account.")] = None,
    public: Annotated[
        bool, typer.Option("--public", help="By way of server.public_url, and not straight to this machine.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also where it would settle one of your calls.")
    ] = False,
    json: _Json = False,
) -> None:
    """Post a callback as the provider's documents show it to your own server, with the account's secret.

    Without --id it is the provider's usual one, which is joined by number and time. Without --to it is about the number
    in the provider's documents. A sample is believed like any callback: where its number or id is that of a call of
    the last 24 hours, it would become that call's outcome, and is sent only with --force. Exit status 1 where the
    provider would take the answer for a failure.
    """
    import asyncio

    from tracker.cli import samples
    from tracker.cli.context import configured
    from tracker.cli.given import a_bridge, a_number, in_option
    from tracker.cli.sample_sending import post_sample, refuse_real_call, sample_account
    from tracker.cli.terminal import harmless, print_json

    settings = configured()
    if word not in samples.WORDS:
        raise typer.BadParameter(f"there is no sample {word!r}; there are {', '.join(samples.WORDS)}")
    if (composed or id) and mid:
        raise typer.BadParameter(
            "--mid belongs to the usual callback; leave it out beside --composed and --id"
        )
    chosen = sample_account(settings, account)
    try:
        number = in_option("--to", a_number, to) if to else None
        caller = in_option("--bridge", a_bridge, bridge) if bridge else None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if not force:
        refuse_real_call(settings, number=number, ids=[i for i in (id, mid) if i])
    sent = asyncio.run(
        post_sample(
            settings, chosen, word, composed=composed or id is not None, id=id, to=number, mid=mid, flow=flow,
            bridge=caller, lane=lane, public=public,
        )
    )  # fmt: skip
    if json:
        print_json(sent)
    else:
        typer.echo(f"sent      {harmless(sent['body'])}")
        typer.echo(f"to        {harmless(sent['url'])}")
        typer.echo(f"answered  {sent['status']} {harmless(sent['answer'])}")
    if sent["status"] not in (200, 202):
        raise typer.Exit(1)
