"""Products of integers by their bytes: x @ w as a few products of bytes with sums of 32 bits, where that is cheaper.

A float64 product does 8 multiplications in a core's cycle, one of bytes 64 or more. With x in one or two bytes and
weights in one or two limbs of seven bits there are at most four products of bytes, whose sums are put together again.
What lives here: when that is done, and why it is exact. What must not: how it is written for the engine.

Why it is exact. Say m = min(low, 0), so that x - m is an integer in [0, 2**(8a)), and write x = m + sum_i 256**i * x_i
with bytes x_i in 0..255, w = sum_j 128**j * w_j with w_j in -64..64. In a product of bytes
- two neighbouring terms x_i * w_j are within 2 * 255 * 64 < 2**15: kernels that add pairs in 16 bits with saturation
  (pmaddubsw) do not saturate;
- each partial sum is within 255 * sum|w_j| < 2**31: it fits into 32 bits, in any order.
128 * (x_i @ w_1) + x_i @ w_0 = x_i @ w is computed in 32 bits: it and its first term are within
255 * (sum|w| + 64 * K) < 2**31. In float64 follow sum_i 256**i * (x_i @ w) within 2**40, scaled by 2**-s, which changes
no significand, and the constant m * sum(w) + bias: the bias alone, or the whole sum at x = m = low, which the interval
of the op holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from runtime.inference.constants import unpack
from runtime.inference.graph import Constant, IntKind

Int8Array = npt.NDArray[np.int8]
Int16Array = npt.NDArray[np.int16]
BYTE_BITS: Final = 8
LIMB_BITS: Final = 7
X_BITS_MAX: Final = 16
WEIGHT_MAX: Final = 64 * 128 + 63
"""The largest magnitude that two limbs of -64..64 hold on both sides."""
SUM_MAX: Final = (1 << 31) - 1

DOUBLE_MAC_PS: Final = 37
BYTE_MAC_PS: Final = 6
JOINED_PS: Final = 600  # of each product of bytes, for each number that leaves it
SPLIT_PS: Final = 450  # of each byte of x


@dataclass(frozen=True, slots=True)
class Limbs:
    """x - offset in so many bytes, weights in so many limbs."""

    offset: int
    x: int
    weights: int


@dataclass(frozen=True, slots=True)
class Weights:
    """What is known of constant weights [O, K]: their interval, and the largest sum of magnitudes of a column."""

    low: int
    high: int
    largest_sum: int
    width: int


def limbs_sum_max(width: int) -> int:
    """What the magnitudes of a column of so many weights may sum up to."""
    return SUM_MAX // 255 - 64 * width


def weights_of(constant: Constant) -> Weights | None:
    """Of [O, ...] as columns; None where they have no two limbs, or their sums no 32 bits."""
    if constant.kind > IntKind.I16:
        return None
    columns = unpack(constant).reshape(constant.shape[0], -1)
    positive, negative = (cut(columns, 0).sum(axis=1, dtype=np.int64) for cut in (np.maximum, np.minimum))
    sums = positive - negative
    found = Weights(int(columns.min()), int(columns.max()), int(sums.max()), columns.shape[1])
    small = found.low >= -WEIGHT_MAX and found.high <= WEIGHT_MAX
    return found if small and found.largest_sum <= limbs_sum_max(found.width) else None


def limbs_of(low: int, high: int, weights: Weights | None, read: int, made: int) -> Limbs | None:
    """How to compute a product of x in [low, high] by bytes; None where that cannot be, or costs more. `read`, `made`:
    elements of x and of the result, of a row."""
    offset = min(low, 0)
    bits = (max(high, 0) - offset).bit_length()
    if weights is None or bits > X_BITS_MAX:
        return None
    found = Limbs(offset, max(1, -(-bits // BYTE_BITS)), 1 if max(-weights.low, weights.high) <= 64 else 2)
    return found if is_cheaper(found, weights.width, read, made) else None


def is_cheaper(limbs: Limbs, width: int, read: int, made: int) -> bool:
    """Than in float64, for columns of `width` weights; `read`, `made` as in `limbs_of`."""
    products, macs = limbs.x * limbs.weights, made * width
    by_bytes = macs * products * BYTE_MAC_PS + made * products * JOINED_PS + read * limbs.x * SPLIT_PS
    return by_bytes < macs * DOUBLE_MAC_PS


def limbs_of_weights(weights: Int16Array, limbs: Limbs) -> list[Int8Array]:
    """Limbs of -64..64, the lowest first."""
    if limbs.weights == 1:
        return [weights.astype(np.int8)]
    low = (weights + np.int16(64) & np.int16(127)) - np.int16(64)
    return [low.astype(np.int8), (weights - low >> np.int16(LIMB_BITS)).astype(np.int8)]
