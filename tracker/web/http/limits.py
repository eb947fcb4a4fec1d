"""What one connection, and all of them together, may take; and who looks after that.

A server that anybody on the internet may call meets clients that send half a request and fall silent, send a byte a
second, or only connect. None of them may hold up the others, or fill the memory.
"""

from __future__ import annotations

import resource
from contextlib import suppress
from typing import Final, Protocol

import structlog

log = structlog.get_logger()

#: the first line and all headers of a request, in bytes, and how many headers
HEAD_BYTES: Final = 32 * 1024
HEADERS: Final = 100
URL_BYTES: Final = 8 * 1024
#: seconds for all of that, from its first byte on
HEAD_S: Final = 10.0
#: seconds for a body, and beyond them one for so many bytes that have come
BODY_S: Final = 20.0
BODY_BYTES_A_SECOND: Final = 1024
#: seconds that a connection may be idle
IDLE_S: Final = 30.0
#: seconds for hearing that one was refused, before the connection is cut
FAREWELL_S: Final = 2.0
#: seconds in which whoever is answered takes so many bytes of that, or all. Only Linux says how much of what
#: it was given to send is still to be taken; elsewhere progress is seen only when it takes more, in large steps
ANSWER_S: Final = 20.0
ANSWER_ELSEWHERE_S: Final = 60.0
ANSWER_BYTES: Final = 16 * 1024
#: seconds without so much, after which a server that stops waits no longer for who is answered
STUCK_S: Final = 5.0
#: seconds until a server that stops looks again at half a request behind whole ones
CUT_AGAIN_S: Final = 0.25
#: what is arriving, or waits for its commit, in bytes
BODIES_BYTES: Final = 64 * 1024 * 1024
#: beyond so many, heads of requests that are not whole, and requests that wait for earlier ones, find no space; the
#: others do
HEADS_BYTES: Final = 48 * 1024 * 1024
#: connections, and descriptors that are for other things: the database, the provider, the log
CONNECTIONS: Final = 10_000
_OTHER_DESCRIPTORS: Final = 256
#: of those that are idle, this part is closed when there are too many
_MAKE_ROOM: Final = 0.05
#: so many bytes are made free at once, by those that began longest ago, and at least so many seconds ago
_MAKE_SPACE: Final = 8 * 1024 * 1024
_SLOW_S: Final = 1.0
#: seconds until it is looked again who could make space, after nobody could
_LOOK_AGAIN_S: Final = 0.25


class GuardedConnection(Protocol):
    """What the overseer sees of a connection."""

    @property
    def idle_since(self) -> float | None:
        """Since when it is idle, or takes no answer, on the event loop's clock; None where it does neither."""
        ...

    @property
    def coming_since(self) -> float | None:
        """Since when a request is coming that is not whole, or no answer is taken; None where neither is so."""
        ...

    def look(self, now: float) -> None:
        """End it, if it takes too long with what it does."""
        ...

    def leave(self) -> None:
        """Close it; it is idle, or takes no answer."""
        ...

    def make_space(self) -> None:
        """Refuse what is coming; it lets go of what it holds."""
        ...

    def cut(self) -> None:
        """End it, unless a whole request of its is being answered."""
        ...


class ConnectionGuard:
    """Knows all connections of a server, and what they hold together."""

    def __init__(self, most: int = CONNECTIONS) -> None:
        self._most = most
        self._connections: set[GuardedConnection] = set()
        #: those that were told to leave, and are not gone yet
        self._leaving: set[GuardedConnection] = set()
        #: bytes of heads that are not whole, of bodies that are not answered, and of requests that wait
        self.held = 0
        self._nobody_at = -_LOOK_AGAIN_S

    def has_room(self, connection: GuardedConnection) -> bool:
        """Whether one more can be taken; those that have been idle for longest make room."""
        self._connections.add(connection)
        if len(self._connections) - len(self._leaving) > self._most:
            idle = [(c.idle_since, n, c) for n, c in enumerate(self._connections) if c is not connection]
            longest = sorted(each for each in idle if each[0] is not None)[
                : max(1, int(self._most * _MAKE_ROOM))
            ]
            for _, _, each in longest:
                self._leaving.add(each)
                each.leave()
            return bool(longest)
        return True

    def has_space(self, connection: GuardedConnection, most: int, now: float) -> bool:
        """Whether no more than `most` bytes are held; whose requests have been coming for longest make space."""
        if self.held <= most:
            return True
        if now - self._nobody_at < _LOOK_AGAIN_S:
            return False
        slow = [(c.coming_since, n, c) for n, c in enumerate(self._connections) if c is not connection]
        for _, _, each in sorted(s for s in slow if s[0] is not None and now - s[0] >= _SLOW_S):
            if self.held <= most - _MAKE_SPACE:
                break
            each.make_space()
        if self.held > most:
            self._nobody_at = now
            return False
        return True

    def lost(self, connection: GuardedConnection) -> None:
        self._connections.discard(connection)
        self._leaving.discard(connection)

    def look_around(self, now: float) -> None:
        """Once a second: end what takes too long."""
        for connection in list(self._connections):
            connection.look(now)

    def cut(self) -> None:
        """End all of which no whole request has come."""
        for connection in list(self._connections):
            connection.cut()


def most_connections() -> int:
    """How many connections this process may have; it is allowed all descriptors that it can get before."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    if soft == resource.RLIM_INFINITY:
        return CONNECTIONS
    most = max(64, min(CONNECTIONS, soft - _OTHER_DESCRIPTORS))
    if most < CONNECTIONS:
        log.info("server.few_descriptors", descriptors=soft, connections=most)
    return most
