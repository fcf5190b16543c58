"""The growing ONNX graph that emission writes: names, constants, and the layout in which rows are stored.

What lives here: how tensors and constants are named and laid out. What must not: what any op does, and in which of the
two layouts it is written (layout.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper, numpy_helper

from runtime.inference.constants import unpack
from runtime.inference.facts import Dims, channels_last
from runtime.inference.limbs import Weights, weights_of
from runtime.inference.verifier import Verified

INLINE_ELEMENTS_MAX: Final = 256
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Emitted:
    """ONNX bytes, and the large constants that they name without holding them: the engine hands those over as arrays,
    which spares copies through protobuf. Inputs are named i0, i1, ..., outputs o0, o1, ... in the graph's order."""

    model: bytes
    arrays: dict[str, npt.NDArray[Any]]


def _elsewhere(name: str, array: npt.NDArray[Any]) -> Any:
    """An initializer whose values the engine is given beside the model. Its location names no file: were it ever
    looked up, the session would not be built."""
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    tensor = TensorProto(name=name, data_type=kind, dims=array.shape, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=f"armillary/given-in-memory/{name}")
    return tensor


def powers(shifts: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """2**-shifts, exact."""
    result: npt.NDArray[np.float64] = np.ldexp(np.float64(1), -shifts.astype(np.int32))
    return result


class Writer:
    """The ONNX graph so far. Names are numbers; equal constants are written once.

    `last`: whether the present node is written channels last: `tensor`, `shape`, `made`, `axis` and `laid` speak in
    that layout, so that what writes an op need not know.
    """

    def __init__(self, verified: Verified) -> None:
        self.graph = verified.graph
        self.facts = verified.facts
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.arrays: dict[str, npt.NDArray[Any]] = {}
        self.last = False
        self._tensors: list[dict[bool, str]] = []
        self._names: dict[object, str] = {}
        self._made: dict[object, list[str]] = {}
        self._weights: dict[int, Weights | None] = {}

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """One ONNX node of one output; the output's name."""
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def once(self, key: object, make: Callable[[], list[str]]) -> list[str]:
        """Tensors that several nodes need: `make` is called for the first use of `key` only."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    # ---- tensors of the verified graph

    @property
    def present(self) -> int:
        """The number of the tensor that the present node makes."""
        return len(self._tensors)

    def constant_shape(self, index: int) -> Dims:
        """Of a constant of the verified graph."""
        return self.graph.constants[index].shape

    def weights_of(self, index: int) -> Weights | None:
        """What products by bytes ask of a constant, looked at once."""
        if index not in self._weights:
            self._weights[index] = weights_of(self.graph.constants[index])
        return self._weights[index]

    def made_is(self, name: str) -> None:
        """The next tensor of the graph is `name`, in the present layout."""
        self._tensors.append({self.last: name})

    def is_only_last(self, tensor: int) -> bool:
        """Whether a tensor is there channels last and in no other way."""
        return False not in self._tensors[tensor]

    def tensor(self, index: int) -> str:
        """The name of a tensor in the present layout."""
        forms = self._tensors[index]
        if self.last not in forms:
            rank = len(self.facts[index].shape)
            order = [0, *range(2, rank + 1), 1] if self.last else [0, rank, *range(1, rank)]
            forms[self.last] = self.add("Transpose", forms[not self.last], perm=order)
        return forms[self.last]

    def shape(self, tensor: int) -> Dims:
        """Of a row of a tensor."""
        return tuple(self.laid(self.facts[tensor].shape))

    def made(self) -> Dims:
        """The shape of the tensor that the present node makes."""
        return self.shape(self.present)

    def laid(self, values: Sequence[_T]) -> Sequence[_T]:
        """One value for each dimension of a row, in the order of the present layout."""
        return channels_last(values) if self.last else values

    def axis(self, axis: int, rank: int) -> int:
        """Where the kernel finds a dimension of a row of so many: N comes first."""
        return (axis or rank) if self.last else axis + 1

    def axes(self, axes: Sequence[int], rank: int) -> list[int]:
        """As `axis`, ascending."""
        return sorted(self.axis(axis, rank) for axis in axes)

    # ---- constants

    def constant(self, key: object, make: Callable[[], npt.NDArray[Any]]) -> str:
        """The name of an initializer; `make` is called for the first use of `key` only."""
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = f"c{len(self._names)}"
            array = np.ascontiguousarray(make())
            if array.size <= INLINE_ELEMENTS_MAX:
                self.initializers.append(numpy_helper.from_array(array, name))
            else:
                self.initializers.append(_elsewhere(name, array))
                self.arrays[name] = array
        return name

    def scalar(self, value: float) -> str:
        """A float64 number; the callers' numbers are exact in it."""
        return self.constant(("scalar", value), lambda: np.array(value, np.float64))

    def small(self, value: int) -> str:
        """An int32 number."""
        return self.constant(("small", value), lambda: np.array(value, np.int32))

    def integers(self, *values: int) -> str:
        """The name of an int64 vector, as ONNX takes shapes, axes and pads."""
        return self.constant(("integers", values), lambda: np.array(values, np.int64))

    def scaled(self, index: int, shifts: int | None, shape: Dims | None = None) -> npt.NDArray[np.float64]:
        """Constant * 2**-shifts, one shift for each index of the first dimension, or of the same shape."""
        values = unpack(self.graph.constants[index]).astype(np.float64)
        if shifts is not None:
            by = unpack(self.graph.constants[shifts])
            if by.shape != values.shape:
                by = by.reshape(-1, *(1,) * (values.ndim - 1))
            values *= powers(by)
        return values if shape is None else values.reshape(shape)

    # ---- what several ops need

    def reshaped(self, x: str, *shape: int) -> str:
        """Under (N, *shape), N inferred."""
        return self.add("Reshape", x, self.integers(-1, *shape))

    def whole(self, x: str) -> str:
        """As int64, to index by."""
        return self.add("Cast", x, to=TensorProto.INT64)

    def biased_and_rounded(self, x: str, bias: int | None, shifts: int | None, shape: Dims) -> str:
        """+ bias * 2**-shifts, constants of one number per column under `shape`; rounds if there is a shift."""
        if bias is not None:
            x = self.add(
                "Add", x, self.constant(("bias", bias, shifts, shape), lambda: self.scaled(bias, shifts, shape))
            )
        return x if shifts is None else self.add("Round", x)
