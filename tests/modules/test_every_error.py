"""Every error that a module declares has a test of its own: a function `test_invalid_*` that names it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from chain_spec.plugins import load
from chain_spec.presets import STANDARD_MODULES
from runtime.execution.core import Core
from runtime.module import Module

HERE = Path(__file__).parent
FOLDERS = {"runtime": HERE.parent / "unit" / "execution"}


def names_in_invalid_tests(folder: Path) -> set[str]:
    """What functions `test_invalid_*` of the folder's files name, in their decorators and bodies, and in the values at
    the top of their file that they use."""
    found: set[str] = set()
    for file in sorted(folder.glob("test_*.py")):
        tree = ast.parse(file.read_text())
        values = {
            target.id: node
            for node in tree.body
            if isinstance(node, ast.Assign | ast.AnnAssign)
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        }
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_invalid_"):
                direct = _names(node)
                found |= direct
                for name in direct & values.keys():
                    found |= _names(values[name])
    return found


def _names(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


@pytest.mark.parametrize("module", [Core, *map(load, STANDARD_MODULES)], ids=lambda module: module.name)
def test_every_error_has_a_test_that_names_it(module: type[Module]) -> None:
    package = module.__module__.rpartition(".")[0]
    own = {name for name, info in module.metadata().errors.items() if info.error.__module__.startswith(package)}
    tested = names_in_invalid_tests(FOLDERS.get(module.name, HERE / module.name))
    assert own, "this test would pass for want of errors"
    assert not own - tested, f"no test_invalid_* of {module.name} names {sorted(own - tested)}"
