"""Promise: answered means stored, also beside poison.

Callbacks come in batches, are stored in groups and joined in batches. One that cannot be stored or joined, whatever is
in it, costs only itself: the good ones beside it are answered, joined, and their timelines come out right.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests import oracle
from tests.lifecycle.house import House
from tests.processes import SECRET, Processes, eventually
from tests.recording_provider import RecordingProvider
from tracker.lifecycle.receiving.inbox_writer import InboxWriter
from tracker.providers.thundersms.call_report import parse_call_report
from tracker.store.ids import new_id
from tracker.store.inbox.log import NewCallback, pack_headers

DEEP = 100_000
#: how a reason begins where we stumbled ourselves
MISTAKES = ("our own error", "internal error")
#: each is what a request brings: its body, and whatever else is unusual about it
POISONS: dict[str, dict[str, Any]] = {
    "empty": {"body": b""},
    "NUL": {"body": b'{"id": "a\\u0000b", "status": "BU\\u0000SY", "to": "\\u0000"}'},
    "raw NUL": {"body": b'{"id": "a\x00b"}'},
    "lone surrogates": {"body": b'{"id": "\\ud800", "status": "\\udfff", "mid": "\\ud800\\ud800"}'},
    "invalid UTF-8": {"body": b'{"id": "\xff\xfe\xc3", "status": "\xa0"}'},
    "huge integers": {"body": b'{"id": 1%s, "duration": 9%s, "to": 9%s}' % (b"0" * 5000, b"9" * 400, b"1" * 30)},
    "not numbers": {"body": b'{"duration": NaN, "charges": 1e999, "to": -Infinity}'},
    "absurd dates": {
        "body": b'{"status": "BUSY", "start_at": "9999-99-99 99:99:99", "end_at": "-0001-01-01 00:00:00"}'
    },
    "the last of years": {"body": b'{"status":"BUSY","start_at":"9999-12-31 23:59:59","end_at":99999999999999999999}'},
    "deep lists": {"body": b"[" * DEEP + b"]" * DEEP},
    "deep objects": {"body": b'{"a":' * DEEP + b"1" + b"}" * DEEP},
    "a megabyte of ids": {"body": b"{%s}" % b",".join(b'"id%d": "i%d"' % (n, n) for n in range(45_000))},
    "a list of ids": {"body": json.dumps({"id": [f"id-{n}" for n in range(60_000)]}).encode()},
    "a megabyte of references": {
        "body": json.dumps([{"custom": f"sub_{n:026}"} for n in range(18_000)]).encode(),
    },
    "one key a thousand times": {"body": b"{%s}" % b",".join(b'"id": "same"' for _ in range(1000))},
    "a long id": {"body": json.dumps({"id": "i" * 900_000, "status": "s" * 100_000}).encode()},
    "a long word": {"body": json.dumps({"status": "\U0001f4a5" * 20_000, "to": "918919525224"}).encode()},
    "keys of nobody's": {"body": b'{"": "", "\\u0000": 1, "__proto__": {"x": 1}, "id": {"id": {"id": null}}}'},
    "a form": {
        "body": b"id=%00%ff%zz&status=%ED%A0%80&to=&&&=&" * 300,
        "headers": ((b"content-type", b"application/x-www-form-urlencoded"),),
    },
    "a multipart that ends in the middle": {
        "body": b'--x\r\nContent-Disposition: form-data; name="id\x00"\r\n\r\n\xff',
        "headers": ((b"content-type", b"multipart/form-data; boundary=x"),),
    },
    "a charset that is none": {
        "body": b'{"id": "x"}',
        "headers": ((b"content-type", b"application/json; charset=\xff\x00no"),),
    },
    "headers that are no text": {
        "body": b'{"id": "x"}',
        "headers": ((b"x-\xff", b"\xff\xfe\x80"), (b"content-type", b"\x80\x81")),
    },
    "a path that is no text": {"path": b"/callbacks/thundersms/\xff\xfe", "body": b"{}"},
    "a query that is no text": {"query": b"id=%00&status=%ff&\xff=\xfe&" * 50, "body": b""},
    "a lane that is no text": {"lane": "\ufffd" * 300, "body": b'{"status": "BUSY", "to": "918919525224"}'},
}  # fmt: skip


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    with closing(House(database_url, "http://127.0.0.1:9/")) as opened:
        yield opened


@pytest.fixture
def calls(house: House, provider: RecordingProvider) -> dict[str, str]:
    """Some calls that were accepted: by the provider's id."""
    house.with_account(base_url=provider.base_url)
    return {house.provider_id(call): call for call in (house.place(f"+9189195252{n:02}") for n in range(4))}


