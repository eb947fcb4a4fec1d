"""Telling: the events that our own acts make."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tracker.domain.calls import CallStatus, Reason, Submission
from tracker.domain.events import AtSource, Event, EventSource, EventType


class EventFactory:
    """Makes the events of one submission at one moment."""

    def __init__(
        self, submission: Submission, now: datetime, source: EventSource = EventSource.sender
    ) -> None:
        self._submission, self._now, self._source = submission, now, source

    def event(self, key: str, *, type: EventType, next_attempt: bool = False, **fields: Any) -> Event:
        s = self._submission
        detail = {k: v for k, v in fields.pop("detail", {}).items() if v is not None}
        return Event(
            key=f"{s.id}/{key}", call=s.call, submission=s.id, attempt=s.number + next_attempt, type=type, at=self._now,
            at_source=fields.pop("at_source", AtSource.tracker), source=self._source, detail=detail, **fields,
        )  # fmt: skip

    def status(
        self,
        status: CallStatus,
        reason: Reason | None,
        *,
        key: str | None = None,
        word: str | None = None,
        detail: Mapping[str, Any] | None = None,
        at_source: AtSource = AtSource.tracker,
    ) -> Event:
        return self.event(
            key or status.value, type=EventType.status, status=status, reason=reason, provider_status=word,
            detail=detail or {}, at_source=at_source,
        )  # fmt: skip

    def decision(self, key: str, reason: Reason | None, detail: Mapping[str, Any]) -> Event:
        return self.event(f"decision/{key}", type=EventType.decision, reason=reason, detail=dict(detail))

    def next_decision(self, key: str, reason: Reason | None, detail: Mapping[str, Any]) -> Event:
        """A decision about the attempt after this one: it stands between the two in the timeline."""
        return self.event(
            f"decision/{key}", type=EventType.decision, reason=reason, detail=dict(detail), next_attempt=True
        )
