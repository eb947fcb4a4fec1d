"""Runs the server and the simulated provider in threads of this process, and places and follows calls by the API."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from threading import Lock, Thread
from typing import Any, Final

import httpx
import uvicorn

from tracker.demo.scenario import FORM_WEBHOOK, PlannedCall, simulator_options
from tracker.errors import TrackerError
from tracker.settings import Settings, load_settings
from tracker.simulator.app import API_PREFIX, INSPECTION_PREFIX
from tracker.simulator.app import create_app as create_simulator
from tracker.web.app import create_app

Document = dict[str, Any]

_CONFIGURATION: Final = """\
# Of `tracker demo`: a simulated provider, no phone rings.
[database]
url = {database_url}
[server]
api_token = "{api_token}"
[accounts.simulated]
base_url = "{base_url}"
access_token = "{access_token}"
webhook_id = "{webhook_id}"
webhook_secrets = ["{secret}"]
bridge = "918068280000"
calls_per_second = 20.0
timeout_s = 2.0  # short, because one answer never comes
"""
#: seconds that requests under way have to end when a server stops
_GRACE_S: Final = 5
#: between two calls, so that a reader can see timelines grow
_GAP_S: Final = 0.25
_POLL_S: Final = 0.1
#: a settled call is followed for this long after its last change, because a repeated callback may still come
_QUIET: Final = timedelta(seconds=0.8)
#: the most items that the API lists on one page
_PAGE: Final = 500


@dataclass(frozen=True, kw_only=True)
class Demo:
    """A running tracker with a simulated provider. Several threads may share it."""

    url: str  #: of the tracker: `http://127.0.0.1:PORT`
    provider_url: str  #: of the simulator, likewise
    api_token: str
    configuration: Path  #: the `tracker.toml` of the demo, for commands in another terminal
    client: httpx.Client
    patience_s: float  #: that all calls together have to settle
    turn: Lock = field(default_factory=Lock)  #: to place the next call

    def place(self, call: PlannedCall, key: str) -> tuple[str, bool]:
        """Place a call under an Idempotency-Key, a little after the call before.

        Return its id, and whether a repeated request was answered with the same call.
        """
        with self.turn:
            time.sleep(_GAP_S)
        headers, is_replayed = {"Idempotency-Key": key}, False
        placed = self._request("POST", "calls", json=call.fields(), headers=headers)
        id: str = placed.json()["id"]
        if call.is_repeated:
            again = self._request("POST", "calls", json=call.fields(), headers=headers)
            is_replayed = again.json()["id"] == id and "Idempotency-Replayed" in again.headers
        if call.is_canceled:
            self._request("POST", f"calls/{id}/cancel")
        return id, is_replayed

    def follow(self, id: str, until: float) -> Iterator[tuple[Document, list[Document]]]:
        """Yield a call and its events again and again, until it is settled and nothing more is to come.

        until: when to give up, on the monotonic clock.
        """
        while True:
            call, events = self.read_call(id)
            yield call, events
            is_quiet = datetime.now(UTC) - datetime.fromisoformat(call["updated_at"]) > _QUIET
            if (call["settled"] and is_quiet) or time.monotonic() > until:
                return
            time.sleep(_POLL_S)

    def read_call(self, id: str) -> tuple[Document, list[Document]]:
        """Return a call with its submissions, and its events in order."""
        return self._document(f"calls/{id}"), list(self._pages(f"calls/{id}/timeline"))

    def callbacks(self, **filters: str) -> list[Document]:
        """Return the callbacks in the inbox that fit the filters of `GET /api/v1/callbacks`, oldest first."""
        return list(self._pages("callbacks", **filters))[::-1]

    def provider_calls(self) -> list[Document]:
        """Return the calls that the simulated provider accepted, with the callbacks that it sent."""
        calls: list[Document] = self._document(f"{self.provider_url}{INSPECTION_PREFIX}/calls")["data"]
        return calls

    def wait_until_idle(self, until: float) -> None:
        """Return when no phone rings, no callback is on its way and none waits to be read; or at `until`."""
        while time.monotonic() < until:
            is_idle = self._document(f"{self.provider_url}{INSPECTION_PREFIX}/idle")["idle"]
            if is_idle and not self.callbacks(state="pending"):
                return
            time.sleep(_POLL_S)

    def _document(self, path: str, **parameters: Any) -> Document:
        document: Document = self._request("GET", path, params=parameters).json()
        return document

    def _pages(self, path: str, **parameters: Any) -> Iterator[Document]:
        cursor: dict[str, str] = {}
        while True:
            page = self._document(path, limit=_PAGE, **parameters, **cursor)
            yield from page["data"]
            if not page["next_cursor"]:
                return
            cursor = {"cursor": page["next_cursor"]}

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = self.client.request(method, path, **options)
        except httpx.HTTPError as error:
            raise TrackerError(
                f"{method} {path} was not answered: {type(error).__name__}: {error}."
            ) from None
        if response.status_code >= 400:
            raise TrackerError(f"{method} {path} was answered {response.status_code}: {response.text[:500]}")
        return response


@contextmanager
def running_demo(calls: Sequence[PlannedCall]) -> Iterator[Demo]:
    """Run both servers while the context lasts. Afterwards they have stopped and their directory is removed.

    Neither a `tracker.toml` of the user nor a variable of the environment is read.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="tracker-demo-"))).resolve()
        # bound before either server starts, because each of them must know the address of the other
        tracker, provider = (stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2))
        url, provider_url = (f"http://127.0.0.1:{each.getsockname()[1]}" for each in (tracker, provider))
        api_token, access_token, secret = token_hex(16), token_hex(8), token_hex(16)
        configuration = directory / "tracker.toml"
        configuration.touch(mode=0o600)
        text = _CONFIGURATION.format(
            database_url=json.dumps(f"sqlite:///{directory / 'tracker.db'}"), api_token=api_token, secret=secret,
            base_url=f"{provider_url}{API_PREFIX}/", access_token=access_token, webhook_id=FORM_WEBHOOK,
        )  # fmt: skip
        configuration.write_text(text, encoding="utf-8")
        settings = load_settings({}, configuration)
        refuse_other_providers(settings, provider_url)
        options = simulator_options(
            calls, callback_url=f"{url}/callbacks/simulated", webhook_secret=secret, access_token=access_token
        )
        stack.enter_context(_serving(create_simulator(options), provider))
        stack.enter_context(_serving(create_app(settings), tracker))
        headers = {"Authorization": f"Bearer {api_token}"}
        client = httpx.Client(base_url=f"{url}/api/v1/", headers=headers, timeout=15.0, trust_env=False)
        yield Demo(
            url=url, provider_url=provider_url, api_token=api_token, configuration=configuration,
            client=stack.enter_context(client), patience_s=90.0 + 0.5 * len(calls),
        )  # fmt: skip


def refuse_other_providers(settings: Settings, provider_url: str) -> None:
    """Raise TrackerError unless every account calls through the simulator: the demo dials without asking."""
    for name, account in settings.accounts.items():
        if not account.base_url.startswith(f"{provider_url}/"):
            raise TrackerError(
                f"The demo calls only through its own simulator, but accounts.{name}.base_url is "
                f"{account.base_url}. Place real calls with `tracker call`."
            )


@contextmanager
def _serving(app: Any, listener: socket.socket) -> Iterator[None]:
    """Serve an ASGI application in a thread. Raise TrackerError if it does not start."""
    config = uvicorn.Config(
        app, lifespan="on", ws="none", log_config=None, access_log=False, timeout_graceful_shutdown=_GRACE_S
    )
    server = uvicorn.Server(config)
    thread = Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise TrackerError("A server of the demo did not start. The log above says why.")
            time.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        thread.join()
