"""What a user of a network does on the command line: transactions, queries, models, certificates, on real processes."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from chain_spec import ResolvedChain, make_spec, parse_spec, read_spec, render_spec, resolve
from modules.oracle.labels import integers_of
from modules.oracle.protocol import Record
from runtime.inference import TensorSpec, encode_graph, interpret, model_hash
from runtime.inference.graph import Gemm
from runtime.light import DecisionRefused
from runtime.node.digest import runtime_digest
from runtime.testing.graphs import wrap
from tools.certificates import verify_file
from tools.cli.founders import founder_of
from tools.localnet import Localnet

CommandLine = Callable[..., Any]
SPEC = TensorSpec("x", (2,), 0, -100, 100)
MODEL = encode_graph(wrap([SPEC], [np.array([[3, -2]], np.int64)], [Gemm(0, 0, None, None)], (1,)))
"""y = 3 x0 - 2 x1, of two numbers from -100 to 100."""
ROWS = {"x": [[1, 2], [-100, 100], [0, 0]]}
SEED = 23
FLIPS_APART = 5  # bytes; tests/unit/light changes any
PATIENCE_S = 120


def transfer(localnet: Localnet, amount: str) -> list[str]:
    return ["tx", "tokens", "transfer", "--to", localnet.nodes[1].account, "--denom", "arm", "--amount", amount]


def balance(armillary: CommandLine, account: str, *more: str) -> int:
    shown = armillary("query", "tokens", "balance_of", "--account", account, "--denom", "arm", *more)
    assert (shown.code, shown.err) == (0, "")
    return int(json.loads(shown.out))


@pytest.fixture(scope="module")
def registered(localnet: Localnet, armillary: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """MODEL, registered by the first operator at 5 a row; its hash."""
    graph = tmp_path_factory.mktemp("model") / "line.graph"
    graph.write_bytes(MODEL)
    shown = armillary("model", "register", str(graph), "--licence", "CC0-1.0", "--price", "5", signer=0)
    assert (shown.code, shown.err) == (0, "")
    lines = shown.out.splitlines()
    assert all(re.fullmatch(r"block \d+: .+", line) for line in lines[:-1])
    assert lines[-1] == f"registered {model_hash(MODEL).hex()}"
    return str(lines[-1].split()[1])


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("inputs") / "inputs.json"
    file.write_text(json.dumps(ROWS))
    return file


def test_a_transfer_moves_tokens_and_says_what_it_did(armillary: CommandLine, localnet: Localnet) -> None:
    before = balance(armillary, localnet.nodes[1].account)
    shown = armillary(*transfer(localnet, "12345"), signer=0)
    assert (shown.code, shown.err) == (0, "")
    first, second, third = shown.out.splitlines()
    assert re.fullmatch(r"ok in block \d+: gas [\d,]+, fee [\d,]+", first)
    assert re.fullmatch(r"hash    [0-9a-f]{64}", second)
    assert third == (
        f"event   tokens.Transferred  sender={localnet.nodes[0].account}, recipient={localnet.nodes[1].account}, "
        "denom=arm, amount=12345"
    )
    assert balance(armillary, localnet.nodes[1].account) == before + 12345


def test_an_amount_with_a_symbol_is_signed_in_base_units(armillary: CommandLine, localnet: Localnet) -> None:
    before = balance(armillary, localnet.nodes[1].account)
    shown = armillary(*transfer(localnet, "0.000012345ARM"), signer=0)
    assert (shown.code, shown.err) == (0, "--amount: 0.000012345ARM is 12345 base units of arm\n")
    assert balance(armillary, localnet.nodes[1].account) == before + 12345
    shown = armillary(*transfer(localnet, "1.5GLD"), signer=0)
    assert (shown.code, shown.out) == (2, "")
    assert shown.err == "error: --amount: GLD is not the symbol of arm, which is ARM\n"


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


CARD = {
    "title": "t",
    "version": "1",
    "licence": "CC0-1.0",
    "parents": [],
    "remarks": [{"name": "use", "text": "none"}],
    "price": {"denom": "arm", "amount": "0"},
}
CALLS: dict[str, Callable[[Localnet, str, Path], list[str]]] = {
    "transfer": lambda n, model, inputs: transfer(n, "7"),
    "transfer with a tip": lambda n, model, inputs: [*transfer(n, "7"), "--tip", "9"],
    "transfer with a tip in ARM": lambda n, model, inputs: [
        *transfer(n, "7"), "--tip", "0.000000009ARM", "--max-fee", "1ARM"
    ],
    "a transfer that fails": lambda n, model, inputs: transfer(n, str(1 << 90)),
    "rotate to the same key": lambda n, model, inputs: [
        *("tx", "accounts", "rotate", "--rule"),
        json.dumps({"type": "OneKey", "public_key": n.nodes[0].key("operator").public_key.hex()}),
    ],
    "set peer": lambda n, model, inputs: [
        *("tx", "validators", "set-peer", "--public-key", n.nodes[0].key("validator").public_key.hex()),
        *("--peer", n.nodes[0].peer_id),
    ],
    "begin an upload": lambda n, model, inputs: [
        *("tx", "registry", "begin-upload", "--model", "ab" * 32, "--size-bytes", "10"),
        *("--chunks", json.dumps(["cd" * 32]), "--card", json.dumps(CARD)),
    ],
    "cancel the upload": lambda n, model, inputs: ["tx", "registry", "cancel-upload", "--model", "ab" * 32],
    "infer": lambda n, model, inputs: ["tx", "oracle", "infer", "--model", model, "--inputs", str(inputs)],
    "infer an unknown model": lambda n, model, inputs: [
        *("tx", "oracle", "infer", "--model", "00" * 32, "--inputs", str(inputs)),
    ],
}  # fmt: skip


@pytest.mark.parametrize("case", CALLS)
def test_a_dry_run_is_the_receipt_to_come(
    case: str, armillary: CommandLine, localnet: Localnet, registered: str, inputs: Path
) -> None:
    arguments = [*CALLS[case](localnet, registered, inputs), "--gas-limit", "80000000", "--json"]
    before = balance(armillary, localnet.nodes[0].account)
    dry = armillary(*arguments, "--dry-run", signer=0)
    assert balance(armillary, localnet.nodes[0].account) == before, "a dry run changes nothing"
    sent = armillary(*arguments, signer=0)
    foretold, outcome = json.loads(dry.out), json.loads(sent.out)
    assert dry.code == sent.code == (0 if outcome["error"] is None else 1)
    assert foretold["succeeds"] == (outcome["status"] == "committed")
    for name in ("hash", "gas_used", "fee"):
        assert foretold[name] == outcome[name]
    shift = outcome["height"] - foretold["height"]
    assert events(foretold["events"], shift) == events(outcome["events"], 0)
    if outcome["error"] is not None:
        assert {**foretold["error"], "message": ""} == {**outcome["error"], "message": ""}


def events(found: list[dict[str, Any]], shift: int) -> list[dict[str, Any]]:
    """With `expires`, the one field of these events that counts from the block's height, moved by `shift`."""
    moved = [{**event["fields"]} for event in found]
    for fields in moved:
        if "expires" in fields:
            fields["expires"] += shift
    return [{**event, "fields": fields} for event, fields in zip(found, moved, strict=True)]


