"""Wrong transactions on a real network: each is refused or fails with an error that names it, and changes nothing.

What may be in no block is refused over HTTP and leaves no trace. What fails in a block has a receipt, the same on every
node, and costs its fee and a nonce.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from msgspec.structs import replace

from modules.oracle import Oracle
from modules.registry.protocol import Card, Price
from modules.tokens import Tokens
from modules.validators import Validators
from runtime.bech32m import decode_address, encode_address
from runtime.codec import codec
from runtime.crypto import SigningKey
from runtime.execution import build_transaction, encode_transaction
from runtime.execution.transaction import Transaction
from runtime.inference import TensorSpec, encode_graph, from_arrays, model_hash
from runtime.inference.graph import Gemm
from runtime.limits import TRANSACTION_BYTES_MAX
from runtime.module import Call, Tensor
from runtime.testing.graphs import wrap
from runtime.types import AccountId, Hash, PublicKey
from tools.client import NodeClient, NodeError
from tools.localnet import Localnet
from tools.registration import register
from tools.transactions import Sender

POOR = SigningKey.from_seed(b"\5" * 32)
GAS_LIMIT = 5_000_000
GAS_LIMIT_OF_RUNS = 100_000_000
FAR_AHEAD = 5_000
PRICE = 7
PATIENCE_S = 120
MODEL = encode_graph(
    wrap([TensorSpec("x", (2,), 0, -100, 100)], [np.array([[2, -5]], np.int64)], [Gemm(0, 0, None, None)], (1,))
)
"""y = 2 x0 - 5 x1, of two numbers from -100 to 100; no other test of this network registers it."""


@pytest.fixture(scope="module")
def client(localnet: Localnet) -> Iterator[NodeClient]:
    with localnet.nodes[0].client() as made:
        yield made


@pytest.fixture(scope="module")
def sender(localnet: Localnet, client: NodeClient) -> Sender:
    """The first node's operator; owner of MODEL, which is registered."""
    made = Sender(client, localnet.nodes[0].key("operator"))
    price = Price(denom="arm", amount=PRICE)
    card = Card(title="line", version="1", licence="CC0-1.0", parents=(), remarks=(), price=price)
    register(made, MODEL, card, lambda step, outcome: None)
    return made


def recipient(localnet: Localnet) -> AccountId:
    return AccountId(decode_address(localnet.nodes[1].account))


def transfer(localnet: Localnet, amount: int = 1) -> Call:
    return Tokens.transfer.build(to=recipient(localnet), denom="arm", amount=amount)


def rows(**arrays: Any) -> tuple[Tensor, ...]:
    found = from_arrays({name: np.array(values, np.int64) for name, values in arrays.items()})
    return tuple(Tensor(each.name, each.shape, each.data) for each in found)


@dataclass(frozen=True)
class Holdings:
    """What must not change: everybody's balances and nonces, the supply, the number of decisions."""

    balances: tuple[int, ...]
    nonces: tuple[int, ...]
    supply: int
    records: int

    @classmethod
    def of(cls, localnet: Localnet, client: NodeClient) -> Holdings:
        accounts = [node.account for node in localnet.nodes] + [encode_address(POOR.public_key)]

        def ask(path: str, **given: str) -> Any:
            return client.get(f"/query/{path}", **given)["result"]

        return cls(
            balances=tuple(int(ask("tokens/balance_of", account=each, denom="arm")) for each in accounts),
            nonces=tuple(ask("accounts/info", account=each)["nonce"] for each in accounts),
            supply=int(ask("tokens/denomination", denom="arm")["supply"]),
            records=ask("oracle/count"),
        )


# --- what may be in no block


Make = Callable[[Sender, Localnet], bytes]


def edited(sender: Sender, localnet: Localnet, **changes: Any) -> bytes:
    """A good transaction whose parts are changed after it was signed."""
    data = sender.build([transfer(localnet)], gas_limit=GAS_LIMIT)
    return encode_transaction(replace(codec(Transaction).decode(data), **changes))


def bad_signature(sender: Sender, localnet: Localnet) -> bytes:
    data = bytearray(sender.build([transfer(localnet)], gas_limit=GAS_LIMIT))
    data[-1] ^= 1
    return bytes(data)


