"""A replay says of which part of a record what was given is not; only where all of it agrees is the decision remade."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from chain_spec import FoundingValidator, make_spec, read_spec, render_spec, resolve
from modules.oracle import Oracle
from modules.oracle.protocol import Record
from runtime.codec import codec
from runtime.consensus import (
    HEADER_VERSION,
    CommitCertificate,
    CommitSignature,
    Header,
    UnsignedVote,
    VoteKind,
    block_id,
    vote_sign_bytes,
)
from runtime.crypto import SigningKey
from runtime.inference import SelfTestFailed, TensorSpec, encode_graph, from_arrays, interpret, model_hash, tensors_hash
from runtime.inference import verify as verify_model
from runtime.inference.graph import ArgMax, Gemm, Output
from runtime.light import DecisionCertificate, encode_decision
from runtime.module import Tensor
from runtime.network.identity import NetworkKey
from runtime.state import MemoryStore
from runtime.testing.graphs import wrap
from runtime.types import ZERO_HASH, AccountId, Denom, Hash, Name
from tools import replay as replay_module
from tools.certificates import at_genesis, first_validators
from tools.cli.app import run
from tools.replay import ReplayFailed, replay

KEY = SigningKey.from_seed(bytes(range(32)))
ACCOUNT = AccountId(KEY.public_key)
LABELS = ("no", "maybe", "yes")
ROWS = {"x": np.array([[8, -8], [0, 0], [-3, 16]], np.int64)}
CLASSES = ("yes", "no", "maybe")


def classifier(bias: int = 0) -> bytes:
    """Scores 0, y - x + bias and x - y of two numbers x, y on a grid of 2**-2; the highest names the class."""
    spec = TensorSpec("x", (2,), 2, -100, 100)
    weights, offset = np.array([[0, 0], [-1, 1], [1, -1]], np.int64), np.array([0, bias, 0], np.int64)
    graph = wrap([spec], [weights, offset], [Gemm(0, 0, 1, None), ArgMax(1, 0)], (3,))
    scores = TensorSpec("scores", (3,), 2, -200 + min(bias, 0), 200 + max(bias, 0))
    outputs = (Output(1, scores), Output(2, TensorSpec("label", (1,), 0, 0, 2)))
    return encode_graph(replace(graph, labels=LABELS, outputs=outputs))


MODEL = classifier()


def record_of(model: bytes = MODEL, rows: Any = ROWS) -> Record:
    """What the chain would keep of this run."""
    tensors = from_arrays(rows)
    outputs = from_arrays(interpret(model, rows))
    return Record(
        id=3,
        model=model_hash(model),
        input_hash=tensors_hash(tensors),
        rows=len(rows["x"]),
        outputs=tuple(Tensor(each.name, each.shape, each.data) for each in outputs),
        caller=ACCOUNT,
        height=20,
        gas=verify_model(model).cost.gas(len(rows["x"])),
        paid=15,
        denom=Denom("arm"),
    )


RECORD = record_of()


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chain of one validator, whose key is KEY."""
    founder = FoundingValidator(KEY.public_key, ACCOUNT, NetworkKey(KEY.seed).peer_id)
    file = tmp_path_factory.mktemp("spec") / "spec.json"
    file.write_text(render_spec(make_spec("replayed", [founder], {ACCOUNT: 10**9}, genesis_time_ms=1_700_000_000_000)))
    return file


