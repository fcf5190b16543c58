"""docs/governance.md as it stands there, on real processes: four validators vote on the price of inference and on a
fifth one, who starts from the spec file alone, follows the chain, votes and signs."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from modules.tokens import Tokens
from runtime.inference import TensorSpec, encode_graph, model_hash, verify
from runtime.inference.graph import Gemm
from runtime.node.keystore import open_keystore
from runtime.testing.graphs import wrap
from tools.client import NodeClient
from tools.localnet.ports import free_base_port
from tools.transactions import Sender

PAGE = (Path(__file__).parents[2] / "docs" / "governance.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
BASE, PORTS = 27_500, 10
SPEC = TensorSpec("x", (2,), 0, -100, 100)
MODEL = encode_graph(wrap([SPEC], [np.array([[3, -2]], np.int64)], [Gemm(0, 0, None, None)], (1,)))
PATIENCE_S = 300


class Terminals:
    """The page's reader: a folder in which its blocks are typed. Variables live on from block to block."""

    def __init__(self, folder: Path, base: int) -> None:
        self.folder = folder
        self.base = base
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path, "ARMILLARY_PASSWORD_FILE": "net/password"}
        self.running: list[subprocess.Popen[bytes]] = []

    def block(self, needle: str, place: int = 0) -> str:
        """The page's block that holds a text, with this network's ports."""
        found = [text for text in BLOCKS if needle in text][place]
        return re.sub(rf"\b{BASE // 10}(\d)\b", lambda digit: str(self.base + int(digit[1])), found)

    def type(self, needle: str, place: int = 0) -> str:
        """Run a block to its end; what it printed."""
        script = f"set -ea\n{self.block(needle, place)}\nenv -0 > environment"
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env=self.environment, capture_output=True, text=True,
            timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        lines = (self.folder / "environment").read_text().split("\0")
        self.environment = dict(line.split("=", 1) for line in lines if line)
        return done.stdout + done.stderr

    def leave_running(self, needle: str) -> None:
        """Start a block that runs until it is stopped."""
        command = ["bash", "-c", f"exec {self.block(needle)}"]
        with self.log(len(self.running)).open("wb") as log:
            process = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=log, stderr=log)
        self.running.append(process)

    def log(self, number: int) -> Path:
        return self.folder / f"terminal{number}.log"

    def check_running(self) -> None:
        """Raises with the output of a terminal whose command ended."""
        for number, process in enumerate(self.running):
            assert process.poll() is None, self.log(number).read_text()

    def stop(self) -> None:
        for process in reversed(self.running):
            process.send_signal(signal.SIGINT)
        try:
            for number, process in enumerate(self.running):
                assert process.wait(PATIENCE_S) in (0, 130), self.log(number).read_text()
        finally:
            for process in self.running:
                process.kill()

    def until(self, what: Callable[[], Any]) -> Any:
        """The first answer that is true."""
        end = time.monotonic() + PATIENCE_S
        while True:
            found = what()
            if found:
                return found
            self.check_running()
            assert time.monotonic() < end, f"not within {PATIENCE_S} s"
            time.sleep(0.1)

    def ask(self, node: int, path: str) -> dict[str, Any]:
        """What a node answers; {} while it does not."""
        try:
            response = httpx.get(f"http://127.0.0.1:{self.base + 2 * node + 1}{path}", timeout=60)
        except httpx.TransportError:
            return {}
        answer: dict[str, Any] = response.json() if response.is_success else {}
        return answer

    def pass_time(self, done: Callable[[], Any]) -> Any:
        """Transfers, so that no block waits to be an empty one, until something is so."""
        password = (self.folder / "net/password").read_text().strip()
        key = open_keystore(self.folder / "net/node3/keys/operator.json", password)
        with NodeClient(f"http://127.0.0.1:{self.base + 7}") as client:
            sender = Sender(client, key)
            call = Tokens.transfer.build(to=sender.account, denom="arm", amount=1)

            def step() -> Any:
                client.wait(sender.send([call], gas_limit=5_000_000), timeout_s=PATIENCE_S)
                return done()

            return self.until(step)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminals]:
    """The page's network, as its first terminal starts it."""
    base = free_base_port(PORTS, start=random.randrange(20_000, 26_000, 10))
    made = Terminals(tmp_path_factory.mktemp("governance"), base)
    made.leave_running("armillary localnet")
    try:
        made.until(lambda: all(made.ask(node, "/status") for node in range(4)))
        yield made
    finally:
        made.stop()


