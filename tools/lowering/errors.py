"""Why a model is not lowered. All are the caller's: the model, its declared shapes or its calibration data.

CallerError
└── LoweringError          says where (the node or tensor), what was found and what the user can do
    ├── ModelRefused       bytes that are not a float ONNX model we accept: malformed, hostile or out of bounds
    │   └── RowsMixed      one whose rows give something else together than each alone
    ├── OpRefused          a node that has no exact form here, or uses its op in a way that has none
    │   ├── ConstantNeeded one that has where a tensor is known beforehand
    │   └── AloneNeeded    one that has where a row is a run of its own
    ├── DataRefused        shapes, calibration rows or inputs that do not fit the model
    ├── ModelsDisagree     the result gives other classes than the float model, in more rows than the caller allows
    └── ModelsDiffer       the result's numbers are further from the float model's than the caller allows
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


class RowsMixed(ModelRefused):
    """What it makes of a row depends on the others."""


class OpRefused(LoweringError):
    """`op`: the operator's name, as "Conv"; `where` names the node too."""

    def __init__(self, op: str, where: str, reason: str, mend: str = "") -> None:
        self.op = op
        super().__init__(where, reason, mend)


class ConstantNeeded(OpRefused):
    """`tensor`: the operand that is computed from the inputs, and has to be known beforehand."""

    def __init__(self, op: str, where: str, reason: str, tensor: str) -> None:
        self.tensor = tensor
        super().__init__(op, where, reason)


class AloneNeeded(OpRefused):
    """What it does depends on how many rows there are, or on all of them."""


class DataRefused(LoweringError):
    """Arrays or shapes beside the model do not fit it."""


class ModelsDisagree(LoweringError):
    """The exact model is proven, but not what the float one says. `agreement`: the share of rows in which it is."""

    def __init__(self, agreement: float, wanted: float, rows: int, mend: str) -> None:
        self.agreement = agreement
        self.wanted = wanted
        reason = f"only {agreement:.2%} of {rows:,} rows agree with the float model, {wanted:.2%} are asked for"
        super().__init__("result", reason, mend)


class ModelsDiffer(LoweringError):
    """The exact model is proven, but its numbers are not the float one's. `error`: the largest difference, `allowed`:
    what was asked for, both in the output's units."""

    def __init__(self, output: str, error: float, allowed: float, mend: str) -> None:
        self.error = error
        self.allowed = allowed
        reason = f"it differs from the float model's by up to {error:.3g}, {allowed:.3g} is allowed"
        super().__init__(f"output {output!r}", reason, mend)