def certified(record: Record, spec: Path) -> bytes:
    """A certificate in which the chain's validator signs for this record, true or not."""
    chain = resolve(read_spec(spec))
    validators, store = first_validators(at_genesis(chain)), MemoryStore()
    key, value = Oracle.records.storage_key(record.id), codec(Record).encode(record)
    store.commit(store.prepare(0, {"oracle": {key: value}}))
    header = Header(
        version=HEADER_VERSION,
        genesis_hash=chain.genesis_hash,
        height=record.height,
        time_ms=1_800_000_000_000,
        proposer=KEY.public_key,
        last_block_id=ZERO_HASH,
        last_certificate_hash=ZERO_HASH,
        evidence_hash=ZERO_HASH,
        transactions_root=ZERO_HASH,
        state_root=store.root,
        receipts_root=ZERO_HASH,
        validators_hash=validators.hash,
        next_validators_hash=validators.hash,
    )
    identity = block_id(header)
    vote = UnsignedVote(VoteKind.PRECOMMIT, header.height, 0, identity, KEY.public_key)
    signature = CommitSignature(KEY.public_key, KEY.sign(vote_sign_bytes(chain.genesis_hash, vote)))
    certificate = CommitCertificate(header.height, 0, identity, (signature,))
    proof = store.prove("oracle", key)
    return encode_decision(DecisionCertificate(1, (), header, certificate, Name("oracle"), key, value, proof))


Verify = Callable[..., tuple[int, str, str]]


@pytest.fixture
def verify(spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Verify:
    """Runs `armillary verify-certificate --replay`: exit code, output, error."""

    def use(
        record: Record = RECORD, model: bytes = MODEL, rows: Any = ROWS, ending: str = "npz"
    ) -> tuple[int, str, str]:
        certificate, graph, inputs = tmp_path / "certificate", tmp_path / "graph", tmp_path / f"rows.{ending}"
        certificate.write_bytes(certified(record, spec))
        graph.write_bytes(model)
        if ending == "npz":
            np.savez(inputs, allow_pickle=False, **rows)
        elif ending == "npy":
            np.save(inputs, rows, allow_pickle=False)
        else:
            inputs.write_text(rows if isinstance(rows, str) else json.dumps(rows))
        code = run(["verify-certificate", str(certificate), "--spec", str(spec), "--replay", str(graph), str(inputs)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return use


# --- what happens ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "ending"),
    [
        (ROWS, "npz"),
        (ROWS["x"], "npy"),
        ({"x": ROWS["x"].tolist()}, "json"),
        (ROWS["x"].tolist(), "json"),
        (ROWS["x"].astype(np.int8), "npy"),
        (ROWS["x"] / 4, "npy"),
        ({"x": [[2.0, -2], [0, 0], [-0.8, 4]]}, "json"),  # -0.8 is rounded to -3/4
    ],
    ids=["npz", "npy", "json by name", "json", "narrow integers", "real numbers", "real numbers off the grid"],
)
def test_a_decision_is_remade_from_its_model_and_its_input(verify: Verify, rows: Any, ending: str) -> None:
    code, out, err = verify(rows=rows, ending=ending)
    assert (code, err) == (0, "")
    assert "proven on chain replayed, from its spec alone" in out
    assert "replayed     by onnxruntime" in out
    assert "the same bits" in out
    assert "classes      yes, no, maybe" in out


def test_without_replay_nothing_is_said_of_one(spec: Path, tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "certificate"
    file.write_bytes(certified(RECORD, spec))
    assert run(["verify-certificate", str(file), "--spec", str(spec)]) == 0
    out = capsys.readouterr().out
    assert "proven" in out
    assert "same bits" not in out


def test_a_single_row_need_not_say_that_it_is_one(verify: Verify) -> None:
    row = {"x": ROWS["x"][:1]}
    code, out, _ = verify(record_of(rows=row), rows=ROWS["x"][0].tolist(), ending="json")
    assert (code, "classes      yes\n" in out) == (0, True)


@given(rows=st.lists(st.tuples(st.integers(-100, 100), st.integers(-100, 100)), min_size=1, max_size=4))
@settings(max_examples=20, deadline=None)
def test_every_true_record_replays(rows: list[tuple[int, int]]) -> None:
    arrays = {"x": np.array(rows, np.int64)}
    scores = [(0, y - x, x - y) for x, y in rows]
    assert replay(record_of(rows=arrays), MODEL, arrays) == tuple(LABELS[each.index(max(each))] for each in scores)


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_every_output_bit_counts(data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(RECORD.outputs) - 1))
    tensor = RECORD.outputs[number]
    at, mask = data.draw(st.integers(0, len(tensor.data) - 1)), data.draw(st.integers(1, 255))
    changed = bytearray(tensor.data)
    changed[at] ^= mask
    outputs = list(RECORD.outputs)
    outputs[number] = replace(tensor, data=bytes(changed))
    with pytest.raises(ReplayFailed) as caught, patch.object(replay_module, "self_test"):
        replay(replace(RECORD, outputs=tuple(outputs)), MODEL, ROWS)
    row = at // (len(tensor.data) // 3)
    assert caught.value.part.startswith(f"output {tensor.name}[{row}")


def test_labels_cannot_write_on_the_terminal(verify: Verify) -> None:
    """A label is anyone's text."""
    spec = TensorSpec("x", (1,), 0, 0, 1)
    graph = wrap([spec], [np.array([[1], [-1]], np.int64)], [Gemm(0, 0, None, None)], (2,))
    model = encode_graph(replace(graph, labels=("\x1b[2Jno", "yes\nproven")))
    code, out, _ = verify(record_of(model, {"x": np.array([[0], [1]])}), model, {"x": np.array([[0], [1]])})
    assert (code, out.splitlines()[-1]) == (0, "classes      ?[2Jno, ?[2Jno")


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "part", "reason"),
    [
        ({"model": classifier(1)}, "model", f"the record's {model_hash(MODEL).hex()}"),
        ({"model": MODEL + b"\x00"}, "model", "the file's hash is"),
        ({"model": b""}, "model", "the file's hash is"),
        ({"rows": {"x": ROWS["x"] + np.eye(3, 2, dtype=np.int64)}}, "input", f"the record's {RECORD.input_hash.hex()}"),
        ({"rows": {"x": ROWS["x"][:2]}}, "input", "its hash is"),
        ({"rows": {"y": ROWS["x"]}}, "input", "its hash is"),
        ({"rows": {"x": ROWS["x"], "y": ROWS["x"]}}, "input", "its hash is"),
        ({"rows": {"a b": ROWS["x"]}}, "input[0].name", ""),
        ({"rows": {"x": np.full((3, 2), 1 << 63, np.uint64)}}, "input 'x'", "expected integers of at most 64 bits"),
        ({"record": replace(RECORD, rows=2)}, "rows", "the input has 3, the record says 2"),
        ({"record": replace(RECORD, gas=RECORD.gas + 1)}, "gas", f"the record says {RECORD.gas + 1}"),
        ({"record": replace(RECORD, outputs=RECORD.outputs[:1])}, "outputs, names", "the record says ['label']"),
        ({"record": replace(RECORD, outputs=(*RECORD.outputs, RECORD.outputs[0]))}, "outputs, names", ""),
    ],
)
def test_invalid_part_is_named(verify: Verify, changed: Any, part: str, reason: str) -> None:
    code, out, err = verify(**changed)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"error: replay of record 3 refused, {part}: "), err
    assert reason in err


