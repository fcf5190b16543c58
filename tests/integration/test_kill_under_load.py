"""kill -9 at random moments over a running network under load: what was acknowledged is in a block, nobody signed
twice, all nodes have the same blocks and roots.

A transaction is acknowledged when a node answers its POST with a hash: from then on no crash may lose it, not even one
of all nodes at once, and not even when the node that answered dies before it told anyone.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from modules.oracle import Oracle
from modules.registry.protocol import Card, Price
from modules.tokens import Tokens
from runtime.consensus import VoteReceived
from runtime.inference import from_arrays, model_hash
from runtime.module import Call, Tensor
from runtime.node.records import decode_records
from runtime.node.signer import read_signed
from runtime.node.wal import read_wal
from runtime.types import AccountId
from tools.cli.home import OPERATOR_KEY
from tools.client import NodeClient, NodeError
from tools.demo.digits import Digits
from tools.localnet.network import Localnet
from tools.lowering import lower
from tools.registration import register
from tools.transactions import Sender

VALIDATORS = 4
RECIPIENT = AccountId(b"\7" * 32)
GAS_LIMIT = 20_000_000
PAUSE_S, PAUSE_S_SOAK = 0.1, 0.03
"""Between two transactions of one account, in the mean. The shorter one keeps two cores busy all the time."""
SETTLE_S = 120


class Load(threading.Thread):
    """One account that sends transaction after transaction, each to a random node, until one acknowledges it."""

    def __init__(self, net: Localnet, index: int, inference: Call, seed: int, pause_s: float) -> None:
        super().__init__(daemon=True)
        self._pause_s = pause_s
        self._rng = random.Random(seed + index)
        self._clients = [node.client() for node in net.nodes]
        self._sender = Sender(self._clients[index], net.nodes[index].key(OPERATOR_KEY))
        self._inference = inference
        self._over = threading.Event()
        self.acknowledged: list[str] = []
        self.by = index  # the node that acknowledged the last one
        self.inferences = self.repeats = 0
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            while not self._over.wait(self._rng.uniform(0, 2 * self._pause_s)):
                self._one()
        except Exception as error:  # noqa: BLE001 # told by `finish`, in the test's own thread
            self.error = error

    def finish(self) -> str:
        """Stop; the last acknowledged transaction."""
        self._over.set()
        self.join(SETTLE_S)
        if self.error is not None:
            raise self.error
        for client in self._clients:
            client.close()
        return self.acknowledged[-1]

    def _one(self) -> None:
        infers = self._rng.random() < 0.3
        call = self._inference if infers else Tokens.transfer.build(to=RECIPIENT, denom="arm", amount=1)
        data = self._sender.build([call], gas_limit=GAS_LIMIT)
        while not self._over.is_set():
            node = self._rng.randrange(VALIDATORS)
            try:
                self.acknowledged.append(self._clients[node].submit(data))
                self.inferences += infers
                self.by = node
            except NodeError as error:
                if error.rule != "nonce_low":  # a block has it: a node that died before it answered passed it on
                    if error.status not in (0, 500, 503):
                        raise
                    self.repeats += 1
                    time.sleep(self._pause_s)
                    continue
            self._sender.nonce += 1
            return


@contextmanager
def loaded(net: Localnet, seed: int, pause_s: float) -> Iterator[list[Load]]:
    """A model registered and four accounts at work."""
    digits = Digits.load(1)
    lowered = lower(digits.model, calibration=digits.calibration)
    with net.nodes[0].client() as client:
        sender = Sender(client, net.nodes[0].key(OPERATOR_KEY))
        card = Card(
            title="m", version="1", licence="CC0-1.0", parents=(), remarks=(), price=Price(denom="arm", amount=1)
        )
        register(sender, lowered.model, card, lambda step, outcome: None)
    rows = {name: np.asarray(array[:1]) for name, array in lowered.quantize(digits.inputs).items()}
    inputs = tuple(Tensor(tensor.name, tensor.shape, tensor.data) for tensor in from_arrays(rows))
    inference = Oracle.infer.build(model=model_hash(lowered.model), inputs=inputs)
    loads = [Load(net, index, inference, seed, pause_s) for index in range(VALIDATORS)]
    for load in loads:
        load.start()
    yield loads


def kill_some(net: Localnet, loads: list[Load], rng: random.Random, most: int) -> int:
    """Kill one node, several, or all; often the one that has just acknowledged something. Returns how many died."""
    count = min(rng.choice([1, 1, 1, 2, VALIDATORS]), most)
    time.sleep(rng.uniform(0, 1.5))
    first = rng.choice(loads).by if rng.random() < 0.7 else rng.randrange(VALIDATORS)
    victims = [first, *rng.sample([index for index in range(VALIDATORS) if index != first], count - 1)]
    for index in victims:
        net.nodes[index].kill()
    time.sleep(rng.choice([0, rng.uniform(0, 2)]))
    for index in victims:
        net.nodes[index].start()
    for index in victims:
        net.nodes[index].wait_ready()
    return count


def chain_of(client: NodeClient, top: int) -> list[tuple[str, str, tuple[str, ...]]]:
    """Block, state root and transactions of every height; no block proves that anyone signed twice."""
    chain = []
    for height in range(1, top + 1):
        block = client.get(f"/blocks/{height}")
        assert block["evidence"] == [], f"block {height}: somebody signed twice"
        chain.append((block["block_id"], block["header"]["state_root"], tuple(block["transactions"])))
    return chain


def check_signatures(net: Localnet) -> int:
    """Each signer signed one thing for each moment, and every vote that any node logged is among that. Returns how many
    signatures were checked."""
    signatures: set[bytes] = set()
    for node in net.nodes:
        signed = read_signed(node.home / "data" / "signer.journal")
        assert len({each.moment for each in signed}) == len(signed) > 10
        signatures |= {each.signature for each in signed}
    votes = [event.vote for node in net.nodes for event in logged(node.home / "data" / "wal")]
    assert votes
    assert all(vote.signature in signatures for vote in votes)
    return len(signatures)


def logged(folder: Path) -> Iterator[VoteReceived]:
    """The votes in a node's write-ahead log."""
    for height in sorted(int(path.stem.removeprefix("height-")) for path in folder.iterdir()):
        inputs, _ = decode_records(read_wal(folder, height))
        yield from (event for event in inputs if isinstance(event, VoteReceived))