def changed_body(sender: Sender, localnet: Localnet) -> bytes:
    data = sender.build([transfer(localnet, 1)], gas_limit=GAS_LIMIT)
    other = codec(Transaction).decode(sender.build([transfer(localnet, 1_000)], gas_limit=GAS_LIMIT))
    return encode_transaction(Transaction(other.body, codec(Transaction).decode(data).auth))


def anothers_account(sender: Sender, localnet: Localnet) -> bytes:
    made = build_transaction(
        [transfer(localnet)],
        genesis_hash=sender.chain.genesis_hash,
        key=POOR,
        sender=sender.account,
        nonce=sender.nonce,
        gas_limit=GAS_LIMIT,
        max_fee=GAS_LIMIT,
    )
    return encode_transaction(made)


def other_chain(sender: Sender, localnet: Localnet) -> bytes:
    made = build_transaction(
        [transfer(localnet)],
        genesis_hash=Hash(bytes(32)),
        key=sender.key,
        nonce=sender.nonce,
        gas_limit=GAS_LIMIT,
        max_fee=GAS_LIMIT,
    )
    return encode_transaction(made)


def with_call(call: Call) -> Make:
    return lambda sender, localnet: sender.build([call], gas_limit=GAS_LIMIT)


def with_terms(**terms: Any) -> Make:
    return lambda sender, localnet: sender.build([transfer(localnet)], **{"gas_limit": GAS_LIMIT, **terms})


def of_the_poor(sender: Sender, localnet: Localnet) -> bytes:
    return Sender(sender.client, POOR).build([transfer(localnet)], gas_limit=GAS_LIMIT)


REFUSED: dict[str, tuple[Make, str, str]] = {
    "bad signature": (bad_signature, "signature", "not a signature by"),
    "body changed after signing": (changed_body, "signature", "not a signature by"),
    "another's account": (anothers_account, "auth", "these keys may not act for account"),
    "no auth": (lambda s, n: edited(s, n, auth=()), "auth", "0 auth for 1 signers"),
    "other chain": (other_chain, "genesis", f"signed for the chain with genesis {'00' * 32}, this one has"),
    "nonce used": (lambda s, n: s.build([transfer(n)], gas_limit=GAS_LIMIT, nonce=0), "nonce_low", "nonce 0 is used"),
    "nonce far ahead": (
        lambda s, n: s.build([transfer(n)], gas_limit=GAS_LIMIT, nonce=s.nonce + FAR_AHEAD),
        "nonce_high",
        "is ahead, the account's next is",
    ),
    "too little gas": (with_terms(gas_limit=1), "gas_limit", "the gas limit is 1, before any call"),
    "more gas than a block has": (with_terms(gas_limit=1 << 40), "gas_limit", "a block has"),
    "fee not covered": (with_terms(max_fee=1), "fee", "gas limit and tip may cost 5000, the max fee is 1"),
    "tip not covered": (with_terms(max_fee=5_000, tip=1), "fee", "may cost 5001, the max fee is 5000"),
    "payer without tokens": (of_the_poor, "funds", "cannot pay the 5000 it may cost"),
    "expired": (with_terms(last_valid_height=1), "expired", "valid up to height 1, the next block is"),
    "unknown call": (with_call(Call("tokens.transfr", b"\x90")), "unknown_call", "has tokens.transfr"),
    "unknown module": (with_call(Call("nobody.call", b"\x90")), "unknown_call", "has nobody.call"),
    "bad argument": (with_call(Call("tokens.transfer", b"\x93\x01\x02\x03")), "bad_argument", "tokens.transfer: $"),
    "argument bytes that are no value": (with_call(Call("oracle.infer", b"\xc1")), "bad_argument", "oracle.infer"),
    "call of Root": (
        with_call(Validators.remove.build(public_key=PublicKey(bytes(32)))),
        "origin",
        "validators.remove takes Root, not a signature",
    ),
    "no call": (lambda s, n: s.build([], gas_limit=GAS_LIMIT), "calls", "at least one call"),
    "bytes that are no transaction": (lambda s, n: b"nonsense", "codec", "codec: $"),
    "a byte too many": (lambda s, n: s.build([transfer(n)], gas_limit=GAS_LIMIT) + b"\x00", "codec", "codec: $"),
    "no bytes": (lambda s, n: b"", "codec", "codec: $"),
    "too large": (lambda s, n: bytes(TRANSACTION_BYTES_MAX + 1), "size", "bytes, at most"),
}


