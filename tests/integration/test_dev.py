"""armillary dev as its user has it: a chain at once, transactions with its keys, new code on save, nothing left."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PATIENCE_S = 180
MODULE = """
from runtime import Item, Module, Signed, U64, call, invariant, query


class Tally(Module):
    name = "tally"
    count: Item[U64] = Item(default=0)

    @call(gas=1_000)
    def add(self, origin: Signed, *, more: U64) -> None:
        self.count += more

    @query
    def value(self) -> U64:
        return self.count

    @invariant
    def is_small(self) -> None:
        assert self.count < 100
"""


@dataclass
class Dev:
    """A running dev chain, what it has said, and the environment that it told."""

    process: subprocess.Popen[str]
    folder: Path
    environment: dict[str, str]
    heard: int = 0

    def wait(self, text: str) -> str:
        """Until it says so, after what was waited for before; the whole line."""
        end = time.monotonic() + PATIENCE_S
        while not (found := re.search(f".*{re.escape(text)}.*\n", self._said()[self.heard :])):
            assert self.process.poll() is None, (self.folder / "err").read_text()
            assert time.monotonic() < end, self._said()
            time.sleep(0.05)
        self.heard += found.end()
        return found[0]

    def _said(self) -> str:
        return (self.folder / "out").read_text()

    def save(self, old: str, new: str) -> None:
        file = self.folder / "tally.py"
        text = file.read_text()
        assert old in text
        file.with_suffix(".new").write_text(text.replace(old, new))
        file.with_suffix(".new").replace(file)  # at once: what is half written is nobody's to read

    def armillary(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "tools.cli", *arguments]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        return done.stdout + done.stderr

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=PATIENCE_S)


Start = Callable[..., Dev]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts dev chains in a folder with tally.py; they are killed where a test fails."""
    (tmp_path / "tally.py").write_text(MODULE)
    (tmp_path / "tmp").mkdir()
    started: list[subprocess.Popen[str]] = []

    def begin(*options: str) -> Dev:
        environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
        with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
            command = [sys.executable, "-m", "tools.cli", "dev", "--module", "tally.py:Tally", *options]
            process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=out, stderr=err, text=True)
        started.append(process)
        dev = Dev(process, tmp_path, environment)
        exported = dev.wait("export ").removeprefix("export ").split()
        environment |= dict(pair.split("=", 1) for pair in exported)
        return dev

    yield begin
    for process in started:
        process.kill()
        process.wait()


def test_a_module_is_called_edited_broken_and_mended(start: Start) -> None:
    dev = start()
    assert "ok in block" in dev.armillary("tx", "tally", "add", "--more", "3", "--key", "alice")
    assert "tally.add ok" in dev.wait("tally.add")
    dev.save("+= more", "+= 2 * more")
    dev.wait("on the same state")
    assert "ok in block" in dev.armillary("tx", "tally", "add", "--more", "5", "--key", "bob")
    assert dev.armillary("query", "tally", "value").strip() == "13"
    dev.save("def add(", "def add")
    assert "tally.py, line 10: unmatched" in dev.wait("not reloaded")
    dev.save("def add", "def add(")
    dev.wait("on the same state")
    assert "ok in block" in dev.armillary("tx", "tally", "add", "--more", "50", "--key", "alice")
    assert "tally.is_small does not hold" in dev.wait("INVARIANT")
    dev.save("count: Item[U64]", "count: Item[U128]")
    dev.save("U64, call", "U64, U128, call")
    assert "value was u64, is u128" in dev.wait("fresh genesis")
    assert dev.armillary("query", "tally", "value").strip() == "0"
    assert dev.stop() == 0
    assert list((dev.folder / "tmp").iterdir()) == []
    assert (dev.folder / "err").read_text() == ""


def test_code_that_does_not_end_keeps_nobody_from_mending_it(start: Start) -> None:
    dev = start()
    dev.save("self.count += more", "all(True for _ in range(10**12))")
    dev.wait("on the same state")
    dev.armillary("tx", "tally", "add", "--more", "3", "--key", "alice", "--gas-limit", "5000000", "--no-wait")
    dev.save("all(True for _ in range(10**12))", "self.count += more")
    dev.wait("on the same state")
    assert dev.stop() == 0


def test_a_home_keeps_its_chain_and_is_used_once(start: Start, tmp_path: Path) -> None:
    dev = start("--home", "home")
    assert "ok in block" in dev.armillary("tx", "tally", "add", "--more", "3", "--key", "carol")
    second = subprocess.run(
        [sys.executable, "-m", "tools.cli", "dev", "--home", "home"],
        cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert second.returncode != 0
    assert "held by process" in second.stderr
    assert dev.stop() == 0
    again = start("--home", "home")
    assert again.armillary("query", "tally", "value").strip() == "3"
    assert again.stop() == 0


def test_a_module_that_must_be_told_its_genesis_is_told_by_a_spec(start: Start, tmp_path: Path) -> None:
    (tmp_path / "tally.py").write_text(
        MODULE.replace("import Item", "import Genesis, Item").replace(
            "    @call",
            "    class GenesisConfig(Genesis):\n        first: U64\n\n"
            "    def genesis(self, config: GenesisConfig) -> None:\n        self.count = config.first\n\n    @call",
            1,
        )
    )
    spec = tmp_path / "draft.json"
    command = [sys.executable, "-m", "tools.cli", "spec", "new", "--draft", "--out", str(spec)]
    subprocess.run(command, timeout=60, check=True)
    document = json.loads(spec.read_text())
    document["modules"].append({"name": "tally", "genesis": {"first": 7}})
    document["address_prefix"] = "ours"
    spec.write_text(json.dumps(document))
    dev = start("--spec", str(spec))
    assert "ok in block" in dev.armillary("tx", "tally", "add", "--more", "3", "--key", "alice")
    assert dev.armillary("query", "tally", "value").strip() == "10"
    assert dev.armillary("keys", "show", "alice").startswith("ours1")
    dev.save("+= more", "+= 2 * more")
    dev.wait("on the same state")
    assert dev.stop() == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--module", "nowhere.py:Tally"], "there is no file"),
        (["--module", "tokens"], "composed already"),
        (["--home", "."], "no dev chain's"),
        (["--module", "tally.py:Other"], "has no class Other"),
        (["--module", "tally.py:Tally", "--spec", "none.json"], "none.json: cannot be read"),
    ],
)
def test_invalid_start_is_one_sentence(tmp_path: Path, options: list[str], said: str) -> None:
    """In a process of its own: the command imports modules anew, which is nothing for a process of tests."""
    (tmp_path / "tally.py").write_text(MODULE)
    command = [sys.executable, "-m", "tools.cli", "dev", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert said in done.stderr
