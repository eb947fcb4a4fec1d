"""The server's application in this process: its routes, inbox, worker and database, without a socket."""

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
    """A running application with one account. Use it as a context manager."""

    def __init__(
        self,
        database_url: str,
        base_url: str = "http://127.0.0.1:9/",
        *,
        worker: bool = True,
        server: dict[str, Any] | None = None,
        **account: Any,
    ) -> None:
        """server, account: settings beside those that every test needs. None removes one."""
        self.database = Database(database_url)
        self.clock = SettableClock()
        variables = {
            "DATABASE__URL": database_url,
            **_variables("SERVER", {"api_token": API_TOKEN, **(server or {})}),
            **_variables(
                "ACCOUNTS__THUNDERSMS",
                {
                    "base_url": base_url, "access_token": ACCESS_TOKEN, "webhook_secrets": [SECRET],
                    "bridge": BRIDGE, "calls_per_second": 1000.0, **account,
                },
            ),
        }  # fmt: skip
        settings = load_settings({f"TRACKER_{name}": value for name, value in variables.items()})
        app = create_app(settings, run_worker=worker, clock=self.clock)
        self.client = TestClient(app, raise_server_exceptions=False, client=("127.0.0.1", 40000))

    def __enter__(self) -> Serving:
        self.client.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self.client.__exit__(None, None, None)
        self.database.close()

    # callbacks

    def callback(
        self,
        body: bytes | dict[str, Any] | Iterable[bytes] = b"",
        path: str = "/callbacks/thundersms",
        *,
        method: str = "POST",
        secret: str | None = SECRET,
        headers: dict[str, str] | list[tuple[str, str]] | None = None,
    ) -> Response:
        """Send a callback. body: a dict is sent as JSON, an iterable in chunks."""
        content = json.dumps(body).encode() if isinstance(body, dict) else body
        all_headers = list(headers.items() if isinstance(headers, dict) else headers or ())
        if secret is not None:
            all_headers.append(("Authorization", f"Bearer {secret}"))
        return self.client.request(method, path, content=content, headers=all_headers)

    def stored_callbacks(self, state: str | None = None) -> list[dict[str, Any]]:
        """Return the callbacks in the inbox, oldest first, with their raw requests."""
        wanted = callbacks.CallbackFilter(state=state)

        def read(c: Any) -> list[dict[str, Any]]:
            page = callbacks.list_callbacks(c, wanted, limit=2000)
            stored = [callbacks.get_callback(c, each.id) for each in reversed(page.data)]
            return [plain(received_callback_document(each)) for each in stored]

        return self.database.read(read)

    def only_callback(self) -> dict[str, Any]:
        """Wait for a callback in the inbox and return it. Fails if there are several."""
        (stored,) = eventually(self.stored_callbacks, "nothing is stored")
        return stored

    def stored_body(self, id: str) -> bytes:
        """Return the body of a callback in the inbox."""
        query = t.inbox.select().where(t.inbox.c.id == id)
        body: bytes = self.database.read(lambda c: c.execute(query).one().body)
        return body

    def count_of(self, name: str, account: str | None = "thundersms") -> int:
        """Return a counter of what was not stored, as `/statusz` has it."""

        def read(c: Any) -> int:
            counts = system_status.load_system_status(c, [], self.clock()).counts
            return sum(each.count for each in counts if (each.name, each.account) == (name, account))

        return self.database.read(read)

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
        """Send a request to the API. body: bytes are sent as they are, everything else as JSON."""
        all_headers = dict(headers or {})
        if token is not None:
            all_headers["Authorization"] = f"Bearer {token}"
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        return self.client.request(
            method, "/api/v1" + path, content=content, headers=all_headers, params=params or None
        )

    def get(self, path: str, **params: Any) -> Any:
        """Return the document of a GET request to the API, which must succeed."""
        response = self.api("GET", path, **params)
        assert response.status_code == 200, response.text
        return response.json()

    def place(self, to: str = NUMBER, **fields: Any) -> dict[str, Any]:
        """Place a call and return its document."""
        response = self.api("POST", "/calls", {"to": to, "flow_id": "24", **fields})
        assert response.status_code in (201, 202), response.text
        document: dict[str, Any] = response.json()
        return document

    def place_settled(self, status: str, to: str = NUMBER) -> str:
        """Place a call that the provider reports with this status of its own, and return its id once it is settled."""
        call = self.place(to)
        self.callback({"id": call["submissions"][0]["submission_id"], "status": status})
        id: str = self.settled(call["id"])["id"]
        return id

    def settled(self, call: str) -> dict[str, Any]:
        """Wait until the call is settled and return its document."""

        def read() -> dict[str, Any] | None:
            document: dict[str, Any] = self.get(f"/calls/{call}")
            return document if document["settled"] else None

        document = eventually(read, "the call is not settled")
        assert document is not None
        return document


def is_problem(response: Response, status: int, *fields: str, reason: str | None = None) -> bool:
    """Assert that this is an error response of the documented shape with exactly these wrong fields and this reason."""
    body = response.json()
    keys = {"type", "title", "status", "detail"} | ({"errors"} if status == 422 else set())
    keys |= {"reason"} if reason else set()
    assert response.headers["content-type"] == "application/problem+json", response.text
    assert (response.status_code, body["status"], set(body)) == (status, status, keys), body
    assert all(isinstance(body[k], str) and body[k] for k in ("type", "title", "detail"))
    names = [error["field"] for error in body.get("errors", [])]
    assert all(set(e) == {"field", "message"} and e["message"] for e in body.get("errors", []))
    assert set(names) == set(fields), body
    assert body.get("reason") == reason
    return True


def _variables(section: str, values: dict[str, Any]) -> dict[str, str]:
    """Return the settings of a section as environment variables without their common prefix."""
    return {
        f"{section}__{key.upper()}": value if isinstance(value, str) else json.dumps(value)
        for key, value in values.items()
        if value is not None
    }