@pytest.fixture(scope="module")
def settled(localnet: Localnet, sender: Sender, client: NodeClient) -> None:
    """After a transfer, so that nonce 0 is used."""
    outcome = client.wait(sender.send([transfer(localnet)], gas_limit=GAS_LIMIT))
    assert outcome["status"] == "committed"


EARLY = ("unknown_call", "bad_argument", "origin")  # a dry run shows these as the receipts that they would be


@pytest.mark.parametrize(
    ("case", "path"),
    [(case, "/transactions") for case in REFUSED]
    + [(case, "/simulate") for case, (_, rule, _) in REFUSED.items() if rule not in EARLY],
)
def test_invalid_transaction_is_refused_by_name(
    case: str, path: str, sender: Sender, settled: None, localnet: Localnet, client: NodeClient
) -> None:
    make, rule, words = REFUSED[case]
    data = make(sender, localnet)
    response = httpx.post(sender.client.url + path, json={"transaction": data.hex()}, timeout=PATIENCE_S)
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["type"] == "urn:armillary:problem:invalid-transaction"
    assert (problem["title"], problem["status"], problem["rule"]) == ("Bad Request", 400, rule)
    assert words in problem["detail"]
    assert "\n" not in problem["detail"]
    with pytest.raises(NodeError) as caught:
        client.post(path, {"transaction": data.hex()})
    assert str(caught.value) == problem["detail"], "the command line's one line is the node's own sentence"


def test_refused_transactions_leave_no_trace(
    sender: Sender, settled: None, localnet: Localnet, client: NodeClient
) -> None:
    before = Holdings.of(localnet, client)
    for make, _, _ in REFUSED.values():
        with pytest.raises(NodeError):
            client.submit(make(sender, localnet))
    height, end = client.status()["height"], time.monotonic() + PATIENCE_S
    while client.status()["height"] < height + 1:  # an empty block comes by itself
        assert time.monotonic() < end
        time.sleep(0.05)
    assert client.get(f"/blocks/{height + 1}")["transactions"] == []
    assert client.status()["mempool_transactions"] == 0
    assert Holdings.of(localnet, client) == before


def test_invalid_repetition_is_refused(sender: Sender, localnet: Localnet, client: NodeClient) -> None:
    data = sender.build([transfer(localnet)], gas_limit=GAS_LIMIT)
    sent = client.submit(data)
    sender.nonce += 1
    client.wait(sent)
    with pytest.raises(NodeError, match=r"already in a block|nonce"):
        client.submit(data)


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/blocks/1000000", 404, "there is no block 1000000 here: the last one is"),
        ("/blocks/0", 422, "greater than or equal to 1"),
        ("/blocks/x", 422, "height"),
        (f"/receipts/{'0' * 64}", 404, f"transaction {'0' * 64} is in no block of this node"),
        ("/receipts/abc", 422, "hash"),
        ("/certificates/77", 404, "there is no record 77 at height"),
        ("/certificates/abc", 404, "there is no record abc: records are numbered from 0"),
        ("/query/nobody/count", 404, "no module nobody: this chain has"),
        ("/query/oracle/nothing", 404, "oracle has no query nothing: it has record, count"),
        ("/query/oracle/count?a=1", 400, "no such argument; it takes none"),
        ("/query/oracle/record", 400, "$.id"),
        ("/query/oracle/record?id=x", 400, "$.id"),
        ("/query/oracle/record?id=1&id=2", 400, "each given once"),
        ("/query/tokens/balance_of?denom=arm&account=arm1x", 400, "$.account"),
        ("/query/oracle/count?height=1000000", 400, "no state at height 1000000: heights 0 to"),
        ("/nothing", 404, "Not Found"),
    ],
)
def test_invalid_questions_are_problems_too(client: NodeClient, path: str, status: int, words: str) -> None:
    response = httpx.get(client.url + path, timeout=PATIENCE_S)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    assert words in response.json()["detail"]


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"{", 400), (b"{}", 422), (b'{"transaction": "0"}', 422), (b'{"transaction": "zz"}', 422), (b"[]", 422),
     (b"[" * 10_000, 400), (b"\xff" * 10, 400), (b" " * (2 << 20), 413)],
)  # fmt: skip
def test_invalid_bodies_are_problems_too(client: NodeClient, content: bytes, status: int) -> None:
    headers = {"content-type": "application/json"}
    response = httpx.post(client.url + "/transactions", content=content, headers=headers, timeout=PATIENCE_S)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")


