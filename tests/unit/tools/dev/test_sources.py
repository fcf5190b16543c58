"""Modules that are being written are found, imported as their files stand, and never half replaced."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime import Module
from runtime.errors import UsageError
from tools.dev.sources import Broken, Chosen, choose, fingerprint, load, own_files

SOURCE = """
from helper_of_dial import STEP
from runtime import Item, Module, U64


class Dial(Module):
    name = "dial"
    turns: Item[U64] = Item(default=STEP)
"""


@pytest.fixture
def dial(tmp_path: Path) -> Iterator[Chosen]:
    """A module in a file, with a file beside it that it imports."""
    (tmp_path / "helper_of_dial.py").write_text("STEP = 1\n")
    (tmp_path / "dial.py").write_text(SOURCE)
    path, names = list(sys.path), set(sys.modules)
    yield choose(f"{tmp_path / 'dial.py'}:Dial")
    sys.path[:] = path
    for name in set(sys.modules) - names:
        del sys.modules[name]


def default(module: type[Module]) -> int:
    found: int = module.metadata().storage["turns"].default
    return found


def test_what_runs_is_what_the_file_says_also_of_files_beside_it(dial: Chosen) -> None:
    assert dial.folder is not None
    (old,) = load([dial])
    (dial.folder / "helper_of_dial.py").write_text("STEP = 2\n")
    (new,) = load([dial])
    assert (default(old), default(new)) == (1, 2)


def test_a_save_of_the_same_size_in_the_same_second_is_seen(dial: Chosen) -> None:
    assert dial.folder is not None
    file = dial.folder / "helper_of_dial.py"
    import py_compile

    py_compile.compile(str(file))
    before = file.stat()
    file.write_text("STEP = 7\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    (module,) = load([dial])
    assert default(module) == 7


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("class Dial(:\n", "dial.py, line 1: invalid syntax"),
        ("\nimport nothing_of_that_name\n", "dial.py, line 2: ModuleNotFoundError: No module named"),
        (SOURCE.replace("turns: Item[U64] =", "turns ="), "Dial.turns has no annotation"),
        (SOURCE.replace("Dial", "Other"), "dial has no class Dial"),
        ("Dial = 3\n", "dial:Dial is no runtime.Module"),
        ("raise SystemExit(1)\n", "dial.py, line 1: SystemExit: 1"),
    ],
)
def test_invalid_source_leaves_the_old_code_and_says_where(dial: Chosen, text: str, said: str) -> None:
    assert dial.folder is not None
    (old,) = load([dial])
    (dial.folder / "dial.py").write_text(text)
    with pytest.raises(Broken) as caught:
        load([dial])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sys.modules["dial"].Dial is old
    (dial.folder / "dial.py").write_text(SOURCE)
    assert default(load([dial])[0]) == 1


def test_the_files_of_a_package_are_all_its_own_and_no_others(tmp_path: Path) -> None:
    package = tmp_path / "dials" / "inner"
    package.mkdir(parents=True)
    for file in (package / "__init__.py", package.parent / "__init__.py", package / "dial.py"):
        file.write_text("")
    (tmp_path / "other.py").write_text("")
    chosen = choose(f"{package / 'dial.py'}:Dial")
    assert chosen == Chosen("dials.inner.dial", "Dial", tmp_path)
    assert chosen.target == "dials.inner.dial:Dial"
    sys.path.insert(0, str(tmp_path))
    try:
        assert {file.name for file in own_files([chosen])} == {"__init__.py", "dial.py"}
    finally:
        sys.path.remove(str(tmp_path))


def test_an_installed_module_is_named(tmp_path: Path) -> None:
    assert choose("tokens") == Chosen("modules.tokens.module", "Tokens")


def test_a_file_that_is_gone_is_empty(tmp_path: Path) -> None:
    assert fingerprint([tmp_path / "gone.py"]) == {tmp_path / "gone.py": b""}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nowhere.py:Dial", "there is no file"),
        ("dial.py", "say which class"),
        ("dial.py:", "is no class"),
        ("a b:Dial", "write NAME"),
        ("tokenz", "did you mean 'tokens'"),
    ],
)
def test_invalid_choice_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        choose(text)


@pytest.mark.parametrize(("name", "said"), [("json.py", "Python's own"), ("a-b.py", "cannot import")])
def test_invalid_file_name_is_refused(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / name).write_text("")
    with pytest.raises(UsageError, match=said):
        choose(f"{tmp_path / name}:Dial")
