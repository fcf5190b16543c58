"""What of a module travels: calls in transactions, events and errors in receipts."""

from __future__ import annotations

from typing import Annotated

from runtime.limits import CALL_ARGUMENTS_BYTES_MAX, ERROR_BYTES_MAX, EVENT_BYTES_MAX
from runtime.types import IDENTIFIER, U8, MaxLen, Name, Pattern, Struct

CallName = Annotated[str, Pattern(rf"{IDENTIFIER}\.{IDENTIFIER}", 97)]
TypeName = Annotated[str, Pattern(r"[A-Z][A-Za-z0-9]*", 64)]
"""The name of an event's or an error's class."""


class Call(Struct):
    """A typed request: "tokens.transfer" and its arguments' canonical bytes. `Tokens.transfer.build(...)` makes one."""

    name: CallName
    arguments: Annotated[bytes, MaxLen(CALL_ARGUMENTS_BYTES_MAX)]


class EventRecord(Struct):
    """An event in a receipt. data: the event's canonical bytes; the module's metadata says how to read them."""

    module: Name
    name: TypeName
    data: Annotated[bytes, MaxLen(EVENT_BYTES_MAX)]


class ErrorRecord(Struct):
    """Why a transaction failed. call: the number of the failing call in its body; data: the error's fields."""

    module: Name
    name: TypeName
    call: U8
    data: Annotated[bytes, MaxLen(ERROR_BYTES_MAX)]
