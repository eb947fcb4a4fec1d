"""Rules for joins that a person makes by hand."""

from __future__ import annotations

from tracker.domain.matching.facts import Receipt, SubmissionFacts
from tracker.errors import NumberMismatch


def require_same_number(receipt: Receipt, submission: SubmissionFacts) -> None:
    """Raise NumberMismatch if the callback names another phone number than the submission was sent to.

    A callback that names no number passes.
    """
    number = receipt.report.to
    if number is not None and number != submission.to:
        raise NumberMismatch(
            f"{receipt.id} is about {number}, but {submission.call} went to {submission.to}."
        )
