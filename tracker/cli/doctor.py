"""`tracker doctor`: is everything as it must be for calls to be placed and callbacks to come in?"""

from __future__ import annotations

from typing import Annotated

import typer

from tracker.cli import app


@app.command()
def doctor(json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False) -> None:
    """Check configuration, database, the token at the provider, the clock, and the public address.

    Places no call. Exit status 1 where a check fails; warnings do not count.
    """
    from tracker.cli.checks import Check, State, all_checks
    from tracker.cli.context import configured
    from tracker.cli.terminal import harmless, print_json, show
    from tracker.errors import ConfigurationError

    done: list[Check] = []

    def tell(check: Check) -> None:
        from rich.table import Table
        from rich.text import Text

        done.append(check)
        if json:
            return
        style = {State.ok: "green", State.warn: "yellow", State.fail: "bold red"}[check.state]
        line = Table.grid(padding=(0, 2))
        line.add_column(width=4)
        line.add_column(overflow="fold")
        line.add_row(Text(check.state.value, style), Text(harmless(f"{check.name}: {check.message}")))
        show(line)

    try:
        settings = configured()
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
