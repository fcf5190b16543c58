"""What the chain may change of the runtime itself: prices and bounds, the parameters of the module `runtime`.

In force in block H is what the state after block H - 1 says, for the whole of H: all of a block's transactions have one
price, and whoever makes, checks or proposes a transaction for the next block reads them in the last state.
Lives here: their form and ranges. Must not: read the state (composition.py), judge or change it (core.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydantic import Field

from runtime.limits import BLOCK_BYTES_MAX, BLOCK_FRAME_BYTES, BLOCK_TRANSACTIONS_MAX, MODEL_MEMORY_BYTES_MAX
from runtime.module import ModuleParams
from runtime.types import U32, U64, Struct

EXECUTIONS_PER_ROUND: Final = 2  # the proposer's, then everyone else's
TRANSACTIONS_GAS_MIN: Final = 20_000_000  # what hooks leave: proposing and voting stay possible
TRANSACTIONS_BYTES_MIN: Final = 16 * 1024  # a proposal of any module's parameters fits
INFERENCE_PERCENT_MAX: Final = 100_000
NANOSECONDS_PER_MS: Final = 1_000_000


class FeeParams(Struct):
    """The price of gas: `units` base units for every `per_gas` gas, rounded up."""

    units: U64
    per_gas: U64

    def fee(self, gas: int) -> int:
        """What so much gas costs, in base units."""
        return -(-gas * self.units // self.per_gas)


class RuntimeParams(ModuleParams):
    """Prices and bounds. Gas is nanoseconds on the reference machine. Changed by a call of the chain itself:
    runtime.set_params with the module `runtime`."""

    fee_units: U64 = Field(default=1, description="the price of gas: base units for every fee_per_gas, rounded up")
    fee_per_gas: U64 = Field(default=1_000, description="gas that costs fee_units")
    block_gas_max: U64 = Field(default=2_000_000_000, description="gas of a block, what hooks may use included")
    block_bytes_max: U32 = Field(default=2 * 1024 * 1024, description="bytes of a block's transactions")
    block_transactions_max: U32 = Field(default=10_000, description="transactions of a block")
    inference_gas_percent: U32 = Field(default=100, description="charged for a run, of its proven cost, in percent")
    model_memory_bytes_max: U64 = Field(default=1 << 30, description="memory of a model's run of one row, in bytes")

    @property
    def fees(self) -> FeeParams:
        """The price of gas."""
        return FeeParams(self.fee_units, self.fee_per_gas)

    def inference_gas(self, cost: int) -> int:
        """The gas of a run whose proven cost is so much, rounded up."""
        return -(-cost * self.inference_gas_percent // 100)


@dataclass(frozen=True, slots=True)
class Frame:
    """What of a chain is fixed and bounds its parameters. hook_gas: what hooks may use in each block; they get at most
    half of it. timeout_ms_max: the longest that a round waits. takes_fees: whether a module does; else gas is free."""

    hook_gas: int
    timeout_ms_max: int
    takes_fees: bool

    def ranges(self, params: RuntimeParams) -> dict[str, tuple[int, int]]:
        """Lowest and highest value of each parameter, beside the others. A full block is executed twice within the
        longest wait on the reference machine, also where all of it is inference at a discount."""
        block_ns = self.timeout_ms_max * NANOSECONDS_PER_MS // EXECUTIONS_PER_ROUND
        return {
            "fee_units": (0, (1 << 64) - 1 if self.takes_fees else 0),
            "fee_per_gas": (1, (1 << 64) - 1),
            "inference_gas_percent": (1, INFERENCE_PERCENT_MAX),
            "block_gas_max": (
                self.hook_gas + max(self.hook_gas, TRANSACTIONS_GAS_MIN),
                block_ns * min(params.inference_gas_percent, 100) // 100,
            ),
            "block_bytes_max": (TRANSACTIONS_BYTES_MIN, BLOCK_BYTES_MAX - BLOCK_FRAME_BYTES),
            "block_transactions_max": (1, BLOCK_TRANSACTIONS_MAX),
            "model_memory_bytes_max": (0, MODEL_MEMORY_BYTES_MAX),
        }
