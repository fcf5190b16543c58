"""LSTM, GRU, RNN: unrolled over the steps of the sequence, whose number is known.

All steps' inputs are multiplied by W at once; each step multiplies the state before it by R. States and gates have
STATE_FRAC_BITS, so that what a step rounds off stays far below a float32's own rounding over hundreds of steps.

Ways to read a sequence [steps, B, features]: a row of the graph is a whole run of the file, and B is a dimension of the
row; B is N, and a row is the sequence of one of them: then B is 1 here, and the outputs do not have it; or B is N and
so many sequences of each row, which B is here: sentences of a document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import Final

import numpy as np

from runtime.inference import graph as ir
from tools.lowering import cells
from tools.lowering.builder import Builder, Tensor
from tools.lowering.grids import SUM_BITS, Floats
from tools.lowering.ops import curves
from tools.lowering.ops.columns import added, dense, filled, floating, floats, regridded, scaled
from tools.lowering.ops.layout import joined, reshaped
from tools.lowering.ops.pieces import piece
from tools.lowering.ops.piecewise import leaky, within
from tools.lowering.ops.tables import tabulated
from tools.lowering.source import Node

STATE_FRAC_BITS: Final = 23
CURVE_FRAC_BITS: Final = 20
"""Of Sigmoid and Tanh: three bits more make their tables four times as long."""
STEPS_MAX: Final = 4096
SATURATION: Final = 32.0
"""Sigmoid and Tanh are within 2e-14 of their ends beyond."""
Curve = Callable[[Node, Builder, Tensor], Tensor]


@dataclass(frozen=True)
class _Form:
    """How an operator is written. gates: rows of W and R in units of the hidden size; activations: the default ones of
    a direction; states: how many tensors a step hands to the next."""

    gates: int
    activations: tuple[str, ...]
    states: int


FORMS: Final = {
    "LSTM": _Form(4, ("Sigmoid", "Tanh", "Tanh"), 2),
    "GRU": _Form(3, ("Sigmoid", "Tanh"), 1),
    "RNN": _Form(1, ("Tanh",), 1),
}


# ---- activations


def _affine(alpha: float, beta: float) -> Curve:
    def curve(node: Node, b: Builder, x: Tensor) -> Tensor:
        ones = (1,) * len(x.shape)
        return scaled(node, b, x, np.full(ones, alpha), np.full(ones, beta), STATE_FRAC_BITS)

    return curve


def _hard_sigmoid(alpha: float, beta: float) -> Curve:
    return lambda node, b, x: within(b, _affine(alpha, beta)(node, b, x), 0.0, 1.0)


def _leaky(alpha: float, beta: float) -> Curve:
    return lambda node, b, x: leaky(node, b, x, np.full((1,) * len(x.shape), alpha))


def _scaled_tanh(alpha: float, beta: float) -> Curve:
    """alpha * tanh(beta * x)."""
    inner, outer, tanh = _affine(beta, 0.0), _affine(alpha, 0.0), _smooth(curves.TANH)
    return lambda node, b, x: outer(node, b, tanh(node, b, inner(node, b, x)))


def _relu(alpha: float, beta: float) -> Curve:
    return lambda node, b, x: x if x.fact.low >= 0 else b.derive(x, ir.Relu(x=x.index))


def _smooth(of: cells.Curve) -> Curve:
    """Of what is within +-SATURATION. The table is made for all of that, so that every step uses the same one."""

    def curve(node: Node, b: Builder, x: Tensor) -> Tensor:
        x = within(b, x, -SATURATION, SATURATION)
        most = int(np.ldexp(SATURATION, x.frac_bits))
        found = tabulated(node, b, replace(x, fact=replace(x.fact, low=-most, high=most)), of, CURVE_FRAC_BITS)
        return replace(found, error=min(found.error, 2.0))

    return curve


def _sigmoid(alpha: float, beta: float) -> Curve:
    return _smooth(curves.SIGMOID)


def _tanh(alpha: float, beta: float) -> Curve:
    return _smooth(curves.TANH)


_CURVES: Final[dict[str, tuple[Callable[[float, float], Curve], float | None, float | None]]] = {
    "affine": (_affine, nan, nan),
    "hardsigmoid": (_hard_sigmoid, 0.2, 0.5),
    "leakyrelu": (_leaky, 0.01, None),
    "relu": (_relu, None, None),
    "scaledtanh": (_scaled_tanh, nan, nan),
    "sigmoid": (_sigmoid, None, None),
    "tanh": (_tanh, None, None),
}
"""By name in lower case, as onnxruntime compares them: the function, and the defaults of alpha and beta, None where it
has none. activation_alpha and -_beta are handed out in order, one to each function that takes one."""


def _curves(node: Node, directions: int) -> list[Curve]:
    form = FORMS[node.op]
    names = node.texts("activations") or form.activations * directions
    if len(names) != len(form.activations) * directions:
        raise node.refuse(f"{len(names)} activations for {directions} directions")
    alphas, betas = (iter(node.numbers(f"activation_{name}") or ()) for name in ("alpha", "beta"))
    found = []
    for name in names:
        if name.lower() not in _CURVES:
            raise node.refuse(f"activation {name} has no exact form here", f"use one of {', '.join(_CURVES)}")
        curve, alpha, beta = _CURVES[name.lower()]
        found.append(curve(_next(node, alphas, alpha), _next(node, betas, beta)))
    return found


def _next(node: Node, given: Iterator[float], default: float | None) -> float:
    """The next number, where the activation takes one; NaN stands for a default that the standard does not give."""
    number = 0.0 if default is None else next(given, default)
    if number != number:
        raise node.refuse("activations Affine and ScaledTanh need their activation_alpha and activation_beta")
    return number


# ---- arithmetic of states


def times(node: Node, b: Builder, x: Tensor, y: Tensor) -> Tensor:
    """x * y with STATE_FRAC_BITS; where the exact product does not fit, the longer operand is coarsened."""
    lengths = [x.fact.magnitude.bit_length(), y.fact.magnitude.bit_length()]
    drops = [0, 0]
    while sum(lengths) - sum(drops) > SUM_BITS:
        longer = 0 if lengths[0] - drops[0] >= lengths[1] - drops[1] else 1
        drops[longer] += 1
    if drops[0] > x.frac_bits or drops[1] > y.frac_bits:
        raise node.refuse("its states may grow too large to be multiplied exactly", "pass calibration rows")
    x, y = (b.drop(part, drop) if drop else part for part, drop in zip((x, y), drops, strict=True))
    fine = x.frac_bits + y.frac_bits
    frac_bits = min(fine, STATE_FRAC_BITS)
    error = x.magnitude * y.error + y.magnitude * x.error + x.error * y.error
    error += 2.0**-frac_bits / 2 if fine > frac_bits else 0.0
    emitted = ir.Mul(a=x.index, b=y.index, shift=fine - frac_bits)
    return b.derive(x, emitted, frac_bits=frac_bits, error=error, limit=None)


def _complement(node: Node, b: Builder, x: Tensor) -> Tensor:
    """1 - x."""
    ones = (1,) * len(x.shape)
    return scaled(node, b, x, np.full(ones, -1.0), np.full(ones, 1.0), x.frac_bits)


# ---- one direction


@dataclass(frozen=True)
class _Direction:
    """The constants of one direction. recurrence: R [gates * hidden, hidden]; offsets: R's bias where it must be apart
    from W's (GRU with linear_before_reset), [hidden]; peepholes: of the gates i, o, f, each [1, hidden]."""

    node: Node
    b: Builder
    hidden: int
    recurrence: Floats
    offsets: Floats | None
    peepholes: list[Floats] | None
    curves: list[Curve]
    clip: float | None

    def step(self, x: Tensor, states: list[Tensor]) -> list[Tensor]:
        """The states after a step. x [B, gates * hidden]: what W and the biases make of the step's input."""
        return {"LSTM": self._lstm, "GRU": self._gru, "RNN": self._rnn}[self.node.op](x, states)

    def _part(self, x: Tensor, first: int, count: int = 1) -> Tensor:
        return piece(self.b, x, 1, first * self.hidden, count * self.hidden)

    def _times_r(self, h: Tensor, first: int, count: int, offsets: Floats | None = None) -> Tensor:
        rows = self.recurrence[first * self.hidden : (first + count) * self.hidden]
        return dense(self.node, self.b, h, rows, offsets, STATE_FRAC_BITS)

    def _sum(self, x: Tensor, y: Tensor) -> Tensor:
        return added(self.node, self.b, x, y)

    def _curve(self, number: int, x: Tensor, *, clipped: bool = True) -> Tensor:
        x = x if self.clip is None or not clipped else within(self.b, x, -self.clip, self.clip)
        found = self.curves[number](self.node, self.b, x)
        return self.b.regrid(found, STATE_FRAC_BITS) if found.frac_bits > STATE_FRAC_BITS else found

    def _rnn(self, x: Tensor, states: list[Tensor]) -> list[Tensor]:
        return [self._curve(0, self._sum(x, self._times_r(states[0], 0, 1)))]

    def _lstm(self, x: Tensor, states: list[Tensor]) -> list[Tensor]:
        """Gates stand in the order i, o, f, c. Without peepholes i, o and f are one tensor on the way."""
        h, c = states
        gates = self._sum(x, self._times_r(h, 0, 4))
        new = self._curve(1, self._part(gates, 3))
        if self.peepholes is None:
            three = self._curve(0, self._part(gates, 0, 3))
            i, o, f = (self._part(three, place) for place in range(3))
        else:
            i, f = (self._curve(0, self._peeped(gates, c, place)) for place in (0, 2))
        if self.node.flag("input_forget"):
            f = _complement(self.node, self.b, i)
        c = self._sum(times(self.node, self.b, f, c), times(self.node, self.b, i, new))
        if self.peepholes is not None:
            o = self._curve(0, self._peeped(gates, c, 1))
        return [times(self.node, self.b, o, self._curve(2, c, clipped=False)), c]

    def _peeped(self, gates: Tensor, c: Tensor, place: int) -> Tensor:
        assert self.peepholes is not None
        seen = scaled(self.node, self.b, c, self.peepholes[place], None, STATE_FRAC_BITS)
        return self._sum(self._part(gates, place), seen)

    def _gru(self, x: Tensor, states: list[Tensor]) -> list[Tensor]:
        """Gates stand in the order z, r, h."""
        (h,) = states
        both = self._curve(0, self._sum(self._part(x, 0, 2), self._times_r(h, 0, 2)))
        z, r = self._part(both, 0), self._part(both, 1)
        if self.node.flag("linear_before_reset"):
            kept = times(self.node, self.b, r, self._times_r(h, 2, 1, self.offsets))
        else:
            kept = self._times_r(times(self.node, self.b, r, h), 2, 1)
        new = self._curve(1, self._sum(self._part(x, 2), kept))
        return [self._between(z, h, new)]

    def _between(self, z: Tensor, h: Tensor, new: Tensor) -> Tensor:
        """z * h + (1 - z) * new, of z between 0 and 1: no larger than the larger of the two, which a Clip says."""
        comes = times(self.node, self.b, _complement(self.node, self.b, z), new)
        mixed = self._sum(times(self.node, self.b, z, h), comes)
        if not 0 <= z.fact.low <= z.fact.high <= 1 << z.frac_bits:
            return mixed
        most = float(np.ldexp(max(h.magnitude, new.magnitude), mixed.frac_bits))
        error = max(h.error, new.error) + (h.magnitude + new.magnitude) * z.error + 2.0 ** (1 - mixed.frac_bits)
        cut = ir.Clip(x=mixed.index, low=-int(most), high=int(most))
        return self.b.derive(mixed, cut, error=error)


