"""Defines the facts that matching compares, and the verdicts that it returns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tracker.domain import value
from tracker.domain.call_reports import CallReport
from tracker.domain.events import MatchedBy


@value
class SubmissionFacts:
    """The facts about one submission that matching compares."""

    id: str
    #: the call it belongs to; matching does not compare it
    call: str = ""
    account: str
    #: E.164
    to: str
    #: digits
    bridge: str
    flow_id: str | None
    #: minutes
    interval: int
    lane: str | None
    #: the provider's submission id, as sent; None before it was accepted
    provider_id: str | None
    #: UTC, the commit to `submitting`; None before it
    requested_at: datetime | None
    #: True if the provider refused it or the request never left, so no phone can ring because of it
    refused: bool = False


@value
class Receipt:
    """A readable callback, or one row of a poll's answer, with the report that it carries."""

    #: `cb_…` of a callback, `ask_…/n` of a poll's row
    id: str
    account: str
    lane: str | None
    #: UTC
    received_at: datetime
    report: CallReport
    #: the submission that an operator chose; overrules all evidence
    manual_submission: str | None = None
    #: the submission that the poll asked about; None for a callback
    polled_submission: str | None = None
    #: an earlier join that is kept as it is; duplicates of this receipt follow it
    fixed_join: Join | None = None


@dataclass(frozen=True, kw_only=True)
class Join:
    """The verdict that a receipt belongs to a submission."""

    submission: str
    matched_by: MatchedBy

    @property
    def is_certain(self) -> bool:
        """Whether an id or an operator decided. Only the report of a certain join can contradict another report."""
        return self.matched_by.is_exact or self.matched_by is MatchedBy.operator


@dataclass(frozen=True, kw_only=True)
class Unjoined:
    """The verdict that no submission fits a receipt, or that several do."""

    #: `no-submission`, `ambiguous`, `contradicted` or `click-to-call`
    reason: str
    #: True if the receipt is not about a call of ours, so it is never matched again
    ignored: bool = False
    #: the submissions that it could belong to, if it is ambiguous or contradicted
    candidates: tuple[str, ...] = ()


Verdict = Join | Unjoined
