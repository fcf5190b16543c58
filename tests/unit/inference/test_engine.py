"""The engine's bookkeeping: verdicts, sessions, memory, chunks and threads change no bit of a result."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.inference import Engine, InvalidInput, Refused, TensorSpec, encode_graph, interpret, model_hash, verify
from runtime.inference import engine as engine_module
from runtime.inference import graph as ops
from runtime.inference.emit import emit
from runtime.inference.library import onnxruntime
from runtime.inference.writer import INLINE_ELEMENTS_MAX
from runtime.testing.graphs import tight_weights, wrap


def mlp(seed: int = 0) -> bytes:
    random = np.random.default_rng(seed)
    constants = [tight_weights(random, (40, 30), 1 << 33), np.full(40, 20), tight_weights(random, (5, 40), 1 << 20)]
    nodes: list[Any] = [ops.Gemm(0, 0, None, 1), ops.Clip(1, -(1 << 20), 1 << 20), ops.Gemm(2, 2, None, None)]
    return encode_graph(wrap([TensorSpec("x", (30,), 16, -(1 << 20), 1 << 20)], constants, nodes, (5,)))


def rows(count: int) -> dict[str, Any]:
    return {"x": np.random.default_rng(7).integers(-(1 << 20), 1 << 20, size=(count, 30), endpoint=True)}


def test_rows_in_chunks_give_what_rows_together_give() -> None:
    model, inputs = mlp(), rows(57)
    expected = Engine().run(model, inputs)["y"]
    small = Engine(memory_bytes=verify(model).cost.memory_bytes + 3 * verify(model).cost.memory_bytes_per_row)
    assert np.array_equal(small.run(model, inputs)["y"], expected)
    assert np.array_equal(interpret(model, inputs)["y"], expected)


@given(st.integers(1, 40), st.integers(1, 5), st.integers(0, 12), st.sampled_from([1, 20_000, 1 << 40]))
def test_threads_and_chunks_change_no_bit(count: int, threads: int, spare: int, piece_gas: int) -> None:
    model, inputs = mlp(), rows(count)
    cost = verify(model).cost
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_module, "PIECE_GAS_MIN", piece_gas)
        shared = Engine(memory_bytes=cost.memory_bytes + spare * cost.memory_bytes_per_row, threads=threads)
        assert np.array_equal(shared.run(model, inputs)["y"], Engine().run(model, inputs)["y"])


@pytest.mark.parametrize(("rows_near", "fixed"), [(5, 0), (5, 1), (1000, 0)])
def test_rows_run_in_pieces_that_stay_in_the_caches(
    monkeypatch: pytest.MonkeyPatch, rows_near: int, fixed: int
) -> None:
    """But in none so small that what a run costs once would weigh more than its rows."""
    model, starts = mlp(), list[int]()
    cost = verify(model).cost
    once = -(-cost.gas_fixed // cost.gas_per_row)
    assert 5 < once < 1000
    inputs = rows(once + 20)
    expected = -(-(once + 20) // max(rows_near, fixed * once))
    alone = Engine().run(model, inputs)["y"]
    piece = engine_module._Loaded._piece

    def watched(self: Any, given: Any, start: int, size: int) -> Any:
        starts.append(start)
        return piece(self, given, start, size)

    monkeypatch.setattr(engine_module._Loaded, "_piece", watched)
    bytes_near = rows_near * cost.memory_bytes_per_row
    for name, value in (("PIECE_BYTES", bytes_near), ("PIECE_FIXED", fixed), ("PIECE_GAS_MIN", 1)):
        monkeypatch.setattr(engine_module, name, value)
    assert np.array_equal(Engine().run(model, inputs)["y"], alone)
    assert len(starts) == expected


def test_rows_are_shared_out_to_threads_where_they_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int]] = []
    piece = engine_module._Loaded._piece

    def watched(self: Any, inputs: Any, start: int, size: int) -> Any:
        seen.append((threading.current_thread().name, start))
        return piece(self, inputs, start, size)

    monkeypatch.setattr(engine_module._Loaded, "_piece", watched)
    engine, worth = Engine(threads=3), -(-engine_module.PIECE_GAS_MIN // verify(mlp()).cost.gas_per_row)
    engine.run(mlp(), rows(worth))
    assert seen == [(threading.current_thread().name, 0)]
    seen.clear()
    engine.run(mlp(), rows(3 * worth))
    assert sorted(start for _, start in seen) == [0, worth, 2 * worth]
    assert all(name.startswith("inference") for name, _ in seen)


def test_an_engine_may_be_shared_by_threads() -> None:
    model, inputs = mlp(), rows(64)
    shared, expected = Engine(threads=2), Engine().run(model, inputs)["y"]
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: shared.run(model, inputs)["y"], range(40)):
            assert np.array_equal(found, expected)


def test_the_longest_unused_models_are_dropped_and_come_back_equal() -> None:
    models = [mlp(seed) for seed in range(4)]
    cost = verify(models[0]).cost
    engine = Engine(memory_bytes=2 * cost.memory_bytes + 4 * cost.memory_bytes_per_row)
    first = [engine.run(model, rows(2))["y"] for model in models]
    assert engine.loaded == (model_hash(models[2]), model_hash(models[3]))
    engine.run(models[2], rows(1))
    engine.run(models[0], rows(1))
    assert engine.loaded == (model_hash(models[2]), model_hash(models[0]))
    assert all(np.array_equal(engine.run(model, rows(2))["y"], y) for model, y in zip(models, first, strict=True))


def test_room_is_made_before_a_model_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held never goes beyond the memory, not while a model is in the making either."""
    models = [mlp(seed) for seed in range(3)]
    cost = verify(models[0]).cost
    engine, held = Engine(memory_bytes=2 * cost.memory_bytes + cost.memory_bytes // 2), list[int]()
    session = engine_module._session

    def watched(emitted: Any) -> Any:
        held.append(len(engine.loaded))
        return session(emitted)

    monkeypatch.setattr(engine_module, "_session", watched)
    for model in models:
        engine.run(model, rows(1))
    assert held == [0, 1, 1]


def test_nodes_run_in_the_order_in_which_they_stand(tmp_path: Path) -> None:
    """Memory is proven for this order. In onnxruntime's own, all summands of a long sum would be made first."""
    nodes: list[Any] = [ops.Rescale(0, 1)]
    for _ in range(9):
        nodes += [ops.Rescale(0, 1), ops.Add(len(nodes), len(nodes) + 1)]
    verified = verify(encode_graph(wrap([TensorSpec("x", (8,), 0, 0, 9)], [], nodes, (8,))))
    options = engine_module._options()
    options.enable_profiling, options.profile_file_prefix = True, str(tmp_path / "profile")
    session = onnxruntime.InferenceSession(emit(verified).model, options)
    session.run(None, {"i0": np.ones((1, 8), np.int64)})
    events = json.loads(Path(session.end_profiling()).read_text())
    order = [int(event["args"]["node_index"]) for event in events if str(event["name"]).endswith("_kernel_time")]
    assert len(order) > 20
    assert order == sorted(order)


def test_a_model_larger_than_the_memory_still_runs() -> None:
    engine = Engine(memory_bytes=1)
    assert np.array_equal(engine.run(mlp(), rows(3))["y"], Engine().run(mlp(), rows(3))["y"])
    assert engine.loaded == (model_hash(mlp()),)


WRONG: dict[str, dict[str, Any]] = {
    "values": {"x": np.full((2, 30), 1 << 30)},
    "shape": {"x": np.zeros((1, 29), np.int64)},
    "no rows": {"x": np.zeros((0, 30), np.int64)},
    "no integers": {"x": np.zeros((1, 30))},
    "another input": {"z": np.zeros((1, 30), np.int64)},
}


@given(st.lists(st.sampled_from([1, 2, 5, *WRONG])))
def test_many_requests_together_get_what_each_gets_alone(wanted: list[int | str]) -> None:
    engine, model = Engine(), mlp()
    batch = [rows(each) if isinstance(each, int) else WRONG[each] for each in wanted]
    found = engine.run_many_by_hash(model_hash(model), lambda: model, batch)
    assert len(found) == len(batch)
    for inputs, made in zip(batch, found, strict=True):
        try:
            alone = engine.run(model, inputs)["y"]
        except InvalidInput:
            assert made is None
        else:
            assert made is not None
            assert np.array_equal(made["y"], alone)


def test_a_loaded_model_is_neither_fetched_nor_verified_again(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, model = Engine(), mlp()
    expected = engine.run(model, rows(1))["y"]
    monkeypatch.setattr(engine_module, "verify", lambda model: pytest.fail("verified again"))
    found = engine.run_by_hash(model_hash(model), lambda: pytest.fail("fetched again"), rows(1))
    assert np.array_equal(found["y"], expected)


def test_invalid_bytes_fetched_for_another_hash() -> None:
    with pytest.raises(ValueError, match="fetched bytes of hash"):
        Engine().run_by_hash(model_hash(mlp(0)), lambda: mlp(1), rows(1))


def test_invalid_an_unverified_model_is_refused_each_time() -> None:
    engine = Engine()
    for _ in range(2):
        with pytest.raises(Refused, match="canonical encoding"):
            engine.run(b"not a model", rows(1))


def test_invalid_inputs_are_refused_before_the_engine_runs() -> None:
    with pytest.raises(InvalidInput, match="takes"):
        Engine().run(mlp(), {"x": np.full((1, 30), (1 << 20) + 1)})


def test_weights_do_not_pass_through_protobuf() -> None:
    """And no external file is named: the location is one that cannot be a file's."""
    emitted = emit(verify(mlp()))
    assert all(array.size > INLINE_ELEMENTS_MAX for array in emitted.arrays.values())
    model = onnx.load_model_from_string(emitted.model)
    named = {tensor.name: tensor for tensor in model.graph.initializer if tensor.external_data}
    assert named.keys() == emitted.arrays.keys() != set()
    assert not any(tensor.raw_data for tensor in named.values())


def test_what_is_emitted_has_one_symbolic_dimension_and_only_known_kernels() -> None:
    model = onnx.load_model_from_string(emit(verify(mlp())).model)
    for value in [*model.graph.input, *model.graph.output]:
        first, *others = value.type.tensor_type.shape.dim
        assert first.dim_param == "N"
        assert all(dim.dim_value > 0 for dim in others)
    assert {node.op_type for node in model.graph.node} == {"Cast", "Gemm", "Round", "Clip"}
    assert not model.functions