# ---- the sequence


def recurrent(node: Node, b: Builder) -> None:
    """One direction or both; Y, Y_h and, of LSTM, Y_c, as far as anybody reads them."""
    x, alone, merged = _sequence(node, b)
    for name in node.inputs[5:7]:
        if b.is_bound(name) and b.finished(name).merged != merged:
            raise node.refuse(f"its initial state {name!r} has other sequences in its batch than its input")
    names = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
    direction = node.text("direction", "forward")
    if direction not in names:
        raise node.refuse(f"direction {direction!r} is unknown")
    ways = names[direction]
    lengths = _lengths(node, b, x, alone=alone)
    made = [_run(node, b, x, number, back, len(ways), lengths, alone=alone) for number, back in enumerate(ways)]
    every = [[states[0] for states in steps] for steps, _ in made]
    if b.is_read(node, 0):
        steps, batch, hidden = x.shape[0], x.shape[1], every[0][0].shape[-1]
        columns = [_stacked(node, b, states, (1, 1, batch, hidden), 0) for states in every]
        y = _stacked(node, b, columns, (steps, 1, batch, hidden), 1)
        _bind(node, b, y, 0, 2, alone=alone, merged=merged)
    for place in range(FORMS[node.op].states):
        if b.is_read(node, place + 1):
            last = [states[place] for _, states in made]
            stacked = _stacked(node, b, last, (1, *last[0].shape), 0)
            _bind(node, b, stacked, place + 1, 1, alone=alone, merged=merged)


