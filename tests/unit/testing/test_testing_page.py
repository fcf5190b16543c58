"""docs/testing.md: its programs run, and its tables are those of the code."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from runtime.testing import AttackFailed, attack, plugin
from runtime.testing.attacking import machine
from runtime.testing.attacking.rules import RULES
from runtime.testing.plugin import LocalnetOf
from tools.planted.bugs import FOUND_BY_ATTACK, WrongOrigin

PAGE = Path(__file__).parents[3] / "docs" / "testing.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def rows(heading: str) -> list[str]:
    """First cells of the table under a heading, without their marks."""
    section = PAGE.read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [name for cell in cells for name in re.findall("`([^`]*)`", cell)]


def test_the_programs_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, localnet: LocalnetOf) -> None:
    file = tmp_path / "test_of_the_page.py"
    first, *others = blocks("python")
    file.write_text("\n\n".join([first, *others]))
    spec = spec_from_file_location("test_of_the_page", file)
    assert spec is not None
    assert spec.loader is not None
    page = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "test_of_the_page", page)
    spec.loader.exec_module(page)
    tests = [value for name, value in vars(page).items() if name.startswith("test_")]
    assert len(tests) == 7
    monkeypatch.setattr(machine, "STEPS", 150)
    for test in tests:
        asked = inspect.signature(test).parameters.keys() & {"localnet"}
        test(**dict.fromkeys(asked, localnet))


def test_the_fixtures_are_those_of_the_plugin() -> None:
    told = [name for name in rows("Fixtures") if hasattr(plugin, name)]
    assert sorted(told) == sorted(
        name for name, value in vars(plugin).items() if type(value).__name__ == "FixtureFunctionDefinition"
    )


def test_the_strategies_are_those_of_their_modules() -> None:
    section = PAGE.read_text().partition("## Strategies\n")[2]
    for line in [line for line in section.splitlines() if line.startswith("| `")]:
        _, module, told, _ = line.split("|")
        found = vars(importlib.import_module(module.strip(" `")))
        names = re.findall(r"`([a-z_]+)\(", told)
        assert names
        assert all(name in found for name in names), names


def test_the_rules_are_those_that_are_checked() -> None:
    assert rows("The rules")[: len(RULES)] == list(RULES)
    folder = Path(inspect.getfile(attack)).parent
    checked = "".join(file.read_text() for file in folder.glob("*.py"))
    assert all(checked.count(f'"{rule}"') >= 2 for rule in RULES)
    found = {planted.rule for planted in FOUND_BY_ATTACK.values()}
    assert {rule for rule in found if not rule.startswith("invariant ")} <= set(RULES)


def test_the_arguments_are_those_of_attack() -> None:
    arguments = [name for name in inspect.signature(attack).parameters if name != "modules"]
    assert sorted(rows("What you may tell it")) == sorted(arguments)


def test_the_failure_is_what_an_attack_says() -> None:
    with pytest.raises(AttackFailed) as failed:
        attack(WrongOrigin, **FOUND_BY_ATTACK[WrongOrigin].options)
    assert blocks("text") == [str(failed.value)]
