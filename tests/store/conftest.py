"""Fixtures of the tests of the store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lifecycle.house import House
from tests.recording_provider import RecordingProvider


@pytest.fixture
def provider() -> Iterator[RecordingProvider]:
    """A provider that records what it is sent."""
    with RecordingProvider() as server:
        yield server


@pytest.fixture
def house(database_url: str, provider: RecordingProvider) -> Iterator[House]:
    """The whole program over an empty database, on SQLite and on PostgreSQL."""
    opened = House(database_url, provider.base_url)
    yield opened
    opened.close()
