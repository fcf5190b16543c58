"""The engine: runs verified graphs in onnxruntime. The one file of the runtime that uses it.

Bytes from outside never reach onnxruntime's or protobuf's parser: sessions are built from what emit.py writes for a
graph that the verifier proved. Optimisations are off: the kernels that run are the kernels of the proof.
A result is a function of (model, inputs) alone; sessions, batches, chunks and threads change no bit of it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import accumulate, pairwise
from operator import attrgetter
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from runtime.inference.arithmetic import Int64Array
from runtime.inference.emit import emit, finish
from runtime.inference.errors import InvalidInput, Refused
from runtime.inference.graph import TensorSpec, model_hash
from runtime.inference.library import onnxruntime
from runtime.inference.limits import ROWS_MAX
from runtime.inference.tensors import check_inputs, check_values
from runtime.inference.verifier import Verified, verify
from runtime.inference.writer import Emitted
from runtime.types import Hash

MEMORY_BYTES: Final = 1 << 30
REFUSALS_MAX: Final = 4096
PIECE_GAS_MIN: Final = 1_000_000
"""Of rows that a thread of its own is worth: a third of a millisecond on a current machine."""
PIECE_BYTES: Final = 1 << 25
"""Of the proven memory of rows that are run together: more leave the caches between two kernels. A transformer block
takes 1.4 times as long where 16 rows of 27 MiB are run at once."""
PIECE_FIXED: Final = 8
"""How many times what a run costs once, its rows are to cost."""

_Outputs = dict[str, Int64Array]
_DTYPE: Final = attrgetter("dtype")


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED  # as nodes stand: what lives when is proven so
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return options


def _session(emitted: Emitted) -> onnxruntime.InferenceSession:
    """The session copies the arrays that it is given."""
    options = _options()
    if emitted.arrays:
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in emitted.arrays.values()]
        options.add_external_initializers(list(emitted.arrays), values)
    return onnxruntime.InferenceSession(emitted.model, options, providers=["CPUExecutionProvider"])


def run_kernel(op: str, *operands: npt.NDArray[Any], **attributes: Any) -> npt.NDArray[Any]:
    """One kernel of onnxruntime on arrays, for the self-test: outside of any graph, so outside of any proof."""
    names = [f"i{number}" for number in range(len(operands))]
    values = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in zip(names, operands, strict=True)
    ]
    kind = TensorProto.INT64 if op == "ArgMax" else values[0].type.tensor_type.elem_type
    out = helper.make_tensor_value_info("o", kind, None)
    session = _session(Emitted(finish([helper.make_node(op, names, ["o"], **attributes)], values, [out], []), {}))
    result: npt.NDArray[Any] = session.run(None, dict(zip(names, operands, strict=True)))[0]
    return result


def _passes(specs: Sequence[TensorSpec], inputs: Mapping[str, npt.NDArray[Any]]) -> bool:
    with suppress(InvalidInput):
        check_inputs(specs, inputs)
        return True
    return False


def _together(
    specs: Sequence[TensorSpec], batch: Sequence[Mapping[str, npt.NDArray[Any]]]
) -> tuple[dict[str, npt.NDArray[Any]], list[int]] | None:
    """The inputs of the batch one after another, and where each begins and the last ends; None where `check_inputs`
    would not pass each. All at once: one by one takes longer than a small model."""
    if set(map(len, batch)) != {len(specs)}:
        return None
    joined: dict[str, npt.NDArray[Any]] = {}
    starts: set[tuple[int, ...]] = set()
    for spec in specs:
        try:
            arrays = [inputs[spec.name] for inputs in batch]
        except KeyError:
            return None
        if set(map(type, arrays)) != {np.ndarray} or set(map(_DTYPE, arrays)) != {np.dtype(np.int64)}:
            return None
        try:
            joined[spec.name] = np.concatenate(arrays)  # of one rank, with one shape of rows
        except ValueError:
            return None
        lengths = [*map(len, arrays)]
        if joined[spec.name].shape[1:] != spec.shape or not 1 <= min(lengths) <= max(lengths) <= ROWS_MAX:
            return None
        starts.add((0, *accumulate(lengths)))
    try:
        check_values(specs, joined)
    except InvalidInput:
        return None
    return (joined, [*starts.pop()]) if len(starts) == 1 else None


def _apart(array: Int64Array, starts: list[int]) -> Iterable[Int64Array]:
    """The rows from each start to the next. Requests of one length are cut at once: one by one takes half as long
    again."""
    size = starts[1]
    if starts == [*range(0, len(array) + 1, size)]:
        return array.reshape(-1, size, *array.shape[1:])
    return (array[start:end] for start, end in pairwise(starts))


class _Loaded:
    """A session, and the memory that it may hold: its arena keeps what the largest run took."""

    def __init__(self, verified: Verified) -> None:
        self.proven = verified.without_graph()
        self.session = _session(emit(verified))
        self.rows_most = 1

    @property
    def bytes_held(self) -> int:
        cost = self.proven.cost
        return cost.memory_bytes + (self.rows_most - 1) * cost.memory_bytes_per_row

    def run(self, inputs: Mapping[str, npt.NDArray[Any]], rows: int, rows_at_once: int, pool: _Pool) -> _Outputs:
        """Rows in pieces, small enough for the caches and for each thread of the pool to get one, no more than
        `rows_at_once` of them at any time."""
        cost = self.proven.cost
        gas_least = max(PIECE_GAS_MIN, PIECE_FIXED * cost.gas_fixed)
        worth, near = -(-PIECE_GAS_MIN // max(1, cost.gas_per_row)), PIECE_BYTES // max(1, cost.memory_bytes_per_row)
        near = max(near, -(-gas_least // max(1, cost.gas_per_row)))
        size = min(max(-(-rows // pool.threads), worth), near, rows_at_once // pool.threads)
        is_cut = worth <= size < rows
        starts = range(0, rows, size if is_cut else rows_at_once)
        parts = list((pool.map if is_cut else map)(lambda start: self._piece(inputs, start, starts.step), starts))
        return {
            spec.name: np.concatenate([part[number] for part in parts]) if len(parts) > 1 else parts[0][number]
            for number, spec in enumerate(self.proven.outputs)
        }

    def _piece(self, inputs: Mapping[str, npt.NDArray[Any]], start: int, size: int) -> list[Int64Array]:
        feed = {
            f"i{number}": np.ascontiguousarray(inputs[spec.name][start : start + size])
            for number, spec in enumerate(self.proven.inputs)
        }
        outputs: list[Int64Array] = self.session.run(None, feed)
        return outputs


class _Pool:
    """Threads that are there when first needed, as many as `threads`; none at all for one."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._executor = ThreadPoolExecutor(threads, "inference")

    def map(self, call: Callable[[int], list[Int64Array]], starts: Iterable[int]) -> Iterable[list[Int64Array]]:
        """The results in order. Raises what a call raises."""
        return map(call, starts) if self.threads == 1 else self._executor.map(call, starts)


