"""ChainGenesis: everything that pins a chain down, in canonical bytes; their hash is the genesis hash.

The runtime never sees JSON: chain_spec resolves a spec into this. Every signature on the chain covers its hash.
"""

from __future__ import annotations

from typing import Annotated, Final

from runtime.codec import codec
from runtime.crypto import hash_bytes
from runtime.execution.params import RuntimeParams
from runtime.types import U32, U64, ZERO_HASH, Hash, MaxLen, Name, Pattern, Struct

GENESIS_VERSION: Final = 1
MODULES_MAX: Final = 64
MODULE_PARAMS_BYTES_MAX: Final = 8 * 1024  # kept in state as one value, and whole in the event of a change
MODULE_GENESIS_BYTES_MAX: Final = 64 * 1024 * 1024
UNPINNED: Final = ZERO_HASH


class ModuleGenesis(Struct):
    """One module, in the order of hooks. digest: of its sources; UNPINNED leaves it open. params, genesis: canonical
    bytes of its Params and GenesisConfig; empty where it declares none."""

    name: Name
    version: U32
    digest: Hash
    params: Annotated[bytes, MaxLen(MODULE_PARAMS_BYTES_MAX)]
    genesis: Annotated[bytes, MaxLen(MODULE_GENESIS_BYTES_MAX)]


class ConsensusParams(Struct):
    """Patience. How long a round waits, and how far clocks may differ; milliseconds."""

    timeout_propose_ms: U32
    timeout_vote_ms: U32
    timeout_growth_ms: U32
    timeout_ms_max: U32
    empty_block_interval_ms: U32
    clock_precision_ms: U32
    message_delay_ms: U32


class Roles(Struct):
    """Which module does what the runtime needs. fees None: gas is free. validators None: no consensus, only Chain.
    governance: may run calls as Root; None: nobody may."""

    auth: Name
    fees: Name | None
    validators: Name | None
    governance: Name | None


class ChainGenesis(Struct):
    """version: of this form. chain: for people. address_prefix: of bech32m addresses. time_ms: of height 0. runtime:
    prices and bounds at height 0; from there on they stand in the state."""

    version: U32
    chain: Name
    address_prefix: Annotated[str, Pattern("[a-z][a-z0-9]*", 16)]
    time_ms: U64
    modules: Annotated[tuple[ModuleGenesis, ...], MaxLen(MODULES_MAX)]
    consensus: ConsensusParams
    runtime: RuntimeParams
    roles: Roles

    def encode(self) -> bytes:
        """The canonical bytes."""
        return codec(ChainGenesis).encode(self)

    @classmethod
    def decode(cls, data: bytes) -> ChainGenesis:
        """The genesis of canonical bytes. Raises CodecError."""
        genesis: ChainGenesis = codec(ChainGenesis).decode(data)
        return genesis

    @property
    def hash(self) -> Hash:
        """The genesis hash. Hashed anew at each access: keep it."""
        return hash_bytes("armillary/genesis", self.encode())


DEFAULT_CONSENSUS: Final = ConsensusParams(
    timeout_propose_ms=3_000,
    timeout_vote_ms=500,
    timeout_growth_ms=500,
    timeout_ms_max=30_000,
    empty_block_interval_ms=5_000,
    clock_precision_ms=500,
    message_delay_ms=2_000,
)
"""For the in-process Chain and tests; a chain spec writes its own out in full."""

FREE: Final = RuntimeParams(fee_units=0)
"""Gas costs nothing: for chains without a module that takes fees."""
