"""What is measured of a running server: a burst, a long run in which joining keeps up, and the lag at half of that."""

from __future__ import annotations

import bisect
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.load import DEFAULT_CONNECTIONS, percentile
from bench.looking import Looker, provider_id
from bench.plan import Plan
from bench.servers import SECRET, Running

#: in the long run no more than so many callbacks may wait for being joined; then the sender waits too
MOST_PENDING: Final = 5_000
#: how often it is looked how many wait, and which waits longest, in seconds
_CREDIT_EVERY_S: Final = 0.1
_LOOK_EVERY_S: Final = 0.01
#: whatever was answered is joined within this, or something is wrong, in seconds
_SETTLE_S: Final = 600.0


@dataclass(kw_only=True)
class Bodies:
    """All callbacks of a plan in one order, in a file, and how many of them were used."""

    plan: Plan
    order: Sequence[int]
    path: Path
    used: int = 0

    @classmethod
    def made(cls, plan: Plan, how: str, folder: Path) -> Bodies:
        """Written into `folder`, once."""
        order, path = plan.order(how), folder / f"bodies-{how}-{plan.count}"
        if not path.exists():
            with path.open("wb") as out:
                out.writelines(plan.callback(n) + b"\n" for n in order)
        return cls(plan=plan, order=order, path=path)

    def provider_id(self, index: int) -> str:
        """The id in the body of this index; when all were used it begins again."""
        return self.plan.call(self.order[index % len(self.order)]).provider_id


@dataclass(kw_only=True)
class Sent:
    """One run of the load generator."""

    told: dict[str, Any]
    #: (index, moment) of the bodies that were answered 2xx
    answered: list[tuple[int, float]] = field(repr=False)


def send(
    running: Running,
    bodies: Bodies,
    folder: Path,
    *,
    seconds: float,
    rate: float | None = None,
    most: int | None = None,
    meanwhile: Callable[[subprocess.Popen[bytes]], None] | None = None,
    credit: bool = False,
    may_end: Callable[[], bool] = lambda: False,
) -> Sent:
    """Run the load generator as a process of its own against a server. `meanwhile` is called while it runs; where it
    ended the generator, `may_end` says that this is no failure, and nothing was sent."""
    file = folder / "answered"
    command = [
        sys.executable, "-P", "-m", "bench.load", "--url", running.url, "--secret", SECRET, "--bodies", bodies.path,
        "--cycle", "--skip", bodies.used, "--connections", DEFAULT_CONNECTIONS, "--seconds", seconds,
        "--answered", file, *(["--rate", rate] if rate else []), *(["--most", most] if most else []),
        *(["--credit"] if credit else []),
    ]  # fmt: skip
    root = Path(__file__).resolve().parent.parent
    with subprocess.Popen(
        list(map(str, command)), cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as load:
        try:
            if meanwhile is not None:
                meanwhile(load)
            out, _ = load.communicate(timeout=seconds + 120)
        except BaseException:
            load.kill()
            raise
    if load.returncode != 0:
        if may_end():
            return Sent(told={}, answered=[])
        raise RuntimeError(f"the load generator failed; the server says: {running.log.read_text()[-2000:]}")
    told: dict[str, Any] = json.loads(out)
    answered = [(int(i), float(at)) for i, at in (line.split() for line in file.read_text().splitlines())]
    bodies.used += told["answered"] + sum(told["others"].values()) + told["unanswered"]
    return Sent(told=told, answered=answered)


def warm_up(running: Running, bodies: Bodies, folder: Path) -> Sent:
    """A few requests that count in no figure: what is loaded and opened at first use is."""
    return send(running, bodies, folder, seconds=5, most=500)


def settle(looker: Looker) -> float:
    """Wait until nothing waits for being joined; gives how long that took, in seconds."""
    began = time.monotonic()
    while looker.pending():
        if time.monotonic() - began > _SETTLE_S:
            raise RuntimeError("what was answered is not joined: the worker does not keep up or stands still")
        time.sleep(0.05)
    return time.monotonic() - began


def sustain(
    running: Running,
    bodies: Bodies,
    folder: Path,
    looker: Looker,
    *,
    seconds: float,
    progress: Callable[[int], None] = lambda waiting: None,
) -> tuple[Sent, float]:
    """Send as fast as answers come while few enough wait for being joined; gives what was sent, and how many a second
    were answered and joined. What still waited at the end is not counted. progress: is told how many wait, often."""
    looks: list[tuple[float, int]] = []

    def meanwhile(load: subprocess.Popen[bytes]) -> None:
        assert load.stdin is not None
        while load.poll() is None:
            pending = looker.pending()
            looks.append((time.time(), pending))
            progress(pending)
            try:
                load.stdin.write(b"%d\n" % max(0, MOST_PENDING - pending))
                load.stdin.flush()
            except BrokenPipeError:
                return
            time.sleep(_CREDIT_EVERY_S)

    sent = send(running, bodies, folder, seconds=seconds, meanwhile=meanwhile, credit=True)
    # up to the last look before the sending ended
    ended = min(at for _, at in sent.answered) + sent.told["seconds"]
    at, pending = [look for look in looks if look[0] <= ended][-1]
    answered = bisect.bisect_right(sorted(at for _, at in sent.answered), at)
    return sent, (answered - pending) / (at - (ended - sent.told["seconds"]))


def lag(
    running: Running, bodies: Bodies, folder: Path, looker: Looker, *, seconds: float, rate: float
) -> tuple[Sent, dict[str, float]]:
    """Send at a fixed rate; gives what was sent, and the time from each answer until the callback was seen joined: p50,
    p99 and the longest, in milliseconds. It is seen by asking every 10 ms which callback has waited longest, so the
    truth is a little less."""
    looks: list[tuple[float, float, int | None]] = []
    began = time.time()

    def look() -> None:
        before = time.time()
        oldest = looker.oldest_pending()
        looks.append((before, time.time(), oldest))

    def meanwhile(load: subprocess.Popen[bytes]) -> None:
        while load.poll() is None:
            look()
            time.sleep(_LOOK_EVERY_S)

    sent = send(running, bodies, folder, seconds=seconds, rate=rate, meanwhile=meanwhile)
    look()
    while looks[-1][2] is not None:
        if time.time() - began > _SETTLE_S:
            raise RuntimeError("what was answered is not joined: the worker does not keep up or stands still")
        time.sleep(_LOOK_EVERY_S)
        look()
    answered_at = {bodies.provider_id(i): at for i, at in sent.answered}
    keys: dict[str, int] = {}
    for position, _, body, *_ in looker.stored():
        of = provider_id(body)
        if of in answered_at:  # the latest, if it came before
            keys[of] = max(keys.get(of, position), position)
    waits = sorted(_waits([(at, keys[of]) for of, at in answered_at.items()], looks))
    return sent, {
        "p50_ms": round(percentile(waits, 0.5) * 1000, 1),
        "p99_ms": round(percentile(waits, 0.99) * 1000, 1),
        "max_ms": round(waits[-1] * 1000, 1),
        "rate": sent.told["rate"],
        "answer_p99_ms": sent.told["p99_ms"],
    }


def _waits(
    answered: list[tuple[float, int]],
    looks: Sequence[tuple[float, float, int | None]],
) -> list[float]:
    """From each answer to the end of the first look, begun after it, that finds only later ones waiting."""
    befores = [before for before, _, _ in looks]
    waits = []
    for at, key in answered:
        for _, after, oldest in looks[bisect.bisect_left(befores, at) :]:
            if oldest is None or key < oldest:
                waits.append(after - at)
                break
    assert len(waits) == len(answered), "every callback was seen joined"
    return waits