# --- what fails in a block


def infer(model: Hash | None = None, **arrays: Any) -> Call:
    return Oracle.infer.build(model=model or model_hash(MODEL), inputs=rows(**arrays))


FAILING: dict[str, tuple[Callable[[Localnet], Call], str, str]] = {
    "more than is held": (lambda n: transfer(n, 1 << 100), "tokens.InsufficientBalance", "holds less than the amount"),
    "not the issuer": (
        lambda n: Tokens.mint.build(to=recipient(n), denom="arm", amount=1),
        "tokens.NotIssuer",
        "Only the denomination's issuer may do this",
    ),
    "unregistered model": (
        lambda n: infer(Hash(b"\7" * 32), x=[[1, 2]]),
        "oracle.UnknownModel",
        f"No model of this hash is registered (model={'07' * 32}",
    ),
    "wrong input shape": (lambda n: infer(x=[[1, 2, 3]]), "runtime.InputRefused", "(1, 3)"),
    "input of no rows": (lambda n: infer(x=[]), "runtime.InputRefused", "x"),
    "wrong input name": (lambda n: infer(y=[[1, 2]]), "runtime.InputRefused", "x"),
    "an input too many": (lambda n: infer(x=[[1, 2]], y=[[1, 2]]), "runtime.InputRefused", "y"),
    "no input": (lambda n: infer(), "oracle.NoInput", "needs at least one input tensor"),
    "input out of range": (lambda n: infer(x=[[1, 101]]), "runtime.InputRefused", "101"),
    "too many rows": (
        lambda n: infer(x=[[1, 2]] * 257),
        "oracle.TooManyRows",
        "at most `limit` rows (rows=257, limit=256",
    ),
}


