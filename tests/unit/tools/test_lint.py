"""armillary lint: ruff's style, JSON, exit codes; what is shipped is clean, what is planted is found."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import pytest

from runtime import Module
from runtime.module.lint import RULES, check_file, check_source, python_files
from tools.cli.app import run
from tools.planted.source import FOUND_BY_LINT, source_of

ROOT = Path(__file__).parents[3]
BAD = "def f(n):\n    return n / 2\n"


def blocks(page: str) -> list[str]:
    """The Python blocks of a page that define a module."""
    found = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    return [block for block in found if "(Module)" in block and "Chain(" not in block]


@pytest.mark.parametrize("file", python_files(ROOT / "modules"), ids=lambda file: str(file.relative_to(ROOT)))
def test_shipped_modules_are_clean(file: Path) -> None:
    assert check_file(file) == ()


def test_the_sound_vault_is_clean() -> None:
    assert check_file(ROOT / "tools" / "planted" / "vault.py") == ()


@pytest.mark.parametrize(("page", "least"), [("README.md", 1), ("docs/modules.md", 4)])
def test_examples_of_the_pages_are_clean(page: str, least: int) -> None:
    found = blocks(page)
    assert len(found) >= least
    for block in found:
        assert check_source(block.encode(), page) == ()


def test_there_is_a_source_for_each_planted_bug() -> None:
    there = {file.stem for file in (ROOT / "tools" / "planted" / "source").glob("*.py")} - {"__init__"}
    assert there == set(FOUND_BY_LINT)


@pytest.mark.parametrize(("name", "code"), FOUND_BY_LINT.items())
def test_each_planted_bug_is_found_by_its_rule_and_nothing_else_is(name: str, code: str) -> None:
    assert [each.code for each in check_file(source_of(name))] == [code]


@pytest.mark.parametrize("name", FOUND_BY_LINT)
def test_planted_bugs_are_in_modules_that_can_be_composed(name: str) -> None:
    module = importlib.import_module(f"tools.planted.source.{name}")
    (made,) = [each for each in vars(module).values() if getattr(each, "__module__", "") == module.__name__]
    assert issubclass(made, Module)
    assert made.metadata().name == "vault"


def test_what_is_clean_exits_with_0(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "findings.json"
    assert run(["lint", str(ROOT / "modules"), "--json", str(out)]) == 0
    assert capsys.readouterr().out == "All checks passed!\n"
    assert json.loads(out.read_text()) == {"files": len(python_files(ROOT / "modules")), "findings": []}


def test_findings_are_printed_as_ruff_does_and_exit_with_1(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file, out = tmp_path / "mine.py", tmp_path / "findings.json"
    file.write_text(BAD + "x = 1.5\n")
    assert run(["lint", str(file), "--json", str(out)]) == 1
    first, second, last = capsys.readouterr().out.splitlines()
    assert re.fullmatch(re.escape(str(file)) + r":2:12: ARM002 true division `/`: .*; .*", first)
    assert re.fullmatch(re.escape(str(file)) + r":3:5: ARM001 the number 1\.5: .*; .*", second)
    assert last == "Found 2 errors."
    made = json.loads(out.read_text())
    assert made["files"] == 1
    assert made["findings"][0] == {
        "path": str(file),
        "line": 2,
        "column": 12,
        "code": "ARM002",
        "message": first.partition("ARM002 ")[2],
    }


def test_a_folder_is_read_without_tests_and_environments(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name in ("src/mine.py", "test_mine.py", "conftest.py", "tests/helper.py", ".hidden/x.py", "env/lib/y.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(BAD)
    (tmp_path / "env" / "pyvenv.cfg").touch()
    assert run(["lint", str(tmp_path)]) == 1
    *found, last = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in found] == [str(tmp_path / "src" / "mine.py")]
    assert last == "Found 1 error."


def test_a_file_that_is_named_is_read_whatever_its_name_and_only_once(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "test_mine.py"
    file.write_text(BAD)
    assert run(["lint", str(file), str(file)]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "Found 1 error."


def test_a_package_may_import_itself_and_a_lone_file_no_neighbour(tmp_path: Path) -> None:
    for name, text in {
        "acme/__init__.py": "",
        "acme/module.py": "from acme.words import NAMES\nfrom .words import NAMES\n",
        "acme/words.py": "NAMES = ()\n",
        "lone.py": "import neighbour\n",
        "neighbour.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert check_file(tmp_path / "acme" / "module.py") == ()
    assert [each.code for each in check_file(tmp_path / "lone.py")] == ["ARM024"]


def test_rules_are_told_with_reason_and_mend(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lint", "--rules"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    for code, rule in RULES.items():
        assert f"{code} {rule.title} {rule.reason[:1].upper()}{rule.reason[1:]}. Mend: {rule.mend}." in told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name a file or a folder with module code, or --rules"),
        (["nowhere.py"], "Path 'nowhere.py' does not exist"),
        (["{empty}"], "no Python file of module code in this folder"),
        (["{empty}", "--json", "{empty}"], "is a directory"),
    ],
)
def test_invalid_usage_exits_with_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["lint", *(each.format(empty=tmp_path) for each in arguments)]) == 2
    assert words in capsys.readouterr().err


def test_the_page_has_the_rules_of_the_code() -> None:
    """docs/lint.md: | code | what must not be there | why | mend |"""
    rows = re.findall(
        r"^\| (ARM\d{3}) \| (.*) \| (.*) \| (.*) \|$", (ROOT / "docs" / "lint.md").read_text(), re.MULTILINE
    )
    plain = [tuple(cell.replace("\\|", "|") for cell in row) for row in rows]
    assert plain == [(rule.code, rule.title, rule.reason, rule.mend) for rule in RULES.values()]


def test_suppressions_in_shipped_modules_are_few() -> None:
    """Each of them is a place where a reader must trust a sentence instead of a rule."""
    allowed = [
        line for file in python_files(ROOT / "modules") for line in file.read_text().splitlines() if "# arm:" in line
    ]
    assert len(allowed) <= 3
