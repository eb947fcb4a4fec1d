"""Matches receipts to submissions by id: the provider's submission id, our own id, or the message id."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tracker.domain.call_reports import CallReport
from tracker.domain.events import MatchedBy
from tracker.domain.matching.facts import Join, Receipt, SubmissionFacts

_SUFFIX = re.compile(r":\d+$")


def id_key(id: str) -> str:
    """Return an id in the form in which ids are compared. Case does not count."""
    return id.strip().casefold()


def base_id_key(id: str) -> str:
    """Return `id_key` without the provider's `:n` suffix."""
    return _SUFFIX.sub("", id_key(id))


def is_named_by_first_id(report: CallReport, submission: SubmissionFacts) -> bool:
    """Whether the first id of the report is this submission's. No later evidence can overrule such a match."""
    id = submission.provider_id
    return bool(id and report.ids and id_key(report.ids[0]) == id_key(id))


class SubmissionIndex:
    """The submissions of one match, indexed by every id that identifies one."""

    def __init__(self, submissions: Iterable[SubmissionFacts]) -> None:
        self._own: dict[tuple[str, str], list[str]] = {}
        self._full: dict[tuple[str, str], list[str]] = {}
        self._base: dict[tuple[str, str], list[str]] = {}
        for s in submissions:
            self._own[s.account, id_key(s.id)] = [s.id]
            if s.provider_id is not None:
                self._full.setdefault((s.account, id_key(s.provider_id)), []).append(s.id)
                self._base.setdefault((s.account, base_id_key(s.provider_id)), []).append(s.id)

    def find_join(self, receipt: Receipt) -> Join | None:
        """Return the join by the surest id that exactly one submission has, or None."""
        if receipt.polled_submission is not None:
            return Join(submission=receipt.polled_submission, matched_by=MatchedBy.submission_id)
        account, report = receipt.account, receipt.report
        ids, message_id = report.ids, report.message_id
        first = self._full.get((account, id_key(ids[0])), ()) if ids else ()
        if len(first) == 1:  # nearly always
            return Join(submission=first[0], matched_by=MatchedBy.submission_id)
        from_sure_to_unsure = (
            (self._full, [id_key(i) for i in ids], MatchedBy.submission_id),
            (self._base, [base_id_key(i) for i in ids], MatchedBy.submission_id_without_suffix),
            (self._own, [id_key(i) for i in report.references], MatchedBy.reference),
            (self._full, [id_key(message_id)] if message_id else [], MatchedBy.message_id),
            (self._base, [base_id_key(message_id)] if message_id else [], MatchedBy.message_id),
        )
        for index, keys, matched_by in from_sure_to_unsure:
            for key in keys:
                submissions = index.get((account, key), ())
                if len(submissions) == 1:
                    return Join(submission=submissions[0], matched_by=matched_by)
        return None