@pytest.mark.parametrize("case", FAILING)
def test_invalid_call_fails_in_a_block_by_name_and_costs_its_fee_alone(
    case: str, sender: Sender, settled: None, localnet: Localnet, client: NodeClient
) -> None:
    make, name, words = FAILING[case]
    before = Holdings.of(localnet, client)
    call = make(localnet)
    dry = sender.dry_run([call], gas_limit=GAS_LIMIT_OF_RUNS)
    outcome = client.wait(sender.send([call], gas_limit=GAS_LIMIT_OF_RUNS))
    assert outcome["status"] == "failed"
    error = outcome["error"]
    assert f"{error['module']}.{error['name']}" == name
    assert words in error["message"]
    assert (dry["gas_used"], dry["fee"]) == (outcome["gas_used"], outcome["fee"])
    assert {**dry["error"], "message": ""} == {**error, "message": ""}
    assert words in dry["error"]["message"]
    fee = int(outcome["fee"])
    assert 0 < fee == -(-outcome["gas_used"] // 1_000) <= GAS_LIMIT_OF_RUNS // 1_000
    after = Holdings.of(localnet, client)
    assert after.balances == (before.balances[0] - fee, *before.balances[1:])
    assert after.nonces == (before.nonces[0] + 1, *before.nonces[1:])
    assert (after.records, after.supply) == (before.records, before.supply - fee), "nobody collects: fees are burnt"
    for node in localnet.nodes[1:]:
        with node.client() as other:
            assert other.wait(outcome["hash"]) == outcome, "the same receipt on every node"


def test_invalid_running_out_of_gas_costs_the_whole_limit(
    sender: Sender, localnet: Localnet, client: NodeClient
) -> None:
    limit = int(sender.dry_run([transfer(localnet)])["gas_used"]) - 10_000
    outcome = client.wait(sender.send([transfer(localnet)], gas_limit=limit))
    assert (outcome["status"], outcome["gas_used"], outcome["error"]["name"]) == ("failed", limit, "OutOfGas")
    assert int(outcome["fee"]) == -(-limit // 1_000)


def test_invalid_one_call_undoes_all_of_a_transaction(
    sender: Sender, settled: None, localnet: Localnet, client: NodeClient
) -> None:
    before = Holdings.of(localnet, client)
    calls = [transfer(localnet, 1_000), transfer(localnet, 1 << 100)]
    outcome = client.wait(sender.send(calls, gas_limit=GAS_LIMIT))
    assert outcome["error"]["name"] == "InsufficientBalance"
    assert [event for event in outcome["events"] if event["name"] == "Transferred"] == []
    assert Holdings.of(localnet, client).balances[1:] == before.balances[1:]


# --- the same on the command line


def infer_options(tmp_path: Path, model: str, **arrays: Any) -> list[str]:
    file = tmp_path / "inputs.json"
    file.write_text(json.dumps(arrays))
    return ["tx", "oracle", "infer", "--model", model, "--inputs", str(file)]


COMMANDS: dict[str, tuple[Callable[[Localnet, Path], list[str]], int, str]] = {
    "more than is held": (
        lambda n, p: [
            "tx",
            "tokens",
            "transfer",
            "--to",
            n.nodes[1].account,
            "--denom",
            "arm",
            "--amount",
            str(1 << 100),
        ],
        1,
        "not sent, it would fail: The account holds less than the amount",
    ),
    "unregistered model": (
        lambda n, p: infer_options(p, "07" * 32, x=[[1, 2]]),
        1,
        "not sent, it would fail: No model of this hash is registered",
    ),
    "wrong input shape": (
        lambda n, p: infer_options(p, model_hash(MODEL).hex(), x=[[1]]),
        1,
        "not sent, it would fail: ",
    ),
    "input out of range": (lambda n, p: infer_options(p, model_hash(MODEL).hex(), x=[[1, 101]]), 1, "101"),
    "call of Root": (
        lambda n, p: ["tx", "tokens", "create_denom", "--denom", "gold"],
        1,
        "not sent, it would fail: The call does not accept this origin (call=tokens.create_denom",
    ),
    "bad argument": (
        lambda n, p: ["tx", "tokens", "transfer", "--to", "arm1x", "--denom", "arm", "--amount", "1"],
        2,
        "--to: the address' checksum is wrong",
    ),
    "unknown call": (
        lambda n, p: ["tx", "tokens", "mnt"],
        2,
        "no such command 'mnt'. Did you mean 'mint'?",
    ),
    "unknown module": (lambda n, p: ["tx", "tokns", "transfer"], 2, "no such command 'tokns'. Did you mean 'tokens'?"),
    "nonce used": (
        lambda n, p: [*paying(n), "--gas-limit", "5000000", "--nonce", "0"],
        1,
        "nonce_low: nonce 0 is used",
    ),
    "nonce far ahead": (
        lambda n, p: [*paying(n), "--gas-limit", "5000000", "--nonce", "99999"],
        1,
        "nonce_high: nonce 99999 is ahead",
    ),
    "too little gas": (
        lambda n, p: [*paying(n), "--gas-limit", "1"],
        1,
        "gas_limit: the gas limit is 1, before any call",
    ),
    "fee not covered": (lambda n, p: [*paying(n), "--max-fee", "1"], 1, "fee: gas limit and tip may cost"),
    "expired": (lambda n, p: [*paying(n), "--last-valid-height", "1"], 1, "expired: valid up to height 1"),
}


def paying(localnet: Localnet) -> list[str]:
    return ["tx", "tokens", "transfer", "--to", localnet.nodes[1].account, "--denom", "arm", "--amount", "1"]


@pytest.mark.parametrize("case", COMMANDS)
def test_invalid_command_is_one_line_and_sends_nothing(
    case: str, armillary: Any, sender: Sender, localnet: Localnet, client: NodeClient, tmp_path: Path
) -> None:
    make, code, words = COMMANDS[case]
    nonce = sender.next_nonce()
    arguments = make(localnet, tmp_path)
    shown = armillary(*arguments, signer=0)
    assert (shown.code, shown.out) == (code, "")
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    assert words in shown.err
    assert sender.next_nonce() == nonce
    assert client.status()["mempool_transactions"] == 0


def test_invalid_call_that_is_sent_anyway_fails_in_a_block(armillary: Any, sender: Sender, tmp_path: Path) -> None:
    arguments = infer_options(tmp_path, model_hash(MODEL).hex(), x=[[1, 101]])
    shown = armillary(*arguments, "--gas-limit", str(GAS_LIMIT_OF_RUNS), signer=0)
    assert shown.code == 1
    assert shown.out.startswith("failed in block ")
    assert shown.err.count("\n") == 1
    assert "101" in shown.err
