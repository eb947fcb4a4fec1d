"""The demo from its first sentence to the removal of what it made."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import typer

from tracker.cli.demo.api import Api
from tracker.cli.demo.performance import perform
from tracker.cli.demo.processes import House, house
from tracker.cli.demo.screen import screen, show_summary
from tracker.cli.demo.signals import Interrupted, Signals
from tracker.cli.demo.story import SPEED, cast, simulator_flags
from tracker.cli.demo.summary import summarise
from tracker.cli.myself import myself
from tracker.cli.terminal import print_json

#: lines of the processes' logs that are shown where the story was not seen
_COMPLAINTS: Final = 10


def play(calls: int, *, once: bool, json: bool) -> bool:
    """Plays the story; whether all of it was seen. Raises TrackerError where a process ended or did not answer."""
    signals = Signals()
    complete = False
    with signals.heard():
        try:
            with house(signals) as home:
                complete = _play(home, calls, json=json)
                if not once:
                    _stay(home)
        except Interrupted:
            if not json:
                typer.echo("\nEnded. Both processes are gone, and so is their directory.")
    return complete


def _play(home: House, calls: int, *, json: bool) -> bool:
    parts = cast(calls)
    with screen(visible=not json) as view:
        view.say("Everything here is simulated: no phone rings, and no account is needed.", "bold")
        view.say(f"A tracker and a simulated provider start in {home.directory},")
        view.say("which is removed at the end. No configuration of yours is read.")
        view.say(f"Ringing and talking pass {SPEED:g} times faster than in life.")
        home.start(list(simulator_flags(parts)))
        api = Api(home)
        try:
            api.register_webhooks()
            view.say(f"tracker    {home.url}/api/v1")
            view.say(f"provider   {home.provider_url} (simulated)")
            view.say(f"callbacks  {home.callback_url} (with a secret)")
            view.say()
            seen = perform(api, home, parts, view)
        finally:
            api.close()
    summary = summarise(seen)
    if not summary["complete"]:
        for line in home.complaints()[-_COMPLAINTS:]:
            typer.echo(line, err=True)
    if json:
        print_json(summary)
    else:
        show_summary(summary)
    return bool(summary["complete"])


def _stay(home: House) -> None:
    """Leaves the tracker up for the reader, until Interrupted."""
    for line in suggestions(home.configuration, home.url, home.api_token, os.environ):
        typer.echo(line)
    while True:
        home.check()
        time.sleep(0.5)


def suggestions(configuration: Path, url: str, api_token: str, environ: Mapping[str, str]) -> Iterator[str]:
    """What the reader may try meanwhile: commands that can be pasted into any directory's shell, a line for each."""
    tracker = f"TRACKER_CONFIG={shlex.quote(str(configuration))} {myself(anywhere=True)}"
    yield ""
    yield "The tracker and the simulated provider stay up until Ctrl-C. In another terminal, try:"
    yield ""
    yield f"  {tracker} calls"
    yield f"  {tracker} inbox list"
    yield f"  {tracker} call +918919525999 --flow 24 --wait"
    yield ""
    yield f"  curl -H 'Authorization: Bearer {api_token}' '{url}/api/v1/calls?outcome=busy'"
    yield f"  curl -H 'Authorization: Bearer {api_token}' '{url}/api/v1/callbacks?state=unreadable'"
    yield ""
    if foreign := sorted(name for name in environ if name.startswith("TRACKER_") and "__" in name):
        yield f"Unset there first, for they go before the demo's configuration: {' '.join(foreign)}"
        yield ""