def with_output(number: int, **fields: Any) -> Record:
    outputs = list(RECORD.outputs)
    outputs[number] = replace(outputs[number], **fields)
    return replace(RECORD, outputs=tuple(outputs))


@pytest.mark.parametrize(
    ("record", "part", "reason"),
    [
        (
            with_output(0, shape=(3,)),
            "outputs, shapes",
            "the run gives [(3, 1), (3, 3)], the record says [(3,), (3, 3)]",
        ),
        (with_output(0, data=bytes(16)), "output label", "the run gives 24 bytes, the record has 16"),
        (with_output(0, data=bytes(24)), "output label[0, 0]", "the run gives 2, the record says 0"),
        (with_output(1, data=bytes(72)), "output scores[0, 1]", "the run gives -16, the record says 0"),
    ],
)
def test_invalid_outputs_are_named_by_their_place(verify: Verify, record: Record, part: str, reason: str) -> None:
    code, out, err = verify(record)
    assert (code, out) == (1, "")
    assert err == f"error: replay of record 3 refused, {part}: {reason}\n"


def test_invalid_model_that_is_not_proven(verify: Verify) -> None:
    """Validators who lie can sign for it; nobody runs it."""
    spec = TensorSpec("x", (2,), 0, -(1 << 52), 1 << 52)
    model = encode_graph(wrap([spec], [np.full((1, 2), 3, np.int64)], [Gemm(0, 0, None, None)], (1,)))
    code, out, err = verify(replace(RECORD, model=model_hash(model)), model)
    assert (code, out) == (1, "")
    assert "refused, model: it is the record's, and not proven exact: nodes[0] Gemm" in err


