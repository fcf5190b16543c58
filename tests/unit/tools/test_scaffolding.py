"""What `armillary new` writes is right as it stands: it passes ruff, mypy, the linter and its own tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain_spec import parse_chain
from runtime.errors import UsageError
from tools.cli.app import run
from tools.scaffolding import check_module_name, class_name, render, write

NAMES = ("x", "price_feed", "a" * 48)


def make(folder: Path, name: str) -> Path:
    """The package, as the command writes it."""
    write(folder / name, render("module", {"name": name, "Class": class_name(name)}))
    return folder / name


def tool(package: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("MYPYPATH", "PYTHONPATH")}
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=package, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_it_is_linted_and_formatted_whatever_the_name(tmp_path: Path, name: str) -> None:
    package = make(tmp_path, name)
    for check in (["check", "--no-cache"], ["format", "--no-cache", "--check"]):
        done = tool(package, "ruff", *check, ".")
        assert done.returncode == 0, done.stdout + done.stderr


def test_its_own_tests_pass_with_the_committed_form(tmp_path: Path) -> None:
    package = make(tmp_path, "sticker")
    done = tool(package, "pytest", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 passed" in done.stdout


def test_it_is_typed_beside_an_installed_armillary(tmp_path: Path) -> None:
    package = make(tmp_path, "sticker")
    done = tool(package, "mypy", "--cache-dir", str(tmp_path / "cache"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_linter_finds_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package = make(tmp_path, "sticker")
    assert run(["lint", str(package / "sticker")]) == 0, capsys.readouterr().out


def test_the_entry_point_names_the_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["new", "module", "sticker"]) == 0
    text = (tmp_path / "sticker" / "pyproject.toml").read_text()
    assert '[project.entry-points."armillary.modules"]\nsticker = "sticker:Sticker"\n' in text
    assert not any("@" in path.name for path in (tmp_path / "sticker").rglob("*"))
    left = [path for path in (tmp_path / "sticker").rglob("*") if path.is_file() and "@name@" in path.read_text()]
    assert left == []


@given(st.from_regex("[a-z][a-z0-9_]{0,47}", fullmatch=True))
def test_every_name_has_a_class(name: str) -> None:
    assert class_name(name).isidentifier()
    assert "_" not in class_name(name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Sticker", "is no name"),
        ("1st", "is no name"),
        ("a-b", "is no name"),
        ("../up", "is no name"),
        ("", "is no name"),
        ("a" * 49, "at most 48"),
        ("tokens", "offers the module 'tokens' already"),
        ("json", "another package as 'json'"),
        ("numpy", "another package as 'numpy'"),
        ("runtime", "another package as 'runtime'"),
        ("class", "a word of Python's own"),
        ("match", "a word of Python's own"),
    ],
)
def test_invalid_name_is_refused(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check_module_name(name)


def test_invalid_folder_is_never_written_into(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sticker").mkdir()
    assert run(["new", "module", "sticker", "--dir", str(tmp_path)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert list((tmp_path / "sticker").iterdir()) == []


def test_a_folder_that_cannot_be_filled_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OSError):  # noqa: PT011  # whichever the system says
        write(tmp_path / "half", {Path("a"): "x", Path("a/b"): "y"})
    assert not (tmp_path / "half").exists()


def test_a_new_chain_is_a_draft_that_says_how_to_found_it(tmp_path: Path) -> None:
    assert run(["new", "chain", "ours", "--dir", str(tmp_path)]) == 0
    spec, chain = parse_chain((tmp_path / "ours" / "draft.json").read_bytes())
    assert (spec.name, chain.genesis.chain) == ("ours", "ours")
    assert json.loads((tmp_path / "ours" / "draft.json").read_text())["modules"][0]["digest"]
    assert "@" not in (tmp_path / "ours" / "README.md").read_text()


def test_invalid_module_of_a_new_chain_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["new", "chain", "ours", "--module", "nothing", "--dir", str(tmp_path)]) == 2
    assert "no installed package offers" in capsys.readouterr().err
    assert not (tmp_path / "ours").exists()
