"""`tracker show`: one call with its timeline, and the evidence for it."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from tracker.cli.input.common_options import JsonOption, UtcOption

#: callbacks whose repeats are shown: one page of a list
_CALLBACKS: Final = 500


def show(
    id: Annotated[
        str, typer.Argument(help="The call's id, a submission's id, or the provider's submission id.")
    ],
    evidence: Annotated[
        bool, typer.Option("--evidence", help="Also show the raw requests, answers and callbacks.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on until the call is settled, or until Ctrl-C.")
    ] = False,
    ask: Annotated[
        bool, typer.Option("--ask/--no-ask", help="With `--watch`: also ask the provider, or only look.")
    ] = True,
    utc: UtcOption = False,
    json: JsonOption = False,
) -> None:
    """Show a call and its timeline.

    With `--watch` the provider is asked, in growing intervals, what became of the call. So it ends without a server
    and without a callback. Nothing is sent, because that is the work of `tracker serve` and `tracker worker`.
    """
    import asyncio

    from tracker.cli.commands.calls.call_documents import load_call_documents
    from tracker.cli.context import load_cli_settings, open_database
    from tracker.cli.output.json import print_json
    from tracker.store.read import calls
    from tracker.store.read.callbacks import CallbackFilter, list_callbacks
    from tracker.web.api.documents import evidence_document, plain

    if watch and json:
        raise typer.BadParameter("`--watch` shows text only. Leave out `--json`, or repeat the command.")
    settings = load_cli_settings()
    with open_database(settings) as database:
        call_id = database.read(lambda c: calls.find_call_id(c, id))
        if watch:
            from tracker.cli.commands.calls.wait import watch_call
            from tracker.lifecycle.services import build_services

            services = build_services(database, settings.account_values())
            asyncio.run(watch_call(services, call_id, utc=utc, asks=ask))
            return
        call, events = load_call_documents(database, call_id)
        callbacks = database.read(
            lambda c: list_callbacks(c, CallbackFilter(call=call_id), limit=_CALLBACKS).data
        )
        raw = database.read(lambda c: calls.get_evidence(c, call_id)) if evidence else None
    evidence_shown = None if raw is None else plain(evidence_document(raw))
    if json:
        print_json({**call, "timeline": events, **({"evidence": evidence_shown} if evidence_shown else {})})
        return

    from tracker.cli.output.evidence import render_evidence
    from tracker.cli.output.text import print_text
    from tracker.cli.output.timeline import render_header, render_timeline

    repeats = {each.id: each.repeats for each in callbacks}
    print_text(render_header(call, utc=utc), render_timeline(call, events, utc=utc, repeats=repeats))
    if evidence_shown is not None:
        print_text(*render_evidence(evidence_shown, utc=utc))
