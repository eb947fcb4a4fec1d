"""The commands `tracker inbox list` and `tracker inbox show`."""

from __future__ import annotations

from tests.cli.conftest import ID, NUMBER, Cli
from tests.cli.stored_callbacks import callback_body, receive_callbacks
from tests.recording_provider import RecordingProvider


def test_inbox_list_shows_states_and_joins(cli: Cli, placed: str) -> None:
    [joined] = receive_callbacks(callback_body())
    [orphan] = receive_callbacks(callback_body(id="another", to="918867130003"))
    [unreadable] = receive_callbacks(b"{")
    rows = {c["id"]: c for c in cli.json("inbox", "list")["data"]}
    assert {id: row["state"] for id, row in rows.items()} == {
        joined: "joined", orphan: "orphaned", unreadable: "unreadable",
    }  # fmt: skip
    assert [c["id"] for c in cli.json("inbox", "list", "--state", "orphaned")["data"]] == [orphan]
    assert [c["id"] for c in cli.json("inbox", "list", "--call", placed)["data"]] == [joined]
    titles, *lines = cli("inbox", "list").stdout.splitlines()
    assert titles.split()[0] == "callback"
    assert [line.split()[0] for line in lines] == [unreadable, orphan, joined]
    assert lines[-1].endswith(f"joined      {placed} by submission-id")


def test_inbox_show_lists_the_candidates_of_an_orphan(
    cli: Cli, placed: str, provider: RecordingProvider
) -> None:
    second = cli.json("call", NUMBER, "--flow", "24")
    [usual] = receive_callbacks(callback_body("BUSY", id=""))
    found = cli.json("inbox", "show", usual)
    assert found["reason"] == "ambiguous"
    assert list(found)[-2:] == ["candidates", "request"]
    assert [(c["call"], c["status"]) for c in found["candidates"]] == [
        (placed, "queued"),
        (second["id"], "queued"),
    ]
    assert found["candidates"][0]["submission_id"] == ID
    output = cli("inbox", "show", usual).stdout
    assert all(f"{c['submission']} of {c['call']}, queued" in output for c in found["candidates"])
    assert f"`tracker inbox join {usual} SUBMISSION`" in output
    problems = " ".join(cli.json("status", code=1)["problems"])
    assert "no known call" not in problems
    assert "1 callback that could not be joined to a call" in problems

    cli("inbox", "join", usual, ID)
    assert cli.json("inbox", "show", usual)["candidates"] == []


def test_inbox_show_escapes_the_request(cli: Cli, placed: str) -> None:
    [id] = receive_callbacks(b'{"status": "\x1b]0;owned\x07\xe2\x80\xae"}')
    result = cli("inbox", "show", id)
    assert "POST /callbacks/thundersms?a=\\x1b[31m" in result.stdout
    assert '{"status": "\\x1b]0;owned\\x07\\u202e"}' in result.stdout
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(result.stdout)
    assert cli.json("inbox", "show", id)["request"]["body"] == '{"status": "\x1b]0;owned\x07\u202e"}'
