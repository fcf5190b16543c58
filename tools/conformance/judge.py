"""One case -> passed, refused with the reason, or failed. Pure but for running the models.

passed    every output that the case declares has its shape and type; integers, booleans and texts are equal, floats
          differ by at most 1e-3 of the output's largest magnitude + 2**-12
refused   lowering says why the model has no exact form, or that the exact form is further from the float model than
          that; nothing came of it that somebody could use
failed    anything else: a wrong number, a graph that does not run, a crash
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import onnx

from runtime.inference import Engine
from tools.conformance.cases import Case, Sample
from tools.lowering import Lowered, LoweringError, check_error, lower
from tools.lowering.source import Array

RELATIVE_MAX: Final = 1e-3
ABSOLUTE_MAX: Final = 2.0**-12


class Status(StrEnum):
    """What became of a case."""

    PASSED = "passed"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True)
class Outcome:
    """Of one case. fixed: inputs that had to be constants; error: the largest share of what is allowed, 0..1 where it
    passed; seconds: what it took, for people."""

    suite: str
    name: str
    op: str
    status: Status
    reason: str = ""
    fixed: tuple[str, ...] = ()
    error: float | None = None
    seconds: float = 0.0


def judge(case: Case) -> Outcome:
    """Lowers, proves, runs and compares."""
    fixed: set[str] = set()
    worst = None
    try:
        for sample in case.samples:
            lowered = _lowered(case, sample)
            fixed.update(lowered.fixed)
            error = _compared(lowered, sample)
            worst = error if worst is None else max(worst, error)
    except LoweringError as refused:
        return Outcome(case.suite, case.name, case.op, Status.REFUSED, f"{refused.where}: {refused.reason}")
    except _Differs as differs:
        return Outcome(case.suite, case.name, case.op, Status.FAILED, str(differs), tuple(sorted(fixed)))
    except Exception as error:  # noqa: BLE001 - whatever escapes from lowering or engine is what this tool looks for
        return Outcome(case.suite, case.name, case.op, Status.FAILED, f"{type(error).__name__}: {error}")
    return Outcome(case.suite, case.name, case.op, Status.PASSED, "", tuple(sorted(fixed)), worst)


class _Differs(Exception):
    """An output is not what the case declares."""


def _lowered(case: Case, sample: Sample) -> Lowered:
    missing = [name for name, array in sample.inputs.items() if array is None]
    if missing:
        raise LoweringError(f"input {missing[0]!r}", "it is not a tensor (a sequence, map or optional)")
    if not sample.inputs:
        raise LoweringError("inputs", "the model has none: all of it is constant")
    given = {name: array for name, array in sample.inputs.items() if array is not None}
    lowered = lower(case.model, calibration=given)
    check_error(lowered.report, RELATIVE_MAX, ABSOLUTE_MAX)
    return lowered


def _compared(lowered: Lowered, sample: Sample) -> float:
    """The largest share of the allowed difference. Raises _Differs."""
    given = {name: array for name, array in sample.inputs.items() if array is not None}
    found = lowered.dequantize(Engine().run(lowered.model, lowered.quantize(given)))
    shares = [0.0]
    for name, expected in sample.outputs.items():
        if expected is None:
            raise _Differs(f"output {name!r} should be no tensor")
        shares.append(_share(name, np.asarray(found[name]), expected))
    return max(shares)


def _share(name: str, found: Array, expected: Array) -> float:
    if found.shape != expected.shape:
        raise _Differs(f"output {name!r} has shape {list(found.shape)}, expected {list(expected.shape)}")
    if found.dtype.kind != expected.dtype.kind and expected.dtype.kind not in "OUSV":
        raise _Differs(f"output {name!r} has elements of type {found.dtype}, expected {expected.dtype}")
    if expected.dtype.kind != "f":
        same = found.astype(expected.dtype) == expected if expected.dtype.kind in "iub" else _texts(found, expected)
        if not np.all(same):
            raise _Differs(f"output {name!r}: {np.size(same) - np.count_nonzero(same)} of {found.size} elements differ")
        return 0.0
    exact, wanted = found.astype(np.float64), expected.astype(np.float64)
    if not np.isfinite(wanted).all():
        raise _Differs(f"output {name!r} should hold NaN or infinity")
    allowed = RELATIVE_MAX * float(np.abs(wanted).max(initial=0.0)) + ABSOLUTE_MAX
    share = float(np.abs(exact - wanted).max(initial=0.0)) / allowed
    if not share <= 1:
        raise _Differs(f"output {name!r} differs by {share:.3g} times what is allowed ({allowed:.2e})")
    return share


def _texts(found: Array, expected: Array) -> Array:
    return np.array([_text(a) == _text(b) for a, b in zip(found.reshape(-1), expected.reshape(-1), strict=True)])


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def kind_of_reason(reason: str) -> str:
    """The reason without what differs between cases of one kind: names, numbers, the node."""
    text = re.sub(r"^[^:]*(\"[^\"]*\"|\(node \d+\)|'[^']*'): ", "", reason.strip())
    text = re.sub(r"supported are .*", "", text)
    text = re.sub(r"'[^']*'|\"[^\"]*\"", "...", text)
    text = re.sub(r"\[[^\]]*\]|\([-\d., ]*\)", "[...]", text)
    return re.sub(r"(?<![\w.*])-?\d[\d.e+-]*(?![\w*])", "n", text).strip(" ;")


def model_ops(model: bytes) -> list[str]:
    """The operators of a model, sorted."""
    return sorted({node.op_type for node in onnx.ModelProto.FromString(model).graph.node})
