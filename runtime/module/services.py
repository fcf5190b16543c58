"""What the runtime offers to modules: `blobs: Uses[Blobs]`, `inference: Uses[Inference]`, and to the one with the role
`governance` `root: Uses[RootCalls]`.

Narrow Protocols and their records, of plain wire types: no array library is imported here. The runtime's own module
`runtime` provides them (runtime.execution.core); each charges the caller's meter before it works.
"""

from __future__ import annotations

from typing import Annotated, Final, Protocol

from runtime.limits import TRANSACTION_BYTES_MAX
from runtime.module.errors import CallError, Text
from runtime.module.wire import Call
from runtime.types import I64, U8, U32, U64, Hash, MaxLen, Pattern, Struct

TENSORS_MAX: Final = 64
RANK_MAX: Final = 8

TensorName = Annotated[str, Pattern(r"[!-~]+", 128)]
NOTE_CHARACTERS_MAX: Final = 256
Note = Annotated[str, MaxLen(NOTE_CHARACTERS_MAX)]


class Tensor(Struct):
    """Rows of signed 64-bit integers: shape begins with the number of rows; data is row major, little endian, 8 bytes
    each. The wire form of runtime.inference.Tensor, byte for byte."""

    name: TensorName
    shape: Annotated[tuple[U32, ...], MaxLen(RANK_MAX)]
    data: Annotated[bytes, MaxLen(TRANSACTION_BYTES_MAX)]


Tensors = Annotated[tuple[Tensor, ...], MaxLen(TENSORS_MAX)]
"""Sorted by name, each name once."""


REQUESTS_MAX: Final = 64


class InferenceRequest(Struct):
    """A run that a call says it will ask for: `Inference.run(model, inputs)`."""

    model: Hash
    inputs: Tensors


InferenceRequests = Annotated[tuple[InferenceRequest, ...], MaxLen(REQUESTS_MAX)]
"""What a call's declaration `infers` gives."""


class TensorInfo(Struct):
    """What a model takes or gives: rows of `shape` (without their number), integers n from low to high, read as
    n * 2**-frac_bits."""

    name: TensorName
    shape: Annotated[tuple[U32, ...], MaxLen(RANK_MAX)]
    frac_bits: U8
    low: I64
    high: I64


TensorInfos = Annotated[tuple[TensorInfo, ...], MaxLen(TENSORS_MAX)]
Labels = Annotated[tuple[Annotated[str, MaxLen(128)], ...], MaxLen(4096)]
LABELS_CHARACTERS_MAX: Final = 16 * 1024


class ModelInfo(Struct):
    """A verified model. Gas of one run of n rows: gas_load + gas_fixed + n * gas_per_row. labels: names of classes, in
    order; empty where the graph has none, or more than LABELS_CHARACTERS_MAX of them. source_hash: of the float model.
    """

    model: Hash
    blob: Hash
    size_bytes: U64
    inputs: TensorInfos
    outputs: TensorInfos
    labels: Labels
    source_hash: Hash
    gas_load: U64
    gas_fixed: U64
    gas_per_row: U64
    memory_bytes: U64


ROOT_EVENT_BYTES_MAX: Final = 256 * 1024
ROOT_EVENTS_MAX: Final = 64
"""Events of one list of calls under Root: several lists and what their module says of them fit into one hook."""


class CallFailure(Struct):
    """Which call of a list failed, counted from 0, and with which error: "tokens.InsufficientBalance"."""

    call: U8
    error: Text


class RootOutcome(Struct):
    """What became of calls under Root. failure: None where all succeeded; else nothing of them is left."""

    gas_used: U64
    failure: CallFailure | None


class ChunkMissing(CallError):
    """No such chunk is held for this chain."""

    chunk: Hash


class ModelUnknown(CallError):
    """No verified model has this hash."""

    model: Hash


class ModelRefused(CallError):
    """The model is not proven exact."""

    node: Note
    rule: Note


class InputRefused(CallError):
    """The inputs do not fit the model."""

    tensor: Note
    reason: Note


class Blobs(Protocol):
    """Chunks of large artifacts, beside the state. The state counts references, so that what is read is there on every
    node; a chunk goes when its last reference does."""

    def put_chunk(self, data: bytes) -> Hash:
        """Keep a chunk of 1 to BLOB_CHUNK_BYTES_MAX bytes and count one reference; returns its hash."""
        ...

    def drop_chunk(self, chunk: Hash) -> None:
        """Count one reference less. Raises ChunkMissing."""
        ...

    def chunk_bytes(self, chunk: Hash) -> int:
        """The size of a chunk. Raises ChunkMissing."""
        ...

    def read_chunk(self, chunk: Hash) -> bytes:
        """A chunk's bytes. Raises ChunkMissing."""
        ...

    def blob_root(self, chunks: tuple[Hash, ...]) -> Hash:
        """The identity of the blob of these chunks in this order: the Merkle root over their hashes."""
        ...


class Inference(Protocol):
    """Exact inference: a pure function of the model and its inputs, on every machine."""

    def admit(self, chunks: tuple[Hash, ...], *, nodes_max: int) -> ModelInfo:
        """Verify the model whose bytes are these chunks, and remember it. Charged first, from size and `nodes_max`; a
        model of more nodes is refused. Raises ChunkMissing, ModelRefused. A model known already is only described."""
        ...

    def describe(self, model: Hash) -> ModelInfo | None:
        """What is known of a verified model; None where it was never admitted."""
        ...

    def forget(self, model: Hash) -> None:
        """The model can no longer be run. Its chunks are the caller's to drop. Raises ModelUnknown."""
        ...

    def run(self, model: Hash, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The outputs, sorted by name. Charged first, as though the model had to be loaded. Raises ModelUnknown,
        InputRefused."""
        ...


class RootCalls(Protocol):
    """Calls with the Root origin, for the one module that the genesis binds to the role `governance`."""

    def check_root_calls(self, calls: tuple[Call, ...]) -> None:
        """Raises UnknownCall, OriginRefused or BadArgument where one of them could never run under Root; and where the
        list begins with changes of parameters, what refuses these now: out of their type's range, or refused by the
        module. Behind a call of another kind they are not judged: it may make room for them."""
        ...

    def run_as_root(self, calls: tuple[Call, ...], *, gas_limit: int) -> RootOutcome:
        """Runs all of them or, where one fails, none. Takes `gas_limit` from the caller's meter first, and gives back
        what was not used; all is used where a call ran out of it or broke. At most ROOT_EVENTS_MAX events
        of ROOT_EVENT_BYTES_MAX bytes. Raises OutOfGas where the caller has less gas, BoundExceeded where the block has
        less room for events: what others did in a block never makes the calls fail, the caller comes again."""
        ...
