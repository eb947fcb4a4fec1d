"""The joiner as a process: it joins, is started again if it dies, and ends with the process that started it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.inbox import new_callback
from tests.lifecycle.house import House
from tracker.joiner_process import JoinerConfig, JoinerProcess
from tracker.store.inbox import log


def config(house: House) -> JoinerConfig:
    return JoinerConfig(
        database_url=house.database.url.render_as_string(hide_password=False),
        accounts=house.program.accounts,
        log_secrets=(),
        log_json=True,
        log_level="info",
    )


@asynccontextmanager
async def running(house: House) -> AsyncIterator[JoinerProcess]:
    stopping = asyncio.Event()
    joiner = JoinerProcess(config(house))
    task = asyncio.create_task(joiner.run(stopping))
    await until(lambda: joiner.pid)
    yield joiner
    stopping.set()
    await asyncio.wait_for(task, 30)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 (the condition sets no event)
            await asyncio.sleep(0.02)


def is_joined(house: House, call: str) -> bool:
    return house.timeline(call).status == "busy"


def receive(house: House, call: str) -> None:
    body = json.dumps({"id": house.provider_id(call), "status": "BUSY"}).encode()
    log.append(house.database, [new_callback(body)])


def test_joiner_process_joins_and_ends_when_told(house: House) -> None:
    call = house.place()

    async def scenario() -> None:
        async with running(house) as joiner:
            receive(house, call)
            await until(lambda: is_joined(house, call))
            pid = joiner.pid
        assert pid is not None
        assert not is_alive(pid)

    asyncio.run(scenario())


def test_joiner_process_is_started_again_after_it_was_killed(house: House) -> None:
    calls = [house.place("+918919525224"), house.place("+918919525225")]

    async def scenario() -> None:
        async with running(house) as joiner:
            receive(house, calls[0])
            await until(lambda: is_joined(house, calls[0]))
            first = joiner.pid
            assert first is not None
            os.kill(first, signal.SIGKILL)
            receive(house, calls[1])
            await until(lambda: is_joined(house, calls[1]))
            assert joiner.pid != first

    asyncio.run(scenario())


PARENT = """
import asyncio, pickle, sys
from tracker.joiner_process import JoinerProcess
config = pickle.load(sys.stdin.buffer)
asyncio.run(JoinerProcess(config).run(asyncio.Event()))
"""


def test_joiner_process_ends_when_its_parent_is_killed(house: House) -> None:
    import pickle

    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert parent.stdin is not None
    parent.stdin.write(pickle.dumps(config(house)))
    parent.stdin.close()
    children = wait_for(lambda: children_of(parent.pid))
    call = house.place()
    receive(house, call)
    wait_for(lambda: is_joined(house, call))
    parent.kill()
    parent.wait()
    wait_for(lambda: not any(is_alive(pid) for pid in children))


def wait_for(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def children_of(pid: int) -> list[int]:
    """Return the child processes that any thread of a process has started."""
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


def is_alive(pid: int) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_joiner_process_hides_secrets_from_its_command_line_and_environment(house: House) -> None:
    async def scenario() -> None:
        async with running(house) as joiner:
            folder = Path(f"/proc/{joiner.pid}")
            seen = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
            assert b"tracker.joiner_process" in seen
            assert house.account.access_token.encode() not in seen
            assert house.database.url.render_as_string(hide_password=False).encode() not in seen

    asyncio.run(scenario())