def _batched_first(node: Node) -> bool:
    return node.flag("layout")


def _sequence(node: Node, b: Builder) -> tuple[Tensor, bool, tuple[int, int]]:
    """x as [steps, B, features], whether B is N, and with what it is merged."""
    x = floating(node, b.tensor(node, 0, merged=True))
    batch = 0 if _batched_first(node) else 1
    x, at, merged = replace(x, batch_axis=0, merged=(0, 0)), x.batch_axis, x.merged
    many = merged[0] + merged[1]
    if many > 1 or (many and at != batch):
        raise node.refuse(f"dimension {at} of its input is the batch and more", "keep the batch a dimension of its own")
    if len(x.shape) == 3:
        turned = ir.Transpose(x=x.index, permutation=(1, 0, 2))
        x, alone = b.derive(x, turned) if _batched_first(node) else x, False
    elif len(x.shape) == 2 and at == batch:
        x, alone = reshaped(b, x, (x.shape[0], 1, x.shape[1])), True
    else:
        reason = f"dimension {batch} of its input should be the batch, but that is dimension {at}"
        raise node.refuse(reason, "export with batch_first=True and a dynamic batch dimension")
    if x.shape[0] > STEPS_MAX:
        raise node.refuse(f"its sequence has {x.shape[0]} steps, at most {STEPS_MAX} are unrolled")
    return x, alone, merged


