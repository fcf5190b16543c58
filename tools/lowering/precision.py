"""How fine the grid of a tensor should be: by how large calibration shows it to be, and by what reads it.

What is wanted is decided here, before there is a graph. What fits is decided where an op is translated (grids.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from runtime.inference.limits import FRAC_BITS_MAX
from tools.lowering.errors import DataRefused
from tools.lowering.grids import Floats
from tools.lowering.source import Port, Source

FRAC_BITS: Final = 16
"""Fractional bits of an activation, where bounds permit; more where calibration shows it to be small."""
INPUT_MAGNITUDE: Final = 1024.0
"""Taken for a float input's largest magnitude when no calibration rows say better."""
INPUT_BITS_MAX: Final = 44
FEATURE_BITS: Final = 28
"""What a feature's values have on a grid of its own: together with the bits of a weight within a sum's 52."""
SCALERS: Final = ("Scaler", "Mul", "Div", "BatchNormalization", "PowerTransform", "QuantileTransform")
TREES: Final = ("TreeEnsembleClassifier", "TreeEnsembleRegressor")
COMPARING: Final = (*TREES, "TreeEnsemble")
COMPARED_BITS: Final = 52
"""What an input's values have that are only compared: no product asks for room."""
COMPARED_FRAC_BITS: Final = 40
"""Wanted of what is computed and then only compared: the float model's own rounding is coarser."""
UNEVEN: Final = 4096.0
NOTHING: Final = 2.0**-18
UNEVEN_BITS: Final = 51
"""Where the largest of an input's features is so many times the smallest, and each is cut to its own bits first: what
the input's values have."""
STEEP: Final = ("Acos", "Acosh", "Asin", "Atanh", "CDist", "Log", "LpNormalization", "Normalizer", "ReduceLogSum")
"""Curves without bound on their slope, and distances, which are compared: what they read is worth STEEP_FRAC_BITS."""
STEEP_FRAC_BITS: Final = 26
SHARED_FRAC_BITS: Final = 23
"""Of a sigmoid that is divided by the sum of several: more would be large tables."""
STEP_BITS: Final = 18
"""Of a step, in what is quantised: a number that lies on the other side of the middle becomes another code."""
INPUT_STEP_BITS: Final = 28
CURVE_STEP_BITS: Final = 14
"""The same of what a table makes: four bits more make it four times as long."""
WITHOUT_TABLES: Final = (
    "Add", "AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "Gemm", "GlobalAveragePool", "MatMul", "Mul",
    "ReduceMean", "Resize", "Sub",
)  # fmt: skip
BEFORE_CODES: Final = ("Clip", "Identity", "LeakyRelu", "MaxPool", "Relu", "Reshape", "Transpose")
CARRIERS: Final = ("Cast", "Identity", "ArrayFeatureExtractor", "Imputer")