class Engine:
    """Verifies, loads and runs models by their bytes.

    memory_bytes: how much loaded models may hold together, with the one that is being loaded or run; the longest unused
    are dropped before. A single model may hold more only if it must, for one row. threads: that the rows of a run are
    shared out to, where they take long enough; any number gives the same bits, since rows do not know of each other.
    Safe to share by threads: no lock is held while a model is verified, loaded or run.
    """

    def __init__(self, *, memory_bytes: int = MEMORY_BYTES, threads: int = 1) -> None:
        self._memory_bytes = memory_bytes
        self._pool = _Pool(threads)
        self._lock = threading.Lock()
        self._refusals: OrderedDict[Hash, Refused] = OrderedDict()
        self._loaded: OrderedDict[Hash, _Loaded] = OrderedDict()

    def run(self, model: bytes, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, Int64Array]:
        """The outputs for rows of inputs, by name, int64. Raises Refused for a model that is not proven, InvalidInput
        for inputs that are not the model's."""
        return self.run_by_hash(model_hash(model), lambda: model, inputs)

    def run_by_hash(
        self, identity: Hash, fetch: Callable[[], bytes], inputs: Mapping[str, npt.NDArray[Any]]
    ) -> dict[str, Int64Array]:
        """As `run`, for a caller that knows the model's hash: the bytes are fetched only if the model is not loaded.
        ValueError if what is fetched has another hash."""
        loaded = self._load(identity, fetch)
        return self._run(loaded, inputs, check_inputs(loaded.proven.inputs, inputs))

    def run_many_by_hash(
        self, identity: Hash, fetch: Callable[[], bytes], batch: Sequence[Mapping[str, npt.NDArray[Any]]]
    ) -> list[dict[str, Int64Array] | None]:
        """As `run_by_hash` for each of the batch, their rows run together. None where `run_by_hash` raises
        InvalidInput."""
        loaded = self._load(identity, fetch)
        specs = loaded.proven.inputs
        places: Sequence[int] = range(len(batch))
        together = _together(specs, batch)
        if together is None:
            places = [place for place in places if _passes(specs, batch[place])]
            together = _together(specs, [batch[place] for place in places])
        made: list[dict[str, Int64Array] | None] = [None] * len(batch)
        if together is None:
            return made
        inputs, starts = together
        outputs = self._run(loaded, inputs, starts[-1])
        parts: list[dict[str, Int64Array]] = [{} for _ in places]
        for name, array in outputs.items():
            for part, rows in zip(parts, _apart(array, starts), strict=True):
                part[name] = rows
        for place, part in zip(places, parts, strict=True):
            made[place] = part
        return made

    def _run(self, loaded: _Loaded, inputs: Mapping[str, npt.NDArray[Any]], rows: int) -> dict[str, Int64Array]:
        cost = loaded.proven.cost
        spare = max(0, self._memory_bytes - cost.memory_bytes)
        rows_at_once = 1 + spare // cost.memory_bytes_per_row
        loaded.rows_most = max(loaded.rows_most, min(rows, rows_at_once))
        self._evict(keep=loaded.proven.model_hash)
        return loaded.run(inputs, rows, rows_at_once, self._pool)

    def _judge(self, identity: Hash, model: bytes) -> Verified:
        """Verifies; a refusal is remembered."""
        try:
            return verify(model)
        except Refused as refused:
            with self._lock:
                self._refusals[identity] = Refused(refused.node, refused.rule, refused.values)
                while len(self._refusals) > REFUSALS_MAX:
                    self._refusals.popitem(last=False)
            raise

    def _load(self, identity: Hash, fetch: Callable[[], bytes]) -> _Loaded:
        with self._lock:
            loaded = self._loaded.get(identity)
            if loaded is not None:
                self._loaded.move_to_end(identity)
                return loaded
            refused = self._refusals.get(identity)
        if refused is not None:
            raise Refused(refused.node, refused.rule, refused.values)
        model = fetch()
        if model_hash(model) != identity:
            raise ValueError(f"fetched bytes of hash {model_hash(model).hex()}, expected {identity.hex()}")
        verified = self._judge(identity, model)
        self._make_room(verified.cost.memory_bytes)
        loaded = _Loaded(verified)
        with self._lock:
            return self._loaded.setdefault(identity, loaded)

    def _evict(self, keep: Hash) -> None:
        """Before `keep` runs, so that all fit while it does."""
        self._make_room(0, keep)

    def _make_room(self, coming: int, keep: Hash | None = None) -> None:
        """Drops the longest unused but `keep` until so many bytes fit beside the others."""
        with self._lock:
            held = coming + sum(loaded.bytes_held for loaded in self._loaded.values())
            for identity in [identity for identity in self._loaded if identity != keep]:
                if held <= self._memory_bytes:
                    return
                held -= self._loaded.pop(identity).bytes_held

    @property
    def loaded(self) -> tuple[Hash, ...]:
        """Models that are loaded, the longest unused first."""
        with self._lock:
            return tuple(self._loaded)
