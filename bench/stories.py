"""What one call leaves in the database, played by the program itself, to be copied many times by `bench.fill`.

A story is played once, over a small SQLite file, by the steps that every call goes through: placed, claimed, answered,
its callback received and joined. Then its rows are read back as they are stored. So what is filled cannot drift from
what the program writes; there is no second description of it.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

import structlog

from bench.plan import BRIDGE, FLOW, WORDS, PlannedCall, callback_body, provider_uuid
from tracker.domain.accounts import Account
from tracker.lifecycle.services import Services, build_services
from tracker.providers.base import HttpResponse
from tracker.store.engine.database import Database, inbox_path
from tracker.store.ids import new_id
from tracker.store.inbox import log, states
from tracker.store.schema import tables as t
from tracker.store.schema import upgrade

ACCOUNT: Final = "thundersms"
#: the stories beside one for each word of the provider: accepted and nothing heard yet; refused
QUEUED: Final = "queued"
REJECTED: Final = "rejected"
STORIES: Final = (QUEUED, REJECTED, *WORDS)

#: what a call writes to, parents before children
TABLES: Final = tuple(
    table
    for table in t.metadata.sorted_tables
    if table.name not in ("pace", "settings", "workers", "counts", "positions", "inbox_removals")
)

#: the one call that all stories are about. Nothing of it may occur by chance anywhere else in a row, and all of it is
#: as long as that of any other call, for lengths are stored too
PLAYED: Final = PlannedCall(
    number=0,
    to="+919876500321",
    campaign="campaign-told",
    reference="reference-told",
    provider_id=f"{provider_uuid(-1)}:1",
    # the provider knows no fractions of a second: by them our own times are known
    at=datetime(2026, 1, 5, 6, 0, 0, 123456, tzinfo=UTC),
)
_DURATION_S: Final = 23
#: what is kept of the headers that `bench.load` sends
_HEADERS: Final = b"".join(
    line + b"\r\n"
    for line in (
        b"host: 127.0.0.1:8000",
        b"user-agent: GuzzleHttp/7",
        b"accept: application/json",
        b"content-type: application/json",
        b"authorization: Bearer ***",
    )
)


@dataclass(frozen=True, kw_only=True)
class Story:
    """The rows of one call by table, as SQLite stores them."""

    name: str
    rows: Mapping[str, list[dict[str, Any]]]


class _Clock:
    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


def account(base_url: str = "http://127.0.0.1:9/") -> Account:
    """The account of the bench, as a server gets it from its configuration."""
    return Account(
        name=ACCOUNT, base_url=base_url, allow_unsigned=True, bridge=BRIDGE, access_token="a-token-of-the-account",
        calls_per_second=1000.0,
    )  # fmt: skip


def quieten() -> None:
    """What the program logs while it plays is of no interest."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


@cache
def play(name: str) -> Story:
    """Play a story and read back what it left; once in a process."""
    with tempfile.TemporaryDirectory(prefix="tracker-bench-") as folder:
        path = Path(folder) / "story.db"
        database = Database(f"sqlite:///{path}")
        try:
            upgrade.prepare(database, create=True)
            perform(database, PLAYED, name)
        finally:
            database.close()
        return Story(name=name, rows=dict(_stored(path)))


def perform(database: Database, call: PlannedCall, name: str) -> str:
    """Have the program do all of a story for this call in this database; gives the call's id."""
    clock = _Clock(call.at)
    program = build_services(database, {ACCOUNT: account()}, clock)
    fields = {"to": call.to, "flow_id": FLOW, "campaign": call.campaign, "reference": call.reference}
    placed = program.placer.place(fields)
    claim = program.sender.claim(placed.submission)
    assert claim is not None, "the account's pace held the call back"
    clock.forward(seconds=1)
    program.sender.record_response(claim, _refusal() if name == REJECTED else _acceptance(call), call.at)
    if name in WORDS:
        clock.forward(seconds=60)
        receive(database, [callback_body(call, name, duration_s=_DURATION_S)], clock.now)
        join(program)
    return placed.call


def receive(database: Database, bodies: Sequence[bytes], at: datetime) -> None:
    """Callbacks with these bodies arrive; nobody has read them yet."""
    new = [
        log.NewCallback(
            id=new_id("cb"), account=ACCOUNT, lane=None, received_at=at, method="POST", path=b"/callbacks/thundersms",
            query=b"", headers=_HEADERS + b"content-length: %d\r\n" % len(body), body=body, size=len(body),
            remote="127.0.0.1", state=states.PENDING, reason=None, fingerprint=None,
        )
        for body in bodies
    ]  # fmt: skip
    for start in range(0, len(new), log.MOST_ROWS):
        log.append(database, new[start : start + log.MOST_ROWS])


def join(program: Services) -> None:
    """All that arrived is read."""
    while program.joiner.join_batch():
        pass


def _acceptance(call: PlannedCall) -> HttpResponse:
    """The provider's answer of the older generation."""
    said = {
        "id": call.provider_id, "mobile": call.to[1:], "charges": "0.5000", "customid": "", "customid1": "",
        "iso_code": None, "submitted_at": f"{call.at + timedelta(hours=5, minutes=30):%Y-%m-%d %H:%M:%S}",
    }  # fmt: skip
    return _reply(200, {"status": 200, "message": "1 numbers accepted for delivery.", "data": [said]})


def _refusal() -> HttpResponse:
    return _reply(422, {"status": "ERROR", "message": "Insufficient balance"})


def _reply(status: int, body: Mapping[str, Any]) -> HttpResponse:
    headers = (
        (b"server", b"nginx"), (b"content-type", b"application/json"), (b"cache-control", b"no-cache, private"),
    )  # fmt: skip
    return HttpResponse(status=status, headers=headers, body=json.dumps(body).encode())


def _stored(path: Path) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ATTACH DATABASE ? AS inbox_file", (str(inbox_path(path)),))
        connection.row_factory = sqlite3.Row
        for table in TABLES:
            counted = _counted(table.name)
            rows = [dict(row) for row in connection.execute(f'SELECT * FROM "{table.name}"')]
            if rows:
                yield table.name, [{k: v for k, v in row.items() if k not in counted} for row in rows]


def _counted(name: str) -> set[str]:
    """The columns whose values the database gives out itself."""
    table = t.metadata.tables[name]
    return {c.name for c in table.primary_key if c.type.python_type is int and c.name != "position"}
