"""What people set: a module's genesis and its parameters, as pydantic models (strict, frozen, nothing extra).

In JSON as the types say (accounts bech32m, wide integers as decimal strings); in the chain's genesis canonical bytes.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Genesis(BaseModel):
    """Base of `class GenesisConfig(Genesis)` inside a module: what it holds at height 0."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class ModuleParams(BaseModel):
    """Base of `class Params(ModuleParams)` inside a module: set by the chain spec, read as `self.params`.

    Kept in state: changed as a whole by the chain itself (runtime.set_params, Root only)."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