def request(house: House, *, body: bytes, **more: Any) -> NewCallback:
    given: dict[str, Any] = {
        "lane": None, "path": b"/callbacks/thundersms", "query": b"",
        "headers": ((b"content-type", b"application/json"),), **more,
    }  # fmt: skip
    given["headers"] = pack_headers(given["headers"])
    return NewCallback(
        id=new_id("cb"), account="thundersms", received_at=house.clock(), method="POST", body=body, size=len(body),
        remote="127.0.0.1", state="pending", reason=None, fingerprint=None, **given,
    )  # fmt: skip


_STORED = "select i.id, b.state, b.reason, i.body, i.path, i.query from inbox i left join callbacks b on b.id = i.id"


def good(house: House, id: str, word: str = "BUSY") -> NewCallback:
    return request(
        house, body=json.dumps({"id": id, "status": word, "end_at": "2026-03-02 10:00:09"}).encode()
    )


def put(house: House, group: Sequence[NewCallback]) -> list[BaseException | None]:
    """All of them at once through the inbox, as the door puts them in; what each was told."""

    async def work() -> list[BaseException | None]:
        box = InboxWriter(house.database)
        box.start()
        told = await asyncio.gather(*(box.submit(new, timeout_s=30) for new in group), return_exceptions=True)
        await box.stop()
        return list(told)

    return asyncio.run(work())


def holds(house: House, group: Sequence[NewCallback]) -> None:
    """Every one is stored as it came, read, and the database says what it has to."""
    stored = house.database.read(lambda c: c.execute(sa.text(_STORED)).all())
    by_id = {row.id: row for row in stored}
    for new in group:
        row = by_id[new.id]
        assert (bytes(row.body), bytes(row.path), bytes(row.query)) == (new.body, new.path, new.query)
        assert row.state != "pending"
        assert row.state == "joined" or row.reason
        assert not any(ours in (row.reason or "") for ours in MISTAKES)
    assert oracle.find_differences(house.database, house.program.accounts) == []


def test_whatever_is_in_one_of_them_the_others_come_through(house: House, calls: dict[str, str]) -> None:
    """All poisons at once, each between two good ones."""
    group = []
    for n, poison in enumerate(POISONS.values()):
        id = list(calls)[n % len(calls)]
        group += [request(house, **poison), good(house, id)]
    assert set(put(house, group)) == {None}
    house.join()
    holds(house, group)
    for call in calls.values():
        assert house.timeline(call).outcome == "busy"


BODIES = st.one_of(
    st.binary(max_size=200),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers(-(10**40), 10**40) | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["id", "status", "to", "start_at", "end_at", "duration", "mid", "custom", "payload"])
            | st.text(max_size=5),
            inner,
            max_size=6,
        ),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode()),
    st.builds(
        lambda **fields: json.dumps(fields).encode(),
        status=st.sampled_from(["BUSY", "ANSWER", "\x00", "\ud800", "", None]),
        to=st.sampled_from(["918919525200", "918919525201", 918919525202, "0", "\ud800", 10**30]),
        start_at=st.sampled_from(["2026-03-02 10:00:00", "0000-00-00 00:00:00", "9999-12-31 23:59:59", 0, -1, 1e300]),
        end_at=st.sampled_from(["2026-03-02 10:00:09", "1969-12-31", "2100-01-01 00:00:00+99:99", None]),
        duration=st.sampled_from([0, -5, "1:2:3", 10**20, "9" * 9, float("nan"), True]),
        mid=st.text(max_size=5),
    ),
)  # fmt: skip
REQUESTS = st.fixed_dictionaries(
    {"body": BODIES},
    optional={
        "query": st.binary(max_size=60),
        "path": st.binary(max_size=30).map(lambda rest: b"/callbacks/thundersms/" + rest),
        "lane": st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20),
        "headers": st.lists(
            st.tuples(
                st.sampled_from([b"content-type", b"x"]),
                st.sampled_from(
                    [
                        b"application/json",
                        b"application/x-www-form-urlencoded",
                        b"multipart/form-data; boundary=x",
                        b"",
                    ]
                )
                | st.binary(max_size=20).map(lambda v: v.replace(b"\r", b"").replace(b"\n", b"")),
            ),
            max_size=3,
        ).map(tuple),
    },
)


