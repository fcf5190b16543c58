"""The runtime's own module, `runtime`: in every chain, first. It keeps what the runtime itself must remember in state,
and provides Blobs and Inference to the others; so that services are found, bound, metered and rolled back like modules.

Lives here: block stamp, effective validators, changes of parameters, chunks and verified models. Must not: know which
modules use them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Final, Protocol, cast

from runtime.codec import codec
from runtime.errors import CodecError
from runtime.execution.genesis import MODULE_PARAMS_BYTES_MAX
from runtime.execution.params import Frame, RuntimeParams
from runtime.limits import BLOB_CHUNKS_MAX
from runtime.module import (
    Call,
    CallError,
    ChunkMissing,
    Event,
    Item,
    Map,
    ModelInfo,
    ModelRefused,
    ModelUnknown,
    Module,
    ModuleParams,
    Root,
    RootCalls,
    RootOutcome,
    Tensor,
    call,
    query,
)
from runtime.module import gas as prices
from runtime.module.errors import RUNTIME_ERRORS, BoundExceeded, Text
from runtime.module.params import PARAMS_KEY
from runtime.module.roles import ValidatorPowers
from runtime.module.services import InputRefused
from runtime.state import BlobMissing, blob_root_of
from runtime.types import U32, U64, Hash, MaxLen, Name, Struct

NAME: Final = "runtime"


class ModelEngine(Protocol):
    """What the runtime needs of exact inference; runtime.execution.inference_port fits runtime.inference to it."""

    def verification_gas(self, size_bytes: int, nodes: int) -> int:
        """The price of verifying a model of so many bytes, and at most so many nodes."""
        ...

    def verify(self, model: bytes, blob: Hash, nodes_max: int) -> ModelInfo:
        """Proves the model. Raises ModelRefused."""
        ...

    def run(self, model: Hash, load: Callable[[], bytes], inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Runs it; `load` gives its bytes where it is not in memory. Raises InputRefused."""
        ...

    def run_many(
        self, model: Hash, load: Callable[[], bytes], batch: tuple[tuple[Tensor, ...], ...]
    ) -> tuple[tuple[Tensor, ...] | None, ...]:
        """Runs it on each of these inputs, together; None where `run` would raise InputRefused."""
        ...


class BlockStamp(Struct):
    """The last block's height and time."""

    height: U64
    time_ms: U64


class ChunkRecord(Struct):
    """A chunk that the chain refers to: its size, and how often."""

    size_bytes: U32
    references: U32


class ModelRecord(Struct):
    """A verified model, and in how many chunks its bytes are."""

    info: ModelInfo
    chunks: U32


SEGMENT_CHUNKS: Final = 1024
ChunkSegment = Annotated[tuple[Hash, ...], MaxLen(SEGMENT_CHUNKS)]
"""Part of a model's list of chunks: the whole list may be longer than one stored value."""


class HookFailed(Event):
    """A hook was rolled back. error: its name, "tokens.InsufficientBalance"."""

    module: Name
    hook: Text
    error: Text


class ValidatorsRefused(Event):
    """The validators module proposed a set that cannot be; the set stays as it was."""

    reason: Text


ParamsBytes = Annotated[bytes, MaxLen(MODULE_PARAMS_BYTES_MAX)]


class ParamsChanged(Event):
    """A module has other parameters from here on: the canonical bytes of its Params."""

    module: Name
    params: ParamsBytes


class NoParams(CallError):
    """No module of this chain has this name and parameters."""

    module: Name


class ParamsRefused(CallError):
    """The bytes are not the canonical bytes of the module's Params."""

    module: Name


class ParamOutOfRange(CallError):
    """A parameter of the runtime is outside of what it can be on this chain."""

    param: Name
    low: U64
    high: U64


class ModelTooLarge(CallError):
    """One row takes more memory than the chain allows a model's run: see the parameter model_memory_bytes_max."""

    memory_bytes: U64
    limit: U64


class ModelTooSlow(CallError):
    """One row takes more gas than a block has for transactions, so nobody could run the model: see the parameters
    block_gas_max and inference_gas_percent."""

    gas: U64
    limit: U64


