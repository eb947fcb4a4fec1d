"""A load generator: callbacks as a provider sends them, at a small fraction of what a server spends on each.

One process, plain sockets and epoll, keep-alive, one request at a time on each connection. Without a rate a connection
sends the next request when it has its answer (closed loop). With a rate the moments are fixed beforehand, and an answer
is measured from the moment at which its request was due: a server that stalls is charged for all that had to wait.

    python -m bench.load --url http://127.0.0.1:8000/callbacks/thundersms --calls 100000 --seconds 10
"""

from __future__ import annotations

import argparse
import array
import json
import os
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from bench.plan import ORDERS, Plan

DEFAULT_CONNECTIONS: Final = 64
#: how long answers are waited for when nothing is sent any more, in seconds
_DRAIN_S: Final = 10.0
_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"


@dataclass(kw_only=True)
class Answers:
    """What became of the requests, in the order of the answers. One entry an answer in each array."""

    #: which body: its place among those that were given, from 0
    index: array.array[int] = field(default_factory=lambda: array.array("q"))
    status: array.array[int] = field(default_factory=lambda: array.array("h"))
    #: seconds from sending, or from when it was due, to the last byte of the answer
    took_s: array.array[float] = field(default_factory=lambda: array.array("d"))
    #: when the answer was whole, in seconds since 1970
    at: array.array[float] = field(default_factory=lambda: array.array("d"))
    began: float = 0.0
    #: when sending ended, without the waiting for the last answers
    elapsed_s: float = 0.0
    #: CPU seconds of the generator itself
    cpu_s: float = 0.0
    #: connections that the server closed, and requests that got no answer because of it
    closed: int = 0
    unanswered: int = 0
    #: whether the bodies ended before the time
    ran_dry: bool = False

    def succeeded(self) -> Iterator[tuple[int, float]]:
        """The indexes of the bodies that were answered 2xx, and when."""
        return (
            (i, at)
            for i, status, at in zip(self.index, self.status, self.at, strict=True)
            if 200 <= status < 300
        )

    def summary(self) -> dict[str, Any]:
        """The figures, for people and scripts; milliseconds are of answers with 2xx."""
        good = sorted(t for t, s in zip(self.took_s, self.status, strict=True) if 200 <= s < 300)
        others: dict[str, int] = {}
        for status in self.status:
            if not 200 <= status < 300:
                others[str(status)] = others.get(str(status), 0) + 1
        end = self.began + self.elapsed_s
        within = sum(1 for _, at in self.succeeded() if at <= end)
        return {
            "answered": len(good),
            "others": others,
            "unanswered": self.unanswered,
            "closed": self.closed,
            "seconds": round(self.elapsed_s, 3),
            "rate": round(within / self.elapsed_s, 1) if self.elapsed_s else 0.0,
            "p50_ms": _ms(good, 0.50),
            "p99_ms": _ms(good, 0.99),
            "max_ms": _ms(good, 1.0),
            "ran_dry": self.ran_dry,
            "generator_cpu": round(self.cpu_s / self.elapsed_s, 3) if self.elapsed_s else 0.0,
        }


def percentile(ordered: list[float], share: float) -> float:
    """The value that `share` of the ordered values do not exceed. Raises ValueError where there are none."""
    if not ordered:
        raise ValueError("no values")
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def _ms(ordered: list[float], share: float) -> float | None:
    return round(percentile(ordered, share) * 1000, 2) if ordered else None


class _Connection:
    __slots__ = ("due", "index", "received", "socket", "unsent")

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.index = -1
        self.due = 0.0
        self.received = b""
        self.unsent = b""


