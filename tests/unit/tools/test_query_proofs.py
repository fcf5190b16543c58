"""A query's proof is written by `query --prove` and checked from the chain spec alone; every byte of it counts."""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from chain_spec import ResolvedChain, make_spec, render_spec, resolve
from chain_spec.presets import FoundingValidator
from runtime.bech32m import encode_address
from runtime.consensus import HEADER_VERSION, Header, block_id
from runtime.execution import Application, BlockInputs
from runtime.execution.proving import prove_query
from runtime.light import QueryProof, QueryProofRefused, StateRead, decode_query_proof, encode_query_proof
from runtime.light.query import MAGIC, QUERY_PROOF_VERSION
from runtime.state import MemoryStore
from runtime.testing.validators import SigningValidators
from runtime.types import ZERO_HASH, AccountId, Name
from tools.certificates import at_genesis
from tools.cli.app import run
from tools.client import NodeClient
from tools.query_proofs import verify_query_file

HEIGHT, TIME_MS = 2, 1_700_000_000_000
POWERS = (10, 10, 10, 10)
ALICE = AccountId(b"\x07" * 32)
FUNDS = 123_456_789
SEED = 14


@dataclass(frozen=True)
class Proven:
    """A chain after two blocks: its spec's file, its modules, and who signs its headers."""

    spec: Path
    chain: ResolvedChain
    application: Application
    signers: SigningValidators

    def proof(self, module: str, query: str, arguments: dict[str, Any]) -> QueryProof:
        """As a node makes it; no validator set changed."""
        found = prove_query(self.application, module, query, arguments, height=HEIGHT)
        set_hash = self.signers.validators.hash
        header = Header(
            version=HEADER_VERSION,
            genesis_hash=self.chain.genesis_hash,
            height=HEIGHT,
            time_ms=TIME_MS + HEIGHT,
            proposer=self.signers.key(0),
            last_block_id=ZERO_HASH,
            last_certificate_hash=ZERO_HASH,
            evidence_hash=ZERO_HASH,
            transactions_root=ZERO_HASH,
            state_root=self.application.store.root_at(HEIGHT),
            receipts_root=ZERO_HASH,
            validators_hash=set_hash,
            next_validators_hash=set_hash,
        )
        certificate = self.signers.certificate(block_id(header), height=HEIGHT)
        read = StateRead((), header, certificate, found.witness)
        return QueryProof(MAGIC, QUERY_PROOF_VERSION, Name(module), Name(query), found.arguments, found.answer, read)


@pytest.fixture(scope="module")
def proven(tmp_path_factory: pytest.TempPathFactory) -> Proven:
    keys = SigningValidators(POWERS)
    founders = [
        FoundingValidator(keys.key(number), AccountId(bytes([number]) * 32), f"12D3KooW{'ABCD'[number] * 44}")
        for number in range(len(POWERS))
    ]
    spec = make_spec("proofs", founders, {ALICE: FUNDS}, genesis_time_ms=TIME_MS)
    file = tmp_path_factory.mktemp("proofs") / "spec.json"
    file.write_text(render_spec(spec))
    chain = resolve(spec)
    application = Application(chain.genesis, chain.modules, MemoryStore())
    application.start()
    for height in range(1, HEIGHT + 1):
        application.commit(application.execute(BlockInputs(height, TIME_MS + height)))
    return Proven(file, chain, application, SigningValidators(POWERS, chain.genesis_hash))


@pytest.fixture(scope="module")
def balance(proven: Proven) -> bytes:
    return encode_query_proof(proven.proof("tokens", "balance_of", {"account": ALICE, "denom": "arm"}))


