"""Module: the base that authors derive from. One class is one unit of the state machine: storage, verbs, hooks.

Lives here: what an author may use on `self`, and how an instance is bound to a context. Must not: judge declarations
(declaration.py), meter (context.py), dispatch (runtime.execution). An instance holds no state of its own: everything
is in storage, and assigning an undeclared attribute is an error.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar, Self

from runtime.errors import CodecError, DefinitionError
from runtime.module.authorisation import module_account
from runtime.module.block import BlockInfo
from runtime.module.body import check_redefinition
from runtime.module.config import Genesis, ModuleParams
from runtime.module.context import Context
from runtime.module.declaration import Scope, declare
from runtime.module.errors import BadValue
from runtime.module.event import Event
from runtime.module.facts import completed
from runtime.module.metadata import ModuleMetadata
from runtime.module.origin import ModuleOrigin
from runtime.module.params import StoredParams
from runtime.module.storage import Item, Map
from runtime.module.wire import EventRecord
from runtime.types import AccountId, Name


class _Body(dict[str, Any]):
    """A class body that refuses a second declaration of one name, which Python would let pass in silence."""

    def __init__(self, owner: str) -> None:
        super().__init__()
        self.owner = owner

    def __setitem__(self, name: str, value: Any) -> None:
        if name in self:
            check_redefinition(self.owner, name, self[name])
        super().__setitem__(name, value)


class ModuleMeta(type):
    """Reads the declaration when the class statement ends."""

    @classmethod
    def __prepare__(cls, name: str, bases: tuple[type, ...], /, **options: Any) -> _Body:
        return _Body(name)

    def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any], **options: Any) -> ModuleMeta:
        """The class, with its declaration read. Raises DefinitionError, which says the mend."""
        made = super().__new__(cls, name, bases, dict(body), **options)
        if bases:
            frame = sys._getframe(1)  # the scope of the class statement: its names may be local to a function
            made._metadata = declare(made, Scope.of(made, frame.f_locals))  # type: ignore[attr-defined] # of Module
        return made


class Module(metaclass=ModuleMeta):
    """Derive from it, give it a `name`, declare storage and verbs. The docstring becomes the module's documentation."""

    name: ClassVar[str]
    version: ClassVar[int] = 1

    _is_module_root: ClassVar[bool] = True
    _metadata: ClassVar[ModuleMetadata]
    _is_complete: ClassVar[bool]
    _context: Context
    _bound: dict[str, Any]
    _params: tuple[bytes, ModuleParams | None]  # their bytes, and what these decode to

    params = StoredParams()

    # --- for authors: what a verb or a hook may use

    @property
    def height(self) -> int:
        """The height of the block that runs; 0 during the genesis."""
        return self._context.block.height

    @property
    def time_ms(self) -> int:
        """The block's time, milliseconds since 1970: the same on every node."""
        return self._context.block.time_ms

    @property
    def block(self) -> BlockInfo:
        """The block that runs: proposer, evidence and last signers besides height and time."""
        return self._context.block

    @property
    def account(self) -> AccountId:
        """The module's own account, which no key signs for."""
        return module_account(self.name)

    @property
    def origin(self) -> ModuleOrigin:
        """The origin with which this module calls others' calls."""
        return ModuleOrigin(Name(self.name))

    def emit(self, event: Event) -> None:
        """Add an event to the receipt. It is undone with the call that fails. Raises DefinitionError for an event that
        the module does not declare, BadValue for a field out of its type, BoundExceeded for too many, OutOfGas."""
        kind = type(event)
        info = self._metadata.events.get(kind.__name__)
        if info is None or info.event is not kind:
            raise DefinitionError(
                f"{type(self).__name__} emits {kind.__name__}, which it does not declare: define the event in the "
                f"module's own file or package, or list it: events = ({kind.__name__}, ...)"
            )
        try:
            data = self._context.encode(info.codec, event)
        except CodecError as error:
            bad = BadValue(module=Name(self.name), where=f"{kind.__name__}{error.path.removeprefix('$')}"[:128])
            bad.add_note(str(error))
            raise bad from None
        self._context.emit(EventRecord(Name(self.name), kind.__name__, data))

    def charge(self, gas: int) -> None:
        """Take gas for work that depends on the input: before doing it. Raises OutOfGas."""
        self._context.charge(gas)

    def checkpoint(self) -> AbstractContextManager[None]:
        """`with self.checkpoint():` undoes state and events of the block where it raises, and lets the error through.
        Needed only to catch an error and go on; a call that fails is undone anyway."""
        return self._context.checkpoint()

    # --- for authors: what a module may override

    def begin_block(self) -> None:
        """Runs before a block's transactions. Override with @hook(gas=...)."""

    def end_block(self) -> None:
        """Runs after a block's transactions. Override with @hook(gas=...)."""

    def genesis(self, config: Any) -> None:
        """Writes the module's state at height 0 from its GenesisConfig. Raise CallError on a bad configuration."""

    def check_params(self) -> None:
        """Raise CallError where `self.params` cannot be, by themselves or with the state as it is. Runs after the
        genesis, and after each change, which is undone then."""

    def export_genesis(self) -> Genesis:
        """The present state as a GenesisConfig, for a new chain that starts where this one stands. Raises
        DefinitionError where the module does not define it."""
        raise DefinitionError(f"{self.name} cannot be exported: {type(self).__name__} does not define export_genesis()")

    # --- for the runtime and tools

    @classmethod
    def metadata(cls) -> ModuleMetadata:
        """Everything that the module declares, as data. Raises DefinitionError where the declaration is not
        complete."""
        if cls is Module:
            raise DefinitionError("Module itself declares nothing: derive from it")
        if "_is_complete" not in vars(cls):
            cls._metadata = completed(cls, cls._metadata)
            cls._is_complete = True
        return cls._metadata

    @classmethod
    def bind(cls, context: Context) -> Self:
        """An instance whose storage reads and writes through `context`. `connect` gives it what it uses."""
        instance = object.__new__(cls)
        state = vars(instance)
        state.update(_context=context, _params=(b"", None), _bound={})
        for name, storage in cls._metadata.storage.items():
            if isinstance(storage.declared, Map):
                state[name] = storage.declared.bind(context)
        return instance

    def connect(self, name: str, provider: Any) -> None:
        """Bind `name: Uses[...]` to what provides it."""
        self._bound[name] = provider

    if not TYPE_CHECKING:  # type checkers would take these as leave for any attribute and any construction

        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            """Raises DefinitionError: only `bind` makes instances."""
            raise DefinitionError(
                f"{cls.__name__}() is not how a module runs: compose it in a Chain, Chain({cls.__name__})"
            )

        def __setattr__(self, name: str, value: Any) -> None:
            if not isinstance(getattr(type(self), name, None), Item):
                raise DefinitionError(
                    f"{type(self).__name__}.{name} is no storage item, and a module keeps no other state: "
                    f"declare {name}: Item[...] = Item(default=...)"
                )
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return f"<module {self.name}>"
