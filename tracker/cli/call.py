"""`tracker call`: place one call from here, and see what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tracker.cli import app
from tracker.cli.wish_options import OPTIONS, read_wish, with_wish_options

if TYPE_CHECKING:
    from tracker.domain.pause import Pause

#: of --wait, where --timeout says nothing
_TIMEOUT: Final = "2m"


@app.command()
@with_wish_options
def call(
    wish: dict[str, Any],
    idempotency_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="The same key again places no second call.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Show the timeline as it grows, until the call is settled.")
    ] = False,
    timeout: Annotated[
        str | None,
        typer.Option(metavar="TIME", help=f"How long --wait waits, such as 90s or 5m; else {_TIMEOUT}."),
    ] = None,
    utc: Annotated[bool, typer.Option("--utc", help="Show times in UTC.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the call as JSON.")] = False,
) -> None:
    """Place one call and send it at once.

    It works on the database directly, so no server is needed. With --wait it also does what `tracker worker` does,
    and asks the provider where no callback comes. Exit status 1 where no call was placed, or --wait ran out of time.
    """
    import asyncio

    from tracker.cli import given
    from tracker.cli.context import assembled
    from tracker.cli.myself import as_called
    from tracker.cli.reading import call_and_timeline
    from tracker.cli.terminal import print_json
    from tracker.errors import AccountIncomplete, InvalidInput
    from tracker.store.read import calls

    if timeout is not None and not wait:
        raise typer.BadParameter("--timeout: says how long --wait waits; say --wait as well, or leave it out")
    try:
        patience_s = given.in_option("--timeout", given.seconds, timeout or _TIMEOUT)
        fields = read_wish(wish)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    with assembled(create=True) as program:
        try:
            placed = program.placer.place(fields, scope="command line", key=idempotency_key)
        except AccountIncomplete:  # whatever option names the account: the configuration is to be mended
            raise
        except InvalidInput as error:
            raise given.in_options(error, OPTIONS) from None
        if placed.replayed:
            typer.echo(f"This key has placed {placed.call} before; nothing new is sent.", err=True)
        document = program.database.read(lambda c: calls.get_call(c, placed.call))
        if warning := understood(fields["to"], document["to"]):
            typer.echo(warning, err=True)
        if pause := _pause_that_holds(document, program.pauser.standing()):
            typer.echo(as_called(why_it_waits(pause)), err=True)
        if wait:
            from tracker.cli.waiting import wait_for

            settled = asyncio.run(wait_for(program, placed, patience_s=patience_s, utc=utc, visible=not json))
        else:
            settled = True
            if not placed.replayed:
                asyncio.run(program.sender.submit(placed.submission))
        document, events = program.database.read(lambda c: call_and_timeline(c, placed.call))
        pause = _pause_that_holds(document, program.pauser.standing())
    if json:
        print_json({**document, "timeline": events} if wait else document)
    sentence, was_placed = what_happened(document, pause, utc=utc)
    if not json:
        typer.echo(as_called(sentence), err=not was_placed)
    if not settled:
        typer.echo(
            as_called(f"It is not settled yet: `tracker show {placed.call} --watch` goes on."), err=True
        )
    if not was_placed or not settled:
        raise typer.Exit(1)


def understood(given: str, number: str) -> str | None:
    """A warning where a number was given without its country code, or could be meant without; None otherwise."""
    if "+" in given or "".join(c for c in given if c.isdigit()) == number.lstrip("+"):
        return None
    return f"{given} is understood as {number}; write a number with + and its country code to be sure."


def _pause_that_holds(call: Mapping[str, Any], standing: list[Pause]) -> Mapping[str, Any] | None:
    """The pause for which a call waits."""
    from tracker.domain.documents import pause_document

    if call["status"] != "pending":
        return None
    found = (
        p for p in standing if p.account in (None, call["account"]) and p.campaign in (None, call["campaign"])
    )
    return next(map(pause_document, found), None)


def why_it_waits(pause: Mapping[str, Any]) -> str:
    """That nothing is sent while this pause stands, and how it is lifted."""
    from tracker.cli.standing import lifting
    from tracker.cli.terminal import harmless

    told = f"Dialling is paused ({harmless(pause['scope'])}), so nothing is sent"
    if pause["why"] != "operator":
        return f"{told}: see `tracker status` for why, and for what to do before it goes on."
    return f"{told}: `{lifting(pause)}` lets it go on."


def what_happened(
    call: Mapping[str, Any], pause: Mapping[str, Any] | None = None, *, utc: bool = False
) -> tuple[str, bool]:
    """One sentence about where a call stands that was just placed, and whether its request is or may be on its way.

    pause: the one for which it waits. utc: a time is told in UTC.
    """
    from tracker.cli.moments import length, short_time
    from tracker.cli.terminal import harmless

    id, status, reason = f"{call['id']} to {call['to']}", call["status"], call.get("reason")
    why = f", {reason}" if reason else ""
    if pause is not None:
        sentence = (
            f"{id} is {status}, for dialling is paused; once that is lifted, a running `tracker serve` or "
        )
        sentence += "`tracker worker` sends it."
    elif call.get("next_attempt_at") and not call["settled"]:
        when = short_time(call["next_attempt_at"], utc=utc)
        sentence = (
            f"{id} is {status}{why}; a running `tracker serve` or `tracker worker` sends it from {when} on."
        )
    elif status == "pending":
        sentence = f"{id} is pending; a running `tracker serve` or `tracker worker` will send it."
    elif status == "unconfirmed":
        sentence = f"{id} is unconfirmed{why}: it may be ringing and is not sent again; a callback may tell."
    elif status == "queued":
        sentence = f"{id} is queued: the provider took it as {call['submissions'][-1]['submission_id']}."
    elif status == "rejected":
        return (
            f"{id} was rejected by the provider{why}: no phone rings; see `tracker show {call['id']}`.",
            False,
        )
    elif status == "canceled" and reason != "caller-hung-up":
        advice = {
            "not-allowed": ": the number is not in the account's allow_to",
            "dialling-off": ': the account says dialling = "off"',
        }.get(str(reason), "")
        return f"{id} was not sent{why}{advice}.", False
    elif status == "failed" and reason == "provider-unreachable":
        return f"{id} was not sent: the provider cannot be reached; see `tracker doctor`.", False
    elif call.get("duration_s") is not None:
        sentence = f"{id} is {status}{why}: answered, {length(call['duration_s'])}."
    else:
        sentence = f"{id} is {status}{why}."
    return harmless(sentence), True
