"""What lowering did to a model: where bits went, and how far the exact model is from the float one. Data only.

Errors are absolute, in the float model's units. `error_bound` is proven for real arithmetic as long as no Clip
saturates, and absent for integers; `error_max` is what calibration rows showed against onnxruntime's float32, which
rounds too.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tools.lowering.errors import ModelsDiffer, ModelsDisagree


@dataclass(frozen=True)
class InputReport:
    """An input and the real numbers that it accepts."""

    name: str
    shape: tuple[int, ...]
    frac_bits: int
    low: float
    high: float


@dataclass(frozen=True)
class SourceNodeReport:
    """A node of the float model, and the graph nodes that it became or why there are none."""

    where: str
    became: str


@dataclass(frozen=True)
class LayerReport:
    """One tensor of the source model. reads: the tensors that its node reads. is_new: nodes were added for it; else it
    is another one under its own name.

    bits: of the largest proven integer. weight_bits: the fewest and the most that a column's largest weight kept.
    dropped_bits: given up by the operand. magnitude: the float model's largest on the compared rows. saturated: the
    share of elements at a Clip's bound; None where none is.
    """

    where: str
    tensor: str
    reads: tuple[str, ...]
    is_new: bool
    frac_bits: int
    bits: int
    weight_bits: tuple[int, int] | None
    dropped_bits: int
    error_bound: float | None
    error_max: float | None
    magnitude: float | None
    saturated: float | None


@dataclass(frozen=True)
class OutputReport:
    """An output, the real numbers that it can hold (of classes: their places in the labels) and its differences from
    the float model. magnitude: the float model's largest. agreement: the share of rows with the same largest element
    (floats of several columns), or of equal elements (classes, integers); None where there is nothing to agree on.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    frac_bits: int
    low: float
    high: float
    is_class: bool
    error_bound: float | None
    error_max: float | None
    error_mean: float | None
    magnitude: float | None
    agreement: float | None


@dataclass(frozen=True)
class Report:
    """Sizes are bytes, gas is nanoseconds on the reference machine, hashes are lower-case hex. compared_rows: of the
    calibration where there are any (then calibration_rows says so too), else random ones that the inputs accept."""

    lowering_version: str
    source_hash: str
    source_bytes: int
    model_hash: str
    model_bytes: int
    nodes: int
    labels: tuple[str, ...]
    calibration_rows: int
    compared_rows: int
    inputs: tuple[InputReport, ...]
    source_nodes: tuple[SourceNodeReport, ...]
    layers: tuple[LayerReport, ...]
    outputs: tuple[OutputReport, ...]
    gas_load: int
    gas_fixed: int
    gas_per_row: int
    memory_bytes: int
    notes: tuple[str, ...]

    @property
    def agreement(self) -> float | None:
        """The least agreement of an output of classes, or of any where there is none; None where nothing is known."""
        classes = [output.agreement for output in self.outputs if output.is_class and output.agreement is not None]
        return min(classes or [o.agreement for o in self.outputs if o.agreement is not None], default=None)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the fields by name, and `agreement`."""
        return {**asdict(self), "agreement": self.agreement}


def check_agreement(report: Report, wanted: float) -> None:
    """Raises ModelsDisagree where the report's agreement is below `wanted` (0..1)."""
    if report.agreement is None or report.agreement >= wanted:
        return
    mend = _mend(report, "--allow-disagreement")
    raise ModelsDisagree(report.agreement, wanted, report.compared_rows, mend)


def check_error(report: Report, relative: float, absolute: float = 0.0) -> None:
    """Raises ModelsDiffer where an output's largest error exceeds `relative` times the float model's largest magnitude,
    plus `absolute`. Classes and other integers are no distance apart: `check_agreement` judges them."""
    for output in report.outputs:
        if output.is_class or output.error_max is None or output.magnitude is None:
            continue
        allowed = relative * output.magnitude + absolute
        if output.error_max > allowed:
            raise ModelsDiffer(output.name, output.error_max, allowed, _mend(report, "--allow-disagreement"))


def _mend(report: Report, option: str) -> str:
    if report.calibration_rows:
        return f"pass {option} to take it all the same"
    return f"pass --calibration with rows like those the model will see, or {option}"
