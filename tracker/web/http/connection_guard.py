"""The guard over all connections of a server, which enforces the limits that they share.

A server on the internet meets clients that send half a request and stop, send a byte a second, or only connect. None of
them may hold up the others or fill the memory.
"""

from __future__ import annotations

from typing import Final, Protocol

from tracker.web.http.limits import Limits

#: The share of all connections that is evicted at once when there are too many.
_EVICTED_SHARE: Final = 0.05
#: Bytes that are shed at once, from requests that began at least _MIN_SHED_AGE_S seconds ago.
_SHED_BYTES: Final = 8 * 1024 * 1024
_MIN_SHED_AGE_S: Final = 1.0
#: Seconds until shedding is tried again after it has freed too little.
_SHED_RETRY_S: Final = 0.25


class GuardedConnection(Protocol):
    """The view that the guard has of a connection. Times are those of the event loop's clock."""

    @property
    def idle_since(self) -> float | None:
        """When it became idle or its client stopped receiving. None if it is neither."""
        ...

    @property
    def receiving_since(self) -> float | None:
        """When its incomplete request began or its client stopped receiving. None if there is neither."""
        ...

    def check_deadlines(self, now: float) -> None:
        """End the connection if it exceeds a time limit."""
        ...

    def evict(self) -> None:
        """Close the connection, which is idle or whose client does not receive."""
        ...

    def shed(self) -> None:
        """Refuse the incomplete request, and free what it has buffered."""
        ...

    def abort_unfinished(self) -> None:
        """End the connection unless a complete request of it is being answered."""
        ...


class ConnectionGuard:
    """The connections of a server, and what they have buffered."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        #: bytes of incomplete heads, of bodies that are not answered, and of pipelined requests
        self.buffered_bytes = 0
        self._connections: set[GuardedConnection] = set()
        #: evicted, and not closed yet
        self._evicted: set[GuardedConnection] = set()
        self._shed_failed_at = -_SHED_RETRY_S

    def admit(self, connection: GuardedConnection) -> bool:
        """Add a connection. If there are too many, evict those that have been idle for longest.

        Returns False if none is idle. The caller then refuses the connection.
        """
        self._connections.add(connection)
        if len(self._connections) - len(self._evicted) <= self.limits.max_connections:
            return True
        idle = [(c.idle_since, n, c) for n, c in enumerate(self._connections) if c is not connection]
        count = max(1, int(self.limits.max_connections * _EVICTED_SHARE))
        idle_longest = sorted(each for each in idle if each[0] is not None)[:count]
        for _, _, each in idle_longest:
            self._evicted.add(each)
            each.evict()
        return bool(idle_longest)

    def make_space(self, connection: GuardedConnection, limit: int, now: float) -> bool:
        """Return whether at most `limit` bytes are buffered, if necessary after shedding other connections.

        The requests that have been arriving for longest are shed first.
        """
        if self.buffered_bytes <= limit:
            return True
        if now - self._shed_failed_at < _SHED_RETRY_S:
            return False
        receiving = [
            (c.receiving_since, n, c) for n, c in enumerate(self._connections) if c is not connection
        ]
        for _, _, each in sorted(r for r in receiving if r[0] is not None and now - r[0] >= _MIN_SHED_AGE_S):
            if self.buffered_bytes <= limit - _SHED_BYTES:
                break
            each.shed()
        if self.buffered_bytes > limit:
            self._shed_failed_at = now
            return False
        return True

    def remove(self, connection: GuardedConnection) -> None:
        """Forget a connection that is closed."""
        self._connections.discard(connection)
        self._evicted.discard(connection)

    def check_deadlines(self, now: float) -> None:
        """End the connections that exceed a time limit. Call it once a second."""
        for connection in list(self._connections):
            connection.check_deadlines(now)

    def abort_unfinished(self) -> None:
        """End the connections of which no complete request is being answered."""
        for connection in list(self._connections):
            connection.abort_unfinished()
