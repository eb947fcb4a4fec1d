"""Many callbacks by several connections at once, each with a marker of its own and posted once: what was answered?"""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from tests.processes import SECRET, eventually

#: after a refusal, in seconds: whoever is told to come later does not come at once
_PAUSE_S = 0.02


class Burst:
    """Posts until it is stopped or the server is gone, from `with` on. `say(n)`: the fields of the n-th callback.

    rest_s: so long each connection does nothing after an answer.
    """

    def __init__(
        self, url: str, say: Callable[[int], dict[str, Any]], *, connections: int = 6, rest_s: float = 0.0
    ) -> None:
        self._host, self._say, self._rest_s = urlsplit(url).netloc, say, rest_s
        self._numbers = itertools.count()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._post, daemon=True) for _ in range(connections)]
        #: numbers by how they were answered; what is in none of them was not answered
        self.answered: list[int] = []
        self.refused: list[int] = []
        #: statuses other than 200, and 503 without Retry-After
        self.surprises: list[int] = []

    def __enter__(self) -> Burst:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def more(self, count: int = 1) -> None:
        """Wait until so many more are answered."""
        enough = len(self.answered) + count
        eventually(lambda: len(self.answered) >= enough, f"{count} more callbacks should be answered 200")

    def _post(self) -> None:
        connection = http.client.HTTPConnection(self._host, timeout=30)
        try:
            while not self._stopping.is_set():
                self._one(connection, next(self._numbers))
                time.sleep(self._rest_s)
        except (OSError, http.client.HTTPException):
            return  # the server was killed
        finally:
            connection.close()

    def _one(self, connection: http.client.HTTPConnection, n: int) -> None:
        headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}
        connection.request("POST", "/callbacks/thundersms", json.dumps(self._say(n)), headers)
        response = connection.getresponse()
        response.read()
        if response.status == 200:
            self.answered.append(n)
        elif response.status == 503 and response.headers.get("Retry-After", "").isdigit():
            self.refused.append(n)
            time.sleep(_PAUSE_S)
        else:
            self.surprises.append(response.status)
