"""Which database a copy was made of, how far it is, and whether anybody has worked on it since."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tracker.domain.pause import Pause, PauseReason
from tracker.domain.time_text import from_iso, iso
from tracker.store.engine.upsert import insert_if_absent
from tracker.store.ids import first_id_at
from tracker.store.policy import pauses
from tracker.store.schema import tables as t

_MARK: Final = "copy-of"
#: clocks of two machines differ by less
_SKEW: Final = timedelta(hours=1)
#: what only comes into being where somebody works
_BORN: Final = ((t.calls, "call"), (t.callbacks, "cb"), (t.events, "ev"), (t.submissions, "sub"))


@dataclass(frozen=True, kw_only=True)
class CopyMarker:
    """What a copy knows of where it came from."""

    #: a digest of the original's key of digests, if it had one
    key: str | None
    #: the newest call that the original had
    newest: str | None
    #: when the copy was last begun, or completed; ISO
    at: str
    complete: bool


def mark_of(connection: Connection) -> CopyMarker | None:
    """The mark of a copy; None on what is no copy."""
    text = connection.scalar(sa.select(t.settings.c.value).where(t.settings.c.name == _MARK))
    return CopyMarker(**json.loads(text)) if text else None


def mark_for(connection: Connection, now: datetime, *, complete: bool) -> CopyMarker:
    """The mark that a copy of this database is given."""
    key = connection.scalar(sa.select(t.settings.c.value).where(t.settings.c.name == "digest-key"))
    newest = connection.scalar(sa.select(sa.func.max(t.calls.c.id)))
    digest = hashlib.sha256(key.encode()).hexdigest()[:16] if key else None
    return CopyMarker(key=digest, newest=newest, at=iso(now), complete=complete)


def write_mark(connection: Connection, mark: CopyMarker) -> None:
    value = json.dumps(asdict(mark))
    if not insert_if_absent(connection, t.settings, {"name": _MARK, "value": value}):
        connection.execute(t.settings.update().where(t.settings.c.name == _MARK).values(value=value))


def is_original(connection: Connection, mark: CopyMarker, now: datetime) -> bool:
    """Whether this is the database that a copy with this mark was made of."""
    mine = mark_for(connection, now, complete=False)
    if mark.key is not None and mine.key is not None:
        return mark.key == mine.key
    if mark.newest is None:
        return True
    return connection.scalar(sa.select(t.calls.c.id).where(t.calls.c.id == mark.newest)) is not None


def is_empty(connection: Connection) -> bool:
    """Whether nothing has happened in this database yet."""
    return all(
        connection.scalar(sa.select(next(iter(table.primary_key.columns))).limit(1)) is None
        for table in t.metadata.sorted_tables
        if table not in (t.settings, t.workers, t.counts)
    )


def find_rows_created_in_copy(
    connection: Connection, mark: CopyMarker, known: Callable[[sa.Table, list[str]], set[str]]
) -> str | None:
    """Something that came into being in a copy, after it was made; None where there is nothing. known: those of some
    ids that the original has."""
    since = from_iso(mark.at) - _SKEW
    for table, prefix in _BORN:
        last = first_id_at(prefix, since)
        query = sa.select(table.c.id).order_by(table.c.id).limit(2_000)
        young: list[str]
        while young := list(connection.scalars(query.where(table.c.id > last))):
            if strangers := set(young) - known(table, young):
                return min(strangers)
            last = young[-1]
    return None


def mark_incomplete(connection: Connection, mark: CopyMarker, now: datetime) -> None:
    """Nobody is dialled from a copy that is not complete."""
    write_mark(connection, mark)
    pauses.delete_pause(connection, None, None)
    pauses.insert_pause(connection, Pause(since=now, why=PauseReason.copying))


def mark_complete(connection: Connection, like: Pause | None) -> None:
    """It is complete: it pauses if the original does."""
    pauses.delete_pause(connection, None, None)
    if like is not None:
        pauses.insert_pause(connection, like)