class Load:
    """Sends bodies to one URL.

    bodies: one request each. rate: requests a second, else as fast as answers come. credit: a file descriptor from
    which lines with whole numbers are read: so many more may be sent from then on. most: so many requests at most.
    """

    def __init__(
        self,
        url: str,
        bodies: Iterable[bytes],
        *,
        secret: str = "",
        connections: int = DEFAULT_CONNECTIONS,
        seconds: float = 10.0,
        rate: float | None = None,
        credit: int | None = None,
        most: int | None = None,
    ) -> None:
        parts = urlsplit(url)
        assert parts.scheme == "http", "a load generator for http on this machine"
        assert parts.hostname is not None
        self._address = (parts.hostname, parts.port or 80)
        self._bodies = iter(bodies)
        self._seconds, self._rate, self._credit = seconds, rate, credit
        self._most = most if most is not None else sys.maxsize
        self._head = _head(parts.netloc, parts.path or "/", secret)
        self._count = connections
        self._sent = 0
        self._allowed = 0 if credit is not None else sys.maxsize
        self._credit_text = b""
        self._idle: deque[_Connection] = deque()
        self._busy: dict[int, _Connection] = {}

    def run(self) -> Answers:
        """Send until the time is over or the bodies are, then wait for what is under way. Raises OSError where
        nobody listens, and ConnectionError when the server has gone."""
        answers = self._answers = Answers()
        self._epoll = select.epoll()
        self._idle.extend(_Connection(self._address) for _ in range(self._count))
        for connection in self._idle:
            self._epoll.register(connection.socket.fileno(), select.EPOLLIN)
        if self._credit is not None:
            os.set_blocking(self._credit, False)
            self._epoll.register(self._credit, select.EPOLLIN)
        cpu = time.process_time()
        answers.began, self._began = time.time(), time.perf_counter()
        try:
            self._send_until(self._began + self._seconds)
            answers.elapsed_s = time.perf_counter() - self._began
            answers.cpu_s = time.process_time() - cpu
            deadline = time.perf_counter() + _DRAIN_S
            while self._busy and time.perf_counter() < deadline:
                self._turn(0.05, send=False)
            answers.unanswered += len(self._busy)
        finally:
            for connection in chain(self._idle, self._busy.values()):
                connection.socket.close()
            self._epoll.close()
        return answers

    def _send_until(self, deadline: float) -> None:
        now = time.perf_counter()
        while now < deadline and not self._answers.ran_dry:
            if self._rate is None:
                while self._idle and self._may_send():
                    self._send(self._idle.popleft(), time.perf_counter())
                wait_s = deadline - now
            else:
                # everything that is due and has a connection; what has none is late, and that is measured
                while (
                    (due := self._began + self._sent / self._rate) <= now and self._idle and self._may_send()
                ):
                    self._send(self._idle.popleft(), due)
                wait_s = max(0.0, due - now) if self._idle and self._may_send() else deadline - now
            if not self._busy and self._sent >= self._most:
                return
            self._turn(min(wait_s, 0.1), send=self._rate is None)
            now = time.perf_counter()

    def _may_send(self) -> bool:
        return self._sent < self._allowed and self._sent < self._most and not self._answers.ran_dry

    def _send(self, connection: _Connection, due: float) -> None:
        body = next(self._bodies, None)
        if body is None:
            self._answers.ran_dry = True
            self._idle.append(connection)
            return
        connection.index, connection.due = self._sent, due
        self._sent += 1
        self._busy[connection.socket.fileno()] = connection
        request = b"%b%d\r\n\r\n%b" % (self._head, len(body), body)
        try:
            done = connection.socket.send(request)
        except BlockingIOError:
            done = 0
        except OSError:  # closed meanwhile; reading tells it too
            return
        if done < len(request):
            connection.unsent = request[done:]
            self._epoll.modify(connection.socket.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def _turn(self, wait_s: float, *, send: bool) -> None:
        for number, what in self._epoll.poll(wait_s):
            connection = self._busy.get(number)
            if connection is None:
                if number == self._credit:
                    self._read_credit()
                else:
                    self._replace_idle(number)
                continue
            if what & select.EPOLLOUT:
                self._send_rest(connection)
            if what & ~select.EPOLLOUT:
                self._receive(connection, number, send)

    def _receive(self, connection: _Connection, number: int, send: bool) -> None:
        try:
            received = connection.socket.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            self._answers.unanswered += 1
            del self._busy[number]
            self._replace(connection)
            return
        if connection.received:
            received = connection.received + received
        if not is_whole(received):
            connection.received = received
            return
        connection.received = b""
        now = time.perf_counter()
        answers = self._answers
        answers.index.append(connection.index)
        answers.status.append(int(received[9:12]))
        answers.took_s.append(now - connection.due)
        answers.at.append(answers.began + (now - self._began))
        del self._busy[number]
        if b"close" in received and b"\nconnection: close" in received.partition(_HEAD_END)[0].lower():
            self._replace(connection)
        elif send and self._may_send() and now - self._began < self._seconds:
            self._send(connection, now)
        else:
            self._idle.append(connection)

    def _send_rest(self, connection: _Connection) -> None:
        try:
            done = connection.socket.send(connection.unsent)
        except BlockingIOError:
            return
        except OSError:
            done = len(connection.unsent)
        connection.unsent = connection.unsent[done:]
        if not connection.unsent:
            self._epoll.modify(connection.socket.fileno(), select.EPOLLIN)

    def _replace_idle(self, number: int) -> None:
        for connection in list(self._idle):
            if connection.socket.fileno() == number:
                self._idle.remove(connection)
                self._replace(connection)

    def _replace(self, connection: _Connection) -> None:
        self._answers.closed += 1
        connection.socket.close()  # and with it out of epoll
        fresh = _Connection(self._address)
        self._epoll.register(fresh.socket.fileno(), select.EPOLLIN)
        self._idle.append(fresh)

    def _read_credit(self) -> None:
        assert self._credit is not None
        try:
            read = os.read(self._credit, 4096)
        except BlockingIOError:
            return
        if not read:  # whoever gave credit has gone: no more of it
            self._epoll.unregister(self._credit)
            self._credit = None
            return
        *lines, self._credit_text = (self._credit_text + read).split(b"\n")
        if lines:
            self._allowed = self._sent + int(lines[-1])


def is_whole(received: bytes) -> bool:
    """Whether these bytes are a whole answer: its head, and as much body as that says."""
    head_end = received.find(_HEAD_END)
    if head_end < 0:
        return False
    at = received.find(_LENGTH, 0, head_end)
    if at < 0:
        at = received[:head_end].lower().find(_LENGTH)
        if at < 0:
            return True
    line_end = received.find(b"\r\n", at)
    return len(received) >= head_end + 4 + int(received[at + len(_LENGTH) : line_end])


def _head(host: str, path: str, secret: str) -> bytes:
    """The request up to the value of Content-Length, with the headers that a provider's client sends."""
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {host}",
        "User-Agent: GuzzleHttp/7",
        "Accept: application/json",
        "Content-Type: application/json",
        *([f"Authorization: Bearer {secret}"] if secret else []),
        "Content-Length: ",
    ]
    return "\r\n".join(lines).encode()


