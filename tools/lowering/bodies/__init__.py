"""Operators that are computed by others where the ONNX standard says no such thing: what inline.py puts in their place.

body.py         how a body is written
spectra.py sampling.py          operators of the standard
microsoft.py microsoft_quantized.py     what onnxruntime saves when it has optimised or quantised a model

A body means what its operator does, in the float model. To add one, write a function of a Body and name it here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from onnx import NodeProto

from tools.lowering.bodies import microsoft, microsoft_quantized, sampling, spectra
from tools.lowering.bodies.body import Around, Body, ShapeNeeded

Write = Callable[[Body], None]
LAYER_NORM_SINCE: Final = 17
STANDARD: Final[Mapping[str, Write]] = {
    "DFT": spectra.dft,
    "GridSample": sampling.grid_sample,
    "STFT": spectra.stft,
    **microsoft.IN_THE_STANDARDS_NAME,
}
BODIES: Final[Mapping[tuple[str, str], Write]] = {
    **{("", op): write for op, write in STANDARD.items()},
    **{("com.microsoft", op): write for op, write in microsoft.BODIES.items()},
    **{("com.microsoft", op): write for op, write in microsoft_quantized.BODIES.items()},
}


def has_own_body(node: NodeProto, opsets: Mapping[str, int]) -> bool:
    """Whether a node is of an operator that has a body here, in a file of these opsets."""
    return _write(node, opsets.get("", 0)) is not None


def _write(node: NodeProto, opset: int) -> Write | None:
    domain = "" if node.domain == "ai.onnx" else node.domain
    if (domain, node.op_type) == ("", "LayerNormalization") and 0 < opset < LAYER_NORM_SINCE:
        return microsoft.LAYER_NORM
    return BODIES.get((domain, node.op_type))


def written(node: NodeProto, around: Around, prefix: str) -> list[NodeProto] | None:
    """The nodes that it stands for; None for an operator that has no body here. `prefix`: of names that no tensor has.
    Raises OpRefused where its body does not do for this use, ShapeNeeded where it would with more known."""
    write = _write(node, around.opset)
    if write is None:
        return None
    body = Body(node, around, prefix)
    try:
        with np.errstate(all="ignore"):
            write(body)
    except (ArithmeticError, IndexError, KeyError, TypeError, ValueError) as error:
        raise body.refuse(f"its operands and attributes do not fit each other ({error})") from error
    return body.made


__all__ = ["BODIES", "Around", "ShapeNeeded", "has_own_body", "written"]
