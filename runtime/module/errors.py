"""What can go wrong in a module, and what a receipt says of it.

CallerError
├── CallError                a call fails: state rolled back, fee taken, the receipt names module, error and fields
│   ├── OutOfGas             the gas limit is used up; cannot be survived by catching it
│   ├── UnknownCall          no composed module has a call of this name
│   ├── BadArgument          the argument bytes are not those of the call's parameters
│   ├── OriginRefused        the call does not accept this origin
│   ├── KeyMissing           a storage item or map without default was read where nothing is stored
│   ├── BadValue             a value does not fit the declared type of its storage, event or key
│   ├── BoundExceeded        a key, value, chunk, checkpoint or event beyond the protocol's bound
│   └── ModuleFault          the module's code broke: any exception that is not a CallError
├── OutsideContext           storage was touched while no block, query or genesis runs
└── DefinitionError          (runtime.errors) the declaration is wrong; says the mend

Lives here: CallError, how its fields become bytes, and the errors that the runtime itself raises into receipts.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, cast, dataclass_transform, get_type_hints

import msgspec

from runtime.codec import codec
from runtime.errors import CallerError, DefinitionError, show
from runtime.types import U64, MaxLen, Name, Struct

TEXT_CHARACTERS_MAX: Final = 128
Text = Annotated[str, MaxLen(TEXT_CHARACTERS_MAX)]


@dataclass_transform(kw_only_default=True)
class CallError(CallerError):
    """Base of a module's errors: fields by annotation, as in a record. The first line of the docstring is the sentence.

    class InsufficientBalance(CallError):
        \"\"\"The sender holds less than the amount.\"\"\"
        held: U128
    """

    owner: ClassVar[str | None] = None
    _record: ClassVar[type[Struct] | None] = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._record = None
        cls.owner = None
        for name in inspect.get_annotations(cls):
            if hasattr(CallError, name) and name[0] != "_" and name != "owner":
                raise DefinitionError(f"{cls.__name__}.{name}: this name belongs to CallError: rename the field")
        for base in cls.__mro__[1:]:
            if base is CallError:
                break
            if "__annotations__" in vars(base) and issubclass(base, CallError):
                raise DefinitionError(f"{cls.__name__}: derive it from CallError: fields of an error are not inherited")

    def __init__(self, **fields: Any) -> None:
        record = type(self).record()
        names = record.__struct_fields__
        if set(fields) != set(names):
            raise TypeError(f"{type(self).__name__} takes the fields ({', '.join(names)}), got ({', '.join(fields)})")
        self.__dict__.update(fields)
        super().__init__(*(fields[name] for name in names))

    @classmethod
    def record(cls) -> type[Struct]:
        """The record of the fields, as it stands in receipts. Raises DefinitionError where a field has no bytes."""
        if cls._record is None:
            names = [name for name in inspect.get_annotations(cls) if not name.startswith("_") and name != "owner"]
            hints = get_type_hints(cls, include_extras=True)
            made = msgspec.defstruct(cls.__name__, [(name, hints[name]) for name in names], bases=(Struct,))
            codec(made)
            cls._record = cast("type[Struct]", made)
        return cls._record

    @classmethod
    def sentence(cls) -> str:
        """The first line of the docstring, or the name."""
        return first_line(cls.__doc__) if "__doc__" in vars(cls) and cls.__doc__ else cls.__name__

    def data(self) -> bytes:
        """The fields as canonical bytes. Raises CodecError where a field is not of its type."""
        record = type(self).record()
        return codec(record).encode(record(*self.args))

    def __str__(self) -> str:
        names = type(self).record().__struct_fields__
        fields = ", ".join(f"{name}={show(value)}" for name, value in zip(names, self.args, strict=True))
        sentence = type(self).sentence()
        return f"{sentence.rstrip('.')} ({fields})" if fields else sentence

    def __eq__(self, other: object) -> bool:
        """Of one class with equal fields."""
        return type(self) is type(other) and self.args == getattr(other, "args", None)

    def __hash__(self) -> int:
        return hash((type(self), self.args))

    if not TYPE_CHECKING:

        def __reduce__(self) -> Any:  # keyword-only: the default would call __init__ with positions
            return _rebuild, (type(self), dict(zip(type(self).record().__struct_fields__, self.args, strict=True)))


def _rebuild(kind: type[CallError], fields: dict[str, Any]) -> CallError:
    return kind(**fields)


def first_line(text: str | None) -> str:
    """The first line of a docstring; "" where there is none."""
    lines = (text or "").strip().splitlines()
    return lines[0].strip() if lines else ""


class OutsideContext(CallerError):
    """A module was used while nothing runs. Use a `Chain`, or an Application's query."""

    def __init__(self) -> None:
        super().__init__(
            "nothing runs: storage is there in a block, a query or the genesis; use Chain or Application.query"
        )


class OutOfGas(CallError):
    """The gas limit does not suffice."""

    gas_limit: U64


class UnknownCall(CallError):
    """No module of this chain has this call."""

    call: Text


class BadArgument(CallError):
    """The argument bytes are not those of the call's parameters."""

    call: Text


class OriginRefused(CallError):
    """The call does not accept this origin."""

    call: Text
    origin: Text


class KeyMissing(CallError):
    """Nothing is stored here, and the declaration gives no default."""

    module: Name
    storage: Name


class BadValue(CallError):
    """A value does not fit its declared type."""

    module: Name
    where: Text


class BoundExceeded(CallError):
    """Larger than the protocol allows."""

    what: Text
    size: U64
    limit: U64


class ModuleFault(CallError):
    """The module's code broke; all gas is charged. The node's log has the traceback."""

    module: Name
    call: Text


class QueryWrites(CallError):
    """A query wrote to storage: only calls and hooks may."""

    module: Name


RUNTIME_ERRORS: tuple[type[CallError], ...] = (
    OutOfGas,
    UnknownCall,
    BadArgument,
    OriginRefused,
    KeyMissing,
    BadValue,
    BoundExceeded,
    ModuleFault,
    QueryWrites,
)
