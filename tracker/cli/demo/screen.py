"""What the demo shows: on a terminal the calls under way, redrawn, with finished timelines above; elsewhere lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.constrain import Constrain
from rich.live import Live
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from tracker.cli import rendering
from tracker.cli.demo.performance import Scene
from tracker.cli.demo.receipts import notes
from tracker.cli.terminal import console, show
from tracker.cli.unbroken import Words

#: lines of a terminal that are left to finished timelines
_LEFT_ABOVE: Final = 8
#: columns of a line that is only there to divide
_WIDEST_RULE: Final = 100


class Screen:
    """Shows nothing: for --json."""

    def say(self, text: str = "", style: str = "") -> None:
        """A sentence for the reader."""

    def placed(self, scene: Scene) -> None:
        """A call was placed."""

    def grown(self, scenes: Sequence[Scene]) -> None:
        """What is known of all calls now."""

    def told(self, scene: Scene) -> None:
        """One call's timeline as a whole, for nothing more happens to it."""


class Lines(Screen):
    """Adds below: for pipes and logs."""

    def __init__(self) -> None:
        self._seen: dict[int, set[str]] = {}
        #: an empty line stands above
        self._apart = False

    def say(self, text: str = "", style: str = "") -> None:
        _show(Words(text=text, style=style))
        self._apart = not text

    def placed(self, scene: Scene) -> None:
        self.say(f"{_name(scene)}  placed: {scene.part.title}")

    def grown(self, scenes: Sequence[Scene]) -> None:
        for scene in scenes:
            seen = self._seen.setdefault(scene.part.position, set())
            new = [e for e in scene.events if e["id"] not in seen]
            seen |= {e["id"] for e in new}
            if words := _words(new):
                self.say(f"{_name(scene)}    {' → '.join(words)}", "dim")

    def told(self, scene: Scene) -> None:
        if not self._apart:
            self.say()
        _show(_whole(scene))
        self._apart = True


class Redrawn(Screen):
    """Redraws the calls under way below the finished timelines."""

    def __init__(self, out: Console, live: Live) -> None:
        self._out, self._live = out, live

    def say(self, text: str = "", style: str = "") -> None:
        self._out.print(Text(text, style), soft_wrap=True)

    def grown(self, scenes: Sequence[Scene]) -> None:
        waiting = [s for s in scenes if s.call is not None and not s.told]
        told = sum(s.told for s in scenes)
        room = max(self._out.height - _LEFT_ABOVE, 3)
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        for scene in waiting[-room:]:
            words = Text(" → ".join(_words(scene.events)) or "placed", rendering.style_of(scene.call or {}))
            table.add_row(Text(_name(scene), "bold"), words)
        left = len(scenes) - told - len(waiting)
        count = Text(f"{told} settled, {len(waiting)} under way, {left} to come", "dim")
        self._live.update(Group(Rule(style="dim"), table, count), refresh=True)

    def told(self, scene: Scene) -> None:
        self._out.print(_whole(scene), crop=False)


@contextmanager
def screen(*, visible: bool) -> Iterator[Screen]:
    """The screen that fits where standard output goes."""
    out = console()
    if not visible:
        yield Screen()
    elif out.is_terminal and not out.is_dumb_terminal:
        with Live(console=out, auto_refresh=False, transient=True) as live:
            yield Redrawn(out, live)
    else:
        yield Lines()


def _name(scene: Scene) -> str:
    return f"#{scene.part.position:02} +{scene.part.number}"


def _words(events: Sequence[Mapping[str, Any]]) -> list[str]:
    """The statuses that these events give, and what was warned of."""
    words = [str(e["status"] if e["type"] == "status" else e["type"]) for e in events]
    return [word for word in words if word not in ("decision", "detail")]


def _whole(scene: Scene) -> RenderableType:
    """One call's timeline under its title, with an empty line below."""
    call = scene.call or {}
    title = Text(f"#{scene.part.position:02}  {scene.part.title}")
    repeats = {c["id"]: c["repeats"] for c in scene.callbacks}
    told = notes(call, scene.events, scene.callbacks)
    return Group(
        Constrain(Rule(title, align="left", style="dim"), _WIDEST_RULE),
        rendering.header(call),
        rendering.timeline(call, scene.events, repeats=repeats),
        *(Text(f"{'':9}{note}", "italic") for note in told),
        Text(),
    )


def show_summary(summary: Mapping[str, Any]) -> None:
    """The summary for people: what was counted, and the verdict."""
    calls, callbacks, provider = summary["calls"], summary["callbacks"], summary["provider"]
    state = callbacks["by_state"]
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    rows = (
        ("calls", f"{calls['settled']} of {calls['asked_for']} settled: {_listed(calls['by_status'])}"),
        ("reasons", _listed(calls["by_reason"])),
        ("callbacks", f"{callbacks['received']} received: {_listed(state)}"),
        ("matched by", _listed(callbacks["matched_by"])),
        ("came as", _listed(callbacks["forms"])),
        (
            "among them",
            f"{callbacks['repeats']} repeats, {callbacks['early']} before the provider's answer, "
            f"{callbacks['without_id']} without an id, {callbacks['out_of_order']} overtaken, "
            f"{callbacks['in_another_zone']} in another time zone",
        ),
        ("unreadable", "; ".join(f"{c['id']}: {c['reason']}" for c in callbacks["unreadable"]) or "none"),
        (
            "sending",
            f"{calls['sent_again_after_429']} sent again after a 429, {calls['without_clear_answer']} without a clear "
            f"answer, {calls['requests_repeated_safely']} request repeated without a second call",
        ),
        (
            "the provider",
            f"accepted {provider['calls_accepted']} calls, {provider['accepted_twice']} of them twice; its records "
            f"agree with {provider['outcomes_that_agree']} outcomes; {provider['callbacks_answered_200']} callbacks "
            "were answered 200",
        ),
    )
    for name, told in rows:
        table.add_row(name, told)
    title = Rule("Summary of what was simulated", align="left")
    _show(Constrain(title, _WIDEST_RULE), table, Text())
    _show(Text(summary["verdict"], "bold green" if summary["complete"] else "bold red"))
    for sentence in summary["missing"]:
        _show(Text(f"  not seen: {sentence}", "red"))


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {word}" for word, n in counts.items()) or "none"


def _show(*renderables: RenderableType) -> None:
    """On standard output; a story is for people, so it is wrapped through a pipe too."""
    show(*renderables, width=console().width)
