from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recording_provider import RecordingProvider
from tests.web.serving import Serving


@pytest.fixture
def provider() -> Iterator[RecordingProvider]:
    with RecordingProvider() as server:
        yield server


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'tracker.db'}"


@pytest.fixture
def serving(database_url: str, provider: RecordingProvider) -> Iterator[Serving]:
    """The application on each database, with a provider that records what is sent to it."""
    with Serving(database_url, provider.base_url) as opened:
        yield opened
