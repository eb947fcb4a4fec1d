"""The demo's course: calls are placed one after the other, and looked at until nothing more happens."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from tracker.cli.demo.processes import House
from tracker.cli.demo.story import Part
from tracker.domain.time_text import iso

if TYPE_CHECKING:
    from tracker.cli.demo.api import Api
    from tracker.cli.demo.screen import Screen

Document = dict[str, Any]

#: seconds after which the demo tells what it has seen, and what is missing
LIMIT_S: Final = 90.0
#: more calls than the written story take longer to place
_LIMIT_PER_CALL_S: Final = 0.5
_BETWEEN_CALLS_S: Final = 0.15
_BETWEEN_LOOKS_S: Final = 0.25
#: requests to the tracker under way at once; one of them waits for an answer that never comes
_HANDS: Final = 4
#: seconds without news, after which a settled call is told as a whole
_QUIET_S: Final = 0.8
#: what a callback waits for that could be joined still
_PATIENCE_S: Final = 5.0


@dataclass(kw_only=True)
class Scene:
    """One call as far as it is known."""

    part: Part
    call: Document | None = None
    events: list[Document] = field(default_factory=list)
    #: the same request again was answered with the same call
    replayed: bool = False
    #: of the monotonic clock
    news_at: float = 0.0
    #: its timeline was told as a whole
    told: bool = False

    #: those that are joined to it, in the order of their receipt
    callbacks: list[Document] = field(default_factory=list)

    @property
    def settled(self) -> bool:
        return self.call is not None and bool(self.call["settled"])

    def is_quiet(self, now: float) -> bool:
        """Whether it is settled, and nothing has been heard of it for a while."""
        return self.settled and now - self.news_at > _QUIET_S


@dataclass(frozen=True, kw_only=True)
class Performance:
    """What the two processes said when nothing more happened."""

    scenes: Sequence[Scene]
    #: the tracker's inbox, each with its `request` as it came
    callbacks: Sequence[Document]
    #: what the simulated provider dialled and reported
    dialled: Sequence[Document]
    took_s: float


def perform(api: Api, house: House, parts: Sequence[Part], screen: Screen) -> Performance:
    """Places the calls and watches them; comes back when all is quiet, or when the limit is reached."""
    began = time.monotonic()
    limit = began + LIMIT_S + _LIMIT_PER_CALL_S * max(0, len(parts) - 24)
    scenes = [Scene(part=part) for part in parts]
    tomorrow = iso(datetime.now(UTC) + timedelta(days=1))
    to_place = deque(scenes)
    under_way: dict[Future[tuple[Document, bool]], Scene] = {}
    hands = ThreadPoolExecutor(_HANDS)
    try:
        while time.monotonic() < limit:
            if to_place and len(under_way) < _HANDS:
                scene = to_place.popleft()
                under_way[hands.submit(api.place, scene.part, tomorrow)] = scene
            for future in [f for f in under_way if f.done()]:
                scene = under_way.pop(future)
                scene.call, scene.replayed = future.result()
                scene.news_at = time.monotonic()
                screen.placed(scene)
            house.check()
            _look(api, scenes, screen)
            if not to_place and not under_way and all(s.told for s in scenes) and _is_over(api):
                break
            time.sleep(_BETWEEN_CALLS_S if to_place else _BETWEEN_LOOKS_S)
    finally:
        hands.shutdown(wait=False, cancel_futures=True)
    _look(api, scenes, screen, everything=True)
    callbacks = [api.callback(c["id"]) | c for c in api.callbacks()]
    return Performance(
        scenes=scenes, callbacks=callbacks, dialled=api.dialled(), took_s=time.monotonic() - began
    )


def _look(api: Api, scenes: Sequence[Scene], screen: Screen, *, everything: bool = False) -> None:
    """Reads what is new, shows it, and tells the calls as a whole with which nothing happens any more."""
    known = {call["id"]: call for call in api.calls()}
    now = time.monotonic()
    for scene in scenes:
        if scene.call is None or scene.call["id"] not in known:
            continue
        call = known[scene.call["id"]]
        if everything or not scene.events or call != scene.call:
            events = api.timeline(call["id"])
            if events != scene.events:
                scene.news_at = now
            scene.call, scene.events = call, events
    screen.grown(scenes)
    over = [s for s in scenes if s.call is not None and not s.told and (everything or s.is_quiet(now))]
    inbox = api.callbacks() if over else []
    for scene in over:
        scene.told, scene.callbacks = True, [c for c in inbox if c["call"] == (scene.call or {})["id"]]
        screen.told(scene)


def _is_over(api: Api) -> bool:
    """Whether the provider has reported everything and the tracker has read it all."""
    if not api.provider_is_idle():
        return False
    until = time.monotonic() + _PATIENCE_S
    while any(c["state"] in ("pending", "orphaned") for c in api.callbacks()):
        if time.monotonic() > until:
            return True
        time.sleep(_BETWEEN_LOOKS_S)
    return True
