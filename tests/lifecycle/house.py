"""The whole program over one database, without a server: what a test of the flow needs, said shortly."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.inbox import new_callback
from tracker.domain.accounts import Account
from tracker.domain.events import Event
from tracker.domain.timeline.fold import Timeline, fold
from tracker.lifecycle.joining.loop import JoinerThread
from tracker.lifecycle.sending.claim import Claim
from tracker.lifecycle.sending.send import Sender
from tracker.lifecycle.services import build_services
from tracker.store.calls.calls import lock_calls
from tracker.store.calls.events import load_events
from tracker.store.calls.submissions import find_submissions
from tracker.store.engine.database import Database
from tracker.store.inbox import log, states
from tracker.store.schema import upgrade
from tracker.worker import Worker

NUMBER = "+918919525224"
BRIDGE = "918068280000"


class SettableClock:
    """The system's time, and whatever was added to it."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def forward(self, **by: float) -> None:
        self.ahead += timedelta(**by)


class House:
    def __init__(self, database_url: str, base_url: str, **account: Any) -> None:
        self.database = Database(database_url)
        upgrade.prepare(self.database, create=True)
        given = {"calls_per_second": 1000.0, "access_token": "a-token-of-the-account", **account}
        self.account = Account(
            name="thundersms", base_url=base_url, allow_unsigned=True, bridge=BRIDGE, **given
        )
        self.clock = SettableClock()
        self.program = build_services(self.database, {"thundersms": self.account}, self.clock)

    def close(self) -> None:
        self.database.close()

    def with_account(self, **changes: Any) -> None:
        """The same house with another configuration of the account."""
        self.account = replace(self.account, **changes)
        self.program = build_services(self.database, {"thundersms": self.account}, self.clock)

    def with_sender(self, **options: Any) -> None:
        """Give the program a sender with other options."""
        program = self.program
        sender = Sender(self.database, program.accounts, program.joiner, self.clock, **options)
        self.program = replace(program, sender=sender)

    def place(self, to: str = NUMBER, *, send: bool = True, **fields: Any) -> str:
        """Place a call, and send it; gives its id."""
        placed = self.program.placer.place({"to": to, "flow_id": "24", **fields})
        if send:
            self.submit(placed.submission)
        return placed.call

    def claim(self, **fields: Any) -> tuple[str, Claim]:
        """Place a call and claim its submission; return the call's id and the claim."""
        call = self.place(send=False, **fields)
        claim = self.program.sender.claim(self.submissions(call)[0].id)
        assert claim is not None
        return call, claim

    def submit(self, submission: str) -> None:
        asyncio.run(self.program.sender.submit(submission))

    def submissions(self, call: str) -> list[Any]:
        return self.database.read(lambda c: find_submissions(c, [call]))

    def provider_id(self, call: str) -> str:
        id: str | None = self.submissions(call)[-1].submission_id
        assert id is not None
        return id

    def receive(self, fields: dict[str, Any] | bytes, *, lane: str | None = None, join: bool = True) -> str:
        """A callback arrives; gives its id."""
        body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
        id = self.receive_at(body, self.clock(), lane=lane)
        if join:
            self.join()
        return id

    def receive_at(self, body: bytes, received_at: datetime, *, lane: str | None = None) -> str:
        """A callback is stored, and not read yet."""
        new = new_callback(body, lane=lane, received_at=received_at)
        log.append(self.database, [new])
        return new.id

    def worker(self) -> Worker:
        """Return a worker over this house, with its joiner in a thread."""
        return Worker(self.program, JoinerThread(self.program.joiner))

    def join(self) -> None:
        while self.program.joiner.join_batch():
            pass

    def standing(self, callback: str) -> states.MatchState:
        return self.database.read(lambda c: states.match_states(c, [callback]))[callback]

    def events(self, call: str) -> list[Event]:
        found = self.database.read(lambda c: load_events(c, [call]))[call]
        return list(self.timeline(call).events) if found else []

    def timeline(self, call: str) -> Timeline:
        """Folded anew, and held against the cache."""

        def work(c: Any) -> Timeline:
            locked = lock_calls(c, [call])
            events = [e for e, withdrawn in load_events(c, [call])[call] if not withdrawn]
            return fold(events, interval=locked[call].interval or 0)

        return self.database.write(work)

    def statuses(self, call: str) -> list[str]:
        return [e.status.value for e in self.events(call) if e.status]

    def default_push(
        self, word: str, *, to: str = NUMBER, ago_s: float = 1, length_s: float = 10, **more: Any
    ) -> dict[str, Any]:
        """The provider's default callback, which names no submission; its times are Indian."""
        end = self.clock() - timedelta(seconds=ago_s) + timedelta(hours=5, minutes=30)
        start = end - timedelta(seconds=length_s)
        return {
            "bridge": int(BRIDGE), "from": 918919520002, "to": int(to.lstrip("+")), "source": "OBD",
            "mid": "1234-1333-00004", "flow_id": 24, "start_at": f"{start:%Y-%m-%d %H:%M:%S}",
            "end_at": f"{end:%Y-%m-%d %H:%M:%S}", "duration": "0", "status": word, "recording_url": "", **more,
        }  # fmt: skip