def sizes_of(ends: tuple[Floats, Floats]) -> Floats:
    """How large each feature may be; as the middle one, one of which calibration shows nothing but 0."""
    sizes = np.maximum(*map(np.abs, ends))
    some = np.sort(sizes[sizes >= NOTHING])
    return np.where(sizes < NOTHING, some[len(some) // 2] if some.size else 1.0, sizes)


class Precision:
    """Of one source. `limits`: the largest magnitude to expect of its tensors, by name; `ends`: the least and greatest
    value to expect of each number of a row, of some of them."""

    def __init__(self, source: Source, limits: Mapping[str, float], ends: Mapping[str, tuple[Floats, Floats]]) -> None:
        self._source = source
        self._limits = limits
        self._ends = ends
        self._uses = source.use_counts()
        self._makers = {name: node.op for node in source.nodes for name in node.outputs}

    def wanted(self, name: str) -> int:
        """FRAC_BITS, or as many more as give a small tensor the same relative precision, or as a steep curve asks."""
        if self._is_only_compared(name):
            return COMPARED_FRAC_BITS
        readers = {node.op for node in self._source.readers(name)}
        shared = self._makers.get(name) == "Sigmoid" and "ReduceSum" in readers  # shares of what may be small
        steep = not readers.isdisjoint(STEEP)
        usual = STEEP_FRAC_BITS if steep else SHARED_FRAC_BITS if shared else FRAC_BITS
        bits, limit = usual, self._limits.get(name)
        bits = max(bits, self._bits_of_codes(name))
        return bits if limit is None else max(bits, FRAC_BITS - int(np.frexp(limit)[1]))

    def _bits_of_codes(self, name: str) -> int:
        """What a tensor needs that becomes codes, perhaps behind others that keep its values."""
        found, waiting = 0, [name]
        maker = self._makers.get(name)
        bits = INPUT_STEP_BITS if maker is None else STEP_BITS if maker in WITHOUT_TABLES else CURVE_STEP_BITS
        for _ in range(len(BEFORE_CODES)):
            readers = [node for name in waiting for node in self._source.readers(name)]
            for node in readers:
                scale = self._source.constants.get(node.inputs[1]) if node.op == "QuantizeLinear" else None
                if scale is not None and scale.size and scale.min() > 0:
                    found = max(found, bits - int(np.frexp(float(scale.min()))[1]))
            waiting = [node.outputs[0] for node in readers if node.op in BEFORE_CODES]
        return min(found, STEEP_FRAC_BITS + STEP_BITS)

    def of_input(self, port: Port, limit: float | None) -> int:
        """An input's fractional bits. `limit`: its largest magnitude. Raises DataRefused where that leaves none."""
        exponent = int(np.frexp(INPUT_MAGNITUDE if limit is None else limit)[1])
        if self._is_only_compared(port.name) and exponent <= COMPARED_BITS:
            return min(COMPARED_BITS - 2 * port.missing - exponent, FRAC_BITS_MAX)
        feature_bits = self._feature_bits(port.name)
        room = max(INPUT_BITS_MAX, feature_bits) - exponent
        frac_bits = min(max(self.wanted(port.name), feature_bits - exponent), room, FRAC_BITS_MAX)
        if frac_bits < 0:
            raise DataRefused(f"calibration[{port.name!r}]", f"values up to {limit} are too large", "scale the input")
        return frac_bits

    def _feature_bits(self, name: str) -> int:
        """How many bits calibrated features deserve: all where they are scaled one by one before anything else, since
        then each gets a grid of its own; FEATURE_BITS where they meet weights that cannot be small as in a network."""
        if name not in self._limits:
            return 0
        bits, waiting = 0, [name]
        while waiting:
            for node in self._source.readers(waiting.pop()):
                if node.op in CARRIERS and node.outputs[0] in self._limits:
                    waiting.append(node.outputs[0])
                elif node.op in SCALERS:
                    bits = max(bits, INPUT_BITS_MAX)
                elif node.op in ("LinearRegressor", "LinearClassifier"):
                    bits = max(bits, UNEVEN_BITS if self._is_uneven(node.inputs[0]) else FEATURE_BITS)
        return bits

    def _is_uneven(self, name: str) -> bool:
        """Whether features differ so much in size that each needs a grid of its own."""
        sizes = sizes_of(self._ends[name]) if name in self._ends else np.ones(1)
        return bool(sizes.max() > UNEVEN * sizes.min())

    def _is_only_compared(self, name: str) -> bool:
        """Whether trees alone read the tensor, and no output is it."""
        waiting = [name]
        while waiting:
            name = waiting.pop()
            readers = self._source.readers(name)
            if not len(readers) == self._uses.get(name, 0) > 0:
                return False
            waiting += [node.outputs[0] for node in readers if node.op in ("Cast", "Identity")]
            if any(node.op not in (*COMPARING, "Cast", "Identity") for node in readers):
                return False
        return True
