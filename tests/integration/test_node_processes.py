"""Four nodes as four processes over libp2p: agreement, speed, kill -9 at random moments, and stopping."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

from modules.tokens import Tokens
from runtime.consensus import VoteReceived
from runtime.crypto import SigningKey
from runtime.node.keystore import open_keystore
from runtime.node.records import decode_records
from runtime.node.signer import read_signed
from runtime.node.wal import read_wal
from runtime.types import AccountId
from tools.client import NodeError
from tools.localnet.network import Localnet
from tools.transactions import Sender

KILLS = 5
SEED = 11
RECIPIENT = AccountId(b"\7" * 32)
GAS_LIMIT = 5_000_000


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Localnet]:
    """One network for all tests of this file: starting four processes takes seconds."""
    with Localnet(tmp_path_factory.mktemp("nodes") / "net", 4) as network:
        network.start()
        yield network


def operator(net: Localnet, index: int) -> SigningKey:
    password = net.nodes[index].password_file.read_text().strip()
    return open_keystore(net.nodes[index].home / "keys" / "operator.json", password)


def transfer(sender: Sender, amount: int = 1) -> str:
    call = Tokens.transfer.build(to=RECIPIENT, denom="arm", amount=amount)
    return sender.send([call], gas_limit=GAS_LIMIT)


def agree(net: Localnet, height: int, within_s: float = 120) -> dict[str, Any]:
    """Wait until every node has the block at `height`; all must have the same one. Returns it."""
    deadline = time.monotonic() + within_s
    blocks: list[dict[str, Any]] = []
    for node in net.nodes:
        with node.client() as client:
            while True:
                try:
                    blocks.append(client.get(f"/blocks/{height}"))
                    break
                except NodeError:
                    node.check_running()
                    assert time.monotonic() < deadline, f"{node.name} has no block {height} after {within_s} s"
                    time.sleep(0.1)
    assert len({(block["block_id"], block["header"]["state_root"]) for block in blocks}) == 1
    return blocks[0]


def test_a_transaction_is_in_one_of_the_next_blocks_and_all_nodes_agree(net: Localnet) -> None:
    with net.nodes[0].client() as client:
        sender = Sender(client, operator(net, 0))
        for _ in range(15):
            sent = transfer(sender)
            waits_at = client.status()["height"]
            outcome = client.wait(sent, timeout_s=120)
            assert outcome["status"] == "committed"
            assert outcome["height"] <= waits_at + 2  # the next, or the one after where a block was under way
        agree(net, outcome["height"])


def test_a_node_stops_at_once_and_leaves_its_ports(net: Localnet) -> None:
    agree(net, 1)
    node = net.nodes[2]
    node.ask_to_stop()
    assert node.wait_stopped() == 0
    node.start()
    status = node.wait_ready()
    assert status["height"] >= 1


def test_invalid_transactions_get_a_sentence_that_names_the_rule(net: Localnet) -> None:
    with net.nodes[0].client() as client:
        sender = Sender(client, operator(net, 0))
        good = sender.build([Tokens.transfer.build(to=RECIPIENT, denom="arm", amount=1)], gas_limit=GAS_LIMIT)
        spoiled = bytearray(good)
        spoiled[-1] ^= 1
        poor = sender.build([Tokens.transfer.build(to=RECIPIENT, denom="arm", amount=1)], gas_limit=1)
        sender.nonce += 5000
        ahead = sender.build([Tokens.transfer.build(to=RECIPIENT, denom="arm", amount=1)], gas_limit=GAS_LIMIT)
        for data, words in (
            (bytes(spoiled), "signature"),
            (poor, "gas"),
            (ahead, "nonce"),
            (b"nonsense", "codec"),
        ):
            with pytest.raises(NodeError, match=words):
                client.submit(data)
        with pytest.raises(NodeError, match="no block 1000000"):
            client.get("/blocks/1000000")
        with pytest.raises(NodeError, match="at most 1048576 bytes"):
            client.submit(bytes(600_000))
        assert client.get(f"/transactions/{'0' * 64}")["status"] == "unknown"


def test_kill_9_at_random_moments_loses_nothing_and_signs_nothing_twice(net: Localnet) -> None:
    rng = random.Random(SEED)
    with net.nodes[0].client() as client:
        sender = Sender(client, operator(net, 0))
        sent: list[str] = []
        for _ in range(KILLS):
            victim = net.nodes[rng.randrange(1, 4)]
            sent += [transfer(sender) for _ in range(3)]
            time.sleep(rng.uniform(0, 0.25))
            victim.kill()
            sent += [transfer(sender) for _ in range(3)]
            assert client.wait(sent[-1], timeout_s=120)["status"] == "committed", "three of four go on"
            victim.start()
            time.sleep(rng.uniform(0, 2.5))
        heights = [client.wait(hash_, timeout_s=120)["height"] for hash_ in sent]
        agree(net, max(heights))
        top = client.status()["height"]
        for height in range(1, top + 1):
            assert client.get(f"/blocks/{height}")["evidence"] == [], "nobody was seen to sign twice"
    net.stop()
    check_signatures(net)


def check_signatures(net: Localnet) -> None:
    """Each signer's journal holds one message for each moment, and every vote that anyone logged is in one of them."""
    signatures: set[bytes] = set()
    for node in net.nodes:
        signed = read_signed(node.home / "data" / "signer.journal")
        assert len({each.moment for each in signed}) == len(signed) > 10
        signatures |= {each.signature for each in signed}
    seen = 0
    for node in net.nodes:
        heights = sorted(int(path.stem.removeprefix("height-")) for path in (node.home / "data" / "wal").iterdir())
        for height in heights:
            inputs, _ = decode_records(read_wal(node.home / "data" / "wal", height))
            for event in inputs:
                if isinstance(event, VoteReceived):
                    seen += 1
                    assert event.vote.signature in signatures
    assert seen > 0