def read_bodies(path: Path, *, cycle: bool = False) -> Iterator[bytes]:
    """The lines of a file, one body each; read as they are needed. cycle: again and again."""
    for _ in repeat(None) if cycle else range(1):
        with path.open("rb") as lines:
            for line in lines:
                yield line.rstrip(b"\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.load", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--url", required=True, help="where the callbacks go")
    parser.add_argument("--secret", default="", help="the webhook's secret, sent as Authorization: Bearer")
    parser.add_argument("--connections", type=int, default=DEFAULT_CONNECTIONS)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument(
        "--rate", type=float, help="so many a second, at fixed moments; else as fast as answered"
    )
    parser.add_argument("--most", type=int, help="so many requests at most")
    bodies = parser.add_mutually_exclusive_group(required=True)
    bodies.add_argument("--bodies", type=Path, help="a file with one body a line")
    bodies.add_argument(
        "--calls", type=int, help="one callback for each call of a `bench.fill` with as many calls"
    )
    parser.add_argument("--order", choices=ORDERS, default="windows", help="with --calls")
    parser.add_argument(
        "--skip", type=int, default=0, help="leave out the first so many bodies; indexes begin behind"
    )
    parser.add_argument("--cycle", action="store_true", help="begin again when the bodies end: repeats")
    parser.add_argument(
        "--credit",
        action="store_true",
        help="read from standard input how many more may be sent, a line a number",
    )
    parser.add_argument("--answered", type=Path, help="write a line for each body that was answered 2xx: its index "
                        "and the moment, in seconds since 1970")  # fmt: skip
    given = parser.parse_args()
    made: Iterator[bytes]
    if given.bodies is not None:
        made = read_bodies(given.bodies, cycle=given.cycle)
    else:
        plan = Plan(given.calls)
        every = [plan.callback(n) for n in plan.order(given.order)]
        made = chain.from_iterable(repeat(every)) if given.cycle else iter(every)
    for _ in range(given.skip):
        next(made, None)
    load = Load(
        given.url, made, secret=given.secret, connections=given.connections, seconds=given.seconds, rate=given.rate,
        credit=sys.stdin.fileno() if given.credit else None, most=given.most,
    )  # fmt: skip
    try:
        answers = load.run()
    except OSError as error:
        sys.exit(f"No answer from {given.url}: {error}. Is the server running?")
    if given.answered is not None:
        with given.answered.open("w") as out:
            out.writelines(f"{given.skip + i} {at:.6f}\n" for i, at in answers.succeeded())
    sys.stdout.write(json.dumps(answers.summary()) + "\n")


if __name__ == "__main__":
    main()
