"""`tracker demo`: simulated calls from the request to the outcome, without an account and without a phone."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    from tracker.demo.run import Demo
    from tracker.demo.scenario import PlannedCall

Document = dict[str, Any]

#: requests to place a call that are under way at once; one of them waits for an answer that never comes
_PLACING_AT_ONCE: Final = 4
#: columns of a heading
_WIDEST: Final = 100


def demo(
    once: Annotated[bool, typer.Option("--once", help="End when all calls are settled.")] = False,
    calls: Annotated[
        int,
        typer.Option(min=1, max=500, help="How many calls. Chance decides what becomes of calls above 25."),
    ] = 25,
    json: Annotated[
        bool, typer.Option("--json", help="With `--once`: print only the summary, as JSON.")
    ] = False,
) -> None:
    """Place simulated calls and watch their timelines grow.

    Runs a server and a simulated provider on free ports of this machine, in a temporary directory. No phone rings, and
    no configuration is read. Without `--once` both stay up until Ctrl-C. Exit status 1 if a call is not settled.
    """
    from tracker.cli.cleanup_on_signal import cleanup_on_signal
    from tracker.cli.output.json import print_json
    from tracker.demo.run import running_demo
    from tracker.demo.scenario import plan_calls
    from tracker.logs import configure_logs

    if json and not once:
        raise typer.BadParameter("`--json` prints one document at the end. Add `--once`.")
    configure_logs(secrets=(), level="error")
    planned = plan_calls(calls)
    with cleanup_on_signal("The servers of the demo have stopped, and their directory is removed."):
        with running_demo(planned) as running:
            summary = _play(running, planned, visible=not json)
            if json:
                print_json(summary)
            else:
                _show_summary(summary)
            if not once:
                for line in suggestions(running.configuration, running.url, running.api_token, os.environ):
                    typer.echo(line)
                with suppress(KeyboardInterrupt):
                    Event().wait()
        if summary["calls"]["settled"] < summary["calls"]["placed"]:
            raise typer.Exit(1)


def _play(running: Demo, planned: Sequence[PlannedCall], *, visible: bool) -> Document:
    """Place all calls, show the timeline of one after the other as it grows, and return the summary."""
    from tracker.cli.output.live_timeline import open_timeline_view
    from tracker.demo.summary import callback_remarks, summarize

    echo: Callable[[str], None] = typer.echo if visible else lambda _text: None
    echo(_introduction(running))
    until = monotonic() + running.patience_s
    ids, replayed = [], 0
    pool = ThreadPoolExecutor(_PLACING_AT_ONCE)
    try:
        placed = [pool.submit(running.place, call, f"demo-{n}") for n, call in enumerate(planned, 1)]
        for n, (plan, future) in enumerate(zip(planned, placed, strict=True), 1):
            id, is_replayed = future.result()
            ids.append(id)
            replayed += is_replayed
            echo(f"\n{f'── #{n:02} {plan.title} ':─<{_WIDEST}}")
            with open_timeline_view(utc=False, visible=visible) as view:
                for snapshot in running.follow(id, until):
                    view.update(*snapshot)
            call, _ = running.read_call(id)
            for callback in running.callbacks(call=id):
                if remarks := callback_remarks(callback, call):
                    echo(f"{'':18}{callback['id']}: {', '.join(remarks)}")
    finally:  # after Ctrl-C no further call is placed
        pool.shutdown(cancel_futures=True)
    running.wait_until_idle(until)
    return summarize(
        [running.read_call(id) for id in ids],
        running.callbacks(),
        running.provider_calls(),
        replayed=replayed,
    )


def _introduction(running: Demo) -> str:
    from tracker.demo.scenario import SPEED

    return f"""\
Everything here is simulated: no phone rings, and no account is needed.
The server and the simulated provider run in this process. Their directory is removed
at the end, and no configuration of yours is read. Ringing and talking pass {SPEED:g} times
faster than in life.
tracker    {running.url}/api/v1 (token {running.api_token})
provider   {running.provider_url} (simulated)"""


def _show_summary(summary: Document) -> None:
    from rich.table import Table
    from rich.text import Text

    from tracker.cli.output.text import make_console, print_text

    calls, callbacks = summary["calls"], summary["callbacks"]
    sending, provider = summary["sending"], summary["provider"]
    rows = {
        "calls": f"{calls['settled']} of {calls['placed']} settled: {_listed(calls['by_status'])}",
        "callbacks": f"{callbacks['received']} received: {_listed(callbacks['by_state'])}",
        "matched by": _listed(callbacks["matched_by"]),
        "among them": f"{_listed(callbacks['remarks'])}, {callbacks['in_another_zone']} in another zone",
        "sending": f"{sending['repeated_without_second_call']} repeated without a second call, "
        f"{sending['sent_again_after_429']} sent again after a 429, "
        f"{sending['without_clear_answer']} without a clear answer, "
        f"{sending['provider_asked']} asked about at the provider",
        "provider": f"{provider['accepted']} calls accepted, {provider['callbacks_answered_200']} callbacks answered "
        f"200, {provider['callbacks_not_answered_200']} answered otherwise",
    }
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, text in rows.items():
        table.add_row(name, text)
    print_text(
        Text(f"\n{'── Summary of what was simulated ':─<{_WIDEST}}"), table, width=make_console().width
    )
    left = calls["placed"] - calls["settled"]
    typer.echo(f"{left} calls are not settled." if left else "Every call is settled.")


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {word}" for word, count in counts.items()) or "none"


def suggestions(configuration: Path, url: str, api_token: str, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines that say what to try meanwhile: commands that work in the shell of any directory.

    environ: the variables of the user; those that would override the configuration of the demo are named.
    """
    from tracker.cli.program_name import program_name

    tracker = f"TRACKER_CONFIG={shlex.quote(str(configuration))} {program_name(anywhere=True)}"
    curl = f"curl -H 'Authorization: Bearer {api_token}'"
    yield "\nThe server and the simulated provider stay up until Ctrl-C. In another terminal, try:\n"
    yield f"  {tracker} calls"
    yield f"  {tracker} inbox list"
    yield f"  {tracker} call +918919525999 --flow 24 --wait\n"
    yield f"  {curl} '{url}/api/v1/calls?outcome=busy'"
    yield f"  {curl} '{url}/api/v1/callbacks?state=unreadable'\n"
    if overriding := sorted(name for name in environ if name.startswith("TRACKER_") and "__" in name):
        yield f"Unset there first, because they override the configuration of the demo: {' '.join(overriding)}\n"
