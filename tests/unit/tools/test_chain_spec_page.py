"""What docs/chain-spec.md says works as it stands there: its commands, in order, as a person would type them."""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from chain_spec import parse_chain, read_chain
from chain_spec.errors import SpecError
from chain_spec.start import start_in_memory
from chain_spec.types import ChainSpec
from runtime.execution import Application
from runtime.state.disk import DiskStore
from tools.cli import home as home_module
from tools.cli.app import run
from tools.cli.keyring import PASSWORD_FILE_VARIABLE
from tools.cli.spec import spec as group

CHEAP = 1 << 10
PAGE = (Path(__file__).parents[3] / "docs" / "chain-spec.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)


def typed(line: str) -> int:
    """One line of the page, as a shell would take it: armillary and cp, $(...) and > FILE."""
    for inner in re.findall(r"\$\((.*?)\)", line):
        line = line.replace(f"$({inner})", output(inner).strip())
    line, _, file = line.partition(" > ")
    if file:
        Path(file).write_text(output(line))
        return 0
    command, *arguments = shlex.split(line)
    if command == "cp":
        shutil.copy(*arguments)
        return 0
    assert command == "armillary"
    return run(arguments)


def output(line: str) -> str:
    with redirect_stdout(io.StringIO()) as shown:
        assert typed(line) == 0, line
    return shown.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which all commands of the page have run."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "password").write_text("secret\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv(PASSWORD_FILE_VARIABLE, str(folder / "password"))
        patch.setattr(home_module.make_home, "__kwdefaults__", {"scrypt_n": CHEAP})
        for line in "".join(BLOCKS).splitlines():
            if "other.json" in line:
                changed = json.loads((folder / "spec.json").read_text())
                changed["runtime"]["fee_units"] = 2
                (folder / "other.json").write_text(json.dumps(changed))
            if "spec export" in line:
                has_run(folder / "ann_node")
            if line:
                assert typed(line) == ("spec diff" in line), line
        yield folder


def has_run(home: Path) -> None:
    """Leaves what a node of the chain leaves that was started and stopped."""
    _, chain = read_chain(home / "spec.json")
    store = DiskStore(home / "data" / "state")
    Application(chain.genesis, chain.modules, store).start()
    store.close()


def test_the_export_begins_where_the_chain_stands(folder: Path) -> None:
    old, new = (start_in_memory(read_chain(folder / name)[1]) for name in ("spec.json", "next.json"))
    assert new.validators() == old.validators()
    assert new.genesis.chain == "our_next_chain"


def test_the_ceremony_ends_in_a_chain_of_three_validators(folder: Path) -> None:
    spec, chain = read_chain(folder / "spec.json")
    assert spec.name == "our_chain"
    assert sorted(each.power for each in start_in_memory(chain).validators()) == [5, 10, 10]
    assert read_chain(folder / "ann_node" / "spec.json")[1].genesis_hash == chain.genesis_hash


def test_the_page_shows_errors_as_they_are_said(folder: Path) -> None:
    made = json.loads((folder / "spec.json").read_text())
    made["runtime"]["fee_unit"] = 1
    made["roles"]["auth"] = "acounts"
    made["modules"][1]["genesis"]["balances"]["arm1x"] = {}
    with pytest.raises(SpecError) as caught:
        parse_chain(json.dumps(made).encode())
    shown = re.search(r"```\nerror: (3 errors\n.*?)\n```", PAGE, re.DOTALL)
    assert shown is not None
    said = {str(problem) for problem in caught.value.problems}
    assert said == {line.strip() for line in shown[1].splitlines()[1:]} - {""}


def test_the_page_names_every_field_and_every_command() -> None:
    assert [name for name in ChainSpec.model_fields if f"| `{name}` |" not in PAGE] == []
    assert [name for name in group.commands if f"spec {name}" not in PAGE and f"`{name}`" not in PAGE] == []
