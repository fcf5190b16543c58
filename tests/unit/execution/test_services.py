"""Blobs and inference as modules see them: metered, rolled back with the call, the same on every node."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import pytest

from runtime import (
    U32,
    Blobs,
    Hash,
    Inference,
    Item,
    MaxLen,
    ModelInfo,
    Module,
    Signed,
    Tensor,
    Uses,
    call,
    query,
)
from runtime.execution import Chain
from runtime.execution.inference_port import EnginePort
from runtime.inference import TensorSpec, encode_graph, interpret, model_hash, to_arrays
from runtime.inference.graph import Gemm
from runtime.limits import BLOB_CHUNK_BYTES_MAX
from runtime.module import ChunkMissing, InputRefused, ModelRefused, ModelUnknown, OutOfGas
from runtime.module.services import Tensors
from runtime.state import BlobMissing, blob_root, chunk_hash
from runtime.testing.graphs import wrap

Chunks = Annotated[tuple[Hash, ...], MaxLen(8)]


class Lab(Module):
    """Uses everything that the runtime offers, for whoever asks."""

    name = "lab"
    blobs: Uses[Blobs]
    inference: Uses[Inference]
    outputs: Item[Tensors] = Item(default=())

    @call(gas=0)
    def put(self, origin: Signed, *, data: Annotated[bytes, MaxLen(BLOB_CHUNK_BYTES_MAX)], times: U32) -> None:
        """Put a chunk so often."""
        for _ in range(times):
            self.blobs.put_chunk(data)

    @call(gas=0)
    def drop(self, origin: Signed, *, chunk: Hash) -> None:
        """Drop a chunk."""
        self.blobs.drop_chunk(chunk)

    @call(gas=0)
    def admit(self, origin: Signed, *, chunks: Chunks, nodes_max: U32) -> None:
        """Admit a model."""
        self.inference.admit(chunks, nodes_max=nodes_max)

    @call(gas=0)
    def forget(self, origin: Signed, *, model: Hash) -> None:
        """Forget a model."""
        self.inference.forget(model)

    @call(gas=0)
    def run(self, origin: Signed, *, model: Hash, inputs: Tensors) -> None:
        """Run a model and keep what comes out."""
        self.outputs = self.inference.run(model, inputs)

    @query
    def describe(self, *, model: Hash) -> ModelInfo | None:
        """What is known."""
        return self.inference.describe(model)

    @query
    def root_of(self, *, chunks: Chunks) -> Hash:
        """A blob's identity."""
        return self.blobs.blob_root(chunks)

    @query
    def read(self, *, chunk: Hash) -> Annotated[bytes, MaxLen(BLOB_CHUNK_BYTES_MAX)]:
        """A chunk."""
        assert self.blobs.chunk_bytes(chunk) > 0
        return self.blobs.read_chunk(chunk)

    @query
    def last(self) -> Tensors:
        """What came out last."""
        return self.outputs


MODEL = encode_graph(
    wrap([TensorSpec("x", (2,), 0, -100, 100)], [np.array([[3, -2]]), np.array([7])], [Gemm(0, 0, 1, None)], (1,))
)
NAME = model_hash(MODEL)
CHUNKS = (MODEL[:50], MODEL[50:])
NAMES = tuple(chunk_hash(chunk) for chunk in CHUNKS)


def rows(*values: tuple[int, int], name: str = "x") -> tuple[Tensor, ...]:
    return (Tensor(name, (len(values), 2), np.array(values, "<i8").tobytes()),)


@pytest.fixture(scope="module")
def engine() -> EnginePort:
    return EnginePort()


@pytest.fixture
def lab(engine: EnginePort) -> Chain:
    return Chain(Lab, engine=engine)


def do(lab: Chain, *calls: Any, **options: Any) -> Any:
    receipt = lab.submit(*calls, signer=lab.account("alice"), **options)
    return lab.error(receipt)


def put(lab: Chain) -> None:
    for chunk in CHUNKS:
        assert do(lab, Lab.put.build(data=chunk, times=1)) is None


def admitted(lab: Chain) -> Chain:
    put(lab)
    assert do(lab, Lab.admit.build(chunks=NAMES, nodes_max=1)) is None
    return lab


def test_a_chunk_is_held_while_it_is_referred_to(lab: Chain) -> None:
    data = b"some bytes"
    name = chunk_hash(data)
    assert do(lab, Lab.put.build(data=data, times=2)) is None
    assert lab.query(Lab.read, chunk=name) == data
    assert lab.application.live_chunks() == {name}
    assert do(lab, Lab.drop.build(chunk=name)) is None
    assert lab.application.live_chunks() == {name}
    assert do(lab, Lab.drop.build(chunk=name)) is None
    assert lab.application.live_chunks() == frozenset()
    assert do(lab, Lab.drop.build(chunk=name)) == ChunkMissing(chunk=name)
    assert lab.query(Lab.root_of, chunks=NAMES) == blob_root(CHUNKS)


def test_a_failed_call_keeps_no_chunk(lab: Chain) -> None:
    data = b"gone"
    missing = Hash(b"\x01" * 32)
    assert do(lab, Lab.put.build(data=data, times=1), Lab.drop.build(chunk=missing)) == ChunkMissing(chunk=missing)
    assert lab.application.live_chunks() == frozenset()
    assert lab.application.store.blobs.get(chunk_hash(data)) is None


def test_what_the_store_happens_to_hold_is_not_readable(lab: Chain) -> None:
    """A chunk left by a block that was never decided is there on one node only: state decides, not the disk."""
    (name,) = lab.application.store.blobs.put([b"left over"])
    assert do(lab, Lab.drop.build(chunk=name)) == ChunkMissing(chunk=name)
    assert do(lab, Lab.admit.build(chunks=(name,), nodes_max=1)) == ChunkMissing(chunk=name)