def test_what_is_not_waited_for_is_pending_then_committed(armillary: CommandLine, localnet: Localnet) -> None:
    shown = armillary(*transfer(localnet, "1"), "--no-wait", "--json", signer=2)
    sent = json.loads(shown.out)["hash"]
    with localnet.nodes[3].client() as other:
        outcome = other.wait(sent)
        assert outcome["status"] == "committed"
        assert other.get(f"/receipts/{sent}") == outcome
        assert sent in other.get(f"/blocks/{outcome['height']}")["transactions"]


def test_a_poor_account_can_spend_what_it_has(
    armillary: CommandLine, localnet: Localnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dry run asks for no more than the account holds, far below what half a block's gas would cost."""
    made = armillary("keys", "new", "poor", "--home", str(tmp_path))
    address = made.out.strip()
    pay = ["tx", "tokens", "transfer", "--denom", "arm", "--to"]
    assert armillary(*pay, address, "--amount", "5000", signer=0).code == 0
    shown = armillary(*pay, localnet.nodes[1].account, "--amount", "3", "--key", "poor", "--home", str(tmp_path))
    assert (shown.code, shown.err) == (0, "")
    left = balance(armillary, address)
    assert 0 < left < 5000 - 3
    shown = armillary(*pay, localnet.nodes[1].account, "--amount", str(left), "--key", "poor", "--home", str(tmp_path))
    assert shown.code == 1
    assert "The account holds less than the amount" in shown.err


# --- queries


def test_a_query_at_a_height_sees_that_blocks_state(armillary: CommandLine, localnet: Localnet) -> None:
    account = localnet.nodes[1].account
    outcome = json.loads(armillary(*transfer(localnet, "777"), "--json", signer=0).out)
    height = outcome["height"]
    now = balance(armillary, account)
    assert balance(armillary, account, "--height", str(height)) == now
    assert balance(armillary, account, "--height", str(height - 1)) == now - 777
    shown = armillary(
        *("query", "tokens", "balance-of", "--account", account, "--denom", "arm", "--height", str(height), "--json")
    )
    answer = json.loads(shown.out)
    with localnet.nodes[2].client() as other:
        other.wait(outcome["hash"])
        header = other.get(f"/blocks/{height}")["header"]
    assert answer == {"height": height, "state_root": header["state_root"], "result": str(now)}
    refused = armillary("query", "oracle", "count", "--height", "1000000")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith("error: no state at height 1000000: heights 0 to ")


def test_an_answer_is_proven_from_the_spec_alone(armillary: CommandLine, localnet: Localnet, tmp_path: Path) -> None:
    account, file = localnet.nodes[1].account, tmp_path / "answer.proof"
    assert armillary(*transfer(localnet, "5"), signer=0).code == 0, "there is a block, whose validators signed"
    for question in (
        ["tokens", "balance_of", "--account", account, "--denom", "arm"],
        ["validators", "page", "--limit", "9"],
        ["oracle", "record", "--id", "1000000"],
    ):
        shown = armillary("query", *question, "--prove", str(file))
        assert shown.code == 0, shown.err
        assert f"wrote {file}: proven at height " in shown.err
        checked = verify(armillary, file, localnet.spec_path)
        assert (checked.code, checked.err) == (0, "")
        assert checked.out.splitlines()[0] == "proven on chain localnet, from its spec alone"
        assert f"query        {question[0]}.{question[1]}" in checked.out
        assert f"answer       {json.dumps(json.loads(shown.out))}" in checked.out
    refused = armillary("query", *question, "--prove", str(file), "--height", "0")
    assert (refused.code, refused.out) == (1, "")
    assert "height 0 is the genesis, which nobody signed" in refused.err


def test_every_query_without_required_arguments_answers(armillary: CommandLine) -> None:
    for module, query, more in (
        ("oracle", "count", []),
        ("validators", "totals", []),
        ("validators", "page", ["--limit", "9"]),
        ("registry", "model", ["--model", "00" * 32]),
    ):
        shown = armillary("query", module, query, *more)
        assert (shown.code, shown.err) == (0, ""), (module, query)
        json.loads(shown.out)


# --- what HTTP shows


def test_status_names_the_chain_and_the_node(localnet: Localnet) -> None:
    chain = resolve(read_spec(localnet.spec_path))
    keys = {node.key("validator").public_key.hex() for node in localnet.nodes}
    for node in localnet.nodes:
        with node.client() as client:
            until(lambda client=client: client.status()["peers"] == 3)  # type: ignore[misc]  # bound
            status = client.status()
        assert status["name"] == node.name
        assert status["genesis_hash"] == chain.genesis_hash.hex()
        assert status["runtime_digest"] == runtime_digest().hex()
        assert (status["chain"], status["address_prefix"]) == ("localnet", "arm")
        assert (status["peers"], status["peer_id"], status["voting"]) == (3, node.peer_id, True)
        assert {each["public_key"] for each in status["validators"]} == keys
        assert status["validator"] == node.key("validator").public_key.hex()
        assert status["oldest_height"] == 0


def test_blocks_are_a_chain_that_a_quorum_signed(localnet: Localnet) -> None:
    with localnet.nodes[0].client() as client, localnet.nodes[1].client() as other:
        top = client.status()["height"]
        last: dict[str, Any] = {}
        for height in range(1, top + 1):
            block = client.get(f"/blocks/{height}")
            assert (block["height"], block["header"]["height"]) == (height, height)
            assert block["certificate"]["block_id"] == block["block_id"]
            assert len(block["certificate"]["signatures"]) >= 3
            assert not last or block["header"]["last_block_id"] == last["block_id"]
            for index, sent in enumerate(block["transactions"]):
                receipt = client.get(f"/receipts/{sent}")
                assert (receipt["hash"], receipt["height"], receipt["index"]) == (sent, height, index)
                assert receipt == client.get(f"/transactions/{sent}")
            last = block
        assert client.get("/blocks/latest")["height"] >= top
        until(lambda: other.status()["height"] >= top)
        theirs = other.get(f"/blocks/{top}")
        assert (theirs["block_id"], theirs["header"]) == (last["block_id"], last["header"])


def test_openapi_has_every_path_that_others_rely_on(localnet: Localnet) -> None:
    document = httpx.get(localnet.nodes[0].http_url + "/openapi.json", timeout=60).json()
    paths = {re.sub(r"\{[^}]*\}", "{}", path) for path in document["paths"]}
    assert {
        *("/status", "/transactions", "/transactions/{}", "/blocks/{}", "/receipts/{}", "/query/{}/{}"),
        "/certificates/{}",
    } <= paths
    unknown = httpx.get(localnet.nodes[0].http_url + "/transactions/" + "0" * 64, timeout=60).json()
    nothing = dict.fromkeys(["height", "index", "gas_used", "fee", "events", "error"])
    assert unknown == {"hash": "0" * 64, "status": "unknown", **nothing}


# --- a model, a decision, its certificate


@pytest.fixture(scope="module")
def decided(armillary: CommandLine, registered: str, inputs: Path) -> dict[str, Any]:
    """The outcome of one more run of the model, by the third operator."""
    shown = armillary(*("tx", "oracle", "infer", "--model", registered, "--inputs", str(inputs), "--json"), signer=2)
    assert (shown.code, shown.err) == (0, "")
    outcome: dict[str, Any] = json.loads(shown.out)
    return outcome


@pytest.fixture(scope="module")
def certificate(armillary: CommandLine, decided: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate of that run, as the command wrote it."""
    record = record_of(decided)
    file = tmp_path_factory.mktemp("certificate") / "decision.certificate"
    shown = armillary("certificate", str(record), "--out", str(file))
    assert (shown.code, shown.err) == (0, "")
    assert re.fullmatch(
        rf"wrote {file}: record {record}, proven at height \d+, {file.stat().st_size:,} bytes\n", shown.out
    )
    return file


def record_of(outcome: dict[str, Any]) -> int:
    (event,) = [event for event in outcome["events"] if event["name"] == "Inferred"]
    number: int = event["fields"]["record"]
    return number


@pytest.fixture(scope="module")
def chain(localnet: Localnet) -> ResolvedChain:
    return resolve(read_spec(localnet.spec_path))


def test_a_registered_model_is_shown(armillary: CommandLine, registered: str, localnet: Localnet) -> None:
    shown = armillary("model", "show", registered)
    assert (shown.code, shown.err) == (0, "")
    assert localnet.nodes[0].account in shown.out
    unknown = armillary("model", "show", "00" * 32)
    assert (unknown.code, unknown.out, unknown.err.count("\n")) == (1, "", 1)
    assert f"no model {'00' * 32} is registered" in unknown.err


def test_a_run_pays_the_owner_and_is_the_graphs_own_answer(
    armillary: CommandLine, decided: dict[str, Any], localnet: Localnet, certificate: Path, chain: ResolvedChain
) -> None:
    record = json.loads(armillary("query", "oracle", "record", "--id", str(record_of(decided))).out)
    assert (record["caller"], record["rows"], record["paid"]) == (localnet.nodes[2].account, 3, "15")
    expected = interpret(MODEL, {"x": np.array(ROWS["x"], np.int64)})
    _, proven = verify_file(certificate.read_bytes(), chain)
    assert isinstance(proven, Record)
    assert {tensor.name: integers_of(tensor) for tensor in proven.outputs} == {
        name: array.reshape(-1).tolist() for name, array in expected.items()
    }
    (output,) = record["outputs"]
    assert output["data"] == proven.outputs[0].data.hex()


def verify(armillary: CommandLine, file: Path, spec: Path) -> Any:
    return armillary("verify-certificate", str(file), "--spec", str(spec))


def test_a_certificate_is_verified_from_the_spec_alone(
    armillary: CommandLine, certificate: Path, localnet: Localnet, decided: dict[str, Any], registered: str
) -> None:
    shown = verify(armillary, certificate, localnet.spec_path)
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.splitlines()[0] == "proven on chain localnet, from its spec alone"
    assert f"record       {record_of(decided)}, made at height {decided['height']}" in shown.out
    assert registered in shown.out


def test_a_decision_is_made_again_from_its_files(
    armillary: CommandLine, certificate: Path, localnet: Localnet, inputs: Path, tmp_path: Path
) -> None:
    graph, other = tmp_path / "line.graph", tmp_path / "other.json"
    graph.write_bytes(MODEL)
    command = ("verify-certificate", str(certificate), "--spec", str(localnet.spec_path), "--replay", str(graph))
    shown = armillary(*command, str(inputs))
    assert (shown.code, shown.err) == (0, "")
    assert "on this machine: the same bits" in shown.out
    other.write_text(json.dumps({"x": ROWS["x"][:2]}))
    shown = armillary(*command, str(other))
    assert (shown.code, shown.out, "refused, input: its hash is" in shown.err) == (1, "", True)


def test_invalid_change_of_a_byte_is_refused_with_the_part_that_fails(certificate: Path, chain: ResolvedChain) -> None:
    whole, rng = certificate.read_bytes(), random.Random(SEED)
    verify_file(whole, chain)
    parts: set[str] = set()
    for at in range(rng.randrange(FLIPS_APART), len(whole), FLIPS_APART):
        difference = rng.randrange(1, 256)
        changed = whole[:at] + bytes([whole[at] ^ difference]) + whole[at + 1 :]
        with pytest.raises(DecisionRefused) as caught:
            verify_file(changed, chain)
        assert caught.value.part, f"byte {at}"
        assert caught.value.reason
        assert str(caught.value) == f"decision certificate refused, {caught.value.part}: {caught.value.reason}"
        parts.add(re.split(r"[.\[]", caught.value.part)[0])
    assert {"header", "certificate", "proof"} <= parts, parts


def test_invalid_length_of_a_certificate_is_refused(certificate: Path, chain: ResolvedChain) -> None:
    whole = certificate.read_bytes()
    for data in (b"", whole[:1], whole[: len(whole) // 2], whole[:-1], whole + b"\x00", whole + whole, b"{}", b"\xc1"):
        with pytest.raises(DecisionRefused, match=r"^decision certificate refused, bytes"):
            verify_file(data, chain)


def test_invalid_certificates_on_the_command_line_exit_1_with_one_line(
    armillary: CommandLine, certificate: Path, localnet: Localnet, tmp_path: Path
) -> None:
    whole, rng = certificate.read_bytes(), random.Random(SEED)
    file = tmp_path / "changed"
    for at in [0, len(whole) - 1, *rng.sample(range(len(whole)), 5)]:
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        shown = verify(armillary, file, localnet.spec_path)
        assert (shown.code, shown.out, shown.err.count("\n")) == (1, "", 1), f"byte {at}"
        assert shown.err.startswith("error: decision certificate refused, ")


def test_invalid_spec_of_another_chain_is_refused(
    armillary: CommandLine, certificate: Path, localnet: Localnet, tmp_path: Path
) -> None:
    """Another time of genesis makes another chain; other validators too."""
    text = json.loads(localnet.spec_path.read_text())
    other = tmp_path / "other.json"
    other.write_text(json.dumps({**text, "genesis_time_ms": text["genesis_time_ms"] + 1}))
    shown = verify(armillary, certificate, other)
    assert (shown.code, "header.genesis_hash" in shown.err) == (1, True)
    spec = parse_spec(localnet.spec_path.read_bytes())
    fewer = make_spec(spec.name, [founder_of(localnet.nodes[0].home)], {}, genesis_time_ms=spec.genesis_time_ms)
    other.write_text(render_spec(fewer))
    assert verify(armillary, certificate, other).code == 1


def test_invalid_record_or_file_is_named(armillary: CommandLine, localnet: Localnet, tmp_path: Path) -> None:
    shown = armillary("certificate", "999", "--out", str(tmp_path / "none"))
    assert (shown.code, shown.err.startswith("error: there is no record 999 at height")) == (1, True)
    assert list(tmp_path.iterdir()) == []
    shown = armillary("certificate", "0", "--out", str(tmp_path / "no" / "folder"))
    assert (shown.code, "No such file or directory" in shown.err) == (1, True)
    shown = verify(armillary, tmp_path / "none", localnet.spec_path)
    assert (shown.code, shown.err) == (2, f"error: {tmp_path / 'none'}: No such file or directory\n")
