"""What a module's class body may hold besides declarations: a name, constants, methods. Everything else is refused.

Lives here: names, constants, inheritance. Must not: read annotations or signatures (declaration.py, signature.py).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from typing import Any, Final

from runtime.errors import DefinitionError
from runtime.module.storage import Declared
from runtime.module.uses import Uses
from runtime.module.verbs import Invariant, Verb
from runtime.types import IDENTIFIER, Struct

NAME_CHARACTERS_MAX: Final = 48
HOOKS: Final = ("begin_block", "end_block")
_SETTINGS: Final = ("GenesisConfig", "Params", "genesis", "check_params", "export_genesis")
OVERRIDABLE: Final = frozenset(("name", "version", "events", "errors", *_SETTINGS, *HOOKS))
_FORBIDDEN: Final = frozenset(("__init__", "__new__", "__setattr__", "__getattr__", "__getattribute__", "__delattr__"))
_MADE: Final = frozenset(("_metadata", "_is_complete"))  # by the metaclass
_CONSTANTS: Final = (int, str, bytes, type(None), enum.Enum, Struct)


def check_redefinition(owner: str, name: str, present: object) -> None:
    """Raises DefinitionError where a second declaration in one class body would silently replace the first."""
    if isinstance(present, Verb | Invariant | Declared | Uses):
        raise DefinitionError(f"{owner}.{name} is declared twice: rename one of them")


def root_of(module: Any) -> Any:
    """Module, by its mark: this file cannot import it."""
    return next(layer for layer in module.__mro__ if "_is_module_root" in vars(layer))


def layers(module: Any) -> Iterator[Any]:
    """The classes that make up the module, base first; Module itself and Python's own left out."""
    root = root_of(module)
    own = (layer for layer in reversed(module.__mro__) if layer.__module__ not in ("builtins", "typing"))
    return (layer for layer in own if layer is not root)


def check_name(module: Any) -> tuple[str, int]:
    """The module's name and version. Raises DefinitionError."""
    name, version = getattr(module, "name", None), module.version
    if not isinstance(name, str) or len(name) > NAME_CHARACTERS_MAX or not re.fullmatch(IDENTIFIER, name, re.ASCII):
        raise DefinitionError(
            f"{module.__name__}: a module needs a name of lower case letters, digits and _, a letter first, at most "
            f'{NAME_CHARACTERS_MAX} characters: write name = "{module.__name__.lower()[:NAME_CHARACTERS_MAX]}"'
        )
    if not isinstance(version, int) or isinstance(version, bool) or not 0 < version < 1 << 32:
        raise DefinitionError(f"{module.__name__}.version is {version!r}: write a number from 1 on")
    return name, version


def check_body(module: Any) -> None:
    """Refuses constructors, names of Module's own, floats, and attributes that could carry state outside storage."""
    root = root_of(module)
    for layer in layers(module):
        for name, value in vars(layer).items():
            where = f"{module.__name__}.{name}"
            if name in _FORBIDDEN:
                raise DefinitionError(
                    f"{where}: a module has no {name}: its state is its storage; write genesis(self, config)"
                )
            if name.startswith("__") or name in _MADE:
                continue
            if name not in OVERRIDABLE and hasattr(root, name):
                raise DefinitionError(f"{where}: this name belongs to Module: rename it")
            _check_attribute(where, name, value)


def _check_attribute(where: str, name: str, value: Any) -> None:
    if isinstance(value, float | complex):
        raise DefinitionError(f"{where} is a float, which rounds: write an integer with fixed-point units")
    if isinstance(value, tuple) and not hasattr(value, "__origin__"):
        for part in value:
            _check_attribute(where, name, part)
        return
    if isinstance(value, _CONSTANTS) or callable(value) or hasattr(value, "__get__"):
        return
    if isinstance(value, Declared):
        return
    raise DefinitionError(
        f"{where} is a {type(value).__name__}, state outside storage: write a tuple for a constant, "
        f"{name}: Map[...] = Map() for state"
    )
