"""`tracker doctor`: is everything as it must be for calls to be placed and callbacks to come in?"""

from __future__ import annotations

from typing import Annotated

import typer

from tracker.cli import app


@app.command()
def doctor(json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False) -> None:
    """Check configuration, database, who can be dialled, the token at the provider, the clock, and the public address.

    Places no call. Exit status 1 where a check fails; warnings do not count.
    """
    from dataclasses import replace

    from tracker.cli.checks import Check, State, all_checks
    from tracker.cli.context import configured
    from tracker.cli.myself import as_called
    from tracker.cli.terminal import print_json, show
    from tracker.cli.unbroken import Words
    from tracker.errors import ConfigurationError

    done: list[Check] = []

    def tell(found: Check) -> None:
        from rich.text import Text

        check = replace(found, message=as_called(found.message))
        done.append(check)
        if json:
            return
        style = {State.ok: "green", State.warn: "yellow", State.fail: "bold red"}[check.state]
        show(Words(text=f"{check.name}: {check.message}", before=Text(f"{check.state.value:6}", style)))

    try:
        settings = configured(warn=False)
    except ConfigurationError as error:
        for problem in str(error).splitlines():
            tell(Check(name="configuration", state=State.fail, message=problem))
    else:
        for check in all_checks(settings):
            tell(check)
    failed = any(check.state is State.fail for check in done)
    if json:
        checks = [{"name": c.name, "state": c.state.value, "message": c.message} for c in done]
        print_json({"ok": not failed, "checks": checks})
    if failed:
        raise typer.Exit(1)
