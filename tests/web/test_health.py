"""`/healthz`, `/readyz`, `/statusz`."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.documents import statusz_shown
from tests.processes import API_TOKEN, eventually
from tests.web.serving import Serving, is_problem
from tracker.store.read import system_status


def read_readiness(serving: Serving) -> tuple[int, list[str]]:
    """Return the status and the problems of `/readyz`."""
    response = serving.client.get("/readyz")
    body = response.json()
    assert body["ok"] is (response.status_code == 200)
    return response.status_code, body["problems"]


def test_server_is_alive_and_ready(serving: Serving) -> None:
    assert serving.client.get("/healthz").json() == {"ok": True}
    assert serving.client.head("/healthz").status_code == 200
    assert read_readiness(serving) == (200, [])
    assert read_readiness(serving) == (200, [])
    # The probe leaves nothing behind.
    assert serving.stored_callbacks() == []


def test_server_is_alive_and_not_ready_when_table_is_missing(serving: Serving) -> None:
    with serving.database.inbox.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE inbox RENAME TO elsewhere"))

    status, (problem,) = read_readiness(serving)
    assert status == 503
    assert "cannot be stored" in problem
    assert serving.client.get("/healthz").status_code == 200


def test_server_is_not_ready_when_schema_is_newer(serving: Serving) -> None:
    with serving.database.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(sa.text("UPDATE settings SET value = '9999' WHERE name = 'oldest-able-schema'"))

    status, (problem,) = read_readiness(serving)
    assert status == 503
    assert "older than the database" in problem


def test_server_is_not_ready_when_disk_is_full(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Serving(sqlite_url, worker=False) as serving:
        assert read_readiness(serving)[0] == 200
        monkeypatch.setattr(system_status, "_LEAST_FREE", 1 << 62)
        status, (problem,) = read_readiness(serving)
        assert status == 503
        assert "full" in problem


def test_readiness_probes_share_one_attempt_when_locked(sqlite_url: str, tmp_path: Path) -> None:
    with Serving(sqlite_url, worker=False) as serving:
        lock = sqlite3.connect(tmp_path / "tracker-inbox.db", isolation_level=None, check_same_thread=False)
        lock.execute("BEGIN IMMEDIATE")
        answers: list[tuple[int, list[str]]] = []
        probing = [threading.Thread(target=lambda: answers.append(read_readiness(serving))) for _ in range(5)]
        for thread in probing:
            thread.start()
        for thread in probing:
            thread.join()
        assert [status for status, _ in answers] == [503] * 5
        assert {problems[0] for _, problems in answers} == {
            "the database did not take a write within 2.5 seconds"
        }
        lock.execute("ROLLBACK")
        lock.close()
        assert eventually(lambda: read_readiness(serving)[0] == 200, "the server does not become ready again")


def test_statusz_needs_token_and_has_documented_shape(serving: Serving) -> None:
    assert is_problem(serving.client.get("/statusz"), 401)
    serving.place()
    serving.callback({"a": 1}, secret="wrong")
    serving.callback({"a": 1}, "/callbacks/nobody")
    serving.callback({"status": "BUSY"})

    def read_complete() -> Any:
        headers = {"Authorization": f"Bearer {API_TOKEN}"}
        document = serving.client.get("/statusz", headers=headers).json()
        callbacks = document["callbacks"]
        is_complete = document["counts"] and callbacks["quarantined"] and callbacks["orphaned"]
        return document if is_complete and document["workers"] else None

    document = eventually(read_complete, "the status stays incomplete")
    documented = statusz_shown()
    assert list(document) == list(documented)
    assert list(document["accounts"]["thundersms"]) == list(documented["accounts"]["thundersms"])
    assert list(document["workers"][0]) == list(documented["workers"][0])
    assert list(document["counts"][0]) == list(documented["counts"][0])
    assert document["callbacks"].keys() == documented["callbacks"].keys()
    assert document["worker_here"] == "running"
    assert document["inbox_waiting"] == 0
    assert document["accounts"]["thundersms"]["open_submissions"] == 1
    assert document["accounts"]["thundersms"]["last_callback_at"].endswith("Z")
    assert document["accounts"]["thundersms"]["last_quarantined_at"].endswith("Z")
    assert document["callbacks"] == {"pending": 0, "orphaned": 1, "unreadable": 0, "quarantined": 1}
    counts = [(c["name"], c["account"], c["count"]) for c in document["counts"]]
    assert counts == [("unknown-account", None, 1)]


def test_unknown_path_or_method_is_a_problem(serving: Serving) -> None:
    assert is_problem(serving.client.get("/"), 404)
    assert is_problem(serving.client.get("/callbacks"), 404)
    assert is_problem(serving.client.get("/healthz/"), 404)
    response = serving.client.post("/healthz")
    assert is_problem(response, 405)
    assert set(response.headers["allow"].split(", ")) == {"GET", "HEAD"}
