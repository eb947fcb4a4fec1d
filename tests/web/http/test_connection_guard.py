"""The guard over all connections: who is evicted, whose requests are shed."""

from __future__ import annotations

from tracker.web.http.connection_guard import ConnectionGuard
from tracker.web.http.limits import Limits

MIB = 1024 * 1024


class StubConnection:
    """A connection that notes what the guard does with it."""

    def __init__(
        self,
        *,
        idle_since: float | None = None,
        receiving_since: float | None = None,
        guard: ConnectionGuard | None = None,
        buffered_bytes: int = 0,
    ) -> None:
        self.idle_since, self.receiving_since = idle_since, receiving_since
        self.is_evicted = self.is_shed = False
        self._guard, self._buffered_bytes = guard, buffered_bytes
        if guard is not None:
            guard.buffered_bytes += buffered_bytes

    def check_deadlines(self, now: float) -> None: ...

    def abort_unfinished(self) -> None: ...

    def evict(self) -> None:
        self.is_evicted, self.idle_since = True, None

    def shed(self) -> None:
        assert self._guard is not None
        self._guard.buffered_bytes -= self._buffered_bytes
        self.is_shed, self.receiving_since = True, None


def test_connection_idle_for_longest_is_evicted_first() -> None:
    guard = ConnectionGuard(Limits(max_connections=3))
    old, busy, young = StubConnection(idle_since=1.0), StubConnection(), StubConnection(idle_since=2.0)
    assert all(guard.admit(each) for each in (young, busy, old))
    assert guard.admit(StubConnection(idle_since=3.0))
    assert (old.is_evicted, young.is_evicted) == (True, False)
    # Until it is closed, its place is taken only once.
    assert guard.admit(StubConnection(idle_since=3.0))
    assert young.is_evicted
    assert not busy.is_evicted
    guard.remove(old)
    guard.remove(young)


def test_connection_is_not_admitted_when_none_is_idle() -> None:
    guard = ConnectionGuard(Limits(max_connections=1))
    assert guard.admit(StubConnection())
    late = StubConnection()
    assert not guard.admit(late)
    guard.remove(late)
    assert not guard.admit(StubConnection(idle_since=1.0))


def test_slowest_requests_are_shed_until_there_is_space() -> None:
    guard = ConnectionGuard(Limits())
    old, older, new = (
        StubConnection(receiving_since=since, guard=guard, buffered_bytes=10 * MIB)
        for since in (2.0, 1.0, 9.5)
    )
    caller = StubConnection(receiving_since=0.0, guard=guard, buffered_bytes=10 * MIB)
    for each in (old, older, new, caller):
        guard.admit(each)
    assert guard.make_space(caller, 40 * MIB, 10.0)
    assert not older.is_shed
    assert guard.make_space(caller, 35 * MIB, 10.0)
    assert [each.is_shed for each in (older, old, new, caller)] == [True, True, False, False]


def test_shedding_is_retried_only_after_a_while() -> None:
    guard = ConnectionGuard(Limits())
    young = StubConnection(receiving_since=9.5, guard=guard, buffered_bytes=10 * MIB)
    caller = StubConnection(guard=guard)
    guard.admit(young)
    guard.admit(caller)
    assert not guard.make_space(caller, 5 * MIB, 10.0)
    young.receiving_since = 1.0
    assert not guard.make_space(caller, 5 * MIB, 10.1)
    assert not young.is_shed
    assert guard.make_space(caller, 5 * MIB, 10.3)
    assert young.is_shed
