"""Bodies that come in pieces, slowly, too long or never: on a real socket of a real server."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.processes import SECRET, Processes, Server, eventually

TOKEN = "the-validation-key-of-the-webhook"
MEBIBYTE = 1024 * 1024


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Behind a proxy that leaves the prefix of the public address where it is."""
    url = f"sqlite:///{tmp_path / 'tracker.db'}"
    with Processes(tmp_path, url, webhook_token=TOKEN) as processes:
        processes.environ["TRACKER_SERVER__PUBLIC_URL"] = "https://calls.example.com/voice"
        yield processes.serve("--no-worker")


def head(
    *lines: str, path: str = "/callbacks/thundersms", secret: str | None = SECRET, method: str = "POST"
) -> bytes:
    given = [f"{method} {path} HTTP/1.1", "Host: tracker", *lines]
    if secret is not None:
        given.append(f"Authorization: Bearer {secret}")
    return "\r\n".join([*given, "", ""]).encode()


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def answer(server: Server, *parts: bytes) -> tuple[int, dict[str, str], bytes]:
    """What is answered to these bytes, which may be no whole request."""
    url = httpx.URL(server.url)
    with socket.create_connection((url.host, url.port or 0), timeout=60) as wire:
        for part in parts:
            wire.sendall(part)
        with wire.makefile("rb") as coming:
            status = int(coming.readline().split()[1])
            lines = iter(lambda: coming.readline().decode().strip(), "")
            headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}
            method = parts[0].split()[0]
            return status, headers, b"" if method == b"HEAD" else coming.read(int(headers["content-length"]))


def inbox(server: Server) -> list[dict[str, Any]]:
    with server.client() as client:
        data: list[dict[str, Any]] = client.get("/api/v1/callbacks").json()["data"]
        return data


def body_of(server: Server, id: str) -> str:
    with server.client() as client:
        body: str = client.get(f"/api/v1/callbacks/{id}").json()["request"]["body"]
        return body


def test_a_body_in_chunks_is_put_together(server: Server) -> None:
    pieces = (chunk(b'{"status":'), chunk(b'"BUSY"}'), chunk(b""))
    status, _, body = answer(server, head("Transfer-Encoding: chunked"), *pieces)
    assert (status, body) == (200, b'{"ok":true}')
    (kept,) = inbox(server)
    assert (kept["size"], body_of(server, kept["id"])) == (17, '{"status":"BUSY"}')


def test_what_is_too_large_is_refused_before_it_is_there(server: Server) -> None:
    # none of the two ever ends: who waits for the rest, waits for ever
    many = (chunk(b"x" * MEBIBYTE), chunk(b"x"))
    status, headers, body = answer(server, head("Transfer-Encoding: chunked"), *many)
    assert (status, headers["connection"], json.loads(body)["status"]) == (413, "close", 413)
    declared = head(f"Content-Length: {MEBIBYTE + 1}", "Expect: 100-continue")
    status, headers, _ = answer(server, declared)
    assert (status, headers["connection"]) == (413, "close")
    assert inbox(server) == []


def test_of_a_stranger_only_the_beginning_is_read(server: Server) -> None:
    status, headers, _ = answer(server, head("Transfer-Encoding: chunked", secret=None), chunk(b"x" * 70_000))
    assert (status, headers["connection"]) == (401, "close")
    kept = eventually(lambda: inbox(server), "it is not in the quarantine")
    assert body_of(server, kept[0]["id"]) == "x" * 64 * 1024


def test_a_stranger_who_never_ends_is_not_waited_for(server: Server) -> None:
    status, headers, _ = answer(server, head("Content-Length: 100", secret="wrong"), b"some")
    assert (status, headers["connection"]) == (401, "close")
    kept = eventually(lambda: inbox(server), "it is not in the quarantine")
    assert (kept[0]["size"], body_of(server, kept[0]["id"])) == (4, "some")


@pytest.mark.parametrize("size", [10, 4096, 4097, 5000])
def test_a_stranger_whose_body_came_whole_but_in_a_chunk(server: Server, size: int) -> None:
    whole = chunk(b"x" * size) + chunk(b"")
    status, _, _ = answer(server, head("Transfer-Encoding: chunked", secret=None) + whole)
    assert status == 401
    kept = eventually(lambda: inbox(server), "it is not in the quarantine")
    assert body_of(server, kept[0]["id"]) == "x" * size


def test_a_handshake_in_chunks(server: Server) -> None:
    said = json.dumps({"validation_key": TOKEN, "challenge": "abc"}).encode()
    pieces = (chunk(said[:20]), chunk(said[20:]), chunk(b""))
    status, _, body = answer(server, head("Transfer-Encoding: chunked", secret=None), *pieces)
    assert (status, json.loads(body)) == (200, {"challenge": "abc", "validation_key": TOKEN})


def test_who_vanishes_leaves_nothing_behind(server: Server) -> None:
    url = httpx.URL(server.url)
    for path in ("/callbacks/thundersms", "/api/v1/calls"):
        for secret in (SECRET, "the-api-token-of-the-tests", None):
            with socket.create_connection((url.host, url.port or 0), timeout=60) as wire:
                wire.sendall(head("Content-Length: 100", path=path, secret=secret) + b"{")
    eventually(
        lambda: len([e for e in server.log("request.answered") if e["status"] == 499]) >= 4,
        "they are not noticed",
    )
    assert inbox(server) == []
    assert [e for e in server.log() if e.get("level") == "error" or "exception" in e] == []


def test_the_head_of_a_callback_is_another_method(server: Server) -> None:
    status, headers, _ = answer(server, head(method="HEAD"))
    assert (status, headers["allow"]) == (405, "POST, PUT, GET")


@pytest.mark.parametrize("prefix", ["", "/voice"])
def test_the_prefix_of_the_public_address_may_be_there_or_not(server: Server, prefix: str) -> None:
    status, _, body = answer(server, head("Content-Length: 0", path=f"{prefix}/callbacks/thundersms/a"))
    assert (status, body) == (200, b'{"ok":true}')
    with server.client() as client:
        assert client.get(f"{prefix}/healthz").status_code == 200
        assert client.get(f"{prefix}/api/v1/calls/call_1").status_code == 404
    # the line is written when the answer has gone
    (line,) = eventually(lambda: [e for e in server.log("request.answered") if e["status"] == 404], "no line")
    assert line["route"] == "/api/v1/calls/{id}"


def test_the_log_has_one_line_for_a_request_and_names_its_route_only(server: Server) -> None:
    with server.client() as client:
        client.get("/api/v1/calls?to=918919525224&reference=order-42")
        client.get("/api/v1/calls/call_unknown")
        client.delete("/api/v1/calls")
        client.get("/918919525224?secret=1")
        client.post(
            "/callbacks/thundersms",
            headers={"Authorization": f"Bearer {SECRET}"},
            json={"to": "918919525224"},
        )
    lines = eventually(lambda: (found := server.log("request.answered"))[3:] and found, "lines are missing")
    assert [{k: e[k] for k in e if k not in ("took_ms", "timestamp")} for e in lines] == [
        {
            "event": "request.answered",
            "level": "info",
            "method": method,
            "route": route,
            "status": status,
            "id": id,
        }
        for method, route, status, id in (
            ("GET", "/api/v1/calls", 200, None),
            ("GET", "/api/v1/calls/{id}", 404, "call_unknown"),
            ("DELETE", "/api/v1/calls", 405, None),
            ("GET", "unknown", 404, None),
        )
    ]
    assert "8919525224" not in server.output()
    assert "order-42" not in server.output()
