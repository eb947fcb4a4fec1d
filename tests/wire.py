"""A wire between a program and its database server, which a test can cut, or let fall silent."""

from __future__ import annotations

import contextlib
import socket
import threading
from urllib.parse import urlsplit, urlunsplit


class Wire:
    """Forwards connections on 127.0.0.1 to the server of a database URL. Use as a context manager.

    `cut`: connections end, new ones are refused. `silence`: nothing passes, and nobody is told.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._to = (parts.hostname, parts.port)
        self._passes = threading.Event()
        self._passes.set()
        self._ends: set[socket.socket] = set()
        self._listening = self._listen(0)
        self._port: int = self._listening.getsockname()[1]
        who, _, _ = parts.netloc.rpartition("@")
        self.url = urlunsplit(parts._replace(netloc=f"{who}@127.0.0.1:{self._port}"))

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *exc: object) -> None:
        self.cut()
        self._passes.set()

    def cut(self) -> None:
        # shutdown wakes the threads that wait in accept and recv; close alone would not
        _shut(self._listening)
        for end in list(self._ends):
            _shut(end)

    def mend(self) -> None:
        """After `cut`: connections are taken again, at the same address."""
        self._listening = self._listen(self._port)

    def silence(self) -> None:
        self._passes.clear()

    def speak(self) -> None:
        """After `silence`: what was held back passes, and all that follows."""
        self._passes.set()

    def _listen(self, port: int) -> socket.socket:
        listening = socket.create_server(("127.0.0.1", port), backlog=50)
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()
        return listening

    def _accept(self, listening: socket.socket) -> None:
        with listening:
            while True:
                try:
                    here, _ = listening.accept()
                    there = socket.create_connection(self._to)
                except OSError:
                    return
                self._ends |= {here, there}
                for pair in ((here, there), (there, here)):
                    threading.Thread(target=self._forward, args=pair, daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with source:
            try:
                while data := source.recv(65536):
                    self._passes.wait()
                    target.sendall(data)
            except OSError:
                pass
            _shut(target)
            self._ends.discard(source)


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
