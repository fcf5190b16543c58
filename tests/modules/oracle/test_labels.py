"""Oracle: a record in the model's own names of classes; and which models cannot be asked at all."""

from __future__ import annotations

from collections import Counter
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from modules.accounts import Accounts
from modules.oracle import Oracle
from modules.oracle.labels import integers_of, label_output, labels_of
from modules.oracle.module import ModelNotApproved, ModelRetired
from modules.oracle.protocol import Labelled
from modules.registry import Registry
from modules.registry.protocol import Card, Price
from modules.tokens import Tokens
from runtime import Call, Hash, Tensor, TensorInfo
from runtime.execution import Chain
from runtime.inference import TensorSpec, encode_graph, from_array, from_arrays, model_hash
from runtime.inference.graph import ArgMax, Gemm, Output
from runtime.module.context import Context
from runtime.testing.graphs import wrap
from tools.lowering import lower
from tools.registration import registration_calls

LABELS = ("low", "even", "high")
INDEX = Output(2, TensorSpec("label", (1,), 0, 0, 2))
SCORES = Output(1, TensorSpec("scores", (3,), 0, -200, 200))
ROWS = [[8, -8], [0, 0], [-3, 16], [5, 5]]
NAMES = ("high", "low", "even", "low")  # the highest of 0, y - x, x - y; of equal ones the first


def classifier(labels: tuple[str, ...], *outputs: Output) -> bytes:
    """Scores 0, y - x and x - y of two numbers, and which is the highest: as many of these outputs as are named."""
    spec = TensorSpec("x", (2,), 0, -100, 100)
    nodes: list[Any] = [Gemm(0, 0, None, None), ArgMax(1, 0)]
    used = 2 if any(output.tensor == 2 for output in outputs) else 1
    graph = wrap([spec], [np.array([[0, 0], [-1, 1], [1, -1]], np.int64)], nodes[:used])
    return encode_graph(replace(graph, labels=labels, outputs=outputs))


@pytest.fixture
def chain(engine: Any) -> Chain:
    alice = Chain().account("alice").id
    genesis = {"tokens": {"balances": {alice: {"arm": 10**9}}}}
    return Chain(Accounts, Tokens, Registry, Oracle, genesis=genesis, engine=engine)


def register(chain: Chain, model: bytes) -> Hash:
    card = Card(title="", version="", licence="", parents=(), remarks=(), price=Price(denom="arm", amount=0))
    receipt = chain.submit(*(made for _, made in registration_calls(model, card)), signer=chain.account("alice"))
    assert receipt.is_ok, chain.explanation
    return model_hash(model)


def inferring(model: Hash, rows: dict[str, Any]) -> Call:
    tensors = from_arrays({name: np.asarray(values, np.int64) for name, values in rows.items()})
    return Oracle.infer.build(model=model, inputs=tuple(Tensor(t.name, t.shape, t.data) for t in tensors))


def labelled(chain: Chain, model: bytes, rows: Any = ROWS) -> Labelled | None:
    """What the chain says of a run of the model."""
    receipt = chain.submit(inferring(register(chain, model), {"x": rows}), signer=chain.account("alice"))
    assert receipt.is_ok, chain.explanation
    return chain.query(Oracle.labelled, id=chain.query(Oracle.count) - 1)


# --- what happens ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outputs", "output"), [((INDEX,), "label"), ((SCORES,), "scores"), ((SCORES, INDEX), "label")]
)
def test_each_row_has_the_name_of_its_class(chain: Chain, outputs: tuple[Output, ...], output: str) -> None:
    assert labelled(chain, classifier(LABELS, *outputs)) == Labelled(output=output, labels=NAMES)


@pytest.mark.parametrize("labels", [(), ("one",), ("a", "b"), ("a", "b", "c", "d")])
def test_a_model_without_names_for_its_classes_has_no_labels(chain: Chain, labels: tuple[str, ...]) -> None:
    assert labelled(chain, classifier(labels, SCORES, INDEX)) is None


def test_a_record_that_is_not_there_has_no_labels(chain: Chain) -> None:
    assert chain.query(Oracle.labelled, id=0) is None


def test_labels_outlive_the_model(chain: Chain) -> None:
    before = labelled(chain, classifier(LABELS, INDEX))
    retire = Registry.retire.build(model=model_hash(classifier(LABELS, INDEX)))
    assert chain.submit(retire, signer=chain.account("alice")).is_ok
    chain.block()
    assert before is not None
    assert chain.query(Oracle.labelled, id=0) == before


