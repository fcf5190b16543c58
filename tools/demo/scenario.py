"""The demo's story: validators, one model, many images; one validator dies and comes back; one decision is proven.

Lives here: what happens, in order, and what is checked. Must not: how it looks (screen.py).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from chain_spec import read_spec, resolve
from modules.registry.protocol import Card, Price
from runtime.inference import Engine, interpret
from runtime.light import DecisionRefused
from tools.certificates import verify_file
from tools.cli.home import OPERATOR_KEY
from tools.client import NodeError
from tools.demo.digits import LABEL, PROBABILITIES, Digits
from tools.demo.result import Result
from tools.demo.screen import Screen
from tools.demo.traffic import Traffic
from tools.localnet import Localnet, NodeProcess
from tools.lowering import Lowered, lower
from tools.lowering.tensors import save_tensors
from tools.registration import register
from tools.transactions import Sender

PRICE = 25  # base units that a prediction pays to the model's owner
KILL_AT, RESTART_AT, AT_ONCE_FROM = 0.2, 0.4, 0.6  # fractions of the transactions
HEIGHT_EVERY = 10  # predictions
QUORUM_NEEDS = 4  # with fewer validators none may die
SETTLE_S_MAX = 60.0
CERTIFICATE_FILE, GRAPH_FILE, INPUT_FILE = "decision.certificate", "digits.graph", "input.npz"


def play(home: Path, validators: int, transactions: int, screen: Screen) -> Result:
    """Run the whole demo in the new folder `home` and return what was seen. On leaving, no process is left."""
    started = time.monotonic()
    digits = Digits.load(transactions)
    result = Result(validators, transactions)
    with screen.working("lowering the float model to an exact-grid graph"):
        lowered = lower(digits.model, calibration=digits.calibration)
    screen.say(
        f"lowered: {len(digits.model):,} bytes of float ONNX to an exact-grid graph of {len(lowered.model):,} bytes, "
        f"proven exact at {lowered.report.gas_per_row:,} gas per image"
    )
    with Localnet(home, validators, chain="demo") as network:
        with screen.working(f"starting {validators} validators, an operating system process each"):
            network.start()
        screen.nodes(_statuses(network))
        story = Story(network, lowered, digits, screen, result)
        story.register()
        story.classify()
        story.compare()
        story.check_roots()
        story.prove(home)
    result.seconds = round(time.monotonic() - started, 1)
    return result


class Story:
    """The chapters of the demo on a running network."""

    def __init__(self, network: Localnet, lowered: Lowered, digits: Digits, screen: Screen, result: Result) -> None:
        self.network = network
        self.lowered = lowered
        self.digits = digits
        self.screen = screen
        self.result = result
        first = network.nodes[0]
        self.sender = Sender(first.client(), first.key(OPERATOR_KEY))
        self.inputs = lowered.quantize(digits.inputs)
        self.victim = network.nodes[-2] if len(network.nodes) >= QUORUM_NEEDS else None

    def register(self) -> None:
        """Upload and register the model, with a price that each inference pays."""
        card = Card(
            title="digits",
            version="1",
            licence="BSD-3-Clause",
            parents=(),
            remarks=(),
            price=Price(denom="arm", amount=PRICE),
        )
        with self.screen.working("registering the model: uploaded in transactions, verified by every validator"):
            outcome = register(self.sender, self.lowered.model, card, lambda step, outcome: None)
        self.screen.say(f"registered: model {self.lowered.report.model_hash[:16]}... in block {outcome['height']}")

    def classify(self) -> None:
        """A transaction for each image; meanwhile one validator is killed, and started again."""
        count = self.result.transactions
        self.traffic = Traffic(self.sender, self.lowered.model, self.inputs)
        alone = max(1, int(AT_ONCE_FROM * count))
        for index in range(alone):
            if self.victim and index == int(KILL_AT * count):
                self.victim.kill()
                self.screen.say(f"kill -9: {self.victim.name} is dead; the other {self.result.validators - 1} go on")
            if self.victim and index == int(RESTART_AT * count):
                self._revive(self.victim)
            self._show(index, self.traffic.one(index))
        if self.victim and not self.victim.is_running:  # so few images that none of them was the one to restart it at
            self._revive(self.victim)
        if count > alone:
            self.screen.say(f"now {count - alone} at once")
        self.traffic.at_once(range(alone, count), lambda index: self._show(index, None))
        self.screen.flush()
        self.result.finality_ms = self.traffic.finality()
        self.result.transactions_per_second = round(self.traffic.per_second, 1)

    def compare(self) -> None:
        """The chain's outputs beside the graph run here by engine and interpreter, and beside the float model's."""
        with self.screen.working("running the graph offline, by the engine and by the reference interpreter"):
            engine = Engine().run(self.lowered.model, self.inputs)
            reference = interpret(self.lowered.model, self.inputs)
            count = self.result.transactions
            on_chain = [self.traffic.output(index) for index in range(count)]
        self.result.outputs_equal_offline = all(
            on_chain[index][name]
            == engine[name][index].reshape(-1).tolist()
            == reference[name][index].reshape(-1).tolist()
            for index in range(count)
            for name in engine
        )
        labels = np.array([outputs[LABEL][0] for outputs in on_chain])
        probabilities = self.lowered.dequantize(engine)[PROBABILITIES]
        error = np.abs(probabilities.astype(np.float64) - self.digits.float_probabilities.astype(np.float64))
        self.result.accuracy_on_chain = float(np.mean(labels == self.digits.labels))
        self.result.accuracy_float = float(np.mean(self.digits.float_labels == self.digits.labels))
        self.result.output_error_max = float(error.max())

    def check_roots(self) -> None:
        """Wait until every validator is where the first one is now, then compare all state roots at that height."""
        height = int(self.sender.client.status()["height"])
        with self.screen.working(f"waiting for every validator to be at height {height}"):
            caught_up = [self._reaches(node, height) for node in self.network.nodes]
        if self.victim:
            self.result.killed_validator_caught_up = caught_up[self.network.nodes.index(self.victim)]
        self.result.height = height
        there = [node for node, is_there in zip(self.network.nodes, caught_up, strict=True) if is_there]
        roots = {node.name: self._root(node, height) for node in there}
        self.result.state_roots = list(roots.values())
        compared = {name: {"height": height, "state_root": root} for name, root in roots.items()}
        self.screen.nodes([(name, status | compared.get(name, {})) for name, status in _statuses(self.network)])

    def prove(self, home: Path) -> None:
        """Export the decision certificate of the last image, and verify the file from the chain spec alone."""
        record = self.traffic.records[self.result.transactions - 1]
        answer = self.sender.client.get(f"/certificates/{record}")
        path = home / CERTIFICATE_FILE
        path.write_bytes(bytes.fromhex(answer["certificate"]))
        (home / GRAPH_FILE).write_bytes(self.lowered.model)
        save_tensors(home / INPUT_FILE, {name: array[-1:] for name, array in self.inputs.items()})
        chain = resolve(read_spec(self.network.spec_path))
        try:
            decision, proven = verify_file(path.read_bytes(), chain)
        except DecisionRefused as error:
            self.screen.say(str(error))
            return
        self.result.certificate_verified = proven.id == record
        self.screen.say(
            f"decision {record} has a certificate of {path.stat().st_size:,} bytes: "
            f"{len(decision.certificate.signatures)} signatures over block {decision.header.height}; "
            "verified offline from the chain spec alone"
        )

    def _revive(self, victim: NodeProcess) -> None:
        victim.start()
        self.screen.say(f"{victim.name} is started again and catches up")

    def _show(self, index: int, finality_ms: float | None) -> None:
        predicted = self.traffic.predicted(index)
        self.screen.prediction(self.digits.images[index], predicted, int(self.digits.labels[index]), finality_ms)
        if (index + 1) % HEIGHT_EVERY == 0:
            up = sum(node.is_running for node in self.network.nodes)
            self.screen.height(self.sender.client.status(), up, len(self.network.nodes))

    def _reaches(self, node: NodeProcess, height: int) -> bool:
        end = time.monotonic() + SETTLE_S_MAX
        with node.client() as client:
            while time.monotonic() < end:
                try:
                    if client.status()["height"] >= height:
                        return True
                except NodeError:
                    node.check_running()
                time.sleep(0.1)
        return False

    def _root(self, node: NodeProcess, height: int) -> str:
        with node.client() as client:
            root: str = client.get(f"/blocks/{height}")["header"]["state_root"]
        return root


def _statuses(network: Localnet) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for node in network.nodes:
        with node.client() as client:
            found.append((node.name, client.status()))
    return found
