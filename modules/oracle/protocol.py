"""What is stored of each decision, and what other modules may ask of it."""

from __future__ import annotations

from typing import Annotated, Protocol

from runtime import U16, U64, U128, AccountId, Denom, Hash, MaxLen, Struct, Tensor

OUTPUTS_MAX = 16
ROWS_MAX = 256


class Record(Struct):
    """One decision, complete in itself: what ran on what, for whom, and what came out. It never changes.

    rows: how many inputs; outputs: the model's output tensors, sorted by name, one row for each input, as integers n
    that stand for n * 2**-frac_bits (an output of labels: their numbers). gas: the proven cost of the run, as though
    the model had to be loaded. paid: to the model's owner, in base units of `denom`. input_hash: `inputs_hash`.
    """

    id: U64
    model: Hash
    input_hash: Hash
    rows: U16
    outputs: Annotated[tuple[Tensor, ...], MaxLen(OUTPUTS_MAX)]
    caller: AccountId
    height: U64
    gas: U64
    paid: U128
    denom: Denom


class Labelled(Struct):
    """What a model made of the rows of one record. output: the tensor that says it; labels: a name for each row."""

    output: Annotated[str, MaxLen(128)]
    labels: Annotated[tuple[Annotated[str, MaxLen(128)], ...], MaxLen(ROWS_MAX)]


class Decisions(Protocol):
    """Records of decisions."""

    def decision(self, record: int) -> Record | None:
        """The record of this number; None where there is none."""
        ...
