"""The demo as a client of the two processes: it places calls and reads what became of them, over HTTP only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import httpx

from tracker.cli.demo.processes import House
from tracker.cli.demo.story import SECOND_WEBHOOK, WEBHOOK, Part
from tracker.errors import TrackerError

Document = dict[str, Any]

_TIMEOUT_S: Final = 15.0
_PAGE: Final = 500


class Api:
    """`/api/v1` of the tracker, and the simulated provider's webhooks and records. Threads may share it."""

    def __init__(self, house: House) -> None:
        self._house = house
        head = {"Authorization": f"Bearer {house.api_token}"}
        self._tracker = httpx.Client(
            base_url=f"{house.url}/api/v1/", headers=head, timeout=_TIMEOUT_S, trust_env=False
        )
        self._provider = httpx.Client(
            base_url=house.provider_url, headers=house.provider_headers, timeout=_TIMEOUT_S, trust_env=False
        )

    def close(self) -> None:
        self._tracker.close()
        self._provider.close()

    def register_webhooks(self) -> None:
        """Tells the provider where callbacks go and with which secret; it tries the address before it takes it."""
        for id in (WEBHOOK, SECOND_WEBHOOK):
            wish = {
                "name": id, "uri": self._house.callback_url, "status": 1,
                "secret": self._house.webhook_secret, "token": self._house.webhook_token,
            }  # fmt: skip
            self._asked(self._provider, "PUT", f"developer/webhooks/{id}", json=wish)

    def place(self, part: Part, tomorrow: str) -> tuple[Document, bool]:
        """Places one call; whether a second, equal request was answered with the first one's call."""
        head = {"Idempotency-Key": f"tracker-demo-{part.position}"}
        wish = part.request(tomorrow)
        call: Document = self._asked(self._tracker, "POST", "calls", json=wish, headers=head).json()
        replayed = False
        if part.asked_twice:
            again = self._asked(self._tracker, "POST", "calls", json=wish, headers=head)
            same = again.json()["id"] == call["id"]
            replayed = same and again.headers.get("Idempotency-Replayed") == "true"
        if part.withdrawn:
            call = self._asked(self._tracker, "POST", f"calls/{call['id']}/cancel").json()
        return call, replayed

    def calls(self) -> list[Document]:
        """All calls, oldest first."""
        return list(self._pages("calls", order="created_at"))

    def timeline(self, call: str) -> list[Document]:
        """The events of a call, in order."""
        return list(self._pages(f"calls/{call}/timeline"))

    def callbacks(self) -> list[Document]:
        """The whole inbox, oldest first."""
        return list(self._pages("callbacks"))[::-1]

    def callback(self, id: str) -> Document:
        """One callback, with the request as it came."""
        found: Document = self._asked(self._tracker, "GET", f"callbacks/{id}").json()
        return found

    def dialled(self) -> list[Document]:
        """What the simulated provider knows to have dialled, and what it reported about it."""
        found: list[Document] = self._asked(self._provider, "GET", f"{self._house.control_url}calls").json()[
            "data"
        ]
        return found

    def provider_is_idle(self) -> bool:
        """Whether no call rings and no callback is under way."""
        return bool(self._asked(self._provider, "GET", f"{self._house.control_url}idle").json()["idle"])

    def _pages(self, path: str, **asked: Any) -> Iterator[Document]:
        cursor: Mapping[str, Any] = {}
        while True:
            page = self._asked(self._tracker, "GET", path, params={"limit": _PAGE, **asked, **cursor}).json()
            yield from page["data"]
            if not page.get("next_cursor"):
                return
            cursor = {"cursor": page["next_cursor"]}

    def _asked(self, client: httpx.Client, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            response = client.request(method, path, **more)
        except httpx.HTTPError as error:
            self._house.check()
            raise TrackerError(f"{method} {path} was not answered: {type(error).__name__} {error}") from None
        if response.status_code >= 400:
            self._house.check()
            raise TrackerError(f"{method} {path} was answered {response.status_code}: {response.text[:500]}")
        return response
