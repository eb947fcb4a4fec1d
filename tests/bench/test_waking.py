"""The bench sees callbacks joined one by one, whichever process does it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.fill import fill
from bench.looking import Looker
from bench.plan import Plan
from bench.waking import WAYS, measure
from tests.postgres_server import PostgresServer


@pytest.mark.parametrize("way", WAYS)
def test_each_callback_is_seen_joined(way: str, postgres_server: PostgresServer, tmp_path: Path) -> None:
    url, plan = postgres_server.create_database(), Plan(1_000)
    fill(url, plan)
    told = measure(tmp_path, url, plan, way, 3)
    assert 0 < told["min_ms"] <= told["p50_ms"] <= told["p90_ms"] <= told["max_ms"]
    with Looker(url) as looker:
        assert [state for _, _, _, state, *_ in looker.stored()] == ["joined"] * 4
