"""Order does not matter, repetition changes nothing: for any evidence, any receipts, any submissions.

Times are drawn from few values, so that repeats, zone shifts, ties and overlapping candidates are common.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st

from tests.domain.story import (
    HOUR,
    MINUTE,
    accepted,
    at,
    decided,
    derived,
    never_left,
    ours,
    report,
    submitting,
)
from tracker.domain.call_reports import CallReport, JoinedReport
from tracker.domain.calls import CallStatus, Reason
from tracker.domain.events import Event, EventSource, EventType, MatchedBy
from tracker.domain.matching.facts import Join, Receipt, SubmissionFacts, Unjoined, Verdict
from tracker.domain.matching.heuristics import duplicate_key
from tracker.domain.matching.match import match
from tracker.domain.same_record import find_zone_shift, provider_status_key
from tracker.domain.timeline.fold import Timeline, fold

QUARTER = 15 * MINUTE
SHIFTS = st.sampled_from([0, 0, 0, QUARTER, -QUARTER, 330 * MINUTE, -330 * MINUTE, 14 * HOUR, 15 * HOUR])
INTERVALS = st.sampled_from([0, 0, 5, 15])


@st.composite
def reports(draw: st.DrawFn) -> CallReport:
    """Records that are the same, nearly the same, or the same but for a zone."""
    shift = draw(SHIFTS)
    start, end = draw(st.sampled_from([None, 5, 305])), draw(st.sampled_from([None, 9, 310]))
    return report(
        draw(
            st.sampled_from(["ANSWER", "MISSED", "BUSY", "NOANSWER", "CANCEL", "RINGING", "VOICEMAIL", None])
        ),
        None if start is None else start + shift,
        None if end is None else end + shift,
        duration_s=draw(st.sampled_from([None, None, 21, 22])),
        charges=draw(st.sampled_from([None, "0.5", "0.6"])),
    )


@st.composite
def evidences(draw: st.DrawFn) -> list[JoinedReport]:
    """Some pieces of evidence, each with its own id; several may have come in the same moment."""
    said = draw(
        st.lists(st.tuples(reports(), st.sampled_from([10, 10, 20, 400, 9000]), st.booleans()), max_size=6)
    )
    return [
        JoinedReport(
            id=f"ask_{n}/0" if asked else f"cb_{n}",
            source=EventSource.poll if asked else EventSource.callback,
            received_at=at(came),
            report=what,
            matched_by=MatchedBy.submission_id,
        )
        for n, (what, came, asked) in enumerate(said)
    ]


NO_REDIAL = Event(
    key="sub_1/quiet", call="call_1", submission="sub_1", attempt=1, type=EventType.decision, at=at(9999),
    at_source=ours(CallStatus.queued, 0).at_source, source=EventSource.inferred, reason=Reason.no_further_redial,
)  # fmt: skip

OWN: list[Event] = [
    *accepted(),
    never_left(2, 1, until=8),
    submitting(8, 2),
    ours(CallStatus.unconfirmed, 30, source=EventSource.inferred, reason=Reason.sender_lost),
    ours(CallStatus.unconfirmed, 30, reason=Reason.no_clear_answer, key="/2"),
    ours(CallStatus.rejected, 3, reason=Reason.rate_limited),
    ours(CallStatus.unknown, 9000, source=EventSource.inferred),
    ours(CallStatus.busy, 9000, source=EventSource.operator, key="/operator"),
    decided("wait", 0, until=60),
    decided("resend", 3, until=8),
    decided("cancel", 4, source=EventSource.operator),
    NO_REDIAL,
    *accepted(2, 600),
]
OWNS = st.lists(st.sampled_from(OWN), max_size=8)


def meaning(told: Timeline) -> Timeline:
    """The timeline without the ids of its events, which are drawn when they are stored."""

    def bare(e: Event | None) -> Event | None:
        return replace(e, id="") if e else None

    return replace(
        told,
        events=tuple(sorted((replace(e, id="") for e in told.events), key=lambda e: e.key)),
        submissions=tuple(
            replace(s, deciding=bare(s.deciding), record_event=bare(s.record_event)) for s in told.submissions
        ),
    )


def stored(events: Sequence[Event], data: st.DataObject) -> list[Event]:
    """The events as a database gives them back: in some order, with ids by chance."""
    ids = data.draw(st.permutations(range(len(events))))
    return data.draw(st.permutations([replace(e, id=f"ev_{n:03}") for e, n in zip(events, ids, strict=True)]))


# ---- from evidence to a timeline ----


@given(st.data(), evidences(), OWNS, INTERVALS)
def test_the_same_evidence_in_any_order_with_any_repetition_gives_the_same_timeline(
    data: st.DataObject, said: list[JoinedReport], own: list[Event], interval: int
) -> None:
    repeated = [*said, *data.draw(st.lists(st.sampled_from(said), max_size=4))] if said else []
    again = derived(data.draw(st.permutations(repeated)), interval=interval)
    once = derived(said, interval=interval)
    assert again == once

    events = [*own, *once.events]
    told = fold(events, interval=interval)
    more = [*events, *data.draw(st.lists(st.sampled_from(events), max_size=4))] if events else []
    assert fold(data.draw(st.permutations(more)), interval=interval) == told
    assert fold(told.events, interval=interval) == told


@given(evidences(), OWNS, INTERVALS)
def test_an_outcome_is_the_status_of_a_settled_call_and_who_answered_completed(
    said: list[JoinedReport], own: list[Event], interval: int
) -> None:
    """What lists of calls rest on: one index on status and settled serves outcome and answered, too."""
    told = fold([*own, *derived(said, interval=interval).events], interval=interval)
    assert told.outcome == (told.status if told.settled else None)
    assert told.status.is_outcome or not told.settled
    assert (told.answered is True) == (told.status is CallStatus.completed)
    if told.answered is False:
        assert told.settled
        assert told.status not in (CallStatus.completed, CallStatus.unknown)


@given(st.data(), evidences(), OWNS, INTERVALS)
def test_what_the_events_mean_does_not_hang_on_their_ids(
    data: st.DataObject, said: list[JoinedReport], own: list[Event], interval: int
) -> None:
    events = [*{e.key: e for e in own}.values(), *derived(said, interval=interval).events]
    one, other = (fold(stored(events, data), interval=interval) for _ in range(2))
    assert meaning(one) == meaning(other)


@given(st.data(), evidences(), INTERVALS)
def test_evidence_in_batches_ends_as_evidence_at_once(
    data: st.DataObject, said: list[JoinedReport], interval: int
) -> None:
    """As the joiner writes it: each batch derives anew from all that is known by then, and what is no longer derived
    is withdrawn; then only the last batch counts. What an earlier batch derived and the last still derives, under the
    same key, means the same: the same word, status and dial."""
    arriving = data.draw(st.permutations(said))
    cut = data.draw(st.integers(0, len(said)))
    before, after = derived(arriving[:cut], interval=interval), derived(arriving, interval=interval)
    assert after == derived(said, interval=interval)
    last = {e.key: e for e in after.events}
    for e in before.events:
        kept = last.get(e.key)
        assert kept is None or (kept.status, kept.dial, kept.type) == (e.status, e.dial, e.type)


@given(evidences(), INTERVALS)
def test_every_piece_of_evidence_is_accounted_for_and_no_two_events_share_a_key(
    said: list[JoinedReport], interval: int
) -> None:
    told = derived(said, interval=interval)
    assert len({e.key for e in told.events}) == len(told.events)
    assert told.repeat_of.keys() == {e.id for e in said}
    first = {id for id, of in told.repeat_of.items() if of is None}
    assert {of for of in told.repeat_of.values() if of} <= first
    assert len(first) == sum(e.key.endswith("/record") for e in told.events)
    came = {e.id: e.received_at for e in said}
    assert all(came[of] <= came[id] for id, of in told.repeat_of.items() if of)


@given(evidences(), INTERVALS)
def test_being_the_same_record_is_transitive(said: list[JoinedReport], interval: int) -> None:
    """The groups are those of an independent computation: two that are the same, directly or over others."""

    def same(a: JoinedReport, b: JoinedReport) -> bool:
        if provider_status_key(a.report.provider_status) != provider_status_key(b.report.provider_status):
            return False
        shift = find_zone_shift(a.report, b.report)
        return shift is not None and (interval == 0 or not shift)

    group = {e.id: e.id for e in said}
    for _ in said:
        for a in said:
            for b in said:
                if same(a, b):
                    group[a.id] = group[b.id] = min(group[a.id], group[b.id])
    repeat_of = derived(said, interval=interval).repeat_of
    leader = {id: of or id for id, of in repeat_of.items()}
    assert all((group[a] == group[b]) == (leader[a] == leader[b]) for a in group for b in group)


@given(reports(), reports())
def test_the_difference_of_two_records_is_the_same_from_both_sides(a: CallReport, b: CallReport) -> None:
    there, back = find_zone_shift(a, b), find_zone_shift(b, a)
    assert (there is None) == (back is None)
    assert there is None or back is None or there == -back


@given(evidences(), evidences(), OWNS, INTERVALS)
def test_no_callback_unsettles_and_none_makes_an_answered_call_unanswered(
    said: list[JoinedReport], more: list[JoinedReport], own: list[Event], interval: int
) -> None:
    later = [replace(e, id=f"{e.id}-later") for e in more]
    before = fold([*own, *derived(said, interval=interval).events], interval=interval)
    after = fold([*own, *derived([*said, *later], interval=interval).events], interval=interval)
    assert after.settled or not before.settled
    if before.answered:
        assert after.answered
        assert after.status is CallStatus.completed


@given(evidences(), OWNS, INTERVALS)
def test_a_timeline_does_not_contradict_itself(
    said: list[JoinedReport], own: list[Event], interval: int
) -> None:
    told = fold([*own, *derived(said, interval=interval).events], interval=interval)
    assert (told.outcome is not None) == told.settled
    assert told.outcome in (None, told.status)
    assert told.duration_s is None or told.answered
    assert not (told.settled and (told.next_attempt_at or any(s.outcome is None for s in told.submissions)))
    assert told.answered is not True or told.status is CallStatus.completed
    assert told.answered is not False or told.settled


# ---- from receipts and submissions to joins ----

NUMBERS = ("+918867130003", "+918919525224")
IDS = ("70fa87e0:1", "70fa87e0:2", "3b69aca9")


@st.composite
def submissions(draw: st.DrawFn) -> list[SubmissionFacts]:
    return [
        SubmissionFacts(
            id=f"sub_{n}",
            account=draw(st.sampled_from("aab")),
            to=draw(st.sampled_from(NUMBERS)),
            bridge=draw(st.sampled_from(["91", "92"])),
            flow_id=draw(st.sampled_from([None, "1"])),
            interval=draw(st.sampled_from([0, 0, 5])),
            lane=draw(st.sampled_from([None, "x", "y"])),
            provider_id=draw(st.sampled_from([None, *IDS])),
            requested_at=draw(st.sampled_from([None, at(0), at(0), at(300), at(25 * HOUR)])),
            refused=draw(st.sampled_from([False, False, True])),
        )
        for n in range(draw(st.integers(0, 4)))
    ]


@st.composite
def receipts(draw: st.DrawFn) -> list[Receipt]:
    found = []
    for n in range(draw(st.integers(0, 6))):
        said = replace(
            draw(reports()),
            ids=draw(st.sampled_from([(), (), (IDS[0].upper(),), ("70fa87e0",), ("unknown",)])),
            message_id=draw(st.sampled_from([None, None, "1234", IDS[2]])),
            references=draw(st.sampled_from([(), (), ("sub_1",)])),
            to=draw(st.sampled_from([None, *NUMBERS, NUMBERS[0]])),
            bridge=draw(st.sampled_from([None, "91"])),
            flow_id=draw(st.sampled_from([None, "1", "2"])),
            click_to_call=draw(st.sampled_from([False, False, False, True])),
        )
        poll = draw(st.integers(0, 9)) == 0
        found.append(
            Receipt(
                id=f"ask_{n}/0" if poll else f"cb_{n}",
                account=draw(st.sampled_from("aaab")),
                lane=draw(st.sampled_from([None, "x", "y"])),
                received_at=at(draw(st.sampled_from([-10, 0, 10, 10, 400, 7 * HOUR, 25 * HOUR]))),
                report=said,
                manual_submission="sub_0" if not poll and draw(st.integers(0, 9)) == 0 else None,
                polled_submission="sub_0" if poll else None,
            )
        )
    return found


@given(st.data(), receipts(), submissions())
def test_a_join_does_not_depend_on_the_order_in_which_evidence_was_stored(
    data: st.DataObject, came: list[Receipt], sent: list[SubmissionFacts]
) -> None:
    found = match(came, sent)
    assert found.keys() == {r.id for r in came}
    assert match(data.draw(st.permutations(came)), data.draw(st.permutations(sent))) == found
    assert match([*came, *came], [*sent, *sent]) == found


def _same(one: Verdict, other: Verdict) -> bool:
    """Whether two verdicts lead to the same submission, or to none for the same reason."""
    if isinstance(one, Join) and isinstance(other, Join):
        return one.submission == other.submission
    return one == other


@given(st.data(), receipts(), submissions())
def test_what_comes_again_is_joined_like_the_first_and_changes_no_other_join(
    data: st.DataObject, came: list[Receipt], sent: list[SubmissionFacts]
) -> None:
    """By the same lane, some seconds later, nobody having moved it by hand. What has neither id nor start cannot be
    known again, and a lane that rests is held longer with every record; both are left out."""
    came = [replace(r, manual_submission=None, lane=None) for r in came]
    if not came:
        return
    first = data.draw(st.sampled_from(came))
    again = replace(
        first, id=f"{first.id}-again", received_at=first.received_at + data.draw(st.sampled_from(_LATER))
    )
    if duplicate_key(first.report) is None or first.polled_submission:
        return
    before, after = match(came, sent), match([*came, again], sent)
    assert {id: v for id, v in after.items() if id != again.id} == before
    assert _same(after[again.id], before[first.id])


_LATER = [at(s) - at(0) for s in (0, 1, 600, 26 * HOUR)]


@given(receipts(), submissions())
def test_a_verdict_is_what_the_design_allows(came: list[Receipt], sent: list[SubmissionFacts]) -> None:
    known = {s.id: s for s in sent}
    for r in came:
        found = match(came, sent)[r.id]
        if isinstance(found, Unjoined):
            assert found.ignored == (found.reason == "click-to-call")
            assert (found.reason == "ambiguous") == (
                len(found.candidates) > 1 and found.reason != "contradicted"
            )
            assert set(found.candidates) <= known.keys()
            continue
        if found.matched_by in (MatchedBy.lane_and_number, MatchedBy.number_and_time):
            s = known[found.submission]
            assert (s.account, s.to, s.refused) == (r.account, r.report.to, False)
            assert s.requested_at is not None
            assert s.requested_at <= r.received_at
            assert not r.report.click_to_call
        if found.matched_by is MatchedBy.lane_and_number:
            assert known[found.submission].lane == r.lane


@given(receipts(), submissions(), st.data())
def test_join_and_fold_together_give_the_same_state_in_any_order(
    came: list[Receipt], sent: list[SubmissionFacts], data: st.DataObject
) -> None:
    """From the inbox to the calls' states, as rebuilding does it."""
    first = _states(came, sent)
    assert _states(data.draw(st.permutations(came)), data.draw(st.permutations(sent))) == first


def _states(
    came: Sequence[Receipt], sent: Sequence[SubmissionFacts]
) -> dict[str, tuple[CallStatus, bool, datetime | None]]:
    joined: dict[str, list[JoinedReport]] = {s.id: [] for s in sent}
    for id, verdict in match(came, sent).items():
        if isinstance(verdict, Join) and verdict.submission in joined:
            r = next(r for r in came if r.id == id)
            joined[verdict.submission].append(
                JoinedReport(id=id, source=EventSource.callback, received_at=r.received_at, report=r.report)
            )
    states = {}
    for s in sent:
        told = fold(derived(joined[s.id], interval=s.interval).events, interval=s.interval)
        states[s.id] = (told.status, told.settled, told.ended_at)
    return states
