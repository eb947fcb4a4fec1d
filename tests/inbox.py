"""Callbacks as the receiver stores them, for tests that put them into the inbox themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tracker.store.ids import new_id
from tracker.store.inbox.log import NewCallback
from tracker.store.inbox.states import PENDING


def new_callback(body: bytes = b"{}", **changes: Any) -> NewCallback:
    """Return a plain JSON callback of the account `thundersms` with a new id, changed as asked."""
    plain = NewCallback(
        id=new_id("cb"), account="thundersms", lane=None, received_at=datetime.now(UTC), method="POST",
        size=len(body), remote="127.0.0.1", state=PENDING, reason=None, fingerprint=None,
        path=b"/callbacks/thundersms", query=b"", headers=b"content-type: application/json\r\n", body=body,
    )  # fmt: skip
    return plain._replace(**changes)
