"""The commands `tracker inbox join` and `tracker inbox ignore`."""

from __future__ import annotations

from tests.cli.conftest import ID, NUMBER, Cli
from tests.cli.stored_callbacks import callback_body, receive_callbacks


def test_join_and_ignore_print_what_changed(cli: Cli, placed: str) -> None:
    [orphan] = receive_callbacks(callback_body("ANSWER", id="another", to="918867130003"))
    submission = cli.json("show", placed)["submissions"][0]["id"]
    assert cli.json("inbox", "join", orphan, submission, "--force")["matched_by"] == "operator"
    assert cli.json("show", placed)["status"] == "completed"
    output = cli("show", placed).stdout
    assert f"join        operator {orphan}" in " ".join(output.split("\n"))
    ignored = cli("inbox", "ignore", orphan).stdout
    assert f"{orphan} is ignored now." in ignored
    assert f"taken away from {submission} of {placed} (matched by operator)" in ignored
    assert f"{placed}: completed before, queued, not settled now." in ignored
    assert cli.json("show", placed)["status"] == "queued"
    joined = cli("inbox", "join", orphan, ID, "--force").stdout
    assert f"{orphan} belongs to {submission} of {placed} now." in joined
    assert f"{placed}: queued, not settled before, completed now." in joined


def test_join_of_another_number_needs_force(cli: Cli, placed: str) -> None:
    [orphan] = receive_callbacks(callback_body("ANSWER", id="another", to="918867130003"))
    refused = cli("inbox", "join", orphan, ID)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "+918867130003" in refused.stderr
    assert NUMBER in refused.stderr
    assert "--force" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert cli.json("inbox", "show", orphan)["state"] == "orphaned"


def test_join_prints_which_callbacks_lost_their_join(cli: Cli, placed: str) -> None:
    """A join by hand contradicts a callback that fits only by number and time."""
    [usual] = receive_callbacks(callback_body("BUSY", id="", end_at="2026-01-01 10:00:00"))
    assert cli.json("inbox", "show", usual)["call"] == placed
    [sure] = receive_callbacks(callback_body("ANSWER", id="another", to=""))
    output = cli("inbox", "join", sure, ID)
    assert output.exit_code == 0
    assert f"{usual} was joined to {placed} too, and is not any more" in output.stdout
    assert f"{placed}: busy before, completed now." in output.stdout
    assert cli.json("inbox", "show", usual)["state"] == "orphaned"
    [back] = cli.json("inbox", "ignore", sure)["changed"]["calls"]
    assert back == {"id": placed, "status_before": "completed", "status": "busy"}
