"""How much work the bytes of a value can be: a bound from the declared type alone, known before they are decoded.

A byte string is one piece, however long; a tuple of records of three bytes is a record made for every three bytes, at
a thousand times the price of a byte. `Work` bounds it in units, each about 30 ns of decoding on a current core (and
less of encoding): of each kind of part no more than the type's bounds allow, nor than fit into the bytes.

Lives here: the bound. Must not: price it (runtime.module.gas).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from runtime.codec.schema import Schema

LEAF: Final = 1  # an integer, bool, text or byte string that msgspec checks by itself
PATTERN: Final = 10  # a text against a regular expression
WIDE: Final = 14  # an integer above 64 bits, an enum: made by a Python function
RECORD: Final = 20  # a struct, tuple or model made from what msgspec decoded
FIELD: Final = 8  # of one of those
CHOICE: Final = 6  # to see which member of an optional or a union it is; to go on to an array's next element
PAIR: Final = 60  # of a map: it is sorted by its encoded key
_ENDLESS: Final = 1 << 32  # maps are in genesis and parameters only, which state their bounds in bytes


@dataclass(frozen=True, slots=True)
class Work:
    """Of one type: no value has fewer bytes than `least_bytes` or more units than `most`, nor more than `once` and
    `density` for each byte."""

    least_bytes: int
    most: int
    once: int
    density: Fraction

    def of(self, size_bytes: int) -> int:
        """The units of work that a value of so many bytes cannot exceed."""
        return min(self.most, self.once - (-size_bytes * self.density.numerator // self.density.denominator))


def work_of(schema: Schema) -> Work:
    """The bound for a type."""
    if schema.kind in ("array", "map"):
        return _repeated(schema)
    if schema.kind in ("optional", "union"):
        return _chosen(schema)
    if schema.kind in ("struct", "tuple", "model"):
        return _record(schema)
    if schema.kind == "enum" or schema.bits > 64:
        return _simple(1 if schema.kind == "enum" else 2 + schema.bits // 8, WIDE)
    if schema.kind == "bytes":
        return _simple(2 + (schema.size or 0), LEAF)
    return _simple(1, PATTERN if schema.regex else LEAF)


def _simple(least_bytes: int, units: int) -> Work:
    return Work(least_bytes, units, units, Fraction(0))


def _record(schema: Schema) -> Work:
    """Each part once; the bytes are divided among the parts, at worst they are all the densest one's."""
    parts = [work_of(item) for item in schema.items]
    own = RECORD + FIELD * len(parts)
    return Work(
        1 + (schema.tag is not None) + sum(part.least_bytes for part in parts),
        own + sum(part.most for part in parts),
        own + sum(part.once for part in parts),
        max([Fraction(0), *(part.density for part in parts)]),
    )


def _repeated(schema: Schema) -> Work:
    """As many elements as the type allows, or as fit into the bytes where each is as short as can be."""
    parts = [work_of(item) for item in schema.items]
    own = PAIR if schema.kind == "map" else 0 if parts[0].most == LEAF else CHOICE
    least = sum(part.least_bytes for part in parts) + (schema.kind == "map")
    density = Fraction(own + sum(part.once for part in parts), least) + max(part.density for part in parts)
    limit = _ENDLESS if schema.limit is None else schema.limit
    return Work(1, CHOICE + limit * (own + sum(part.most for part in parts)), CHOICE, density)


def _chosen(schema: Schema) -> Work:
    parts = [work_of(item) for item in schema.items]
    return Work(
        1 if schema.kind == "optional" else min(part.least_bytes for part in parts),
        CHOICE + max(part.most for part in parts),
        CHOICE + max(part.once for part in parts),
        max(part.density for part in parts),
    )
