"""The databases that the other tests stand on are real, empty, and each test's own."""

from __future__ import annotations

import sqlite3

import psycopg
import pytest


@pytest.mark.parametrize("run", [1, 2])
def test_a_postgres_database_is_empty_and_takes_tables(postgres_database: str, run: int) -> None:
    with psycopg.connect(postgres_database) as connection:
        connection.execute("create table thing (number integer)")
        connection.execute("insert into thing values (%s)", [run])
        assert connection.execute("select number from thing").fetchall() == [(run,)]


@pytest.mark.parametrize("run", [1, 2])
def test_a_database_url_gives_a_fresh_database_of_either_kind(database_url: str, run: int) -> None:
    if database_url.startswith("sqlite:///"):
        connection: sqlite3.Connection | psycopg.Connection = sqlite3.connect(
            database_url[len("sqlite:///") :]
        )
    else:
        connection = psycopg.connect(database_url)
    try:
        connection.execute("create table thing (number integer)")
    finally:
        connection.close()
