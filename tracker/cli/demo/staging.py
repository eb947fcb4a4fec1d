"""The demo from its first sentence to the removal of what it made."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from pathlib import Path

import typer

from tracker.cli.demo.api import Api
from tracker.cli.demo.performance import perform
from tracker.cli.demo.processes import House, house
from tracker.cli.demo.screen import screen, show_summary
from tracker.cli.demo.signals import Interrupted, Signals
from tracker.cli.demo.story import cast, simulator_flags
from tracker.cli.demo.summary import summarise
from tracker.cli.terminal import print_json


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
    if json:
        print_json(summary)
    else:
        show_summary(summary)
    return bool(summary["complete"])


def _stay(home: House) -> None:
    """Leaves the tracker up for the reader, until Interrupted."""
    bearer = f'-H "Authorization: Bearer {home.api_token}"'
    number = "+918919525999"
    wish = f'{{"to": "{number}", "flow_id": "24"}}'
    command = f"TRACKER_CONFIG={shlex.quote(str(home.configuration))} {_command()}"
    lines = (
        "",
        "The tracker and the simulated provider stay up until Ctrl-C. Try:",
        "",
        f'  curl {bearer} "{home.url}/api/v1/calls?outcome=busy"',
        f"  curl {bearer} {home.url}/api/v1/calls -H 'Content-Type: application/json' -d '{wish}'",
        f"  {command} calls",
        f"  {command} inbox",
        "",
        f"API    {home.url}/api/v1",
        f"token  {home.api_token}",
    )
    for line in lines:
        typer.echo(line)
    while True:
        home.check()
        time.sleep(0.5)


def _command() -> str:
    """How this reader can start tracker."""
    script = Path(__file__).resolve().parents[3] / "scripts" / "tracker"
    if shutil.which("tracker"):
        return "tracker"
    if script.exists():
        return shlex.quote(os.path.relpath(script))
    return f"{shlex.quote(sys.executable)} -m tracker"
