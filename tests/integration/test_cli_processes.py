"""localnet and demo as processes: what they write, and that nothing of them is left, however they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chain_spec import read_spec, resolve
from runtime.node.config import parse_host_port
from tools.certificates import verify_file
from tools.cli.app import run
from tools.client import NodeClient
from tools.localnet.ports import first_busy

END_S_MAX = 120
DEMO_S_MAX = 300


@dataclass
class Command:
    """`armillary ARGUMENTS` as a process whose home and temporary files lie in `folder`."""

    process: subprocess.Popen[bytes]
    folder: Path
    output: Path

    def said(self) -> str:
        return self.output.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, condition: Callable[[], bool], what: str, timeout_s: float = DEMO_S_MAX) -> None:
        end = time.monotonic() + timeout_s
        while not condition():
            assert self.process.poll() is None, f"ended before {what}:\n{self.said()}"
            assert time.monotonic() < end, f"no {what} after {timeout_s} s:\n{self.said()}"
            time.sleep(0.02)

    def says(self, text: str) -> None:
        self.wait_for(lambda: text in self.said(), repr(text))

    def ends_with(self, timeout_s: float = END_S_MAX) -> int:
        return self.process.wait(timeout_s)

    def nodes(self) -> list[int]:
        """Processes that work in the folder, this one aside."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue  # it has just ended
            if b"\x00node\x00" in line and str(self.folder).encode() in line:
                found.append(int(entry.name))
        return sorted(found)

    def ports(self) -> list[int]:
        """Those that the homes in the folder are configured to listen on."""
        found = []
        for path in self.folder.rglob("config.toml"):
            config = tomllib.loads(path.read_text())
            found += [parse_host_port(config[section]["listen"])[1] for section in ("network", "http")]
        return found


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[Command]:
    """The command, killed with all of its nodes at the end if it has not ended by itself."""
    temporary, output = folder / "temporary", folder / "output"
    temporary.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORT_")}
    command = [sys.executable, "-m", "tools.cli", *arguments]
    with output.open("wb") as opened:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=opened,
            stderr=opened,
            env={**environment, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
    made = Command(process, folder, output)
    try:
        yield made
    finally:
        process.kill()
        process.wait()
        for pid in made.nodes():
            os.kill(pid, signal.SIGKILL)


def check_nothing_left(command: Command, ports: list[int]) -> None:
    """No process, no port; and no traceback on the way."""
    assert command.nodes() == []
    assert [port for port in ports if first_busy(port, 1) is not None] == []
    assert "Traceback" not in command.said(), command.said()


# --- localnet


def localnet(folder: Path, validators: int) -> list[str]:
    home, file = str(folder / "net"), str(folder / "net.json")
    return ["localnet", "--validators", str(validators), "--home", home, "--json", file]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_localnet_says_where_it_is_and_stops_when_told(number: signal.Signals, tmp_path: Path) -> None:
    with running(tmp_path, *localnet(tmp_path, 1)) as command:
        command.wait_for((tmp_path / "net.json").exists, "net.json")
        described = json.loads((tmp_path / "net.json").read_text())
        (node,) = described["nodes"]
        assert described["spec"] == str(tmp_path / "net" / "spec.json")
        assert set(node) == {"name", "pid", "home", "http", "p2p", "account"}
        assert command.nodes() == [node["pid"]]
        with NodeClient(node["http"]) as client:
            assert client.status()["peer_id"] == node["p2p"].rpartition("/")[2]
        command.says(node["account"])
        ports = command.ports()
        command.process.send_signal(number)
        assert command.ends_with() == 0
        check_nothing_left(command, ports)


def test_invalid_node_that_dies_ends_the_localnet_with_a_sentence(tmp_path: Path) -> None:
    with running(tmp_path, *localnet(tmp_path, 2)) as command:
        command.wait_for((tmp_path / "net.json").exists, "net.json")
        described, ports = json.loads((tmp_path / "net.json").read_text()), command.ports()
        os.kill(described["nodes"][1]["pid"], signal.SIGKILL)
        assert command.ends_with() == 1
        assert "error: node1 ended with exit code -9" in command.said()
        check_nothing_left(command, ports)


# --- demo


def test_the_demo_holds_and_says_what_it_measured(tmp_path: Path) -> None:
    file, keep = tmp_path / "demo.json", tmp_path / "kept"
    with running(tmp_path, "demo", "--transactions", "12", "--json", str(file), "--keep", str(keep)) as command:
        assert command.ends_with(DEMO_S_MAX) == 0, command.said()
        check_nothing_left(command, command.ports())
        said = command.said()
    measured: dict[str, Any] = json.loads(file.read_text())
    assert (measured["validators"], measured["transactions"]) == (4, 12)
    assert measured["height"] > 5
    assert len(measured["state_roots"]) == 4
    assert len(set(measured["state_roots"])) == 1
    assert len(bytes.fromhex(measured["state_roots"][0])) == 32
    assert 0.5 < measured["accuracy_float"] - 0.005 <= measured["accuracy_on_chain"] <= 1
    assert 0 <= measured["output_error_max"] < 0.05
    assert 0 < measured["finality_ms"]["p50"] <= measured["finality_ms"]["p99"]
    assert measured["killed_validator_caught_up"] is True
    assert measured["certificate_verified"] is True
    assert measured["seconds"] > 0
    for words in (
        "kill -9: node2 is dead",
        "node2 is started again",
        "all of it held",
        measured["state_roots"][0][:16],
    ):
        assert words in said
    decision, record = verify_file((keep / "decision.certificate").read_bytes(), resolve(read_spec(keep / "spec.json")))
    assert record.rows == 1
    assert decision.header.height >= measured["height"]
    assert {"digits.graph", "input.npz"} <= {path.name for path in keep.iterdir()}
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.soak
def test_a_demo_of_few_images_holds_too(tmp_path: Path) -> None:
    with running(tmp_path, "demo", "--transactions", "3") as command:
        assert command.ends_with(DEMO_S_MAX) == 0, command.said()
        assert "node2 is started again" in command.said()


@pytest.mark.parametrize(
    ("moment", "signals"),
    [
        ("starting 4 validators", [signal.SIGTERM]),
        pytest.param("registering the model", [signal.SIGINT], marks=pytest.mark.soak),
        ("is dead", [signal.SIGINT, signal.SIGINT]),
    ],
)
def test_a_demo_that_is_stopped_leaves_nothing(moment: str, signals: list[signal.Signals], tmp_path: Path) -> None:
    with running(tmp_path, "demo", "--transactions", "20") as command:
        command.says(moment)
        command.wait_for(lambda: bool(command.nodes()), "node")
        ports = command.ports()
        assert len(ports) == 8
        for number in signals:
            command.process.send_signal(number)
            time.sleep(0.1)
        assert command.ends_with() == 130
        check_nothing_left(command, ports)
        assert command.said().rstrip().endswith("stopped")
        assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--json", "nowhere/demo.json"], "--json nowhere/demo.json: there is no folder nowhere"),
        (["--keep", "."], ". is not empty; name a new folder, or remove it"),
        (["--transactions", "361"], "361 is not at least 1 and at most 360"),
    ],
)
def test_invalid_demo_is_refused_before_anything_starts(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "something").touch()
    assert run(["demo", *arguments]) == 2
    said = capfd.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["something"]
