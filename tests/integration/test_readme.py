"""What the README says works as it stands there: the counter is tested, installed, composed and called on a network."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.localnet.ports import free_base_port

PATIENCE_S = 300
ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCES = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)


def block(language: str, needle: str) -> str:
    """The one fenced block of a language that holds a text."""
    found = [text for kind, text in FENCES if kind == language and needle in text]
    assert len(found) == 1, f"{len(found)} {language} blocks of the README hold {needle!r}"
    return found[0]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The README's counter, installed as pip would leave it: sources and an entry point on the path."""
    folder = tmp_path_factory.mktemp("counter")
    (folder / "counter.py").write_text(block("python", "class Counter(Module)"))
    (folder / "test_counter.py").write_text(block("python", "def test_counts"))
    pyproject = block("toml", "armillary.modules")
    assert 'counter = "counter:Counter"' in pyproject
    information = folder / "counter-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: counter\nVersion: 1\n")
    (information / "entry_points.txt").write_text("[armillary.modules]\ncounter = counter:Counter\n")
    return folder


def test_the_counters_folder_has_another_name_than_its_module() -> None:
    """The checkout is on Python's path: a folder `counter` in it would be imported as an empty package, before what pip
    installed."""
    commands = block("sh", "pip install").splitlines()
    folders = {line.split()[-1] for line in commands if "pip install" in line or "-m pytest" in line}
    assert len(folders) == 1
    assert "counter" not in folders


def environment(package: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(package), **more}


def test_the_counters_own_tests_pass(package: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(package), str(package)]
    done = subprocess.run(
        command, env=environment(package), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_the_counter_is_typed_as_the_readme_writes_it(package: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(package / "cache"), "counter.py"]
    done = subprocess.run(
        command, cwd=package, env={**os.environ, "MYPYPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def network(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """One validator that composes the counter; yields the environment of the README's second terminal."""
    folder = tmp_path_factory.mktemp("network")
    command = [sys.executable, "-m", "tools.cli", "localnet", "--validators", "1", "--home", str(folder / "net")]
    command += ["--base-port", str(free_base_port(2, start=random.randrange(20_000, 26_000))), "--module", "counter"]
    command += ["--json", str(folder / "net.json")]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment(package), stdout=log, stderr=log)
    try:
        end = time.monotonic() + PATIENCE_S
        while not (folder / "net.json").exists():
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end, (folder / "log").read_text()
            time.sleep(0.1)
        node = json.loads((folder / "net.json").read_text())["nodes"][0]
        password = str(folder / "net" / "password")
        known = {"ARMILLARY_NODE": node["http"], "ARMILLARY_PASSWORD_FILE": password, "HOME_OF_NODE": node["home"]}
        yield environment(package, **known)
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=PATIENCE_S) == 0


def armillary(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_the_counter_counts_on_a_node(network: dict[str, str]) -> None:
    signer = ("--home", network["HOME_OF_NODE"], "--key", "operator")
    sent = armillary(network, "tx", "counter", "bump", "--step", "3", *signer)
    assert sent.returncode == 0, sent.stderr
    assert "counter.Bumped" in sent.stdout
    asked = armillary(network, "query", "counter", "value")
    assert (asked.returncode, asked.stdout.strip()) == (0, "3")


def test_invalid_step_is_refused_with_the_modules_own_sentence(network: dict[str, str]) -> None:
    signer = ("--home", network["HOME_OF_NODE"], "--key", "operator")
    sent = armillary(network, "tx", "counter", "bump", "--step", "101", *signer)
    assert sent.returncode != 0
    assert "A step is at most 100" in sent.stderr


def test_the_calls_help_is_their_docstring(network: dict[str, str]) -> None:
    shown = armillary(network, "tx", "counter", "bump", "--help")
    assert "Add `step` to the count." in shown.stdout


def test_the_readme_names_commands_that_exist() -> None:
    from tools.cli.app import COMMANDS

    named = set(re.findall(r"^(?:\.venv/bin/)?armillary ([a-z-]+)", README, re.MULTILINE))
    assert named
    assert named <= set(COMMANDS)
