"""`tracker demo`: the whole way of some calls, without an account, without a configuration, without a phone."""

from __future__ import annotations

from typing import Annotated

import typer

from tracker.cli import app


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="End when all calls are settled.")] = False,
    calls: Annotated[
        int, typer.Option(min=20, max=500, help="How many; beyond the written story chance decides.")
    ] = 24,
    json: Annotated[
        bool, typer.Option("--json", help="With --once: print nothing but the summary, as JSON.")
    ] = False,
) -> None:
    """See it work: calls are placed, callbacks come in, timelines grow. No phone rings.

    Starts a tracker and a simulated provider on free ports of this machine, in a temporary directory, and reads no
    configuration. Without --once the tracker stays up until Ctrl-C, to be looked at. Exit status 1 where something
    of the story was not seen.
    """
    from tracker.cli.demo.staging import play

    if json and not once:
        raise typer.BadParameter("--json prints one document at the end, so it needs --once")
    if not play(calls, once=once, json=json):
        raise typer.Exit(1)
