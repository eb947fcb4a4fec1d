"""The timeline in README.md: `python -m tests.readme_picture` prints what `tracker show --utc` prints.

One call goes through the real program, whose clock is set by hand. The provider takes it, its callback comes twice and
names no submission, and the provider is asked at the end.
"""

from __future__ import annotations

import asyncio
import io
import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from tests.lifecycle.house import House, SettableClock
from tests.recording_provider import RecordingProvider, accepted, callstatus
from tracker.cli.commands.calls.call_documents import load_call_documents
from tracker.cli.output import timeline
from tracker.logs import configure_logs
from tracker.providers.base import HttpResponse
from tracker.store.read.callbacks import CallbackFilter, list_callbacks
from tracker.web.api.documents import Document, callback_document, plain

WIDTH = 100
ID = "70fa87e0-9df9-4327-bc80-a561c48703d8:1"
PLACED = datetime(2026, 3, 2, 10, 57, 40, tzinfo=UTC)


class StoppedClock(SettableClock):
    def __call__(self) -> datetime:
        return PLACED + self.ahead


@dataclass(frozen=True, kw_only=True)
class Told:
    """The documents of the interface at the end of the story."""

    call: Document
    events: list[Document]
    callbacks: list[Document]


def told() -> Told:
    """Tell the story. The ids are new ones every time."""
    with TemporaryDirectory() as folder, RecordingProvider() as provider:
        house = House(f"sqlite:///{Path(folder) / 'tracker.db'}", provider.base_url)
        try:
            call_id = _tell(house, provider)
            call, events = load_call_documents(house.database, call_id)
            page = house.database.read(lambda c: list_callbacks(c, CallbackFilter(call=call_id)))
            callbacks = [plain(callback_document(each)) for each in page.data]
        finally:
            house.close()
    return Told(call=call, events=events, callbacks=callbacks)


def picture(story: Told) -> str:
    """The story as `tracker show` shows it."""
    repeats = {c["id"]: c["repeats"] for c in story.callbacks}
    out = io.StringIO()
    console = Console(file=out, width=WIDTH, highlight=False, markup=False, emoji=False)
    console.print(timeline.render_header(story.call, utc=True))
    console.print(timeline.render_timeline(story.call, story.events, utc=True, repeats=repeats))
    # as on a pipe: no line ends with spaces
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _tell(house: House, provider: RecordingProvider) -> str:
    house.clock = StoppedClock()
    house.with_account()
    program, clock = house.program, house.clock
    placed = program.placer.place({"to": "+918919525224", "flow_id": "24", "reference": "order-42"})
    claim = program.sender.claim(placed.submission)
    assert claim is not None
    clock.forward(seconds=1)
    answer = HttpResponse(
        status=200, headers=((b"content-type", b"application/json"),), body=accepted(ID).body
    )
    program.sender.record_response(claim, answer, PLACED)
    push = json.dumps(
        {
            "bridge": 918068280000, "from": 918068280000, "to": 918919525224, "source": "OBD", "flow_id": 24,
            "mid": "1234-1333-00004", "start_at": "2026-03-02 16:27:46", "end_at": "2026-03-02 16:28:17",
            "duration": "23", "status": "ANSWER", "recording_url": "",
        }
    ).encode()  # fmt: skip
    house.receive_at(push, PLACED + timedelta(seconds=39))
    house.receive_at(push, PLACED + timedelta(minutes=30, seconds=40))
    house.join()
    clock.forward(minutes=31)
    record = {"start_at": "2026-03-02 10:57:46", "end_at": "2026-03-02 10:58:17", "status": "ANSWER"}
    provider.polls.append(callstatus({"id": ID, "mobile": "918919525224", "dtmf": "1", **record}))
    asyncio.run(program.poller.poll(placed.submission))
    return placed.call


if __name__ == "__main__":
    configure_logs(secrets=(), level="error")
    sys.stdout.write(picture(told()))
