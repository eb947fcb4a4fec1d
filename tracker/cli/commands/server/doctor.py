"""`tracker doctor`: check everything that placing calls and receiving callbacks depends on."""

from __future__ import annotations

from typing import Annotated

import typer


def doctor(json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False) -> None:
    """Check everything that calls and callbacks depend on.

    It checks the configuration, the database, which numbers can be dialled, the token at the provider, the clock, and
    the public address. It places no call. Exit status 1 if a check fails; warnings do not count.
    """
    from dataclasses import replace

    from tracker.cli.context import load_cli_settings
    from tracker.cli.output.json import print_json
    from tracker.cli.output.text import WrappedText, print_text
    from tracker.cli.program_name import with_program_name
    from tracker.errors import ConfigurationError
    from tracker.lifecycle.operations.doctor import Check, CheckState, run_checks

    done: list[Check] = []

    def report(found: Check) -> None:
        from rich.text import Text

        check = replace(found, message=with_program_name(found.message))
        done.append(check)
        if json:
            return
        style = {CheckState.ok: "green", CheckState.warn: "yellow", CheckState.fail: "bold red"}[check.state]
        text = f"{check.name}: {check.message}"
        print_text(WrappedText(text=text, before=Text(f"{check.state.value:6}", style)))

    try:
        settings = load_cli_settings(warn=False)
    except ConfigurationError as error:
        for problem in str(error).splitlines():
            report(Check(name="configuration", state=CheckState.fail, message=problem))
    else:
        for check in run_checks(settings, public_url=settings.server.public_url):
            report(check)
    has_failed = any(check.state is CheckState.fail for check in done)
    if json:
        checks = [{"name": c.name, "state": c.state.value, "message": c.message} for c in done]
        print_json({"ok": not has_failed, "checks": checks})
    if has_failed:
        raise typer.Exit(1)
