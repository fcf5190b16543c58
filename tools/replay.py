"""Replaying a decision: the record's model on the record's input, here, compared with the record bit for bit.

Lives here: which part of a record disagrees with what was given. Must not: believe a certificate
(tools.certificates.verify_file does that first), read files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from modules.oracle.labels import label_output, labels_of
from modules.oracle.protocol import Record
from runtime.errors import CallerError, CodecError
from runtime.inference import (
    Engine,
    InvalidInput,
    Refused,
    Verified,
    from_arrays,
    model_hash,
    self_test,
    tensors_hash,
    to_arrays,
    verify,
)
from runtime.inference import Tensor as EngineTensor
from runtime.module import Tensor

Arrays = Mapping[str, npt.NDArray[Any]]
Run = Callable[[bytes, Arrays], Arrays]


class ReplayFailed(CallerError):
    """What was given is not what the record says. `part`: model, input, rows, gas or outputs, and where in it."""

    def __init__(self, record: int, part: str, reason: str) -> None:
        self.part = part
        self.reason = reason
        super().__init__(f"replay of record {record} refused, {part}: {reason}")


def check_model(record: Record, model: bytes) -> Verified:
    """The verdict on the record's model. Raises ReplayFailed where the bytes are another, or none that is proven."""
    found = model_hash(model)
    if found != record.model:
        raise ReplayFailed(record.id, "model", f"the file's hash is {found.hex()}, the record's {record.model.hex()}")
    try:
        return verify(model)
    except Refused as refused:
        raise ReplayFailed(record.id, "model", f"it is the record's, and not proven exact: {refused}") from None


def replay(record: Record, model: bytes, inputs: Arrays, *, run: Run | None = None) -> tuple[str, ...]:
    """Runs the model on the inputs (integers) and compares. Returns the names of the rows' classes, where the model has
    names for them. run: another engine than this machine's.

    Raises ReplayFailed naming the part that disagrees; SelfTestFailed where this machine is to blame for it.
    """
    verified = check_model(record, model)
    tensors = _tensors(record, inputs)
    rows = tensors[0].shape[0] if tensors and tensors[0].shape else 0
    if rows != record.rows:
        raise ReplayFailed(record.id, "rows", f"the input has {rows}, the record says {record.rows}")
    if verified.cost.gas(rows) != record.gas:
        raise ReplayFailed(record.id, "gas", f"the run costs {verified.cost.gas(rows)}, the record says {record.gas}")
    try:
        found = (run or Engine().run)(model, to_arrays(tensors))
    except InvalidInput as refused:
        raise ReplayFailed(record.id, f"input {refused.tensor!r}", refused.reason) from None
    _compare(record, from_arrays(found))
    return class_names(verified, record.outputs)


def class_names(verified: Verified, outputs: Sequence[Tensor]) -> tuple[str, ...]:
    """The name of each row's class; nothing where the model has no names, or no output that says which."""
    labels = verified.graph.labels
    name = label_output(verified.outputs, len(labels)) if labels else None
    return next((labels_of(tensor, labels) for tensor in outputs if tensor.name == name), ())


def _tensors(record: Record, inputs: Arrays) -> tuple[EngineTensor, ...]:
    try:
        tensors = from_arrays(inputs)
        found = tensors_hash(tensors)
    except InvalidInput as refused:
        raise ReplayFailed(record.id, f"input {refused.tensor!r}", refused.reason) from None
    except CodecError as error:
        raise ReplayFailed(record.id, f"input{error.path.removeprefix('$')}", error.reason) from None
    if found != record.input_hash:
        reason = f"its hash is {found.hex()}, the record's {record.input_hash.hex()}"
        raise ReplayFailed(record.id, "input", reason)
    return tensors


def _compare(record: Record, found: tuple[EngineTensor, ...]) -> None:
    expected = record.outputs
    for kind, here, there in (
        ("names", [each.name for each in found], [each.name for each in expected]),
        ("shapes", [each.shape for each in found], [each.shape for each in expected]),
    ):
        if here != there:
            _disagree(record, f"outputs, {kind}", f"the run gives {here}, the record says {there}")
    for ours, theirs in zip(found, expected, strict=True):
        if ours.data != theirs.data:
            _disagree(record, *_first_difference(ours, theirs))


def _first_difference(ours: EngineTensor, theirs: Tensor) -> tuple[str, str]:
    if len(ours.data) != len(theirs.data):
        return f"output {ours.name}", f"the run gives {len(ours.data)} bytes, the record has {len(theirs.data)}"
    here, there = (np.frombuffer(each.data, "<i8").reshape(ours.shape) for each in (ours, theirs))
    at = np.argwhere(here != there)[0]
    place = ", ".join(map(str, at))
    return f"output {ours.name}[{place}]", f"the run gives {here[tuple(at)]}, the record says {there[tuple(at)]}"


def _disagree(record: Record, part: str, reason: str) -> NoReturn:
    """The record is wrong, or this machine: it is asked whether it computes as the proof assumes."""
    self_test()
    raise ReplayFailed(record.id, part, reason)