def register(page: Terminals) -> None:
    """What the page takes from the README: a model on the chain, an input file, and their names."""
    (page.folder / "line.graph").write_bytes(MODEL)
    (page.folder / "input.json").write_text(json.dumps({"x": [[1, 2], [-100, 100]]}))
    page.environment |= {"MODEL": model_hash(MODEL).hex(), "INPUTS": "input.json"}
    command = ["armillary", "model", "register", "line.graph", "--licence", "CC0-1.0", "--price", "5"]
    signer = ["--home", "net/node0", "--key", "operator"]
    subprocess.run([*command, *signer], cwd=page.folder, env=page.environment, check=True, capture_output=True)


def gas(shown: str) -> int:
    found = re.search(r"ok in a dry run, nothing sent: gas ([\d,]+),", shown)
    assert found, shown
    return int(found[1].replace(",", ""))


def block(page: Terminals, node: int, height: int) -> dict[str, Any]:
    """As a node has it, once it does."""
    found: dict[str, Any] = page.until(lambda: page.ask(node, f"/blocks/{height}"))
    return found


def signed_by(page: Terminals, key: str, since: int) -> int:
    """A height whose commit certificate, as the first node has it, holds the validator's signature; 0: none yet."""
    for height in range(since, page.until(lambda: page.ask(0, "/status"))["height"] + 1):
        certificate = block(page, 0, height)["certificate"]
        if key in [each["public_key"] for each in certificate["signatures"]]:
            return height
    return 0


def voting_at(page: Terminals, node: int) -> int:
    """A height at which the node is a validator; 0 while it is none."""
    status = page.ask(node, "/status")
    return int(status["height"]) if status.get("voting") else 0


def test_a_chain_changes_its_price_of_inference_and_takes_in_a_validator_as_the_page_says(page: Terminals) -> None:
    assert "runtime.inference_gas_percent = 100\n" in page.type("ARMILLARY_NODE=")
    register(page)
    before = gas(page.type("oracle infer"))

    page.type("armillary init")
    page.leave_running("armillary node")
    assert not page.until(lambda: page.ask(4, "/status"))["voting"]
    said = page.type("governance propose")
    assert "runtime.inference_gas_percent: 100 becomes 250" in said
    shown = page.type("governance list")
    assert "voting: A fifth validator, and dearer inference" in shown
    assert "inference_gas_percent: 100 becomes 250" in shown
    page.type("governance vote")

    enacted = page.pass_time(lambda: voting_at(page, 4))

    shown = page.type("governance params runtime")
    assert "enacted: A fifth validator" in shown
    assert "runtime.inference_gas_percent = 250\n" in shown
    assert '"voting":true' in shown
    cost = verify(MODEL).cost
    proven = cost.gas_load + cost.gas_fixed + 2 * cost.gas_per_row
    assert gas(shown) - before == -(-proven * 250 // 100) - proven

    signed = page.pass_time(lambda: signed_by(page, page.environment["KEY"], enacted))
    ours, theirs = (block(page, node, signed) for node in (4, 0))
    assert (ours["header"], ours["block_id"]) == (theirs["header"], theirs["block_id"])


def test_the_page_names_commands_that_exist() -> None:
    from tools.cli.app import COMMANDS

    named = set(re.findall(r"^\s*armillary ([a-z-]+)", "".join(BLOCKS), re.MULTILINE))
    assert {"governance", "localnet", "init", "node", "tx"} <= named <= set(COMMANDS)
