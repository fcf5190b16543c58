"""Values as an author writes them in Python: people by their names, records by their fields.

Lives here: the text of values, and what they need imported. Must not: know steps or rules.
"""

from __future__ import annotations

import enum
from typing import Any, Final

from runtime.execution import Chain
from runtime.types import Struct

LONG: Final = 32
"""Longer values of one character are written as a product."""
PEOPLE: Final = ("alice", "bob", "carol", "dora")
"""Those who sign in an attack."""
NAMES: Final = {bytes(Chain.account_named(name).id): name for name in PEOPLE}


class Writing:
    """Writes values. used: people whose names were written; imports: module and name of every class and function."""

    def __init__(self) -> None:
        self.used: set[str] = set()
        self.imports: set[tuple[str, str]] = set()

    def name(self, defined: Any) -> str:
        """A class or a function, imported."""
        self.imports.add((defined.__module__, defined.__qualname__.partition(".")[0]))
        return str(defined.__qualname__).rpartition("<locals>.")[2]

    def value(self, value: Any) -> str:
        """A value of a wire type, as an author writes it."""
        match value:
            case bytes() if value in NAMES:
                person = NAMES[value]
                self.used.add(person)
                return f"{person}.id"
            case bytes() | str() if len(value) > LONG and len(set(value)) == 1:
                return f"{value[:1]!r} * {len(value)}"
            case enum.Enum():
                return f"{self.name(type(value))}.{value.name}"
            case Struct():
                parts = (f"{name}={self.value(getattr(value, name))}" for name in value.__struct_fields__)
                return f"{self.name(type(value))}({', '.join(parts)})"
            case tuple():
                return f"({', '.join(map(self.value, value))}{',' if len(value) == 1 else ''})"
            case dict():
                return "{" + ", ".join(f"{self.value(key)}: {self.value(each)}" for key, each in value.items()) + "}"
        return repr(value)
