"""The chain spec: a JSON file that pins down a chain. Here its form; resolve.py makes the runtime's genesis of it.

The file that `armillary spec new` makes writes every field out; unknown fields are errors. Amounts are decimal strings,
accounts bech32m with the spec's own prefix, keys and hashes lower-case hex.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from runtime.bech32m import DEFAULT_PREFIX
from runtime.execution import RuntimeParams
from runtime.types import U32, U64, Hash, Name, Pattern

BOOTNODES_MAX = 64
MODULES_MAX = 64


def _not_true(value: object) -> object:
    """True equals 1, so pydantic takes it for the literal 1."""
    if value is True:
        raise ValueError("write 1")
    return value


FirstVersion = Annotated[Literal[1], BeforeValidator(_not_true)]
"""The version of a file's form, so far always 1."""


class Section(BaseModel):
    """A part of the spec: read strictly, never changed, and an unknown field is an error."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class Roles(Section):
    """Which module does what the runtime needs done."""

    auth: Name = Field(default=Name("accounts"), description="nonces and keys of accounts")
    fees: Name | None = Field(default=Name("tokens"), description="takes fees and gives back what is left; null: free")
    validators: Name = Field(default=Name("validators"), description="who validates, with what power")
    governance: Name | None = Field(default=None, description="may run calls as the chain itself (Root); null: nobody")


class ModuleSpec(Section):
    """One module: which, in what version of its sources, how set up."""

    name: Name = Field(description="as its entry point armillary.modules is called")
    version: U32 | None = Field(default=None, description="of its storage and calls; null: the installed one")
    digest: Hash | None = Field(default=None, description="of its sources: a node with others does not sign; null: any")
    params: dict[str, Any] = Field(default={}, description="its parameters; one left out has its default")
    genesis: dict[str, Any] = Field(default={}, description="what it holds at height 0")


class Consensus(Section):
    """Patience: how long a round waits, and how far clocks may differ."""

    timeout_propose_ms: U32 = Field(default=3_000, description="in round 0: for two executions of a full block")
    timeout_vote_ms: U32 = Field(default=500, description="in round 0: for prevotes, and for precommits")
    timeout_growth_ms: U32 = Field(default=500, description="added in every further round")
    timeout_ms_max: U32 = Field(default=30_000)
    empty_block_interval_ms: U32 = Field(default=5_000, description="before a block without transactions")
    clock_precision_ms: U32 = Field(default=500, description="how far two validators' clocks may differ")
    message_delay_ms: U32 = Field(default=2_000, description="how long a proposal may travel")


class ChainSpec(Section):
    """A chain, as its founders pin it down."""

    spec_version: FirstVersion = 1
    name: Name = Field(description="for people; chains are told apart by their genesis hash")
    address_prefix: Annotated[str, Pattern("[a-z][a-z0-9]*", 16)] = Field(
        default=DEFAULT_PREFIX, description="how the chain's addresses begin"
    )
    genesis_time_ms: U64 = Field(description="Unix time of the genesis in milliseconds")
    consensus: Consensus = Consensus()
    runtime: RuntimeParams = Field(default=RuntimeParams(), description="at height 0; then governance may change them")
    roles: Roles = Roles()
    modules: Annotated[list[ModuleSpec], Field(min_length=1, max_length=MODULES_MAX, description="in hook order")]
    bootnodes: Annotated[list[str], Field(max_length=BOOTNODES_MAX, description="peers that every node dials")] = []
