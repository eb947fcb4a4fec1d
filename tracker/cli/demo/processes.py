"""The demo's two processes, the tracker and the simulated provider, and the temporary directory they live in.

Nothing of the caller's configuration reaches them, and whatever happens they are ended and the directory is removed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import urlsplit

from tracker.cli.demo.signals import Signals
from tracker.cli.demo.story import BRIDGE, WEBHOOK
from tracker.errors import TrackerError

#: seconds until a process must be ready, and until it must have ended after it was asked to
_READY_S: Final = 30.0
_END_S: Final = 10.0
_LOOK_S: Final = 0.05
#: lines of its log that are shown of a process that died
_LAST_LINES: Final = 15
_ACCOUNT: Final = "simulated"


class ChildEnded(TrackerError):
    """A process of the demo ended by itself."""


class Child:
    """A `tracker …` process whose output goes to two files."""

    def __init__(
        self, name: str, arguments: Sequence[str], directory: Path, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self._out, self._log = directory / f"{name}.out", directory / f"{name}.log"
        with self._out.open("wb") as out, self._log.open("wb") as log:
            # A session of its own: Ctrl-C reaches the demo alone, which then ends both in its order.
            self._process = subprocess.Popen(  # noqa: S603 -- our own program, no shell
                [sys.executable, "-P", "-m", "tracker.cli.demo.tied", *arguments],
                stdin=subprocess.PIPE,  # of which nothing comes; its end says that the demo is gone
                stdout=out, stderr=log,
                cwd=directory, env=dict(environment), start_new_session=True,
            )  # fmt: skip

    def check(self) -> None:
        """Raises ChildEnded, with the last lines that it wrote, if it does not run any more."""
        status = self._process.poll()
        if status is None:
            return
        last = "\n".join(f"  {line}" for line in self._lines()[-_LAST_LINES:]) or "  (it wrote nothing)"
        raise ChildEnded(
            f"The demo's {self.name} ended by itself with exit status {status}. It last wrote:\n{last}\n"
            "Run the demo again; if it happens again, please report it with these lines."
        )

    def announcement(self, key: str, value: str | None = None) -> dict[str, Any]:
        """The first JSON line that it writes with this key (and value): it is ready. Waits for it.

        Raises ChildEnded, or TrackerError if it takes too long.
        """
        until = time.monotonic() + _READY_S
        while True:
            for line in self._lines():
                said = _object(line)
                if key in said and value in (None, said[key]):
                    return said
            self.check()
            if time.monotonic() > until:
                raise TrackerError(
                    f"The demo's {self.name} was not ready after {_READY_S:.0f} seconds; "
                    "is this machine very busy? Try again in a moment."
                )
            time.sleep(_LOOK_S)

    def complaints(self) -> list[str]:
        """The lines of its log that are warnings or errors, each with its name in front."""
        bad = (
            line for line in self._lines() if _object(line).get("level") in ("warning", "error", "critical")
        )
        return [f"{self.name}: {line}" for line in bad]

    def _lines(self) -> list[str]:
        return [
            line
            for file in (self._out, self._log)
            for line in file.read_text("utf-8", "replace").splitlines()
        ]

    def ask_to_end(self) -> None:
        """Ends it in an orderly way; does not wait for it."""
        if self._process.poll() is None:
            self._process.terminate()

    def end(self) -> None:
        """Comes back when it has ended, which it is made to if it takes too long."""
        self.ask_to_end()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()


class House:
    """Where the demo takes place."""

    def __init__(self, directory: Path, signals: Signals) -> None:
        self.directory, self._signals = directory, signals
        self.configuration = directory / "tracker.toml"
        self.api_token, self.webhook_secret, self.webhook_token = token_hex(16), token_hex(16), token_hex(8)
        self._provider_token = token_hex(8)
        self._children: list[Child] = []
        #: `http://127.0.0.1:PORT`, of the tracker; `http://127.0.0.1:PORT/…/`, of the simulated provider
        self.url = self.provider_url = self.control_url = ""

    @property
    def provider_headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._provider_token}", "Accept": "application/json"}

    @property
    def callback_url(self) -> str:
        return f"{self.url}/callbacks/{_ACCOUNT}"

    def start(self, simulator_flags: Sequence[str]) -> None:
        """Starts the simulator, then the tracker with an account at that simulator and nowhere else."""
        # its database is always new, and the story the same
        simulate = ["simulate", "--port", "0", "--json", "--token", self._provider_token, "--seed", "1"]
        simulator = self._child("simulator", [*simulate, *simulator_flags])
        said = simulator.announcement("control")
        self.provider_url, self.control_url = said["url"], said["control"]
        _refuse_any_other(self.provider_url)
        self._write_configuration()
        tracker = self._child(
            "tracker", ["serve", "--host", "127.0.0.1", "--port", "0", "--log-format", "json"]
        )
        self.url = tracker.announcement("event", "server.listening")["url"]

    def check(self) -> None:
        """Raises ChildEnded if one of the processes does not run any more."""
        for child in self._children:
            child.check()

    def complaints(self) -> list[str]:
        """What both have logged as a warning or an error, one line each."""
        return [line for child in self._children for line in child.complaints()]

    def end(self) -> None:
        """Ends both; comes back when they have ended."""
        for child in self._children:
            child.ask_to_end()
        for child in self._children:
            child.end()

    def _child(self, name: str, arguments: Sequence[str]) -> Child:
        with self._signals.held():
            child = Child(name, arguments, self.directory, environment(self.configuration))
            self._children.append(child)
        return child

    def _write_configuration(self) -> None:
        sections: dict[str, dict[str, object]] = {
            "[database]": {"url": f"sqlite:///{self.directory / 'tracker.db'}"},
            "[server]": {"api_token": self.api_token},
            f"[accounts.{_ACCOUNT}]": {
                "base_url": self.provider_url,
                "access_token": self._provider_token,
                "webhook_id": WEBHOOK,
                "webhook_secrets": [self.webhook_secret],
                "webhook_token": self.webhook_token,
                "bridge": BRIDGE,
                "calls_per_second": 10.0,
                "timeout_s": 2.0,
            },
        }
        text = "# Of `tracker demo`: a simulated provider, no phone rings.\n"
        for section, values in sections.items():
            # A text of JSON is a text of TOML, where it has no control characters.
            text += (
                "\n".join(
                    [section, *(f"{k} = {json.dumps(v, ensure_ascii=False)}" for k, v in values.items())]
                )
                + "\n"
            )
        with open(
            os.open(self.configuration, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(text)


def environment(configuration: Path, of: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of the demo's processes: the caller's, without any setting of tracker's."""
    kept = {name: value for name, value in of.items() if not name.upper().startswith("TRACKER_")}
    package = Path(__file__).resolve().parents[2]
    if (package.parent / "pyproject.toml").exists():  # from a checkout, which may not be installed
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, (str(package.parent), of.get("PYTHONPATH"))))
    return kept | {"TRACKER_CONFIG": str(configuration), "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}


def _object(line: str) -> dict[str, Any]:
    """What a line of JSON says; nothing where it is something else, or not written to its end yet."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _refuse_any_other(url: str) -> None:
    """The demo dials as it likes: so only what runs on this machine may be its provider."""
    if urlsplit(url).hostname != "127.0.0.1":
        raise TrackerError(f"The demo calls only through its own simulator, not through {url}.")


@contextmanager
def house(signals: Signals) -> Iterator[House]:
    """A house in a temporary directory. Afterwards its processes have ended and the directory is gone."""
    with ExitStack() as leaving:
        with signals.held():
            directory = Path(leaving.enter_context(TemporaryDirectory(prefix="tracker-demo-"))).resolve()
            found = House(directory, signals)
            leaving.callback(found.end)
        try:
            yield found
        finally:
            with signals.ignored():
                leaving.close()
