"""Dispatch: one call to its module, and what becomes of what it raises.

Lives here: origin, gas and arguments of a call; which exceptions are a receipt and which stop the node.
A CallError is the caller's affair: a failed receipt. Any other exception of module code is a bug, contained as
ModuleFault, all gas charged, so that the receipt does not depend on where it broke. What says that this machine cannot
go on (OurError, MemoryError) is let through: the node halts rather than write a receipt that others do not have.
"""

from __future__ import annotations

import re
import traceback
from typing import Final

from runtime.errors import CodecError, OurError
from runtime.execution.composition import Environment, Target
from runtime.execution.core import NAME as CORE
from runtime.execution.gas import dispatch_gas
from runtime.limits import ERROR_BYTES_MAX
from runtime.module import (
    BadArgument,
    BadValue,
    BoundExceeded,
    Call,
    CallError,
    ErrorRecord,
    ModuleFault,
    OriginRefused,
    OutOfGas,
    UnknownCall,
)
from runtime.module.errors import TEXT_CHARACTERS_MAX
from runtime.module.gas import CODEC_UNIT_GAS
from runtime.module.origin import Origin, describe_origin
from runtime.state import StateBoundError
from runtime.types import Name, Struct

LET_THROUGH: Final = (OurError, MemoryError, KeyboardInterrupt)
_TYPE_NAME = re.compile("[A-Z][A-Za-z0-9]{0,63}", re.ASCII)


def dispatch(environment: Environment, origin: Origin, call: Call) -> None:
    """Runs one call in the environment's context. Raises CallError, or what LET_THROUGH says; never anything else."""
    context, target = environment.context, target_of(environment, origin, call)
    method = target.info.method
    context.charge(target.info.gas)
    arguments = arguments_of(environment, target, call)
    try:
        method.function(environment.modules[target.module], origin, **method.keywords(arguments))
    except LET_THROUGH:
        raise
    except BaseException as error:  # noqa: BLE001 # the boundary to module code: contained and classified
        raise contained(error, target.module, call.name) from None
    if context.is_exhausted:  # the module caught OutOfGas and went on
        raise OutOfGas(gas_limit=context.gas_limit)


def target_of(environment: Environment, origin: Origin, call: Call) -> Target:
    """Where the call goes. Raises UnknownCall, OriginRefused."""
    target = environment.composition.targets.get(call.name)
    if target is None:
        raise UnknownCall(call=call.name[:TEXT_CHARACTERS_MAX])
    if type(origin) not in target.info.origins:
        raise OriginRefused(call=call.name, origin=describe_origin(origin))
    return target


def arguments_of(environment: Environment, target: Target, call: Call) -> Struct:
    """The call's arguments, their decoding charged first. Raises OutOfGas, BadArgument."""
    size = len(call.arguments)
    environment.context.charge(dispatch_gas(size) + CODEC_UNIT_GAS * target.info.codec.work(size))
    try:
        arguments: Struct = target.info.codec.decode(call.arguments)
    except CodecError as error:
        bad = BadArgument(call=call.name)
        bad.add_note(str(error))
        raise bad from None
    return arguments


def contained(error: BaseException, module: str, where: str) -> CallError:
    """What code of `module` raised, as a CallError that a receipt can hold. where: the call, hook or query."""
    where = where[:TEXT_CHARACTERS_MAX]
    found: CallError
    if isinstance(error, CallError):
        if _fits_receipt(error):
            return error
        found = ModuleFault(module=Name(module), call=where)
        found.add_note(f"it raised {type(error).__name__} with fields that are not of their types, or too long")
        return found
    if isinstance(error, StateBoundError):
        found = BoundExceeded(what=error.what[:TEXT_CHARACTERS_MAX], size=error.size, limit=error.limit)
    elif isinstance(error, CodecError):
        found = BadValue(module=Name(module), where=where)
    else:
        found = ModuleFault(module=Name(module), call=where)
        found.add_note("".join(traceback.format_exception(error)))
        return found
    found.add_note(str(error))
    return found


def _fits_receipt(error: CallError) -> bool:
    try:
        str(error)
        return len(error.data()) <= ERROR_BYTES_MAX and _TYPE_NAME.fullmatch(type(error).__name__) is not None
    except LET_THROUGH:
        raise
    except BaseException:  # noqa: BLE001 # an author's own __init__ or __str__ may break in any way
        return False


def error_record(environment: Environment, error: CallError, call: int, module: str) -> ErrorRecord:
    """A contained error for a receipt. One that no module declares is named after the module whose call it ended."""
    owner = environment.composition.error_owners.get(type(error), module)
    return ErrorRecord(Name(owner), type(error).__name__, call, error.data())


def takes_all_gas(error: ErrorRecord | None) -> bool:
    """Whether this failure costs the whole gas limit."""
    return error is not None and error.module == CORE and error.name in (ModuleFault.__name__, OutOfGas.__name__)


def explain(error: BaseException) -> str:
    """One sentence for people, with the detail that receipts leave out; never a traceback."""
    notes = [note for note in getattr(error, "__notes__", ()) if not note.startswith("Traceback")]
    return ": ".join([str(error), *notes])


def traceback_of(error: BaseException) -> str:
    """The traceback of a ModuleFault, for the node's log; "" for other errors."""
    return "".join(note for note in getattr(error, "__notes__", ()) if note.startswith("Traceback"))
