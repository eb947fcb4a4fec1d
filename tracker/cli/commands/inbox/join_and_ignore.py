"""`tracker inbox join` and `tracker inbox ignore`: decisions about callbacks, and what they changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tracker.cli.input.common_options import JsonOption

if TYPE_CHECKING:
    from tracker.lifecycle.operations.join_report import JoinSnapshot
    from tracker.store.read.views import CallView


def join_callback(
    callback: Annotated[str, typer.Argument(help="The callback's id, cb_….")],
    submission: Annotated[str, typer.Argument(help="Our id of the submission, sub_…, or the provider's.")],
    force: Annotated[
        bool, typer.Option("--force", help="Also join a callback about another phone number.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Join a callback to a submission by hand, or move it there.

    It prints what changed: from which call the callback was taken, the status of each call before and after, and other
    callbacks that lost their join, because they contradict this one or are not the only ones that fit any more.
    """
    from tracker.cli.context import open_services
    from tracker.errors import NumberMismatch
    from tracker.lifecycle.operations.join_report import retake_snapshot, take_snapshot

    is_ours = submission.lower().startswith("sub_")
    id = submission.lower() if is_ours else submission
    target = {"submission": id} if is_ours else {"submission_id": id}
    with open_services() as services:
        before = services.database.read(lambda c: take_snapshot(c, callback, id))
        try:
            services.callback_actions.join(callback, **target, force=force)
        except NumberMismatch as error:
            raise NumberMismatch(f"{error} To join it all the same, use `--force`.") from None
        after = services.database.read(lambda c: retake_snapshot(c, before))
    _print_changes(before, after, json=json)


def ignore_callback(
    callback: Annotated[str, typer.Argument(help="The callback's id, cb_….")],
    json: JsonOption = False,
) -> None:
    """Ignore a callback by hand, and take back its join.

    It is then about nothing of ours. It prints what changed, as `tracker inbox join` does.
    """
    from tracker.cli.context import open_services
    from tracker.lifecycle.operations.join_report import retake_snapshot, take_snapshot

    with open_services() as services:
        before = services.database.read(lambda c: take_snapshot(c, callback))
        services.callback_actions.ignore(callback)
        after = services.database.read(lambda c: retake_snapshot(c, before))
    _print_changes(before, after, json=json)


def _print_changes(before: JoinSnapshot, after: JoinSnapshot, *, json: bool) -> None:
    from tracker.cli.output.json import print_json
    from tracker.cli.output.text import escape_control
    from tracker.cli.program_name import with_program_name

    if json:
        print_json(_changes_document(before, after))
        return
    for sentence in _describe_changes(before, after):
        typer.echo(with_program_name(escape_control(sentence)))


def _describe_changes(before: JoinSnapshot, after: JoinSnapshot) -> Iterator[str]:
    """Return a sentence for each change."""
    was, now = before.callback, after.callback
    if now.call:
        yield f"{now.id} belongs to {now.submission} of {now.call} now."
    else:
        yield f"{now.id} is {now.state} now."
    if was.call and was.submission != now.submission:
        yield f"It was taken away from {was.submission} of {was.call} (matched by {was.matched_by})."
    for call_id, call in before.calls.items():
        yield f"{call_id}: {_status(call)} before, {_status(after.calls[call_id])} now."
    for other, call_id in before.lost_joins(after):
        yield f"{other} was joined to {call_id} too, and is not any more. See `tracker inbox show {other}`."
    for other, call_id in before.new_joins(after):
        yield f"{other} is joined to {call_id} now."


def _status(call: CallView) -> str:
    return f"{call.status}{'' if call.settled else ', not settled'}"


def _changes_document(before: JoinSnapshot, after: JoinSnapshot) -> dict[str, Any]:
    """Return the callback as it is now, with what the decision changed under `changed`."""
    from tracker.web.api.documents import plain, received_callback_document

    calls = [
        {"id": id, "status_before": call.status, "status": after.calls[id].status}
        for id, call in before.calls.items()
    ]
    changed = {
        "submission_before": before.callback.submission,
        "calls": calls,
        "no_longer_joined": [id for id, call in before.joined.items() if after.joined.get(id) != call],
    }
    return {**plain(received_callback_document(after.received)), "changed": changed}