def test_invalid_input_outside_of_what_the_model_takes(verify: Verify) -> None:
    rows = {"x": np.array([[101, 0]] * 3)}
    code, out, err = verify(replace(RECORD, input_hash=tensors_hash(from_arrays(rows))), rows=rows)
    assert (code, out) == (1, "")
    assert err.startswith("error: replay of record 3 refused, input 'x': values lie in [0, 101]")


@pytest.mark.parametrize("rows", [{"x": np.array(7)}, {"x": np.zeros((0, 2), np.int64)}])
def test_invalid_input_without_rows(rows: Any) -> None:
    record = replace(RECORD, input_hash=tensors_hash(from_arrays(rows)))
    with pytest.raises(ReplayFailed, match=r"refused, rows: the input has [07]*0?, the record says 3"):
        replay(record, MODEL, rows)


def test_invalid_real_numbers_that_the_model_does_not_take(verify: Verify) -> None:
    code, out, err = verify(rows={"x": [[25.5, 0.0]] * 3}, ending="json")
    assert (code, out) == (1, "")
    assert "input 'x': values lie in [0, 25.5], the model takes [-25, 25]" in err


def test_invalid_engine_is_this_machines_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs that differ where the machine fails its self-test say nothing against the record."""

    def broken() -> None:
        raise SelfTestFailed("ties", 2, 3)

    def wrong(model: bytes, inputs: Any) -> Any:
        return {name: values + 1 for name, values in interpret(model, inputs).items()}

    with pytest.raises(ReplayFailed, match="output label"):
        replay(RECORD, MODEL, ROWS, run=wrong)
    monkeypatch.setattr(replay_module, "self_test", broken)
    with pytest.raises(SelfTestFailed):
        replay(RECORD, MODEL, ROWS, run=wrong)
    assert SelfTestFailed("", 0, 0).exit_code == 3


@pytest.mark.parametrize(
    ("rows", "reason"), [("{", "not JSON"), ('{"x": [[1, 2], [3]]}', "ragged"), ("{}", "no tensor")]
)
def test_invalid_input_files_are_usage_errors(verify: Verify, rows: str, reason: str) -> None:
    code, out, err = verify(rows=rows, ending="json")
    assert (code, out) == (2, "")
    assert reason in err


def test_invalid_files_that_are_not_there(spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    certificate, graph = tmp_path / "certificate", tmp_path / "graph"
    certificate.write_bytes(certified(RECORD, spec))
    command = ["verify-certificate", str(certificate), "--spec", str(spec), "--replay"]
    assert run([*command, str(graph), str(tmp_path / "rows.npz")]) == 2
    assert f"{graph}: No such file" in capsys.readouterr().err
    graph.write_bytes(MODEL)
    assert run([*command, str(graph), str(tmp_path / "rows.npz")]) == 2
    assert "rows.npz: No such file" in capsys.readouterr().err
    assert run([*command, str(graph)]) == 2  # both or none
    assert "--replay" in capsys.readouterr().err


def test_invalid_certificate_is_not_replayed(verify: Verify) -> None:
    """What is not proven is not worth a run: the record of another number is refused before its model is looked at."""
    code, out, err = verify(replace(RECORD, model=Hash(bytes(32)), height=0), b"")
    assert (code, out) == (1, "")
    assert err.startswith("error: decision certificate refused, ")
