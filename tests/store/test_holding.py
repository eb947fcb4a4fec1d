"""Whether a join still holds: one question for a batch, with the answer that the single questions give."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.store.plans import plans_of
from tests.store.test_indexes import fill
from tracker.domain.matching.ids import id_key
from tracker.lifecycle.joining.match_context import numbers_waited_for
from tracker.store.calls import records
from tracker.store.engine.database import Connection, Database
from tracker.store.inbox import match_queries, preconditions, states
from tracker.store.inbox.preconditions import Claim, Known
from tracker.store.schema import tables as t
from tracker.store.schema import upgrade

AT = datetime(2026, 3, 2, 10, 57, 40, tzinfo=UTC)
SECOND = timedelta(seconds=1)
OURS, OTHERS = "ours", "others"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    upgrade.prepare(database, create=True)
    yield database
    database.close()


def call(n: int, **more: Any) -> dict[str, Any]:
    nothing = dict.fromkeys(["next_attempt_at", "recording_url", "dtmf"])
    return nothing | {
        "id": f"call_{n:03}", "account": OURS, "to": number(n), "bridge": "1", "variables": {}, "notes": {},
        "created_at": AT, "status": "queued", "settled": False, "disputed": False, "attempts": 1,
        "cancel_requested": False, "updated_at": AT, **more,
    }  # fmt: skip


def submission(n: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"sub_{n:03}", "call_id": f"call_{n:03}", "account": OURS, "to": number(n), "bridge": "1", "interval": 0,
        "number": 1, "trigger": "first", "provider_id": key(n), "provider_key": key(n), "provider_base": key(n),
        "status": "queued", "refused": False, "tries": 1, "requested_at": AT, "created_at": AT, **more,
    }  # fmt: skip


def event(n: int, which: int) -> dict[str, Any]:
    return {
        "id": f"ev_{n:03}_{which}", "call_id": f"call_{n:03}", "key": str(which), "attempt": 1, "dial": "",
        "type": "status", "at": AT, "at_source": "tracker", "recorded_at": AT, "source": "sender", "detail": {},
        "withdrawn": False,
    }  # fmt: skip


def callback(id: str, **more: Any) -> dict[str, Any]:
    return {"loose_number": None} | {
        "id": id, "account": OURS, "received_at": AT, "method": "POST", "path": b"/", "query": b"", "headers": b"",
        "body": b"{}", "size": 2, "looks": 0, "state": "pending", **more,
    }  # fmt: skip


def number(n: int) -> str:
    return f"+91891952{n:04}"


def key(n: int) -> str:
    return f'ä"\\-{n}:1'


def claim(n: int) -> Claim:
    return Claim(f"cb_{n:03}", key(n), f"sub_{n:03}", f"call_{n:03}", number(n), AT)


World = dict[sa.Table, list[dict[str, Any]]]


def accepted(n: int) -> World:
    """A call that was accepted, and its callback."""
    return {
        t.calls: [call(n)],
        t.submissions: [submission(n)],
        t.events: [event(n, which) for which in range(3)],
        t.callbacks: [callback(f"cb_{n:03}")],
    }


def sets(table: sa.Table, **values: Any) -> Callable[[int, World], object]:
    return lambda n, world: world[table][0].update(values)


def adds(table: sa.Table, row: Callable[[int], dict[str, Any]]) -> Callable[[int, World], object]:
    return lambda n, world: world[table].append(row(n))


def goes(*tables: sa.Table) -> Callable[[int, World], object]:
    return lambda n, world: world.update({table: [] for table in tables})


def waits(**more: Any) -> Callable[[int, World], object]:
    row = {"state": "orphaned", "received_at": AT + SECOND, **more}
    return adds(t.callbacks, lambda n: callback(f"cb_{n:03}_loose", **{"loose_number": number(n), **row}))


def again(account: str, key_of: Callable[[int], str] = key) -> Callable[[int, World], object]:
    return adds(
        t.submissions,
        lambda n: submission(n, id=f"sub_{n:03}_b", number=2, account=account, provider_key=key_of(n)),
    )


#: what may have happened meanwhile
STILL: dict[str, Callable[[int, World], object]] = {
    "nothing": lambda n, world: None,
    "the id names one of another account, too": again(OTHERS),
    "the call has another submission": again(OURS, lambda n: f"another-{n}"),
    "nothing is recorded, as an empty text": sets(t.calls, recording_url="", dtmf=""),
    "one that no id has joined came before": waits(received_at=AT - SECOND),
    "one that no id has joined waits in another account": waits(account=OTHERS),
    "one that no id has joined waits for another number": waits(loose_number="+15550100"),
    "another callback came": adds(t.callbacks, lambda n: callback(f"cb_{n:03}_b")),
}
NO_MORE: dict[str, Callable[[int, World], object]] = {
    "the callback was joined": sets(t.callbacks, state="joined", call_id="call_x"),
    "the callback is gone": goes(t.callbacks),
    "the id names two": again(OURS),
    "the id names another": lambda n, world: world[t.submissions][0].update(id=f"sub_{n:03}_b"),
    "the id names none": sets(t.submissions, provider_key=None),
    "the submission is another account's": sets(t.submissions, account=OTHERS),
    "the submission is gone": goes(t.submissions),
    "the call is gone": goes(t.calls, t.submissions, t.events),
    "the call was completed": sets(t.calls, status="completed"),
    "the call is settled": sets(t.calls, settled=True),
    "the call is disputed": sets(t.calls, disputed=True),
    "somebody wants it canceled": sets(t.calls, cancel_requested=True),
    "it is dialled again": sets(t.calls, next_attempt_at=AT),
    "it was attempted twice": sets(t.calls, attempts=2),
    "it was recorded": sets(t.calls, recording_url="https://example.com/1"),
    "keys were pressed": sets(t.calls, dtmf="1"),
    "something was heard of it": adds(t.events, lambda n: event(n, 3)),
    "an event is gone": lambda n, world: world[t.events].pop(),
    "no event is left": goes(t.events),
    "one that no id has joined waits": waits(),
    "one that no id has joined came at that very moment": waits(received_at=AT),
}
#: what SQLite says of reading the claims themselves
OF_CLAIMS = ("SCAN json_each VIRTUAL TABLE INDEX 1:", "SCAN j", "SCAN k")
MEANWHILE = STILL | NO_MORE


def fallen(c: Connection, claims: list[Claim]) -> set[str]:
    states.lock_joining(c)
    found = preconditions.fallen(c, preconditions.question_of_firsts(c, OURS, claims))
    assert found.calls == set()
    return found.receipts


def one_by_one(c: Connection, claims: list[Claim]) -> set[str]:
    """The same by a question for each thing."""
    still = states.still_pending(c, [f.receipt for f in claims])
    named: dict[str, list[str]] = {}
    for s in match_queries.submitted_by_keys(c, OURS, full={f.key for f in claims}):
        named.setdefault(id_key(s.provider_id or ""), []).append(s.id)
    loose = numbers_waited_for(c, OURS, claims)
    known = records.only_accepted_calls(c, records.lock(c, [f.call for f in claims]))
    return {
        f.receipt
        for f in claims
        if f.receipt not in still
        or named.get(f.key) != [f.submission]
        or f.call not in known
        or f.to in loose
    }


def after(database: Database, meanwhile: list[list[str]], ask: Callable[[Connection], Any]) -> Any:
    """What is asked of calls to each of which that happened; nothing of it is kept."""
    with database.engine.connect() as c, c.begin() as transaction:
        for n, happened in enumerate(meanwhile):
            world = accepted(n)
            for name in happened:
                MEANWHILE[name](n, world)
            for table, rows in world.items():
                for row in rows:
                    c.execute(table.insert(), row)
        found = ask(c)
        transaction.rollback()
    return found


def test_what_still_holds_and_what_does_not(database: Database) -> None:
    cases = list(MEANWHILE)
    claims = [claim(n) for n in range(len(cases))]
    found = after(database, [[name] for name in cases], lambda c: fallen(c, claims))
    assert {name for n, name in enumerate(cases) if f"cb_{n:03}" in found} == set(NO_MORE)


@given(st.lists(st.lists(st.sampled_from(sorted(MEANWHILE)), max_size=3, unique=True), max_size=8))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_question_has_the_answer_of_many(database: Database, meanwhile: list[list[str]]) -> None:
    apart = [happened for happened in meanwhile if _can_happen_together(happened)]
    claims = [claim(n) for n in range(len(apart))]

    def both(c: Connection) -> tuple[set[str], set[str]]:
        return fallen(c, claims), one_by_one(c, claims)

    mine, theirs = after(database, apart, both)
    assert mine == theirs


def _can_happen_together(happened: list[str]) -> bool:
    world = accepted(0)
    try:
        for name in happened:
            MEANWHILE[name](0, world)
    except IndexError:  # what is gone cannot change
        return False
    ids = [row["id"] for rows in world.values() for row in rows]
    of_calls = world[t.submissions] + world[t.events]
    return len(ids) == len(set(ids)) and all(row["call_id"] in ids for row in of_calls)


def test_what_came_before_the_first_request_of_a_batch_counts_for_none_of_it(database: Database) -> None:
    waiting = ["one that no id has joined waits"]

    def asked(*requested: datetime | None) -> set[str]:
        claims = [claim(n)._replace(requested_at=at) for n, at in enumerate(requested)]
        mine, theirs = after(database, [waiting] * 2, lambda c: (fallen(c, claims), one_by_one(c, claims)))
        assert mine == theirs
        return set(mine)

    after_it = AT + 2 * SECOND
    assert asked(AT, AT) == {"cb_000", "cb_001"}
    assert asked(after_it, AT) == {"cb_000", "cb_001"}
    assert asked(after_it, after_it) == set()
    assert asked(None, AT) == {"cb_001"}
    assert asked(None, None) == set()


def exchange(n: int) -> dict[str, Any]:
    return {
        "id": f"ask_{n:03}", "kind": "ask", "call_id": f"call_{n:03}", "submission_id": f"sub_{n:03}",
        "requested_at": AT, "answered_at": AT, "method": "GET", "url": "", "request_headers": b"", "request_body": b"",
        "status": 200, "reply_headers": b"", "reply_body": b"", "failure": None, "readings": [],
    }  # fmt: skip


def of(n: int, table: sa.Table) -> sa.ColumnElement[bool]:
    return (table.c.id if table is t.calls else table.c.call_id) == f"call_{n:03}"


#: what may have become known of a call meanwhile
MORE: dict[str, Callable[[int], sa.Executable]] = {
    "a callback of it was joined": lambda n: t.callbacks.insert().values(
        callback(f"cb_{n:03}_b", state="joined", call_id=f"call_{n:03}", submission_id=f"sub_{n:03}")
    ),
    "a callback of it was joined, and another one left": lambda n: (
        t.callbacks.update().where(t.callbacks.c.id == f"cb_{n:03}_a").values(id=f"cb_{n:03}_b")
    ),
    "the provider was asked": lambda n: t.exchanges.insert().values(exchange(n)),
    "it has another event": lambda n: t.events.insert().values(event(n, 3)),
    "an event is gone": lambda n: t.events.delete().where(t.events.c.id == f"ev_{n:03}_2"),
    "its cache is another": lambda n: (
        t.calls.update().where(of(n, t.calls)).values(updated_at=AT + timedelta(microseconds=1))
    ),
}
NO_MORE_OF_IT: dict[str, Callable[[int], sa.Executable]] = {
    "nothing": lambda n: sa.select(sa.literal(1)),
    "a callback came that is joined to nothing": lambda n: t.callbacks.insert().values(
        callback(f"cb_{n:03}_b")
    ),
    "another call was asked about": lambda n: t.exchanges.insert().values(
        {**exchange(n), "call_id": "call_999", "submission_id": "sub_999"}
    ),
}


def test_whether_more_is_known_of_a_call(database: Database) -> None:
    """However much is known of it: what counts is whether that is all."""
    cases = MORE | NO_MORE_OF_IT
    calls = {f"call_{n:03}": name for n, name in enumerate(cases)}
    with database.engine.connect() as c, c.begin() as transaction:
        for n in [*range(len(cases)), 999]:
            for table, rows in accepted(n).items():
                for row in rows:
                    c.execute(table.insert(), row)
            joined = {"state": "joined", "call_id": f"call_{n:03}", "submission_id": f"sub_{n:03}"}
            c.execute(t.callbacks.insert(), callback(f"cb_{n:03}_a", **joined))
        known = preconditions.known(c, calls)
        assert {(k.events, len(k.callbacks), k.exchanges) for k in known.values()} == {
            (3, len("cb_000_a"), 0)
        }
        claims = [claim(n) for n in range(len(cases))]
        question = preconditions.question_of_others(c, OURS, claims, list(known.values()))
        assert pickle.loads(pickle.dumps(question)) == question
        assert preconditions.fallen(c, question) == (set(), set())
        for n, happens in enumerate(cases.values()):
            c.execute(happens(n))
        found = preconditions.fallen(c, question)
        transaction.rollback()
    assert found.receipts == set()
    assert {calls[id] for id in found.calls} == set(MORE)


def test_nothing_is_known_of_a_call_that_is_not_there(database: Database) -> None:
    assert database.read(lambda c: preconditions.known(c, ["call_000"])) == {}
    assert database.read(lambda c: preconditions.known(c, [])) == {}


def test_what_claims_of_other_calls_hang_on(database: Database) -> None:
    """The same as of first callbacks, but for the call itself."""
    of_calls = {
        "the call was completed", "the call is settled", "the call is disputed", "somebody wants it canceled",
        "it is dialled again", "it was attempted twice", "it was recorded", "keys were pressed",
        "something was heard of it", "an event is gone", "no event is left",
    }  # fmt: skip
    cases = list(MEANWHILE)
    claims = [claim(n) for n in range(len(cases))]

    def ask(c: Connection) -> set[str]:
        states.lock_joining(c)
        known = preconditions.known(c, [f.call for f in claims])
        found = preconditions.fallen(
            c, preconditions.question_of_others(c, OURS, claims, list(known.values()))
        )
        return found.receipts

    found = after(database, [[name] for name in cases], ask)
    assert {name for n, name in enumerate(cases) if f"cb_{n:03}" in found} == set(NO_MORE) - of_calls


def test_nothing_to_ask_has_an_answer(database: Database) -> None:
    assert after(database, [], lambda c: fallen(c, [])) == set()


def test_a_question_can_be_sent_to_another_process(database: Database) -> None:
    question = database.read(lambda c: preconditions.question_of_firsts(c, OURS, [claim(0)]))
    assert pickle.loads(pickle.dumps(question)) == question


def test_it_looks_up_and_reads_nothing_whole(database_url: str) -> None:
    database = Database(database_url)
    upgrade.prepare(database, create=True)
    database.write(fill)

    def ask(c: Connection) -> None:
        fallen(c, [claim(0)])
        known = preconditions.known(c, ["call_000"]) or {"call_000": Known("call_000", None, 0, "", 0)}
        preconditions.fallen(c, preconditions.question_of_others(c, OURS, [claim(0)], list(known.values())))

    asked = plans_of(database, ask)
    lines = [line for plan in asked for line in plan.lines()]
    database.close()
    wrong = [
        line for line in lines if line.startswith(("SCAN", "Seq Scan", "Sort")) and line not in OF_CLAIMS
    ]
    assert wrong == []
    for index in (
        "ix_submissions_provider_key",
        "uq_events_call_key",
        "ix_callbacks_loose_number",
        "ix_callbacks_call",
        "ix_exchanges_call_id",
    ):
        assert any(plan.uses(index) for plan in asked), index
