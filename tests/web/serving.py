"""The server's application in this process: its real routes, inbox, worker and database, without a socket."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import httpx2
from starlette.testclient import TestClient

from tests.lifecycle.house import BRIDGE, NUMBER, SettableClock
from tests.processes import ACCESS_TOKEN, API_TOKEN, SECRET, eventually
from tracker.settings import load_settings
from tracker.store.engine.database import Database
from tracker.store.read import callbacks, system_status
from tracker.store.schema import tables as t
from tracker.web.api.documents import plain, received_callback_document
from tracker.web.app import create_app

Response = httpx2.Response


class Serving:
    """Use as a context manager. account, server: settings beside those that every test needs; a None leaves one out."""

    def __init__(
        self,
        database_url: str,
        base_url: str = "http://127.0.0.1:9/",
        *,
        worker: bool = True,
        server: dict[str, Any] | None = None,
        **account: Any,
    ) -> None:
        self.database = Database(database_url)
        self.clock = SettableClock()
        given = {
            "DATABASE__URL": database_url,
            **_named("SERVER", {"api_token": API_TOKEN, **(server or {})}),
            **_named(
                "ACCOUNTS__THUNDERSMS",
                {
                    "base_url": base_url, "access_token": ACCESS_TOKEN, "webhook_secrets": [SECRET],
                    "bridge": BRIDGE, "calls_per_second": 1000.0, **account,
                },
            ),
        }  # fmt: skip
        settings = load_settings({f"TRACKER_{k}": v for k, v in given.items()})
        app = create_app(settings, run_worker=worker, clock=self.clock)
        self.client = TestClient(app, raise_server_exceptions=False, client=("127.0.0.1", 40000))

    def __enter__(self) -> Serving:
        self.client.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self.client.__exit__(None, None, None)
        self.database.close()

    # the provider's side

    def callback(
        self,
        body: bytes | dict[str, Any] | Iterable[bytes] = b"",
        path: str = "/callbacks/thundersms",
        *,
        method: str = "POST",
        secret: str | None = SECRET,
        headers: dict[str, str] | list[tuple[str, str]] | None = None,
    ) -> Response:
        content = json.dumps(body).encode() if isinstance(body, dict) else body
        given = list(headers.items() if isinstance(headers, dict) else headers or ())
        if secret is not None:
            given.append(("Authorization", f"Bearer {secret}"))
        return self.client.request(method, path, content=content, headers=given)

    def kept(self, state: str | None = None) -> list[dict[str, Any]]:
        """What is in the inbox, oldest first, with the raw requests."""
        which = callbacks.CallbackFilter(state=state)

        def work(c: Any) -> list[dict[str, Any]]:
            page = callbacks.list_callbacks(c, which, limit=2000)
            found = [callbacks.get_callback(c, each.id) for each in reversed(page.data)]
            return [plain(received_callback_document(each)) for each in found]

        return self.database.read(work)

    def only_kept(self) -> dict[str, Any]:
        """The one callback in the inbox, once it is there."""
        found = eventually(self.kept, "nothing was kept")
        assert len(found) == 1
        return found[0]

    def raw_body(self, id: str) -> bytes:
        c = t.callbacks.c
        body: bytes = self.database.read(
            lambda x: x.execute(t.callbacks.select().where(c.id == id)).one().body
        )
        return body

    def counted(self, name: str, account: str | None = "thundersms") -> int:
        def work(c: Any) -> int:
            counts = system_status.load_system_status(c, [], self.clock()).counts
            return sum(each.count for each in counts if (each.name, each.account) == (name, account))

        return self.database.read(work)

    # the API

    def api(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = API_TOKEN,
        headers: dict[str, str] | None = None,
        **params: Any,
    ) -> Response:
        given = dict(headers or {})
        if token is not None:
            given["Authorization"] = f"Bearer {token}"
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        return self.client.request(
            method, "/api/v1" + path, content=content, headers=given, params=params or None
        )

    def get(self, path: str, **params: Any) -> Any:
        response = self.api("GET", path, **params)
        assert response.status_code == 200, response.text
        return response.json()

    def place(self, to: str = NUMBER, **fields: Any) -> dict[str, Any]:
        """Place a call; gives its document."""
        response = self.api("POST", "/calls", {"to": to, "flow_id": "24", **fields})
        assert response.status_code in (201, 202), response.text
        document: dict[str, Any] = response.json()
        return document

    def settled(self, call: str) -> dict[str, Any]:
        """The call, once it is settled."""

        def read() -> dict[str, Any] | None:
            document: dict[str, Any] = self.get(f"/calls/{call}")
            return document if document["settled"] else None

        found = eventually(read, "it is not settled")
        assert found is not None
        return found


def is_problem(response: Response, status: int, *fields: str, reason: str | None = None) -> bool:
    """Whether it is an error in the shape of the interface, with exactly these wrong fields and this reason."""
    body = response.json()
    keys = {"type", "title", "status", "detail"} | ({"errors"} if status == 422 else set())
    keys |= {"reason"} if reason else set()
    assert response.headers["content-type"] == "application/problem+json", response.text
    assert (response.status_code, body["status"], set(body)) == (status, status, keys), body
    assert all(isinstance(body[k], str) and body[k] for k in ("type", "title", "detail"))
    named = [error["field"] for error in body.get("errors", [])]
    assert all(set(e) == {"field", "message"} and e["message"] for e in body.get("errors", []))
    assert set(named) == set(fields), body
    assert body.get("reason") == reason
    return True


def _named(section: str, values: dict[str, Any]) -> dict[str, str]:
    return {
        f"{section}__{key.upper()}": value if isinstance(value, str) else json.dumps(value)
        for key, value in values.items()
        if value is not None
    }