@pytest.fixture
def quick(proven: Proven, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chain's genesis, which no check changes, is made once."""
    started = at_genesis(proven.chain)
    monkeypatch.setattr("tools.query_proofs.at_genesis", lambda chain: started)


def refused(data: bytes, proven: Proven) -> str:
    with pytest.raises(QueryProofRefused) as caught:
        verify_query_file(data, proven.chain)
    assert str(caught.value) == f"query proof refused, {caught.value.part}: {caught.value.reason}"
    return caught.value.part


def test_an_answer_is_proven_from_the_spec_alone(proven: Proven, balance: bytes) -> None:
    verified = verify_query_file(balance, proven.chain)
    assert (verified.answer, verified.proof.read.header.height) == (str(FUNDS), HEIGHT)
    assert verified.arguments == {"account": encode_address(ALICE, "arm"), "denom": "arm"}


@pytest.mark.usefixtures("quick")
def test_absence_and_lists_are_proven_too(proven: Proven) -> None:
    nobody = proven.proof("oracle", "record", {"id": 5})
    assert verify_query_file(encode_query_proof(nobody), proven.chain).answer is None
    listed = verify_query_file(
        encode_query_proof(proven.proof("validators", "page", {"after": None, "limit": 9})), proven.chain
    )
    assert len(json.dumps(listed.answer)) > 4 * 64


@pytest.mark.usefixtures("quick")
def test_invalid_change_of_any_byte_is_refused_with_the_part_that_fails(proven: Proven, balance: bytes) -> None:
    rng, parts = random.Random(SEED), set[str]()
    for at in range(len(balance)):
        changed = balance[:at] + bytes([balance[at] ^ rng.randrange(1, 256)]) + balance[at + 1 :]
        parts.add(re.split(r"[.\[]", refused(changed, proven))[0])
    assert {"bytes", "header", "certificate", "witness", "arguments", "answer", "query"} <= parts, parts


@pytest.mark.usefixtures("quick")
def test_invalid_length_is_refused(proven: Proven, balance: bytes) -> None:
    for data in (b"", balance[:1], balance[: len(balance) // 2], balance[:-1], balance + b"\x00", balance + balance):
        assert refused(data, proven).startswith("bytes")


@pytest.mark.usefixtures("quick")
def test_invalid_claims_are_named(proven: Proven, balance: bytes) -> None:
    proof = decode_query_proof(balance)
    other = proven.proof("tokens", "balance_of", {"account": AccountId(b"\x08" * 32), "denom": "arm"})
    for part, forged in {
        "version": replace(proof, version=2),
        "module": replace(proof, module=Name("nothing")),
        "query": replace(proof, query=Name("nothing")),
        "answer": replace(proof, answer=other.answer),
        "witness": replace(proof, arguments=other.arguments, answer=other.answer),
        "header.block_id": replace(proof, read=replace(proof.read, header=replace(proof.read.header, time_ms=5))),
        "certificate.power": replace(
            proof,
            read=replace(
                proof.read,
                certificate=proven.signers.certificate(block_id(proof.read.header), height=HEIGHT, signers=(0, 1)),
            ),
        ),
    }.items():
        assert refused(encode_query_proof(forged), proven) == part


def test_invalid_proof_of_another_chain_is_named(proven: Proven, balance: bytes) -> None:
    spec = make_spec(
        "proofs", [FoundingValidator(proven.signers.key(0), ALICE, "12D3KooW" + "A" * 44)], {}, genesis_time_ms=TIME_MS
    )
    with pytest.raises(QueryProofRefused, match=r"^query proof refused, header\.genesis_hash: "):
        verify_query_file(balance, resolve(spec))


# --- on the command line


def test_verify_certificate_knows_a_querys_proof(
    proven: Proven, balance: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "balance.proof"
    file.write_bytes(balance)
    assert run(["verify-certificate", str(file), "--spec", str(proven.spec)]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert shown.out.splitlines()[:5] == [
        "proven on chain proofs, from its spec alone",
        "query        tokens.balance_of",
        f'argument     account = "{encode_address(ALICE, "arm")}"',
        'argument     denom = "arm"',
        f'answer       "{FUNDS}"',
    ]
    assert f"after block {HEIGHT}" in shown.out
    file.write_bytes(balance[:-1] + bytes([balance[-1] ^ 1]))
    assert run(["verify-certificate", str(file), "--spec", str(proven.spec)]) == 1
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert shown.err.startswith("error: query proof refused, ")


def test_invalid_replay_of_a_querys_proof_is_a_usage_error(
    proven: Proven, balance: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "balance.proof"
    file.write_bytes(balance)
    asked = ["verify-certificate", str(file), "--spec", str(proven.spec), "--replay", str(file), str(file)]
    assert run(asked) == 2
    assert "runs no model" in capsys.readouterr().err


@pytest.fixture
def node(balance: bytes, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A node that answers `answer` to the question; `asked`: its parameters."""
    answer = {"height": HEIGHT, "state_root": "00", "result": "7", "proof": balance.hex()}
    known: dict[str, Any] = {"answer": answer, "asked": None}

    def get(self: NodeClient, path: str, **parameters: Any) -> Any:
        if path == "/query/tokens/balance_of":
            known["asked"] = parameters
            return dict(known["answer"])
        return {"result": None}  # whatever else it wants to know, to show the answer well

    monkeypatch.setattr(NodeClient, "get", get)
    monkeypatch.setattr(NodeClient, "status", lambda self: {"address_prefix": "arm"})
    return known


QUESTION = ["query", "tokens", "balance_of", "--account", encode_address(ALICE, "arm"), "--denom", "arm"]


def test_query_writes_its_proof_and_prints_the_answer_alone(
    node: dict[str, Any], balance: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "balance.proof"
    assert run([*QUESTION, "--height", "2", "--prove", str(file)]) == 0
    shown = capsys.readouterr()
    assert (node["asked"]["prove"], node["asked"]["height"]) == ("true", 2)
    assert file.read_bytes() == balance
    assert json.loads(shown.out) == "7"
    assert shown.err.splitlines()[0] == f"wrote {file}: proven at height {HEIGHT}, {len(balance):,} bytes"
    assert run([*QUESTION, "--prove", str(file), "--json"]) == 0
    assert "proof" not in json.loads(capsys.readouterr().out)
    assert run(QUESTION) == 0
    assert node["asked"]["prove"] is None


@pytest.mark.parametrize("proof", [None, "zz", 7])
def test_invalid_proof_of_a_node_is_one_line(
    node: dict[str, Any], proof: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node["answer"]["proof"] = proof
    file = tmp_path / "never_written"
    assert run([*QUESTION, "--prove", str(file)]) == 1
    assert capsys.readouterr().err == "error: the node answered without a proof\n"
    assert not file.exists()
