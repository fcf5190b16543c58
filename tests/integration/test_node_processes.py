"""Four nodes as four processes over libp2p: what one takes is in a block of all, and one stops and comes back."""

from __future__ import annotations

import time

from modules.tokens import Tokens
from runtime.types import AccountId
from tools.client import NodeError
from tools.localnet import Localnet
from tools.transactions import Sender

RECIPIENT = AccountId(b"\7" * 32)
PATIENCE_S = 120


def agree(localnet: Localnet, height: int) -> None:
    """Wait until every node has the block at `height`; all must have the same one."""
    deadline = time.monotonic() + PATIENCE_S
    blocks = []
    for node in localnet.nodes:
        with node.client() as client:
            while True:
                try:
                    blocks.append(client.get(f"/blocks/{height}"))
                    break
                except NodeError:
                    node.check_running()
                    assert time.monotonic() < deadline, f"{node.name} has no block {height}"
                    time.sleep(0.1)
    assert len({(block["block_id"], block["header"]["state_root"]) for block in blocks}) == 1


def test_a_transaction_is_in_one_of_the_next_blocks_and_all_nodes_agree(localnet: Localnet) -> None:
    call = Tokens.transfer.build(to=RECIPIENT, denom="arm", amount=1)
    with localnet.nodes[0].client() as client:
        sender = Sender(client, localnet.nodes[0].key("operator"))
        for _ in range(15):
            sent = sender.send([call], gas_limit=5_000_000)
            waits_at = client.status()["height"]
            outcome = client.wait(sent, timeout_s=PATIENCE_S)
            assert outcome["status"] == "committed"
            assert outcome["height"] <= waits_at + 2  # the next, or the one after where a block was under way
    agree(localnet, outcome["height"])


def test_a_node_stops_at_once_and_leaves_its_ports(localnet: Localnet) -> None:
    agree(localnet, 1)
    node = localnet.nodes[2]
    node.ask_to_stop()
    assert node.wait_stopped() == 0
    node.start()
    status = node.wait_ready()
    assert status["height"] >= 1
