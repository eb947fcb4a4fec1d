"""Bodies in chunks, slow, too large or never complete, and what the access log says of requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import SECRET, Processes, Server, eventually
from tests.web.raw_http import RawResponse, chunk, connect, read_response

TOKEN = "the-validation-key-of-the-webhook"
MIB = 1024 * 1024


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server behind a proxy that leaves the path prefix of the public URL."""
    url = f"sqlite:///{tmp_path / 'tracker.db'}"
    with Processes(tmp_path, url, webhook_token=TOKEN) as processes:
        processes.environ["TRACKER_SERVER__PUBLIC_URL"] = "https://calls.example.com/voice"
        yield processes.serve("--no-worker")


def head(
    *lines: str, path: str = "/callbacks/thundersms", secret: str | None = SECRET, method: str = "POST"
) -> bytes:
    """Return a head with these additional header lines."""
    all_lines = [f"{method} {path} HTTP/1.1", "Host: tracker", *lines]
    if secret is not None:
        all_lines.append(f"Authorization: Bearer {secret}")
    return "\r\n".join([*all_lines, "", ""]).encode()


def exchange(server: Server, *parts: bytes) -> RawResponse:
    """Send these bytes, which can be an incomplete request, and return the response."""
    with connect(server) as connection:
        for part in parts:
            connection.sendall(part)
        return read_response(connection, has_body=not parts[0].startswith(b"HEAD "))


def stored_callbacks(server: Server) -> list[dict[str, Any]]:
    with server.client() as client:
        data: list[dict[str, Any]] = client.get("/api/v1/callbacks").json()["data"]
        return data


def stored_body(server: Server, id: str) -> str:
    with server.client() as client:
        body: str = client.get(f"/api/v1/callbacks/{id}").json()["request"]["body"]
        return body


def quarantined(server: Server) -> dict[str, Any]:
    """Return the first callback in the inbox, which is stored without waiting for it."""
    return eventually(lambda: stored_callbacks(server), "the request is not in the quarantine")[0]


def test_chunked_body_is_stored_whole(server: Server) -> None:
    chunks = (chunk(b'{"status":'), chunk(b'"BUSY"}'), chunk(b""))
    response = exchange(server, head("Transfer-Encoding: chunked"), *chunks)
    assert (response.status, response.body) == (200, b'{"ok":true}')
    (stored,) = stored_callbacks(server)
    assert (stored["size"], stored_body(server, stored["id"])) == (17, '{"status":"BUSY"}')


def test_large_body_is_refused_before_it_is_complete(server: Server) -> None:
    # Neither body ends, so waiting for the rest would never end.
    chunks = (chunk(b"x" * MIB), chunk(b"x"))
    chunked = exchange(server, head("Transfer-Encoding: chunked"), *chunks)
    declared = exchange(server, head(f"Content-Length: {MIB + 1}", "Expect: 100-continue"))
    for response in (chunked, declared):
        assert (response.status, response.headers["connection"]) == (413, "close")
        assert json.loads(response.body)["status"] == 413
    assert stored_callbacks(server) == []


def test_unauthenticated_body_is_read_up_to_64_kib(server: Server) -> None:
    response = exchange(server, head("Transfer-Encoding: chunked", secret=None), chunk(b"x" * 70_000))
    assert (response.status, response.headers["connection"]) == (401, "close")
    assert stored_body(server, quarantined(server)["id"]) == "x" * 64 * 1024


def test_incomplete_unauthenticated_body_is_not_awaited(server: Server) -> None:
    response = exchange(server, head("Content-Length: 100", secret="wrong"), b"some")
    assert (response.status, response.headers["connection"]) == (401, "close")
    stored = quarantined(server)
    assert (stored["size"], stored_body(server, stored["id"])) == (4, "some")


@pytest.mark.parametrize("size", [10, 4096, 4097, 5000])
def test_unauthenticated_chunked_body_is_quarantined_whole(server: Server, size: int) -> None:
    body = chunk(b"x" * size) + chunk(b"")
    assert exchange(server, head("Transfer-Encoding: chunked", secret=None) + body).status == 401
    assert stored_body(server, quarantined(server)["id"]) == "x" * size


def test_chunked_challenge_is_answered(server: Server) -> None:
    challenge = json.dumps({"validation_key": TOKEN, "challenge": "abc"}).encode()
    chunks = (chunk(challenge[:20]), chunk(challenge[20:]), chunk(b""))
    response = exchange(server, head("Transfer-Encoding: chunked", secret=None), *chunks)
    assert response.status == 200
    assert json.loads(response.body) == {"challenge": "abc", "validation_key": TOKEN}


def test_request_is_dropped_when_client_disconnects(server: Server) -> None:
    for path in ("/callbacks/thundersms", "/api/v1/calls"):
        for secret in (SECRET, "the-api-token-of-the-tests", None):
            with connect(server) as connection:
                connection.sendall(head("Content-Length: 100", path=path, secret=secret) + b"{")
    eventually(
        lambda: len([e for e in server.log("request.answered") if e["status"] == 499]) >= 4,
        "the disconnects are not logged",
    )
    assert stored_callbacks(server) == []
    assert [e for e in server.log() if e.get("level") == "error" or "exception" in e] == []


def test_head_request_to_callback_is_405(server: Server) -> None:
    response = exchange(server, head(method="HEAD"))
    assert (response.status, response.headers["allow"]) == (405, "POST, PUT, GET")


@pytest.mark.parametrize("prefix", ["", "/voice"])
def test_path_prefix_of_public_url_is_optional(server: Server, prefix: str) -> None:
    response = exchange(server, head("Content-Length: 0", path=f"{prefix}/callbacks/thundersms/a"))
    assert (response.status, response.body) == (200, b'{"ok":true}')
    with server.client() as client:
        assert client.get(f"{prefix}/healthz").status_code == 200
        assert client.get(f"{prefix}/api/v1/calls/call_1").status_code == 404
    # The line is written after the response.
    (line,) = eventually(
        lambda: [e for e in server.log("request.answered") if e["status"] == 404], "the line is missing"
    )
    assert line["route"] == "/api/v1/calls/{id}"


def test_access_log_has_one_line_with_the_route_template(server: Server) -> None:
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
