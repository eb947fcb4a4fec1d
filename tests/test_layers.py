"""Imports point downwards only, and each foreign library has its place. Imports inside functions count too."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "tracker"

CORE = {"store", "providers", "logs", "domain", "errors"}
EDGES = {"cli", "demo", "joiner_process", "worker", "web", "simulator"}

#: What each layer may import of the others; itself always.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "clock": set(),
    "runtime": set(),
    "domain": {"errors"},
    "logs": {"domain", "errors"},
    "store": {"domain", "errors"},
    "providers": {"logs", "domain", "errors"},
    "lifecycle": {"clock", "runtime"} | CORE,
    "settings": {"logs", "domain", "errors"},
    "simulator": set(),
    "joiner_process": {"runtime", "lifecycle"} | CORE,
    "worker": {"clock", "lifecycle"} | CORE,
    "web": {"clock", "runtime", "worker", "settings", "lifecycle"} | CORE,
    "demo": {"simulator", "web", "settings", "errors"},
    "cli": EDGES | {"clock", "runtime", "settings", "lifecycle"} | CORE,
    "__main__": {"cli"},
    "__init__": set(),
}

#: Libraries that only these layers may import.
ONLY_IN: dict[str, set[str]] = {
    "starlette": {"web", "simulator"},
    "sse_starlette": {"web", "simulator"},
    "jinja2": {"web"},
    "sqlmodel": {"store"},
    "sqlalchemy": {"store"},
    "alembic": {"store"},
    "psycopg": {"store"},
    "sqlite3": {"store"},
    "typer": {"cli"},
    "pydantic_settings": {"settings"},
}

#: The domain is computed from what it is given: no network, no disk, no clock, no chance.
NOT_IN_DOMAIN = {
    "asyncio",
    "io",
    "os",
    "pathlib",
    "random",
    "secrets",
    "socket",
    "subprocess",
    "threading",
    "time",
}
CLOCK_READINGS = {"now", "utcnow", "today"}


def imported(tree: ast.AST, package: str) -> Iterator[str]:
    """Every module that the code imports, by its full dotted name, wherever the statement stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            # `from tracker import store` imports tracker.store; `from tracker.store import inbox` says so already.
            yield from (
                (f"{source}.{alias.name}" for alias in node.names) if source == "tracker" else (source,)
            )


def violations(module: str, source: str, *, is_package: bool = False) -> list[str]:
    """What is wrong with the imports of `module` (its dotted name), one sentence each."""
    tree = ast.parse(source)
    layer = module.split(".")[1] if "." in module else "__init__"
    package = module if is_package else module.rpartition(".")[0]
    found = []
    for name in imported(tree, package):
        top, _, rest = name.partition(".")
        if top == "tracker":
            target = rest.split(".")[0]
            if target in MAY_IMPORT and target != layer and target not in MAY_IMPORT[layer]:
                found.append(f"{module} imports {name}, but {layer} may not import {target}")
        elif top in ONLY_IN and layer not in ONLY_IN[top]:
            found.append(f"{module} imports {name}, which belongs to {', '.join(sorted(ONLY_IN[top]))}")
        elif layer in {"domain", "errors"}:
            phone_numbers = top == "phonenumbers" and module == "tracker.domain.phone_numbers"
            if top in NOT_IN_DOMAIN or (top not in sys.stdlib_module_names and not phone_numbers):
                found.append(f"{module} imports {name}, but the domain is pure and knows no libraries")
    if layer == "domain":
        found += [f"{module}:{line} reads the clock; times are given" for line in clock_readings(tree)]
    return found


def clock_readings(tree: ast.AST) -> Iterator[int]:
    """The lines that call datetime.now() and its kin."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in CLOCK_READINGS
        ):
            yield node.lineno


def modules() -> dict[str, Path]:
    """The dotted name and the file of every module of the package."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@pytest.mark.parametrize("module", modules())
def test_imports_point_downwards_only(module: str) -> None:
    path = modules()[module]
    assert violations(module, path.read_text(), is_package=path.name == "__init__.py") == []


def test_every_module_belongs_to_a_layer() -> None:
    assert {name.split(".")[1] for name in modules() if "." in name} <= MAY_IMPORT.keys()


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("tracker.domain.calls", "from tracker.store import inbox"),
        ("tracker.domain.calls", "from tracker import store"),
        ("tracker.domain.calls", "from ..store import inbox"),
        ("tracker.domain.calls", "from .. import lifecycle"),
        ("tracker.domain.calls", "import phonenumbers"),
        ("tracker.domain.calls", "import time"),
        ("tracker.domain.calls", "from datetime import UTC, datetime\nt = datetime.now(UTC)"),
        ("tracker.store.inbox.states", "import tracker.providers.base"),
        ("tracker.providers.base", "def f():\n    from tracker.store import inbox"),
        ("tracker.providers.base", "if TYPE_CHECKING:\n    from tracker.lifecycle.sending import send"),
        ("tracker.lifecycle.sending.send", "from tracker.settings import Settings"),
        ("tracker.lifecycle.sending.send", "import sqlalchemy.orm"),
        ("tracker.lifecycle.sending.send", "from starlette.requests import Request"),
        ("tracker.simulator", "from tracker.settings import Settings"),
        ("tracker.errors", "from tracker.domain import calls"),
    ],
)
def test_a_forbidden_import_is_noticed(module: str, source: str) -> None:
    assert violations(module, source)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("tracker.domain.phone_numbers", "import phonenumbers"),
        ("tracker.domain.calls", "from tracker.errors import InvalidInput\nfrom . import events"),
        (
            "tracker.lifecycle.sending.send",
            "from tracker.store import records\nfrom tracker import __version__",
        ),
        ("tracker.cli.serving", "def serve():\n    from tracker.web import app"),
        ("tracker.store.inbox.states", "import sqlmodel"),
    ],
)
def test_a_downward_import_is_allowed(module: str, source: str) -> None:
    assert violations(module, source) == []