def test_the_chain_says_what_scikit_learn_predicts(chain: Chain) -> None:
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression

    values = np.random.default_rng(7).normal(size=(120, 3)).astype(np.float32)
    names = np.array(["ash", "birch", "cedar"])[(values[:, 0] > 0).astype(int) + (values[:, 1] > 0)]
    model = LogisticRegression().fit(values, names)
    onnx = to_onnx(model, values[:1], options={id(model): {"zipmap": False}}).SerializeToString()
    lowered = lower(onnx, calibration={"X": values})
    receipt = chain.submit(
        inferring(register(chain, lowered.model), lowered.quantize({"X": values[:40]})), signer=chain.account("alice")
    )
    assert receipt.is_ok, chain.explanation
    found = chain.query(Oracle.labelled, id=0)
    assert found is not None
    assert found.labels == tuple(model.predict(values[:40]))


specs = st.builds(
    TensorInfo,
    name=st.sampled_from(["a", "b", "c", "d"]),
    shape=st.lists(st.integers(1, 3), max_size=2).map(tuple),
    frac_bits=st.integers(0, 1),
    low=st.integers(-1, 0),
    high=st.integers(0, 3),
)


@given(found=st.lists(specs, max_size=4, unique_by=lambda spec: spec.name), classes=st.integers(1, 4))
def test_the_output_that_says_the_class_is_one_rule(found: list[TensorInfo], classes: int) -> None:
    places = [s.name for s in found if prod(s.shape) == 1 and (s.frac_bits, s.low, s.high) == (0, 0, classes - 1)]
    scores = [s.name for s in found if prod(s.shape) == classes > 1]
    assert label_output(found, classes) == (min(places) if places else min(scores, default=None))
    assert label_output(found[::-1], classes) == label_output(found, classes)


@given(rows=st.lists(st.lists(st.integers(-(1 << 63), (1 << 63) - 1), min_size=3, max_size=3), min_size=1, max_size=5))
def test_the_highest_score_counts_and_of_equal_ones_the_first(rows: list[list[int]]) -> None:
    made = from_array("scores", np.array(rows, np.int64))
    tensor = Tensor(made.name, made.shape, made.data)
    assert integers_of(tensor) == [value for row in rows for value in row]
    assert labels_of(tensor, LABELS) == tuple(LABELS[int(np.argmax(np.array(row, np.int64)))] for row in rows)


def test_a_run_reads_what_is_stored_of_its_model_once(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    name = register(chain, classifier(LABELS, INDEX))
    reads: Counter[tuple[str, bytes]] = Counter()
    original = Context.read

    def read(self: Context, module: str, key: bytes) -> bytes | None:
        reads[module, key] += 1
        return original(self, module, key)

    transaction = chain.transaction(inferring(name, {"x": ROWS}), signer=chain.account("alice"))
    monkeypatch.setattr(Context, "read", read)
    outcome = chain.application.simulate(transaction)
    assert outcome.receipt.is_ok
    of_model = {where: count for where, count in reads.items() if name in where[1] and where[0] != "oracle"}
    assert {module for module, _ in of_model} == {"registry", "runtime"}
    assert set(of_model.values()) == {1}


# --- what is refused -------------------------------------------------------------------------------------------------


def test_invalid_run_of_a_retired_model(chain: Chain, fails: Any) -> None:
    name, alice = register(chain, classifier(LABELS, INDEX)), chain.account("alice")
    assert chain.submit(Registry.retire.build(model=name), signer=alice).is_ok
    fails(chain, inferring(name, {"x": ROWS}), alice, ModelRetired(model=name))


def test_invalid_run_of_a_model_that_is_not_approved(chain: Chain, fails: Any) -> None:
    name, alice = register(chain, classifier(LABELS, INDEX)), chain.account("alice")
    chain.root(Registry.revoke.build(model=name))
    fails(chain, inferring(name, {"x": ROWS}), alice, ModelNotApproved(model=name))


def test_invalid_run_in_the_block_that_retires_the_model(chain: Chain) -> None:
    """What was computed ahead of the block is not what counts."""
    name, alice = register(chain, classifier(LABELS, INDEX)), chain.account("alice")
    nonce = chain.nonce(alice.id)
    calls = (inferring(name, {"x": ROWS}), Registry.retire.build(model=name), inferring(name, {"x": ROWS[:1]}))
    executed = chain.block([chain.transaction(made, signer=alice, nonce=nonce + at) for at, made in enumerate(calls)])
    assert [receipt.is_ok for receipt in executed.receipts] == [True, True, False]
    assert chain.error(executed.receipts[2]) == ModelRetired(model=name)
    assert executed.faults == ()