def test_invalid_chunk_that_this_node_lost_stops_it(lab: Chain) -> None:
    put(lab)
    lab.application.store.blobs.remove(NAMES)
    with pytest.raises(BlobMissing):
        do(lab, Lab.admit.build(chunks=NAMES, nodes_max=1))


def test_a_model_runs_as_the_reference_computes(lab: Chain) -> None:
    admitted(lab)
    inputs = rows((1, 2), (-100, 100))
    assert do(lab, Lab.run.build(model=NAME, inputs=inputs)) is None
    expected = interpret(MODEL, to_arrays(engine_tensors(inputs)))
    found = to_arrays(engine_tensors(lab.query(Lab.last)))
    assert found.keys() == expected.keys() == {"y"}
    np.testing.assert_array_equal(found["y"], expected["y"])
    np.testing.assert_array_equal(found["y"], [[6], [-493]])


def engine_tensors(tensors: tuple[Tensor, ...]) -> list[Any]:
    from runtime.inference import Tensor as EngineTensor

    return [EngineTensor(tensor.name, tensor.shape, tensor.data) for tensor in tensors]


def test_a_verified_model_is_described(lab: Chain) -> None:
    info = admitted(lab).query(Lab.describe, model=NAME)
    assert info is not None
    assert (info.model, info.blob, info.size_bytes) == (NAME, blob_root(CHUNKS), len(MODEL))
    assert [(spec.name, spec.shape, spec.low, spec.high) for spec in info.inputs] == [("x", (2,), -100, 100)]
    assert [spec.name for spec in info.outputs] == ["y"]
    assert lab.query(Lab.describe, model=Hash(b"\x01" * 32)) is None


def test_a_run_is_charged_by_the_proven_cost_whether_loaded_or_not(lab: Chain) -> None:
    info = admitted(lab).query(Lab.describe, model=NAME)
    assert info is not None
    alice = lab.account("alice")
    used = [
        lab.submit(Lab.run.build(model=NAME, inputs=rows(*[(1, 2)] * count)), signer=alice, gas_limit=10**9).gas_used
        for count in (1, 1, 1)
    ]
    assert used[1] == used[2]
    assert used[0] > info.gas_load + info.gas_fixed + info.gas_per_row
    enough = lab.simulate(Lab.run.build(model=NAME, inputs=rows((1, 2))), signer=alice, gas_limit=info.gas_load)
    assert enough.receipt.error is not None
    assert enough.receipt.error.name == OutOfGas.__name__


def test_verification_is_charged_before_it_starts(lab: Chain, engine: EnginePort) -> None:
    put(lab)
    dear = Lab.admit.build(chunks=NAMES, nodes_max=60_000)
    assert isinstance(do(lab, dear, gas_limit=engine.verification_gas(len(MODEL), 1)), OutOfGas)
    assert lab.query(Lab.describe, model=NAME) is None


def test_invalid_models(lab: Chain) -> None:
    put(lab)
    refused = do(lab, Lab.admit.build(chunks=NAMES[:1], nodes_max=1))
    assert isinstance(refused, ModelRefused)
    assert "canonical encoding" in refused.rule
    too_few = do(lab, Lab.admit.build(chunks=NAMES, nodes_max=0))
    assert isinstance(too_few, ModelRefused)
    assert do(lab, Lab.run.build(model=NAME, inputs=rows((1, 2)))) == ModelUnknown(model=NAME)


@pytest.mark.parametrize(
    ("inputs", "tensor"),
    [
        (rows((1, 101)), "x"),
        (rows((1, 2), name="z"), "z"),
        ((), "x"),
        ((Tensor("x", (1, 3), bytes(24)),), "x"),
        ((Tensor("x", (1, 2), bytes(15)),), "x"),
        ((Tensor("x", (0, 2), b""),), "x"),
        ((Tensor("x", (), b""),), "x"),
        ((*rows((1, 2)), *rows((1, 2))), "x"),
    ],
)
def test_invalid_inputs_name_the_tensor(lab: Chain, inputs: tuple[Tensor, ...], tensor: str) -> None:
    admitted(lab)
    error = do(lab, Lab.run.build(model=NAME, inputs=inputs))
    assert isinstance(error, InputRefused), lab.explanation
    assert error.tensor == tensor
    assert lab.query(Lab.last) == ()


def test_a_forgotten_model_is_unknown(lab: Chain) -> None:
    admitted(lab)
    assert do(lab, Lab.forget.build(model=NAME)) is None
    assert lab.query(Lab.describe, model=NAME) is None
    assert do(lab, Lab.forget.build(model=NAME)) == ModelUnknown(model=NAME)
    assert do(lab, Lab.admit.build(chunks=NAMES, nodes_max=1)) is None


def test_another_node_loads_the_model_from_its_chunks(lab: Chain) -> None:
    """An engine that never saw the model comes to the same roots: bytes come from the blobs when they are needed."""
    admitted(lab)
    fresh = Chain(Lab, engine=EnginePort())
    admitted(fresh)
    fresh.application.composition.engine = EnginePort()
    run = Lab.run.build(model=NAME, inputs=rows((5, 6)))
    for chain in (lab, fresh):
        assert do(chain, run) is None
    assert lab.application.state_root == fresh.application.state_root


def test_invalid_model_on_a_chain_without_an_engine() -> None:
    chain = Chain(Lab)
    put(chain)
    assert isinstance(do(chain, Lab.admit.build(chunks=NAMES, nodes_max=1)), ModelRefused)
