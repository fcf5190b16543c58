"""Modules of separate packages, as a chain spec selects, orders and pins them: found, and every misfit told plainly."""

from __future__ import annotations

import json
import os
import py_compile
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chain_spec import plugins, read_chain
from tools.cli.app import run
from tools.localnet.ports import free_base_port

PATIENCE_S = 180
GAUGE = """
from runtime import Item, Module, Signed, U64, call

class Gauge(Module):
    name = "gauge"
    level: Item[U64] = Item(default=10)

    @call(gas=1_000)
    def set(self, origin: Signed, *, level: U64) -> None:
        self.level = level
"""
NEEDY = """
from typing import Protocol
from runtime import Item, Module, U64, Uses

class Barometer(Protocol):
    def pressure(self) -> int: ...

class Needy(Module):
    name = "needy"
    seen: Item[U64] = Item(default=0)
    air: Uses[Barometer]
"""


def install(folder: Path, name: str, target: str, source: str, *, distribution: str = "") -> None:
    """A package as pip leaves it: a file, and an entry point beside it."""
    (folder / f"{target.partition(':')[0]}.py").write_text(source)
    information = folder / f"{distribution or name}-1.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution or name}\nVersion: 1\n")
    (information / "entry_points.txt").write_text(f"[{plugins.GROUP}]\n{name} = {target}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages, with the gauge; as though nothing had been imported from it."""
    folder = tmp_path / "site"
    folder.mkdir()
    install(folder, "gauge", "gauge:Gauge", GAUGE)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    plugins.installed.cache_clear()
    yield folder
    for name in ("gauge", "needy", "other_gauge"):
        sys.modules.pop(name, None)
    plugins.installed.cache_clear()


def again() -> None:
    """As in a new process."""
    sys.modules.pop("gauge", None)
    plugins.installed.cache_clear()


def draft(*names: str) -> int:
    return run(["spec", "new", "--draft", "--out", "spec.json", *(f"--module={name}" for name in names)])


def test_a_plugin_is_selected_and_pinned_in_the_spec_s_order(site: Path) -> None:
    assert draft("gauge") == 0
    document = json.loads(Path("spec.json").read_text())
    entry = document["modules"].pop()
    assert (entry["name"], entry["version"]) == ("gauge", 1)
    assert entry["digest"] == plugins.digest(plugins.load("gauge")).hex()
    document["modules"].insert(0, entry)
    Path("spec.json").write_text(json.dumps(document))
    _, chain = read_chain(Path("spec.json"))
    assert [module.name for module in chain.modules][:2] == ["gauge", "accounts"]


def test_invalid_plugin_that_is_not_installed(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert draft("gauge") == 0
    (site / "gauge-1.dist-info" / "entry_points.txt").unlink()
    again()
    assert run(["spec", "validate", "spec.json"]) == 2
    assert "$.modules[6].name: no installed package offers the module 'gauge'" in capsys.readouterr().err


def test_invalid_plugins_of_one_name(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(site, "gauge", "other_gauge:Gauge", GAUGE, distribution="other")
    again()
    assert draft("gauge") == 2
    said = capsys.readouterr().err
    assert "two installed packages offer the module 'gauge': gauge:Gauge and other_gauge:Gauge; uninstall one" in said


def test_invalid_dependency_that_no_module_meets(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(site, "needy", "needy:Needy", NEEDY)
    again()
    assert draft("needy") == 2
    said = capsys.readouterr().err
    assert "$.modules[6].name" in said
    assert "Barometer" in said
    assert "add a module that does" in said


def test_invalid_version_is_named(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert draft("gauge") == 0
    (site / "gauge.py").write_text(GAUGE.replace('name = "gauge"', 'name = "gauge"\n    version = 2'))
    again()
    assert run(["spec", "validate", "spec.json"]) == 2
    assert "the spec pins version 1, installed is 2" in capsys.readouterr().err


@pytest.mark.parametrize("helper", ["helper.py", "deep/er/helper.py"])
def test_a_digest_covers_the_whole_package(site: Path, helper: str) -> None:
    package = site / "gauges"
    (package / helper).parent.mkdir(parents=True)
    for file in (package / "__init__.py", package / helper):
        file.write_text("")
    (package / "own.py").write_text(GAUGE)
    import gauges.own  # type: ignore[import-not-found]

    before = plugins.digest(gauges.own.Gauge)
    (package / helper).write_text("STEP = 1\n")
    assert plugins.digest(gauges.own.Gauge) != before
    for name in ("gauges", "gauges.own"):
        sys.modules.pop(name)


def test_bytecode_that_only_seems_to_be_of_a_source_is_found(site: Path) -> None:
    file = site / "gauge.py"
    py_compile.compile(str(file))
    assert plugins.outdated(plugins.load("gauge")) is None
    before = file.stat()
    file.write_text(GAUGE.replace("default=10", "default=11"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    again()
    module = plugins.load("gauge")
    assert module.metadata().storage["level"].default == 10
    assert plugins.outdated(module) == file


def test_a_node_with_other_sources_says_so_and_does_not_sign(site: Path, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("of a test\n")
    port = free_base_port(2, start=random.randrange(20_000, 26_000))
    addresses = ["--listen", f"127.0.0.1:{port}", "--http", f"127.0.0.1:{port + 1}"]
    environment = {**os.environ, "ARMILLARY_PASSWORD_FILE": str(tmp_path / "password")}
    for command in (
        ["init", "--home", "home", *addresses],
        ["spec", "new", "--validator", "home", "--module", "gauge", "--out", "home/spec.json"],
    ):
        subprocess.run([sys.executable, "-m", "tools.cli", *command], env=environment, timeout=PATIENCE_S, check=True)
    (site / "gauge.py").write_text(GAUGE.replace("self.level = level", "self.level = level // 2"))
    with (tmp_path / "log").open("w") as log:
        command = [sys.executable, "-m", "tools.cli", "node", "--home", "home"]
        node = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        log_text = log_until(node, tmp_path / "log", "node started")
        assert "module gauge: the spec pins sources" in log_text
        assert "this node will not sign" in log_text
        assert "validator=None" in log_text
    finally:
        node.send_signal(signal.SIGINT)
        assert node.wait(timeout=PATIENCE_S) == 0


def log_until(node: subprocess.Popen[bytes], log: Path, text: str) -> str:
    end = time.monotonic() + PATIENCE_S
    while text not in (found := log.read_text()):
        assert node.poll() is None, found
        assert time.monotonic() < end, found
        time.sleep(0.1)
    return found
