"""Why a model is not lowered. All are the caller's: the model, its declared shapes or its calibration data.

CallerError
└── LoweringError          says where (the node or tensor), what was found and what the user can do
    ├── ModelRefused       bytes that are not a float ONNX model we accept: malformed, hostile or out of bounds
    ├── OpRefused          a node that has no exact form here, or uses its op in a way that has none
    └── DataRefused        shapes, calibration rows or inputs that do not fit the model
"""

from __future__ import annotations

from runtime.errors import CallerError


class LoweringError(CallerError):
    """`where`: the node, tensor or part of the file; `reason`: what was found; `mend`: what to do, or empty."""

    def __init__(self, where: str, reason: str, mend: str = "") -> None:
        self.where = where
        self.reason = reason
        self.mend = mend
        super().__init__(f"{where}: {reason}" + (f"; {mend}" if mend else ""))


class ModelRefused(LoweringError):
    """The file is not a model that this lowering reads."""


class OpRefused(LoweringError):
    """`op`: the operator's name, as "Conv"; `where` names the node too."""

    def __init__(self, op: str, where: str, reason: str, mend: str = "") -> None:
        self.op = op
        super().__init__(where, reason, mend)


class DataRefused(LoweringError):
    """Arrays or shapes beside the model do not fit it."""
