"""`self.params`: a module's parameters, as they stand in its own part of the state.

They are there from the genesis on, so that queries of earlier heights and proofs see those of that time; changing them
is a call of the runtime's own module (runtime.execution.core). Lives here: reading. Must not: write or judge them.
"""

from __future__ import annotations

from typing import Any, Final, Protocol, Self, TypeVar, overload

from runtime.codec import codec
from runtime.errors import DefinitionError
from runtime.module.errors import KeyMissing
from runtime.module.gas import CODEC_UNIT_GAS
from runtime.types import Name

PARAMS: Final = "params"
PARAMS_KEY: Final = PARAMS.encode() + b"\x00"
"""Where they are in the module's subtree: as an item `params` would be, which no module can declare."""

P = TypeVar("P")
P_co = TypeVar("P_co", covariant=True)


class _HasParams(Protocol[P_co]):
    @property
    def Params(self) -> type[P_co]: ...  # noqa: N802 # the name of the nested class


class StoredParams:
    """Typed as the module's own nested class `Params`. Every read is metered and sees the state as it is; only the
    decoding is remembered, by the very bytes, so no checkpoint or rollback can make it stale."""

    @overload
    def __get__(self, instance: None, owner: Any) -> Self: ...
    @overload
    def __get__(self, instance: _HasParams[P], owner: Any) -> P: ...
    def __get__(self, instance: Any, owner: Any) -> Any:
        if instance is None:
            return self
        kind = instance._metadata.params
        if kind is None:
            raise DefinitionError(f"{type(instance).__name__} declares no parameters: add class Params(ModuleParams)")
        context, coder = instance._context, codec(kind)
        data = context.read(instance.name, PARAMS_KEY)
        if data is None:
            raise KeyMissing(module=Name(instance.name), storage=Name(PARAMS))
        context.charge(CODEC_UNIT_GAS * coder.work(len(data)))
        known, params = instance._params
        if known != data:
            params = coder.decode(data)
            vars(instance)["_params"] = data, params
        return params