def _bind(node: Node, b: Builder, y: Tensor, place: int, batch: int, *, alone: bool, merged: tuple[int, int]) -> None:
    """y, whose dimension `batch` is B, as output number `place`."""
    rest = [axis for axis in range(len(y.shape)) if axis != batch]
    if alone:
        y = reshaped(b, y, tuple(y.shape[axis] for axis in rest))
        y = replace(y, batch_axis=0 if _batched_first(node) else batch)
    elif _batched_first(node):
        y = b.derive(y, ir.Transpose(x=y.index, permutation=(batch, *rest)))
    if sum(merged):
        y = replace(y, batch_axis=0 if _batched_first(node) else batch, merged=merged)
    b.bind(node, y, place)


def _stacked(node: Node, b: Builder, parts: Sequence[Tensor], shape: tuple[int, ...], axis: int) -> Tensor:
    """The parts, each brought to this shape, one after another."""
    shaped = [reshaped(b, part, shape) for part in regridded(node, b, parts, STATE_FRAC_BITS)]
    return joined(b, shaped, axis)


def _weights(node: Node, b: Builder, position: int, what: str, shape: tuple[int, ...]) -> Floats:
    found = floats(b.constant(node, position, what))
    if found.shape != shape:
        raise node.refuse(f"{what} has the shape {list(found.shape)}, {list(shape)} is needed")
    return found


def _lengths(node: Node, b: Builder, x: Tensor, *, alone: bool) -> list[int]:
    """How many steps of each of the B sequences count."""
    steps, batch = x.shape[:2]
    if not node.has_input(4):
        return [steps] * batch
    found = [int(length) for length in b.constant(node, 4, "sequence_lens").reshape(-1)]
    if alone and len(set(found)) == 1:
        found = found[:1]
    if len(found) != batch or min(found) < 0 or max(found) > steps:
        raise node.refuse(f"sequence_lens {found[:8]} do not fit {batch} sequences of {steps} steps, all alike in N")
    return found


