"""A module of another package is read by the linter when it is loaded; what it finds refuses the module."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from chain_spec import SpecError, plugins
from runtime import Module
from tools.cli.app import run

SOUND = '''
from runtime import U64, Item, Module, Signed, call

class Mine(Module):
    """A module."""

    name = "read_mine"
    total: Item[U64] = Item(default=0)

    @call(gas=1_000)
    def add(self, origin: Signed, *, n: U64) -> None:
        """Add."""
        self.total += n
'''
DIVIDES = SOUND.replace("+= n", "+= n // 2 + int(n / 2)")
ALLOWED = DIVIDES.replace("int(n / 2)", "int(n / 2)  # arm: allow[ARM002] n is below 100 here")
Load = Callable[..., type[Module]]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Loads the plugin of these files: by path, in the folder that is imported from."""

    def made(files: dict[str, str], value: str) -> type[Module]:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        importlib.invalidate_caches()
        point = EntryPoint("read_mine", value, plugins.GROUP)
        monkeypatch.setattr(plugins, "installed", lambda: {"read_mine": point})
        return plugins.load("read_mine", "$.modules[0].name")

    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield made
    for name in set(sys.modules) - before:
        if name.startswith("read_"):
            del sys.modules[name]


def test_a_sound_module_is_loaded(load: Load) -> None:
    assert load({"read_sound.py": SOUND}, "read_sound:Mine").name == "read_mine"


def test_a_suppression_with_a_reason_counts(load: Load) -> None:
    assert load({"read_allowed.py": ALLOWED}, "read_allowed:Mine").name == "read_mine"


def test_a_packages_tests_are_not_read(load: Load) -> None:
    files = {
        "read_tested/__init__.py": "from read_tested.module import Mine\n",
        "read_tested/module.py": SOUND,
        "read_tested/tests/test_module.py": "import random\n",
    }
    assert load(files, "read_tested:Mine").name == "read_mine"


def test_invalid_source_is_told_with_the_first_finding_and_the_command(load: Load, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load({"read_divides.py": DIVIDES}, "read_divides:Mine")
    assert caught.value.path == "$.modules[0].name"
    file = tmp_path / "read_divides.py"
    assert caught.value.reason.startswith(f"the module 'read_mine' is not fit for a chain: {file}:13:36: ARM002 ")
    assert caught.value.reason.endswith(f"; `armillary lint {file}` says all")


def test_invalid_suppression_without_a_reason_refuses(load: Load) -> None:
    with pytest.raises(SpecError, match=r"ARM002 .* and 1 more; `armillary lint"):
        load({"read_bare.py": ALLOWED.replace(" n is below 100 here", "")}, "read_bare:Mine")


@pytest.mark.parametrize("folder", ["read_deep", "read_deeper/inside"])
def test_invalid_other_files_of_the_package_refuse_and_the_command_finds_them(
    folder: str, load: Load, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {f"{outer}/__init__.py": "" for outer in (folder, folder.partition("/")[0])}
    files |= {f"{folder}/module.py": SOUND, f"{folder}/parts/lucky.py": "import random\n"}
    with pytest.raises(SpecError, match=r"lucky\.py:1:1: ARM021") as caught:
        load(files, f"{folder.replace('/', '.')}.module:Mine")
    said = re.search("`armillary lint (.*)` says all", caught.value.reason)
    assert said is not None
    assert run(["lint", said[1]]) == 1
    assert "ARM021" in capsys.readouterr().out


def test_invalid_a_test_file_that_offers_a_module_is_read_too(load: Load) -> None:
    with pytest.raises(SpecError, match="ARM002"):
        load({"test_read_divides.py": DIVIDES}, "test_read_divides:Mine")


def test_invalid_source_that_is_gone(load: Load, tmp_path: Path) -> None:
    module = load({"read_gone.py": SOUND}, "read_gone:Mine")
    plugins._finding.cache_clear()
    (tmp_path / "read_gone.py").unlink()
    with pytest.raises(SpecError, match=r"the source of the module 'read_mine' cannot be read: .*read_gone"):
        plugins.load("read_mine")
    assert module.name == "read_mine"


def test_shipped_modules_are_not_read_at_each_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The project's own tests hold them to the rules; reading them would cost every command some tenths of a second."""

    def read(*_: object) -> None:
        raise AssertionError("a shipped module is read")

    monkeypatch.setattr(plugins, "check_files", read)
    plugins._finding.cache_clear()
    assert plugins.load("tokens").name == "tokens"
