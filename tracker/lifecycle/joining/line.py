"""A line between two processes of ours: pickled objects over a pair of sockets, and nobody waits on it for ever.

`multiprocessing.connection` is the same without the last: once an object begins to come, it waits until all of it has.
"""

from __future__ import annotations

import pickle
import socket
import struct
from time import monotonic
from typing import Any, Final

_LENGTH: Final = struct.Struct("!Q")
#: what is asked of the socket at once, in bytes
_MOST: Final = 1024 * 1024


class Line:
    """One end. Whoever speaks on the other end must be ourselves: what comes is unpickled."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def send(self, what: object, within_s: float | None = None) -> None:
        """Raises OSError where the other end is closed, and TimeoutError, which is one, where it does not listen."""
        pickled = pickle.dumps(what, -1)
        self._end.settimeout(within_s)
        self._end.sendall(_LENGTH.pack(len(pickled)) + pickled)

    def receive(self, within_s: float | None = None) -> Any:
        """The next object; waits until all of it is there. Raises OSError, EOFError where the other end is closed, and
        TimeoutError."""
        deadline = None if within_s is None else monotonic() + within_s
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size, deadline))
        return pickle.loads(self._read(length, deadline))  # noqa: S301 (from ourselves)

    def has_something(self) -> bool:
        """Whether an object has come, or begun to, or the end of the line. Raises OSError."""
        self._end.settimeout(0)
        try:
            self._end.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        self._end.close()

    def _read(self, length: int, deadline: float | None) -> bytearray:
        read = bytearray(length)
        view, at = memoryview(read), 0
        while at < length:
            left_s = None if deadline is None else deadline - monotonic()
            if left_s is not None and left_s <= 0:
                raise TimeoutError
            self._end.settimeout(left_s)
            count = self._end.recv_into(view[at : at + _MOST])
            if count == 0:
                raise EOFError
            at += count
        return read
