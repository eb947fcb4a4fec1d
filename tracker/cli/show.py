"""`tracker show`: one call, with everything that is known of it."""

from __future__ import annotations

from typing import Annotated

import typer

from tracker.cli import app


@app.command()
def show(
    id: Annotated[
        str, typer.Argument(help="The call's id, a submission's id, or the provider's submission id.")
    ],
    evidence: Annotated[
        bool, typer.Option("--evidence", help="Also what it rests on: raw requests, answers, callbacks.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on until the call is settled, or Ctrl-C.")
    ] = False,
    ask: Annotated[
        bool, typer.Option("--ask/--no-ask", help="With --watch: ask the provider too, or only look.")
    ] = True,
    utc: Annotated[bool, typer.Option("--utc", help="Show times in UTC.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a call and its timeline.

    With --watch the provider is asked at growing pauses what became of it, so that it ends without a server and without
    a callback; nothing is sent, which is the work of `tracker serve` and `tracker worker`.
    """
    import asyncio

    from tracker.cli import reading
    from tracker.cli.context import configured, opened
    from tracker.cli.showing import show_call
    from tracker.cli.terminal import print_json
    from tracker.store.read import calls

    if watch and json:
        raise typer.BadParameter("--watch is for people; leave out --json, or ask again")
    settings = configured()
    with opened(settings) as database:
        call_id = database.read(lambda c: calls.find_call(c, id))
        if watch:
            from tracker.cli.waiting import watch as go_on
            from tracker.lifecycle.services import build_services

            asyncio.run(
                go_on(build_services(database, settings.account_values()), call_id, utc=utc, asks=ask)
            )
            return
        call, events = database.read(lambda c: reading.call_and_timeline(c, call_id))
        callbacks = database.read(lambda c: reading.callbacks_of(c, call_id))
        found = database.read(lambda c: calls.evidence(c, call_id)) if evidence else None
    if json:
        print_json({**call, "timeline": events, **({"evidence": found} if found is not None else {})})
    else:
        show_call(call, events, callbacks, evidence=found, utc=utc)
