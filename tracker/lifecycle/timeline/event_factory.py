"""Makes the events of what the tracker and its operators do."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tracker.domain.calls import CallStatus, Reason, Submission
from tracker.domain.events import AtSource, Event, EventSource, EventType


class EventFactory:
    """Makes events of one submission that happen at one moment and have one source."""

    def __init__(
        self, submission: Submission, now: datetime, source: EventSource = EventSource.sender
    ) -> None:
        self._submission, self._now, self._source = submission, now, source

    def status(
        self,
        status: CallStatus,
        reason: Reason | None,
        *,
        key: str | None = None,
        provider_status: str | None = None,
        detail: Mapping[str, Any] | None = None,
        at_source: AtSource = AtSource.tracker,
    ) -> Event:
        """Return the event that the submission reached a status. key: by default the status, for what happens once."""
        return self._event(
            key or status.value, type=EventType.status, status=status, reason=reason, provider_status=provider_status,
            detail=detail or {}, at_source=at_source,
        )  # fmt: skip

    def decision(self, key: str, reason: Reason | None, detail: Mapping[str, Any]) -> Event:
        """Return a decision about the submission."""
        return self._event(f"decision/{key}", type=EventType.decision, reason=reason, detail=detail)

    def next_decision(self, key: str, reason: Reason | None, detail: Mapping[str, Any]) -> Event:
        """Return a decision about the attempt after the submission. In the timeline it is between the two."""
        number = self._submission.number + 1
        return self._event(
            f"decision/{key}", type=EventType.decision, reason=reason, detail=detail, attempt=number
        )

    def warning(self, key: str, reason: Reason, detail: Mapping[str, Any]) -> Event:
        """Return a warning about the submission."""
        return self._event(key, type=EventType.warning, reason=reason, detail=detail)

    def _event(
        self,
        key: str,
        *,
        type: EventType,
        reason: Reason | None,
        detail: Mapping[str, Any],
        status: CallStatus | None = None,
        provider_status: str | None = None,
        attempt: int | None = None,
        at_source: AtSource = AtSource.tracker,
    ) -> Event:
        submission = self._submission
        return Event(
            key=f"{submission.id}/{key}",
            call=submission.call,
            submission=submission.id,
            attempt=attempt or submission.number,
            type=type,
            status=status,
            at=self._now,
            at_source=at_source,
            source=self._source,
            provider_status=provider_status,
            reason=reason,
            detail={name: value for name, value in detail.items() if value is not None},
        )
