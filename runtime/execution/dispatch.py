"""Dispatch: one call to its module, and what becomes of what it raises.

Lives here: origin, gas and arguments of a call; which exceptions are a receipt and which stop the node.
A CallError is the caller's affair: a failed receipt. Any other exception of module code is a bug, contained as
ModuleFault, all gas charged, so that the receipt does not depend on where it broke. What says that this machine cannot
go on (OurError, MemoryError) is let through: the node halts rather than write a receipt that others do not have.
"""

from __future__ import annotations

import traceback
from typing import Final

from runtime.errors import CodecError, OurError
from runtime.execution.composition import Environment
from runtime.execution.gas import dispatch_gas
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
from runtime.module.origin import Origin, describe_origin
from runtime.state import StateBoundError
from runtime.types import Name

LET_THROUGH: Final = (OurError, MemoryError)


def dispatch(environment: Environment, origin: Origin, call: Call) -> None:
    """Runs one call in the environment's context. Raises CallError, or what LET_THROUGH says; never anything else."""
    target = environment.composition.targets.get(call.name)
    if target is None:
        raise UnknownCall(call=call.name[:128])
    info, context = target.info, environment.context
    if type(origin) not in info.origins:
        raise OriginRefused(call=call.name, origin=describe_origin(origin))
    context.charge(info.gas + dispatch_gas(len(call.arguments)))
    try:
        arguments = info.codec.decode(call.arguments)
    except CodecError as error:
        bad = BadArgument(call=call.name)
        bad.add_note(str(error))
        raise bad from None
    method = info.method
    try:
        method.function(environment.modules[target.module], origin, **method.keywords(arguments))
    except LET_THROUGH:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 # the boundary to module code: contained and classified
        raise contained(error, target.module, call.name) from None
    if context.is_exhausted:  # the module caught OutOfGas and went on
        raise OutOfGas(gas_limit=context.gas_limit)


def contained(error: BaseException, module: str, where: str) -> CallError:
    """What module code raised, as a CallError."""
    if isinstance(error, CallError):
        return error
    found: CallError
    if isinstance(error, StateBoundError):
        found = BoundExceeded(what=error.what[:128], size=error.size, limit=error.limit)
    elif isinstance(error, CodecError):
        found = BadValue(module=Name(module), where=where)
    else:
        found = ModuleFault(module=Name(module), call=where)
        found.add_note("".join(traceback.format_exception(error)))
        return found
    found.add_note(str(error))
    return found


def error_record(environment: Environment, error: CallError, call: int, module: str) -> ErrorRecord:
    """The error for a receipt. An error that no module declares is named after the module whose call it ended."""
    owner = environment.composition.error_owners.get(type(error), module)
    try:
        data = error.data()
    except CodecError:  # a field is not of its declared type: the author's bug
        fault = ModuleFault(module=Name(module), call=type(error).__name__)
        return ErrorRecord(Name("runtime"), "ModuleFault", call, fault.data())
    return ErrorRecord(Name(owner), type(error).__name__, call, data)


def explain(error: BaseException) -> str:
    """One sentence for people, with the detail that receipts leave out."""
    notes = [note for note in getattr(error, "__notes__", ()) if "Traceback" not in note]
    return ": ".join([str(error), *notes])


