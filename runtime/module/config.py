"""What people set: a module's genesis and its parameters, as pydantic models (strict, frozen, nothing extra).

In JSON as the types say (accounts bech32m, wide integers as decimal strings); in the chain's genesis canonical bytes.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from runtime.types import U64


class Genesis(BaseModel):
    """Base of `class GenesisConfig(Genesis)` inside a module: what it holds at height 0."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class DatedGenesis(Genesis):
    """Base of a GenesisConfig that holds heights. A module exports them as they are; on the chain that begins with the
    export they are lowered, so that what was due in n blocks still is: read each by `at`."""

    heights_from: U64 = Field(default=0, description="height of the chain that this was exported from, when it was")

    def at(self, height: int) -> int:
        """A height of the export on the chain that begins with it; 0, its beginning, for what was before."""
        return max(height - self.heights_from, 0)


class ModuleParams(BaseModel):
    """Base of `class Params(ModuleParams)` inside a module: set by the chain spec, read as `self.params`.

    Kept in state: changed as a whole by the chain itself (runtime.set_params, Root only)."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
