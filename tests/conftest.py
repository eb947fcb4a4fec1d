"""What every test stands on: a clean environment, and empty databases of both kinds."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.postgres_server import PostgresServer, open_server

ROOT = Path(__file__).resolve().parent.parent

# At import, before any module of tracker could look: no setting, proxy or database of the developer's gets in.
for name in set(os.environ) - {"TRACKER_TEST_POSTGRES_URL"}:
    if name.upper().startswith(("TRACKER_", "PG")) or name.upper().endswith("_PROXY"):
        del os.environ[name]
# For the processes that tests start elsewhere; hypothesis would remember its examples in the working directory.
os.environ["PYTHONPATH"] = str(ROOT)
os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(ROOT / ".hypothesis")

# Neither a slow draw nor a slow example is a failure: the suite must pass on a machine that is busy with other work.
settings.register_profile("tracker", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tracker")

# Ended by a build server's time limit, the tests clean up behind them as they do after Ctrl-C.
signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _quiet_log() -> None:
    """Tests of the log configure it themselves, and leave it so; elsewhere it would bury what a test has to say, and
    a traceback of structlog's own making takes a second."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@pytest.fixture(scope="session", autouse=True)
def _empty_working_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """./tracker.toml is the default configuration, and a developer's checkout may well have one, with real tokens."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("working-directory"))
    yield
    os.chdir(before)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server, started when the first test asks for it."""
    server = open_server(os.environ.get("TRACKER_TEST_POSTGRES_URL"))
    yield server
    server.stop()


@pytest.fixture
def postgres_database(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty PostgreSQL database, dropped afterwards."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database; a test that takes it runs once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'tracker.db'}"
    url: str = request.getfixturevalue("postgres_database")
    return url