@settings(
    max_examples=30,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
@given(unheard_of=st.lists(REQUESTS, min_size=1, max_size=12), word=st.sampled_from(["BUSY", "NOANSWER"]))
def test_anything_at_all_among_good_ones(
    house: House, calls: dict[str, str], unheard_of: list[dict[str, Any]], word: str
) -> None:
    group = [request(house, **one) for one in unheard_of]
    sound = [good(house, id, word) for id in calls]
    mixed = [*group, *sound]
    mixed.sort(key=lambda new: new.body[-8:])
    assert set(put(house, mixed)) == {None}
    house.join()
    holds(house, mixed)
    for new in sound:
        assert house.standing(new.id).state == "joined"


def test_one_that_even_the_database_refuses_is_told_so_and_the_others_are_stored(
    house: House, calls: dict[str, str]
) -> None:
    """A mistake of ours lets something through that no column takes."""
    bad = [request(house, body=b"{}", lane="a\x00b"), request(house, body=b"{}", lane="\ud800")]
    sound = [good(house, id) for id in calls]
    told = put(house, [sound[0], bad[0], *sound[1:3], bad[1], sound[3]])
    for n in (0, 2, 3, 5):
        assert told[n] is None
    house.join()
    holds(house, sound)


def test_one_that_our_reading_stumbles_over_does_not_stop_the_others(
    house: House, calls: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Any = parse_call_report

    def stumble(fields: Any, **more: Any) -> Any:
        if "stumble" in fields.names:
            raise RecursionError("a mistake of ours")
        return real(fields, **more)

    monkeypatch.setattr("tracker.providers.thundersms.callback.parse_call_report", stumble)
    bad = request(house, body=b'{"stumble": 1, "id": "x"}')
    sound = [good(house, id) for id in calls]
    assert set(put(house, [sound[0], bad, *sound[1:]])) == {None}
    house.join()
    standing = house.standing(bad.id)
    assert standing.state == "unreadable"
    assert "RecursionError" in (standing.reason or "")
    for new in sound:
        assert house.standing(new.id).state == "joined"


def test_poison_on_the_wire(database_url: str, tmp_path: Path, provider: RecordingProvider) -> None:
    """Through a real server's door, byte for byte, over a connection each; a good one after every one."""
    with closing(House(database_url, provider.base_url)) as house:
        call = house.place()
        id = house.provider_id(call)
    answers: dict[str, bytes] = {}
    with Processes(tmp_path, database_url, provider.base_url) as processes:
        server = processes.serve()
        for name, poison in POISONS.items():
            answers[name] = _exchange(server.url, poison)
            assert b" 200 " in _exchange(
                server.url, {"body": json.dumps({"id": id, "status": "BUSY", "marker": name}).encode()}
            )
        with server.client() as client:
            eventually(
                lambda: client.get("/statusz").json()["callbacks"]["pending"] == 0,
                "everything should be read",
            )
        assert server.terminate() == 0
        assert "Traceback" not in server.output()
    # what is no HTTP is refused by the server's parser; all else is answered 200 and kept
    statuses = {name: int(answer.split(b" ", 2)[1]) for name, answer in answers.items()}
    no_http = {
        "a path that is no text",
        "a query that is no text",
        "headers that are no text",
        "a charset that is none",
    }
    assert {name for name, status in statuses.items() if status != 200} <= no_http, statuses
    assert set(statuses.values()) <= {200, 400}
    with closing(House(database_url, provider.base_url)) as house:
        assert house.timeline(call).outcome == "busy"
        rows = house.database.read(lambda c: c.execute(sa.text("select state, reason from callbacks")).all())
        assert len(rows) == len(POISONS) + sum(status == 200 for status in statuses.values())
        assert not [row for row in rows if any(ours in (row.reason or "") for ours in MISTAKES)]
        assert oracle.find_differences(house.database, house.program.accounts) == []


def _exchange(url: str, poison: dict[str, Any]) -> bytes:
    where = urlsplit(url)
    path = poison.get("path", b"/callbacks/thundersms")
    if "lane" in poison:
        path += b"/" + quote(poison["lane"]).encode()
    if query := poison.get("query"):
        path += b"?" + query
    headers = poison.get("headers", ((b"content-type", b"application/json"),))
    lines = [
        b"POST " + path + b" HTTP/1.1", b"Host: x", b"Connection: close", b"Authorization: Bearer " + SECRET.encode(),
        b"Content-Length: %d" % len(poison["body"]), *(name + b": " + value for name, value in headers),
    ]  # fmt: skip
    with socket.create_connection((where.hostname or "", where.port or 0), timeout=30) as wire:
        wire.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + poison["body"])
        answer = b""
        while more := wire.recv(65536):
            answer += more
    return answer
