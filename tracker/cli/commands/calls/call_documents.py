"""Reads a call and its timeline as the documents that the API answers with."""

from __future__ import annotations

from tracker.store.engine.database import Database
from tracker.store.read.calls import get_call, get_timeline
from tracker.web.api.documents import Document, call_document, event_document, plain


def load_call_documents(database: Database, call_id: str) -> tuple[Document, list[Document]]:
    """Return a call and its events in order, as they are at one moment. Raises NotFound."""
    call, events = database.read(lambda c: (get_call(c, call_id), get_timeline(c, call_id)))
    return plain(call_document(call)), [plain(event_document(event)) for event in events]