def _run(
    node: Node, b: Builder, x: Tensor, number: int, back: bool, directions: int, lengths: list[int], *, alone: bool
) -> tuple[list[list[Tensor]], list[Tensor]]:
    """One direction: the states after each step, in the order of the sequence, and the last ones. A sequence that has
    ended, or backwards not begun, keeps its state, and its Y is 0."""
    hidden, gates = _hidden(node, b), FORMS[node.op].gates
    features, batch = x.shape[2], x.shape[1]
    width = gates * hidden
    w = _weights(node, b, 1, "W", (directions, width, features))[number]
    r = _weights(node, b, 2, "R", (directions, width, hidden))[number]
    biases = np.zeros(2 * width)
    if node.has_input(3):
        biases = _weights(node, b, 3, "B", (directions, 2 * width))[number]
    apart = node.op == "GRU" and node.flag("linear_before_reset")
    offsets = biases[:width] + biases[width:]
    if apart:
        offsets[2 * hidden :] = biases[2 * hidden : width]
    peepholes = None
    if node.op == "LSTM" and node.has_input(7):
        peepholes = list(_weights(node, b, 7, "P", (directions, 3 * hidden))[number].reshape(3, 1, hidden))
    count = len(FORMS[node.op].activations)
    curves = _curves(node, directions)[number * count : (number + 1) * count]
    clip = node.number("clip", 0.0) if "clip" in node.attributes else None
    cell = _Direction(node, b, hidden, r, biases[width + 2 * hidden :] if apart else None, peepholes, curves, clip)
    given = dense(node, b, x, w, offsets, STATE_FRAC_BITS)
    states = [
        _initial(node, b, x, 5 + place, number, (directions, batch, hidden), alone=alone)
        for place in range(FORMS[node.op].states)
    ]
    after: dict[int, list[Tensor]] = {}
    for step in reversed(range(x.shape[0])) if back else range(x.shape[0]):
        mask = [step < length for length in lengths]
        shown = zero = [_masked(b, states[0], [False] * batch)]
        if any(mask):
            new = cell.step(reshaped(b, piece(b, given, 0, step, 1), (batch, width)), states)
            states = [_kept(node, b, *pair, mask) for pair in zip(new, states, strict=True)]
            shown = states if all(mask) else [_masked(b, states[0], mask)]
        after[step] = shown if any(mask) else zero
    return [after[step] for step in range(x.shape[0])], states


def _hidden(node: Node, b: Builder) -> int:
    found = b.constant(node, 2, "R")
    hidden = node.integer("hidden_size", found.shape[-1] if found.ndim else 0)
    if hidden < 1:
        raise node.refuse(f"its hidden size is {hidden}")
    return hidden


def _initial(
    node: Node, b: Builder, x: Tensor, position: int, number: int, shape: tuple[int, int, int], *, alone: bool
) -> Tensor:
    """A state before the first step, [B, hidden]: zeros, or constant, or computed."""
    directions, batch, hidden = shape
    if not node.has_input(position):
        return filled(node, b, x, np.zeros((batch, hidden)))
    first = _batched_first(node)
    if b.is_constant(node.inputs[position]):
        array = floats(b.constant(node, position, "an initial state"))
        array = array.swapaxes(0, 1) if first and array.ndim == 3 else array
        if alone and array.ndim == 3 and (array == array[:, :1]).all():
            array = array[:, :1]
        if array.ndim != 3 or array.shape[0] != directions or array.shape[1:] not in ((batch, hidden), (1, hidden)):
            raise node.refuse(
                f"an initial state of shape {list(array.shape)} does not fit {list(shape)}, or differs in N"
            )
        return filled(node, b, x, np.broadcast_to(array[number], (batch, hidden)))
    state = floating(node, b.tensor(node, position, merged=True))
    state, at = replace(state, batch_axis=0, merged=(0, 0)), state.batch_axis
    if alone and at != (0 if first else 1):
        raise node.refuse(f"the batch is dimension {at} of its initial state")
    if alone:
        state = reshaped(b, state, (state.shape[0], 1, *state.shape[1:]))
    elif first and len(state.shape) == 3:
        state = b.derive(state, ir.Transpose(x=state.index, permutation=(1, 0, 2)))
    if state.shape != shape:
        raise node.refuse(f"an initial state of shape {list(state.shape)} does not fit {list(shape)}")
    return reshaped(b, piece(b, state, 0, number, 1), (batch, hidden))


def _masked(b: Builder, x: Tensor, mask: Sequence[bool]) -> Tensor:
    """x [B, hidden], 0 where the mask is not set. Exact."""
    weights = b.store(np.array(mask, np.int64).reshape(-1, 1))
    return b.derive(x, ir.Affine(x=x.index, weights=weights, bias=None, shifts=None), limit=None)


def _kept(node: Node, b: Builder, new: Tensor, old: Tensor, mask: Sequence[bool]) -> Tensor:
    """The new state of sequences of which the step is one, the old one of others."""
    if all(mask):
        return new
    both = added(node, b, _masked(b, new, mask), _masked(b, old, [not on for on in mask]))
    return replace(both, error=max(new.error, old.error))
