"""Fixtures of the tests over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recording_provider import RecordingProvider
from tests.web.serving import Serving


@pytest.fixture
def provider() -> Iterator[RecordingProvider]:
    """A provider that records what is sent to it."""
    with RecordingProvider() as server:
        yield server


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite database that does not exist yet."""
    return f"sqlite:///{tmp_path / 'tracker.db'}"


@pytest.fixture
def serving(database_url: str, provider: RecordingProvider) -> Iterator[Serving]:
    """A running application, once on each database, with the recording provider."""
    with Serving(database_url, provider.base_url) as opened:
        yield opened