class Core(Module):
    """What the runtime keeps in state for itself, changes of modules' parameters, and the services offered to them."""

    name = NAME
    events = (HookFailed, ValidatorsRefused, ParamsChanged)
    errors = (
        *(*RUNTIME_ERRORS, NoParams, ParamsRefused, ParamOutOfRange),
        *(ChunkMissing, ModelUnknown, ModelRefused, ModelTooLarge, ModelTooSlow, InputRefused),
    )

    genesis_hash: Item[Hash] = Item()
    stamp: Item[BlockStamp] = Item()
    effective_validators: Item[ValidatorPowers] = Item(default=())
    chunks: Map[Hash, ChunkRecord] = Map()
    models: Map[Hash, ModelRecord] = Map()
    model_chunks: Map[tuple[Hash, U32], ChunkSegment] = Map()

    Params = RuntimeParams

    def check_params(self) -> None:
        """Prices and bounds stay where every node can follow, and where a next decision is possible. Raises
        ParamOutOfRange."""
        params = self.params
        for name, (low, high) in self._frame.ranges(params).items():
            if not low <= getattr(params, name) <= high:
                raise ParamOutOfRange(param=Name(name), low=low, high=high)

    @property
    def _frame(self) -> Frame:
        return cast("Frame", self._bound["frame"])

    @property
    def _in_force(self) -> RuntimeParams:
        """The parameters by which this block runs; `params` are those from the next block on."""
        return cast("RuntimeParams", self._bound["in_force"])

    @query
    def validators_at(self) -> ValidatorPowers:
        """The validator set that this height's updates lead to; it acts two heights later."""
        return self.effective_validators

    @query
    def last_block(self) -> BlockStamp:
        """Height and time of the last block."""
        return self.stamp

    # --- parameters

    @call(gas=60_000)
    def set_params(self, origin: Root, *, module: Name, params: ParamsBytes) -> None:
        """Give a module other parameters, all of them: the canonical bytes of its Params. Refused where they are not of
        their types, or where the module says that they cannot be."""
        kind = self._params_type(module)
        if kind is None:
            raise NoParams(module=module)
        try:
            self._context.decode(codec(kind), params)
        except CodecError as error:
            refused = ParamsRefused(module=module)
            refused.add_note(str(error))
            raise refused from None
        self._context.write(module, PARAMS_KEY, params)
        self._modules[module].check_params()
        self.emit(ParamsChanged(module=module, params=params))

    @query
    def params_of(self, *, module: Name) -> ParamsBytes | None:
        """The canonical bytes of a module's parameters at this height; nothing where it has none."""
        return None if self._params_type(module) is None else self._context.read(module, PARAMS_KEY)

    @property
    def _modules(self) -> Mapping[str, Module]:
        return cast("Mapping[str, Module]", self._bound["modules"])

    def _params_type(self, module: str) -> type[ModuleParams] | None:
        found = self._modules.get(module)
        return None if found is None else found.metadata().params

    # --- RootCalls, for the module with the role `governance` alone (composition.py sees to that)

    @property
    def _root(self) -> RootCalls:
        return cast("RootCalls", self._bound["root"])

    def check_root_calls(self, calls: tuple[Call, ...]) -> None:
        """As RootCalls."""
        self._root.check_root_calls(calls)

    def run_as_root(self, calls: tuple[Call, ...], *, gas_limit: int) -> RootOutcome:
        """As RootCalls."""
        return self._root.run_as_root(calls, gas_limit=gas_limit)

    # --- Blobs

    def put_chunk(self, data: bytes) -> Hash:
        """As Blobs."""
        self.charge(prices.BLOB_PUT_GAS + prices.BLOB_PUT_BYTE_GAS * len(data))
        chunk = self._context.put_blob(self.name, data)
        record = self.chunks.get(chunk)
        references = 1 if record is None else record.references + 1
        self.chunks[chunk] = ChunkRecord(len(data), references)
        return chunk

    def drop_chunk(self, chunk: Hash) -> None:
        """As Blobs."""
        record = self._chunk(chunk)
        if record.references == 1:
            del self.chunks[chunk]
        else:
            self.chunks[chunk] = ChunkRecord(record.size_bytes, record.references - 1)

    def chunk_bytes(self, chunk: Hash) -> int:
        """As Blobs."""
        return self._chunk(chunk).size_bytes

    def read_chunk(self, chunk: Hash) -> bytes:
        """As Blobs."""
        size = self._chunk(chunk).size_bytes
        self.charge(prices.BLOB_READ_GAS + prices.BLOB_READ_BYTE_GAS * size)
        return self._held(chunk)

    def blob_root(self, chunks: tuple[Hash, ...]) -> Hash:
        """As Blobs."""
        if len(chunks) > BLOB_CHUNKS_MAX:
            raise BoundExceeded(what="blob, chunks", size=len(chunks), limit=BLOB_CHUNKS_MAX)
        self.charge(prices.READ_GAS * (1 + len(chunks)))
        return blob_root_of(chunks)

    def _chunk(self, chunk: Hash) -> ChunkRecord:
        record = self.chunks.get(chunk)
        if record is None:
            raise ChunkMissing(chunk=chunk)
        return record

    def _held(self, chunk: Hash) -> bytes:
        data = self._context.state.get_blob(chunk)
        if data is None:
            raise BlobMissing(chunk)
        return data

    # --- Inference

    @property
    def _engine(self) -> ModelEngine:
        return cast("ModelEngine", self._bound["engine"])

    def admit(self, chunks: tuple[Hash, ...], *, nodes_max: int) -> ModelInfo:
        """As Inference."""
        blob = self.blob_root(chunks)
        size = sum(self.chunk_bytes(chunk) for chunk in chunks)
        self.charge(self._engine.verification_gas(size, nodes_max))
        model = b"".join([self.read_chunk(chunk) for chunk in chunks])
        info = self._engine.verify(model, blob, nodes_max)
        if self.height > 0:  # what a chain before this one admitted stands; `run` judges it by today's bound anyway
            self._check_memory(info)
            self._check_time(info)
        if info.model not in self.models:
            self.models[info.model] = ModelRecord(info, len(chunks))
            for number, at in enumerate(range(0, len(chunks), SEGMENT_CHUNKS)):
                self.model_chunks[info.model, number] = chunks[at : at + SEGMENT_CHUNKS]
        return info

    def describe(self, model: Hash) -> ModelInfo | None:
        """As Inference."""
        record = self.models.get(model)
        return None if record is None else record.info

    def forget(self, model: Hash) -> None:
        """As Inference."""
        record = self.models.get(model)
        if record is None:
            raise ModelUnknown(model=model)
        for number in range(_segments(record)):
            del self.model_chunks[model, number]
        del self.models[model]

    def run(self, model: Hash, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """As Inference."""
        record = self.models.get(model)
        if record is None:
            raise ModelUnknown(model=model)
        info = record.info
        self._check_memory(info)
        rows = inputs[0].shape[0] if inputs and inputs[0].shape else 1
        self.charge(self._in_force.inference_gas(info.gas_load + info.gas_fixed + max(rows, 1) * info.gas_per_row))
        self.charge(_segments(record) * prices.READ_GAS)
        return self._engine.run(model, lambda: self._load(model, record), inputs)

    def run_ahead(self, model: Hash, batch: tuple[tuple[Tensor, ...], ...]) -> None:
        """Has the engine run what a coming block may ask for. Charges nothing and changes nothing: it is of use where
        the engine remembers. Raises as `run` does, but for inputs: what does not fit the model is left out."""
        record = self.models.get(model)
        if record is None:
            raise ModelUnknown(model=model)
        self._check_memory(record.info)
        self._engine.run_many(model, lambda: self._load(model, record), batch)

    def _check_memory(self, info: ModelInfo) -> None:
        limit = self._in_force.model_memory_bytes_max
        if info.memory_bytes > limit:
            raise ModelTooLarge(memory_bytes=info.memory_bytes, limit=limit)

    def _check_time(self, info: ModelInfo) -> None:
        limit = self._in_force.block_gas_max - self._frame.hook_gas
        gas = self._in_force.inference_gas(info.gas_load + info.gas_fixed + info.gas_per_row)
        if gas > limit:
            raise ModelTooSlow(gas=gas, limit=limit)

    def _load(self, model: Hash, record: ModelRecord) -> bytes:
        """The model's bytes. Uncharged, for only some nodes need them: `gas_load` was charged to all."""
        chunks: list[Hash] = []
        for number in range(_segments(record)):
            data = self._context.state.get(self.name, self.model_chunks.storage_key((model, number)))
            chunks += codec(ChunkSegment).decode(data) if data is not None else ()
        return b"".join([self._held(chunk) for chunk in chunks])


def _segments(record: ModelRecord) -> int:
    return -(-record.chunks // SEGMENT_CHUNKS)


class NoEngine:
    """In place of an engine where a chain was composed without one: every use fails, naming that."""

    def verification_gas(self, size_bytes: int, nodes: int) -> int:
        """Nothing is verified, so nothing is charged."""
        return 0

    def verify(self, model: bytes, blob: Hash, nodes_max: int) -> ModelInfo:
        """Refuses."""
        raise ModelRefused(node="engine", rule="this chain was composed without inference")

    def run(self, model: Hash, load: Callable[[], bytes], inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Refuses; unreachable while `verify` refuses."""
        raise ModelUnknown(model=model)

    def run_many(
        self, model: Hash, load: Callable[[], bytes], batch: tuple[tuple[Tensor, ...], ...]
    ) -> tuple[tuple[Tensor, ...] | None, ...]:
        """Refuses; unreachable while `verify` refuses."""
        raise ModelUnknown(model=model)