def check_logs(net: Localnet) -> None:
    """No node wrote down its password or a key."""
    for node in net.nodes:
        log = (node.home / "node.log").read_text()
        assert "acknowledged transactions restored" in log or "block applied" in log
        secrets = [node.password_file.read_text().strip(), (node.home / "keys" / "network.key").read_text().strip()]
        secrets += [node.key(name).seed.hex() for name in ("validator", "operator")]
        assert not [secret for secret in secrets if secret in log]


def kill_under_load(folder: Path, kills: int, seed: int, pause_s: float) -> None:
    rng = random.Random(seed)
    started = time.monotonic()
    with Localnet(folder / "net", VALIDATORS) as net:
        net.start()
        with loaded(net, seed, pause_s) as loads:
            died = 0
            while died < kills:
                died += kill_some(net, loads, rng, kills - died)
        last = [load.finish() for load in loads]
        settling = time.monotonic()
        with net.nodes[0].client() as client:
            top = max(client.wait(name, timeout_s=SETTLE_S)["height"] for name in last)
        chains = []
        for node in net.nodes:
            with node.client() as client:
                while client.status()["height"] < top:
                    node.check_running()
                    assert time.monotonic() < settling + SETTLE_S, f"{node.name} does not reach height {top}"
                    time.sleep(0.1)
                chains.append(chain_of(client, top))
        settled = time.monotonic() - settling
        net.stop()
        signatures = check_signatures(net)
        check_logs(net)
    assert all(chain == chains[0] for chain in chains)
    in_blocks = [name for _, _, names in chains[0] for name in names]
    assert len(set(in_blocks)) == len(in_blocks), "no transaction is in two blocks"
    acknowledged = {name for load in loads for name in load.acknowledged}
    assert acknowledged <= set(in_blocks), "what a node acknowledged is in a block"
    print(
        f"{died} kills in {settling - started:.0f} s, settled and compared in {settled:.0f} s: {top} blocks, "
        f"{len(acknowledged)} acknowledged ({sum(load.inferences for load in loads)} inferences), "
        f"{sum(load.repeats for load in loads)} sent again, {signatures} signatures"
    )


def test_no_acknowledged_transaction_is_lost_and_nothing_signed_twice(tmp_path: Path) -> None:
    kill_under_load(tmp_path, kills=2, seed=4, pause_s=PAUSE_S)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 103))
def test_twenty_kills_lose_nothing(tmp_path: Path, seed: int) -> None:
    kill_under_load(tmp_path, kills=20, seed=seed, pause_s=PAUSE_S_SOAK)
