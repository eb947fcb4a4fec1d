"""The simulator checks the provider's adapter, so it must not share its knowledge; and the CLI offers all of it."""

from __future__ import annotations

import ast
import inspect
from dataclasses import fields
from pathlib import Path

import tracker.simulator
from tracker.cli.simulate import simulate
from tracker.simulator.options import SimulatorOptions
from tracker.simulator.thundersms.vocabulary import Fault

#: Options whose flag has another name, or that come from several flags.
OTHERWISE = {"outcomes": "outcome", "scripted_faults": "fault", "webhooks": "webhook"}


def test_it_knows_nothing_of_the_tracker() -> None:
    folder = Path(tracker.simulator.__file__ or "").parent
    named = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tracker"):
                named.add(node.module.split(".")[1] if "." in node.module else "")
    assert named == {"simulator"}


def test_every_fault_and_every_option_has_its_flag() -> None:
    flags = set(inspect.signature(simulate).parameters)
    assert {fault.value.replace("-", "_") for fault in Fault} <= flags
    wanted = {OTHERWISE.get(each.name, each.name.removesuffix("_s")) for each in fields(SimulatorOptions)}
    assert wanted - {"faults"} <= flags
