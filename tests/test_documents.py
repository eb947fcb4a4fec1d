"""The documents say what is so: commands, links, settings, words, promises, the picture."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from starlette.requests import Request
from starlette.routing import Route

from tests.documents import FENCED, ROOT, blocks, text_of
from tests.readme_picture import Told, picture, told
from tracker.cli.commands import app
from tracker.cli.reference import commands, reference
from tracker.domain.accounts import Account
from tracker.domain.calls import CallStatus
from tracker.domain.events import EventSource, EventType, MatchedBy
from tracker.errors import InvalidInput
from tracker.lifecycle.placing.validation import validate_call_request
from tracker.lifecycle.receiving import inbox_writer
from tracker.providers.thundersms.statuses import STATUSES, normalize_status
from tracker.settings import load_settings
from tracker.settings.declarations import all_keys
from tracker.store.inbox.states import STATES
from tracker.web.api.reference import with_fields_table
from tracker.web.app import create_app
from tracker.web.callbacks import intake
from tracker.web.http import body, pipelining, problems
from tracker.web.http.limits import Limits
from tracker.web.http.problems import handle_tracker_error

README = ROOT / "README.md"
DOCUMENTS = [README, *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]

INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
VARIABLE = re.compile(r"\bTRACKER_[A-Z0-9]+(?:_[A-Z0-9]+)*__[A-Z0-9_]+")

#: what may stand before the program in a command line
PREFIX = re.compile(r"^(?:\w+=\S+ |sudo -u \w+ |docker compose exec \w+ )*")
PROGRAM = re.compile(r"(?:\S*scripts/)?tracker")
TREE = {" ".join(path): command for path, command in commands(typer.main.get_command(app))}


@pytest.fixture(scope="module")
def story() -> Told:
    return told()


def without_blocks(name: str) -> str:
    return FENCED.sub("", text_of(name))


def command_lines(name: str) -> Iterator[list[str]]:
    """The words of every call of tracker in the document's shell blocks, without what a shell would do with it."""
    for block in blocks(name, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            command = PREFIX.sub("", line.strip())
            if PROGRAM.fullmatch(command.partition(" ")[0]):
                words = shlex.split(command, comments=True)
                ends = [i for i, word in enumerate(words) if word in ("|", "&&", ";", ">", "&")]
                yield words[1 : min(ends, default=len(words))]


def mentions(name: str) -> Iterator[list[str]]:
    """The words of every `tracker …` in the document's sentences; arguments may be left out there."""
    for code in INLINE.findall(without_blocks(name)):
        words = code.split()
        if PROGRAM.fullmatch(words[0]) and len(words) > 1:
            yield words[1:]


def problem_with(words: list[str], *, complete: bool) -> str | None:
    """What is wrong with a command line, or None."""
    path = "tracker"
    while words and f"{path} {words[0]}" in TREE:
        path, words = f"{path} {words[0]}", words[1:]
    command = TREE[path]
    options = {o: p for p in command.params for o in (*p.opts, *p.secondary_opts) if o.startswith("-")}
    if getattr(command, "commands", None):
        known = set(options) | {"--help"}
        return None if words and words[0] in known else f"{path}: no command {' '.join(words)!r}"
    given = 0
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or word == "-":
            given += 1
            continue
        option, sign, _ = word.partition("=")
        if option == "--help":
            continue
        if option not in options:
            return f"{path}: no option {option}"
        if not sign and not options[option].is_flag and (complete or rest):
            if not rest:
                return f"{path}: {option} needs a value"
            rest.pop(0)
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    if given > len(arguments) and all(p.nargs == 1 for p in arguments):
        return f"{path}: takes {len(arguments)} arguments, {given} are given"
    if complete and given < sum(p.required for p in arguments):
        return f"{path}: an argument is missing"
    return None


def table_words(name: str, heading: str) -> set[str]:
    """What stands in backquotes in the first column of the tables below a heading."""
    part = text_of(name).split(f"{heading}\n", 1)[1]
    part = re.split(r"^#+ ", part, maxsplit=1, flags=re.MULTILINE)[0]
    rows = re.findall(r"^\|([^|]*)\|.*\n(?!\|-)", part + "\n", re.MULTILINE)
    return {word for row in rows for word in INLINE.findall(row)}


def slug(heading: str) -> str:
    """The anchor that the usual renderers give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(path: Path) -> set[str]:
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", path.read_text("utf-8"), re.MULTILINE)}


@pytest.mark.parametrize("name", NAMES)
def test_every_command_shown_can_be_given(name: str) -> None:
    found = [problem_with(words, complete=True) for words in command_lines(name)]
    found += [problem_with(words, complete=False) for words in mentions(name)]
    assert [problem for problem in found if problem] == []


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("show --no-such-option call_1", "tracker show: no option --no-such-option"),
        ("show", "tracker show: an argument is missing"),
        ("show one two", "tracker show: takes 1 arguments, 2 are given"),
        ("no-such-command", "tracker: no command 'no-such-command'"),
        ("call +918919525224 --flow", "tracker call: --flow needs a value"),
        ("call +918919525224 --flow 24 --wait", None),
        ("inbox send-sample busy --to=+918919525224", None),
    ],
)
def test_a_command_that_cannot_be_given_would_be_noticed(line: str, problem: str | None) -> None:
    assert problem_with(line.split(), complete=True) == problem


def test_commands_are_found_in_the_documents() -> None:
    assert len(list(command_lines("README.md"))) >= 5
    assert ["doctor"] in list(command_lines("docs/how-to/deploy-small-machine.md"))
    assert ["serve", "--no-worker"] in list(command_lines("docs/how-to/deploy-small-machine.md"))


@pytest.mark.parametrize("name", NAMES)
def test_every_relative_link_leads_somewhere(name: str) -> None:
    broken = []
    for target in LINK.findall(without_blocks(name)):
        path, _, anchor = target.partition("#")
        found = (ROOT / name).parent / path if path else ROOT / name
        if "://" not in path and (not found.exists() or (anchor and anchor not in anchors(found))):
            broken.append(target)
    assert broken == []


def test_every_document_can_be_found_from_the_index() -> None:
    reached: set[Path] = set()
    waiting = [README, ROOT / "docs" / "README.md"]
    while waiting:
        path = waiting.pop().resolve()
        if path in reached or path.suffix != ".md" or not path.exists():
            continue
        reached.add(path)
        waiting += [path.parent / t.partition("#")[0] for t in LINK.findall(path.read_text("utf-8"))]
    assert [str(p.relative_to(ROOT)) for p in DOCUMENTS if p.resolve() not in reached] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_configuration_shown_can_be_loaded(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a-secret-of-some-length", encoding="utf-8")
    for block in blocks(name, "toml"):
        file = tmp_path / "tracker.toml"
        # the files that hold secrets there are not here
        readable = re.sub(r'(_file = )"[^"]*"', rf'\1"{tmp_path / "secret"}"', block)
        file.write_text(readable, encoding="utf-8")
        load_settings({}, file)


@pytest.mark.parametrize("name", NAMES)
def test_every_variable_shown_is_a_setting(name: str) -> None:
    known = {"__".join(key).upper() for key in all_keys()}
    shown = {
        re.sub(r"__FILE$|_FILE$", "", found.removeprefix("TRACKER_")).replace("__THUNDERSMS__", "__NAME__")
        for found in VARIABLE.findall(text_of(name))
    }
    assert shown - known - {"SECTION__KEY"} == set()


@pytest.mark.parametrize("name", NAMES)
def test_every_json_shown_is_json(name: str) -> None:
    for block in blocks(name, "json"):
        json.loads(block)


def test_the_readme_can_be_read_in_one_go() -> None:
    assert 90 <= len(README.read_text("utf-8").splitlines()) <= 230


def test_the_readme_promises_what_the_tests_show() -> None:
    promised = re.findall(r"\(tests/promises/(\w+\.py)\)", README.read_text("utf-8"))
    assert sorted(promised) == sorted(p.name for p in (ROOT / "tests" / "promises").glob("test_*.py"))


def test_the_picture_is_what_the_program_shows(story: Told) -> None:
    def anonymous(text: str) -> str:
        return re.sub(r"\b(call|sub|cb|ev)_[0-9a-z]{26}", r"\1_…", text)

    shown = blocks("README.md", "text")[0]
    assert anonymous(shown) == anonymous(picture(story)), "run: python -m tests.readme_picture"


def test_the_command_reference_is_the_one_that_the_commands_give() -> None:
    written = text_of("docs/reference/cli.md")
    assert written == reference(), "run: python -m tracker.cli.reference > docs/reference/cli.md"


def test_call_fields_in_the_reference_are_the_declared_ones() -> None:
    page = text_of("docs/reference/http.md")
    assert page == with_fields_table(page), "run: python -m tracker.web.api.reference docs/reference/http.md"


def test_the_endpoints_described_are_those_that_are_there(tmp_path: Path) -> None:
    described = set(
        re.findall(r"^(?:### |\| )`(GET|POST) (/\S+)`", text_of("docs/reference/http.md"), re.MULTILINE)
    )
    url = f"sqlite:///{tmp_path / 'tracker.db'}"
    routes = create_app(load_settings({"TRACKER_DATABASE__URL": url})).routes
    there = {(m, r.path) for r in routes if isinstance(r, Route) for m in r.methods or () if m != "HEAD"}
    assert described == there
    assert "`/callbacks/{account}/{lane}`" in text_of("docs/reference/http.md")


@pytest.mark.parametrize(
    ("heading", "words"),
    [
        ("## Statuses", set(CallStatus)),
        ("## Events and their sources", set(EventSource)),
        ("## Matching: from sure to unsure", {*MatchedBy, *STATES}),
    ],
)
def test_the_concepts_name_every_word_and_no_other(heading: str, words: set[Any]) -> None:
    assert table_words("docs/concepts.md", heading) == {str(word) for word in words}


def test_the_concepts_name_every_type_of_event() -> None:
    text = text_of("docs/concepts.md")
    assert [kind for kind in EventType if f"`{kind}` (" not in text] == []


def test_the_provider_s_words_become_what_the_page_says() -> None:
    part = text_of("docs/how-to/connect-thundersms.md").split("## The provider's status words\n")[1]
    shown = re.findall(r"^\| `([A-Z]+)` \|.*\| `([a-z-]+)`(?:, reason `([a-z-]+)`)? \|$", part, re.MULTILINE)
    known = {word: (status, reason or "") for word, (status, reason) in STATUSES.items() if word != "queued"}
    assert {normalize_status(word): (status, reason) for word, status, reason in shown} == known


def test_the_documents_of_the_interface_have_the_keys_that_are_shown(story: Told) -> None:
    shown = [json.loads(block) for block in blocks("docs/reference/http.md", "json")]
    call = next(each for each in shown if each.get("id", "").startswith("call_"))
    event = next(each for each in shown if each.get("id", "").startswith("ev_"))
    callback = next(each for each in shown if "data" in each)["data"][0]
    assert list(call) == list(story.call)
    assert list(call["submissions"][0]) == list(story.call["submissions"][0])
    assert list(event) == list(story.events[0])
    assert list(callback) == list(story.callbacks[0])


def test_the_error_shown_is_the_one_that_is_answered() -> None:
    shown = next(
        each for each in map(json.loads, blocks("docs/reference/http.md", "json")) if "errors" in each
    )
    wish = {"to": "12", "flow_id": "24", "bridge": "918068280000"}
    with pytest.raises(InvalidInput) as raised:
        validate_call_request(wish, {"thundersms": Account(name="thundersms")})
    answer = handle_tracker_error(Request({"type": "http"}), raised.value)
    assert json.loads(bytes(answer.body)) == shown


def test_the_limits_are_those_of_the_code() -> None:
    """Each as the reference says it, and as the operator is told it."""
    reference = text_of("docs/reference/http.md").split("## Limits")[1].split("\n## ")[0]
    told = " ".join(
        text_of("docs/how-to/deploy-small-machine.md").split("### Limits")[1].split("\n### ")[0].split()
    )
    limits, mib, kib = Limits(), 1024 * 1024, 1024
    for figure, in_reference, in_how_to in (
        (limits.max_url_bytes // kib, "| the address of a request | {} KiB |", "the address {} KiB of it"),
        (limits.max_head_bytes // kib, "headers | {} KiB; 100 |", "may have {} KiB together"),
        (limits.max_headers, "| 32 KiB; {} |", None),
        (
            limits.head_timeout_s,
            "from their first byte on | {} s |",
            "have {} seconds for address and headers",
        ),
        (body.MAX_BYTES // mib, "| a body | {} MiB |", "A body may have {} MiB"),
        (limits.body_timeout_s, "| time for a body | {} s, and", "and {} for a body"),
        (limits.max_buffered_bytes // mib, "of all requests together | {} MiB |", None),
        (limits.max_buffered_bytes_for_heads // mib, "earlier ones of their connection | {} MiB |", None),
        (limits.max_head_bytes // kib, "they are not kept | {} KiB |", None),
        (limits.send_timeout_s, "are not taken | {} s for each 16 KiB", "16 KiB of them in {} seconds"),
        (limits.send_progress_bytes // kib, "20 s for each {} KiB of them", "taken**, {} KiB of them in"),
        (pipelining.MAX_WAITING, "| some {};", "some {} of a connection wait"),
        (inbox_writer.QUEUE_ROWS, "wait for their commit | {:,}, and", "{:,} callbacks, and"),
        (inbox_writer.QUEUE_BYTES // mib, "5,000, and {} MiB of them", "and {} MiB of them, may wait"),
        (limits.idle_timeout_s, "| an idle connection | {} s |", "is closed after {} seconds"),
        (limits.max_connections, "| connections | {:,}, or", "**{:,} connections**"),
        (problems.RETRY_AFTER_S, None, "`Retry-After: {}`"),
        (intake.STORE_TIMEOUT_S, None, "within {} seconds"),
    ):
        whole = int(figure) if figure == int(figure) else figure
        if in_reference:
            assert in_reference.format(whole) in reference
        if in_how_to:
            assert in_how_to.format(whole) in told
    assert limits.min_body_bytes_per_s == 1024
