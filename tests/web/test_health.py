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


def ready(serving: Serving) -> tuple[int, list[str]]:
    response = serving.client.get("/readyz")
    body = response.json()
    assert body["ok"] is (response.status_code == 200)
    return response.status_code, body["problems"]


def test_a_process_that_lives_and_can_store_says_so(serving: Serving) -> None:
    assert serving.client.get("/healthz").json() == {"ok": True}
    assert serving.client.head("/healthz").status_code == 200
    assert ready(serving) == (200, [])
    assert ready(serving) == (200, [])
    assert serving.kept() == []


def test_without_a_table_it_lives_and_is_not_ready(serving: Serving) -> None:
    with serving.database.engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE waiting_keys"))
        connection.execute(sa.text("ALTER TABLE callbacks RENAME TO elsewhere"))

    status, (problem,) = ready(serving)
    assert status == 503
    assert "cannot be stored" in problem
    assert serving.client.get("/healthz").status_code == 200


def test_with_another_version_s_schema_it_is_not_ready(serving: Serving) -> None:
    with serving.database.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(sa.text("UPDATE settings SET value = '9999' WHERE name = 'oldest-able-schema'"))

    status, (problem,) = ready(serving)
    assert status == 503
    assert "older than the database" in problem


def test_with_a_full_disk_it_is_not_ready(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Serving(sqlite_url, worker=False) as serving:
        assert ready(serving)[0] == 200
        monkeypatch.setattr(system_status, "_LEAST_FREE", 1 << 62)
        status, (problem,) = ready(serving)
        assert status == 503
        assert "full" in problem


def test_with_a_lock_it_is_not_ready_and_does_not_queue_up(sqlite_url: str, tmp_path: Path) -> None:
    with Serving(sqlite_url, worker=False) as serving:
        lock = sqlite3.connect(tmp_path / "tracker.db", isolation_level=None, check_same_thread=False)
        lock.execute("BEGIN IMMEDIATE")
        found: list[Any] = []
        asking = [threading.Thread(target=lambda: found.append(ready(serving))) for _ in range(5)]
        for each in asking:
            each.start()
        for each in asking:
            each.join()
        assert [status for status, _ in found] == [503] * 5
        assert {problems[0] for _, problems in found} == {
            "the database did not take a write within 2.5 seconds"
        }
        lock.execute("ROLLBACK")
        lock.close()
        assert eventually(lambda: ready(serving)[0] == 200, "it does not get ready again")


def test_statusz_needs_the_token_and_tells_how_the_work_stands(serving: Serving) -> None:
    assert is_problem(serving.client.get("/statusz"), 401)
    serving.place()
    serving.callback({"a": 1}, secret="wrong")
    serving.callback({"a": 1}, "/callbacks/nobody")
    serving.callback({"status": "BUSY"})

    def told() -> Any:
        headers = {"Authorization": f"Bearer {API_TOKEN}"}
        found = serving.client.get("/statusz", headers=headers).json()
        done = found["counts"] and found["callbacks"]["quarantined"] and found["callbacks"]["orphaned"]
        return found if done and found["workers"] else None

    found = eventually(told, "not all of it is told")
    shown = statusz_shown()
    assert list(found) == list(shown)
    assert [list(found["accounts"]["thundersms"]), list(found["workers"][0]), list(found["counts"][0])] == [
        list(shown["accounts"]["thundersms"]), list(shown["workers"][0]), list(shown["counts"][0]),
    ]  # fmt: skip
    assert found["callbacks"].keys() == shown["callbacks"].keys()
    assert found["worker_here"] == "running"
    assert found["inbox_waiting"] == 0
    assert found["accounts"]["thundersms"]["open_submissions"] == 1
    assert found["accounts"]["thundersms"]["last_callback_at"].endswith("Z")
    assert found["accounts"]["thundersms"]["last_quarantined_at"].endswith("Z")
    assert found["callbacks"] == {"pending": 0, "orphaned": 1, "unreadable": 0, "quarantined": 1}
    assert [(c["name"], c["account"], c["count"]) for c in found["counts"]] == [("unknown-account", None, 1)]


def test_what_is_not_there_or_not_taken_is_a_problem(serving: Serving) -> None:
    assert is_problem(serving.client.get("/"), 404)
    assert is_problem(serving.client.get("/callbacks"), 404)
    assert is_problem(serving.client.get("/healthz/"), 404)
    response = serving.client.post("/healthz")
    assert is_problem(response, 405)
    assert set(response.headers["allow"].split(", ")) == {"GET", "HEAD"}
