"""What a module is, as data: derived from its declaration, read by the command line, RPC, documentation and tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runtime.codec import Codec
from runtime.codec.schema import schema_of
from runtime.module.config import Genesis, ModuleParams
from runtime.module.errors import CallError
from runtime.module.event import Event
from runtime.module.origin import Origin
from runtime.module.storage import Item, Map
from runtime.module.uses import Uses
from runtime.module.verbs import CallMethod, Infers, Invariant, QueryMethod
from runtime.types import Struct


@dataclass(frozen=True, slots=True)
class Field:
    """A named part: its declared type (Annotated and NewTypes kept) and the type as the author wrote it."""

    name: str
    type: Any
    shown: str

    @property
    def is_optional(self) -> bool:
        """Whether None is a value of it, so that people may leave it out."""
        return schema_of(self.type).kind == "optional"


@dataclass(frozen=True, slots=True)
class CallInfo:
    """name: "transfer"; full_name: "tokens.transfer"; arguments: the record that travels (pydantic reads it too);
    origins: which are accepted; gas: the declared base; infers: on a module's instance and the arguments, what the call
    will infer; None where it does not say."""

    name: str
    full_name: str
    docs: str
    origins: tuple[type[Origin], ...]
    gas: int
    fields: tuple[Field, ...]
    arguments: type[Struct]
    codec: Codec[Any]
    method: CallMethod[Any, ...]
    infers: Infers[...] | None


@dataclass(frozen=True, slots=True)
class QueryInfo:
    """result: the declared type of the answer; result_codec: its bytes."""

    name: str
    full_name: str
    docs: str
    fields: tuple[Field, ...]
    arguments: type[Struct]
    codec: Codec[Any]
    result: Any
    result_codec: Codec[Any]
    method: QueryMethod[..., Any]


@dataclass(frozen=True, slots=True)
class StorageInfo:
    """kind: "item" or "map"; key: None for an item; default: NO_DEFAULT where there is none."""

    name: str
    kind: str
    key: Any
    value: Any
    default: Any
    declared: Item[Any] | Map[Any, Any]


@dataclass(frozen=True, slots=True)
class EventInfo:
    """An event and its fields."""

    name: str
    docs: str
    fields: tuple[Field, ...]
    event: type[Event]
    codec: Codec[Any]


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """An error, its sentence and its fields; `record` reads the data of a receipt."""

    name: str
    docs: str
    fields: tuple[Field, ...]
    error: type[CallError]
    record: type[Struct]


@dataclass(frozen=True, slots=True)
class InvariantInfo:
    """An invariant and what it says."""

    name: str
    docs: str
    method: Invariant


@dataclass(frozen=True, slots=True)
class ModuleMetadata:
    """Everything that a module declares, in the order of its page."""

    name: str
    version: int
    docs: str
    calls: Mapping[str, CallInfo]
    queries: Mapping[str, QueryInfo]
    storage: Mapping[str, StorageInfo]
    events: Mapping[str, EventInfo]
    errors: Mapping[str, ErrorInfo]
    invariants: Mapping[str, InvariantInfo]
    uses: Mapping[str, Uses[Any]]
    params: type[ModuleParams] | None
    genesis: type[Genesis] | None
    hooks: Mapping[str, int]
