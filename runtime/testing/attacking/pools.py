"""Values for arguments: of their declared type, and mostly ones that mean something to the chain.

A random hash finds no model and a random amount no balance. So an argument is drawn from what stands in state and
parameters, or one more, one less or half of it; from arguments that succeeded; or fresh from its type, edges often. And
what belongs together is drawn together: one entry of the state is in focus for all arguments of a call, so that an
owner, a denomination and an amount fit each other; mostly one whose storage is named as an argument is, `tickets` for
`ticket`. Lives here: keeping and drawing. Must not: know modules.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import Any, Final, NamedTuple

from runtime.codec.schema import Schema, schema_of

KEPT_MAX: Final = 24
ELEMENTS_MAX: Final = 3
SAMPLES: Final = 64
LONG_MAX: Final = 16_384
"""Bytes and texts as long as their type allows come too, up to this."""
Leaf = tuple[Any, Any]  # form, value


_SMALL: Final = (1, 2, 3, 7, 10, 100, 1_000)


class Entry(NamedTuple):
    """What stands in the state at one key, or by itself. storage: its name there."""

    storage: str
    leaves: tuple[Leaf, ...]


class Pools:
    """Values by the form of their type. accounts: those that sign. choose: where all chance comes from."""

    def __init__(self, accounts: tuple[bytes, ...], choose: Random) -> None:
        self.accounts = accounts
        self._random = choose
        self._entries: tuple[Entry, ...] = ()
        self._state: dict[Any, list[Any]] = {}
        self._kept: dict[Any, dict[Any, None]] = {}
        self._focus: dict[Any, list[Any]] = {}

    # --- keeping

    def see_state(self, entries: Iterable[Entry]) -> None:
        """What stands in the state now, instead of what stood there before."""
        self._entries = tuple(entries)
        self._state = {}
        for entry in self._entries:
            for form, value in entry.leaves:
                known = self._state.setdefault(form, [])
                if value not in known:
                    known.append(value)

    def keep(self, schema: Schema, value: Any) -> None:
        """Remembers the parts of an argument that succeeded; the oldest are forgotten."""
        for form, leaf in leaves(schema, value):
            kept = self._kept.setdefault(form, {})
            kept.pop(leaf, None)
            kept[leaf] = None
            if len(kept) > KEPT_MAX:
                del kept[next(iter(kept))]

    # --- drawing

    def focus(self, arguments: Sequence[str] = ()) -> None:
        """Puts one entry of the state in focus for what is drawn next, or none. arguments: names of what is drawn."""
        self._focus = {}
        if not self._entries or self._random.randrange(10) >= 8:
            return
        names = {name.removesuffix("s") for name in arguments}
        named = [each for each in self._entries if each.storage.removesuffix("s") in names]
        among = named if named and self._random.randrange(2) else self._entries
        for form, value in self._random.choice(among).leaves:
            self._focus.setdefault(form, []).append(value)

    def account(self) -> int:
        """Which of the accounts signs: one that is in focus, mostly."""
        focused = [value for value in self._focus.get(_BYTES_32, ()) if value in self.accounts]
        if focused and self._random.randrange(10) < 8:
            return self.accounts.index(focused[self._random.randrange(len(focused))])
        return int(self._random.randrange(len(self.accounts)))

    def draw(self, schema: Schema) -> Any:
        """A value of the type."""
        match schema.kind:
            case "int" | "bytes" | "str":
                return self._leaf(schema)
            case "tuple":
                return tuple(self.draw(item) for item in schema.items)
            case "struct":
                return schema.python(*(self.draw(item) for item in schema.items))
            case "optional":
                return None if self._random.randrange(10) < 3 else self.draw(schema.items[0])
            case "array":
                return tuple(self.draw(schema.items[0]) for _ in range(self._length(schema)))
            case "map":
                key, value = schema.items
                return {self.draw(key): self.draw(value) for _ in range(self._length(schema))}
            case "union":
                return self.draw(schema.items[self._random.randrange(len(schema.items))])
        return self._fresh(schema)

    def _leaf(self, schema: Schema) -> Any:
        form, choice = form_of(schema), self._random.randrange(10)
        sources = [self._focus.get(form), self._state.get(form), list(self._kept.get(form, ()))]
        if form == _BYTES_32:
            sources.insert(1, list(self.accounts))
        for source, below in zip(sources, (6, 8, 9, 9), strict=False):
            known = [value for value in source or () if _fits(schema, value)]
            if known and choice < below:
                value = known[self._random.randrange(len(known))]
                return self._near(schema, value) if schema.kind == "int" else value
        if schema.kind == "int" and choice < 9:
            return next(value for value in (_SMALL[self._random.randrange(len(_SMALL))], 1) if _fits(schema, value))
        return self._fresh(schema)

    def _length(self, schema: Schema) -> int:
        most = ELEMENTS_MAX if schema.limit is None else min(schema.limit, ELEMENTS_MAX)
        return self._random.randrange(most + 1)

    def _fresh(self, schema: Schema) -> Any:
        if schema.limit is not None and schema.regex is None and not self._random.randrange(4):
            return (b"\xff" if schema.kind == "bytes" else "z") * min(schema.limit, LONG_MAX)
        return self._random.choice(_samples(schema))

    def _near(self, schema: Schema, value: int) -> int:
        near = (value, value, value, value // 2, value + 1, value - 1)[self._random.randrange(6)]
        return near if _fits(schema, near) else value


@functools.cache
def known_schema(declared: Any) -> Schema:
    """`schema_of`, for types that are asked of again and again."""
    return schema_of(declared)


def leaves(schema: Schema, value: Any) -> Iterator[Leaf]:
    """The parts of a value that have no parts, each with the form of its type."""
    match schema.kind:
        case "struct" | "model":
            for name, item in zip(schema.names, schema.items, strict=True):
                yield from leaves(item, getattr(value, name))
        case "tuple":
            for each, item in zip(value, schema.items, strict=True):
                yield from leaves(item, each)
        case "array":
            for each in value[:ELEMENTS_MAX]:
                yield from leaves(schema.items[0], each)
        case "map":
            for key, each in list(value.items())[:ELEMENTS_MAX]:
                yield from leaves(schema.items[0], key)
                yield from leaves(schema.items[1], each)
        case "optional":
            if value is not None:
                yield from leaves(schema.items[0], value)
        case "union":
            for item in schema.items:
                if isinstance(value, item.python):
                    yield from leaves(item, value)
        case "int" | "bytes" | "str":
            yield form_of(schema), value


def form_of(schema: Schema) -> Any:
    """What values must share to stand in for each other."""
    return ("bytes", schema.size) if schema.kind == "bytes" else (schema.kind,)


_BYTES_32: Final = ("bytes", 32)


def _fits(schema: Schema, value: Any) -> bool:
    if schema.kind == "int":
        low = -(1 << (schema.bits - 1)) if schema.signed else 0
        return bool(low <= value < low + (1 << schema.bits))
    if schema.limit is not None and len(value) > schema.limit:
        return False
    return schema.regex is None or re.fullmatch(schema.regex, value, re.ASCII) is not None


@functools.cache
def _samples(schema: Schema) -> tuple[Any, ...]:
    """Fresh values of a type, edges among them; the same ones always, whatever else the process has loaded."""
    # half of what a process that plays steps again would import, and it draws nothing
    from hypothesis import HealthCheck, Phase, given, settings

    from runtime.testing.attacking.chance import BACKEND
    from runtime.testing.strategies import from_schema

    found: list[Any] = []

    @settings(
        max_examples=SAMPLES,
        phases=(Phase.generate,),
        backend=BACKEND,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(from_schema(schema))
    def collect(value: Any) -> None:
        found.append(value)

    collect()
    return tuple(found)
