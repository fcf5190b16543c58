"""Ready-made specs: `dev` (one validator, fast) and `localnet` (several on one machine)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from chain_spec import plugins
from chain_spec.errors import SpecError
from chain_spec.explain import of_form
from chain_spec.types import ChainSpec, Consensus, ModuleSpec
from runtime.bech32m import DEFAULT_PREFIX, encode_address, is_prefix
from runtime.types import AccountId, Hash, Name, PublicKey

FEE_DENOM = "arm"
FEE_METADATA = {"name": "Armillary", "symbol": "ARM", "exponent": 9, "description": "pays for gas"}
FOUNDER_BALANCE = 10**15  # base units that a founding validator's operator holds at height 0
STANDARD_MODULES = ("accounts", "tokens", "registry", "oracle", "validators", "governance")
GOVERNANCE = "governance"
LOCAL_PARAMS = {GOVERNANCE: {"voting_blocks": 20, "delay_blocks": 2}}  # a minute of empty blocks to vote in
LOCAL_CONSENSUS = Consensus(
    timeout_propose_ms=1_200, timeout_vote_ms=400, timeout_growth_ms=400, empty_block_interval_ms=3_000
)


@dataclass(frozen=True)
class FoundingValidator:
    """A validator of height 1: the key it votes with, the account that runs it, the peer id of its node."""

    public_key: PublicKey
    operator: AccountId
    peer_id: str
    power: int = 10


def make_spec(
    name: str,
    validators: Sequence[FoundingValidator],
    balances: Mapping[AccountId, int],
    *,
    prefix: str = DEFAULT_PREFIX,
    modules: Sequence[str] = STANDARD_MODULES,
    params: Mapping[str, Mapping[str, Any]] | None = None,
    consensus: Consensus = LOCAL_CONSENSUS,
    bootnodes: Sequence[str] = (),
    genesis_time_ms: int | None = None,
) -> ChainSpec:
    """A spec of these modules, each pinned to its installed sources. balances: base units of the fee denomination.
    params: by module, where they are not the defaults.

    Raises SpecError with the JSON path of what is wrong.
    """
    if not is_prefix(prefix):
        raise SpecError("$.address_prefix", f"{prefix!r} is not 1 to 16 of a-z and 0-9, a letter first")
    genesis: dict[str, dict[str, Any]] = {
        "tokens": {
            "balances": {encode_address(a, prefix): {FEE_DENOM: str(n)} for a, n in balances.items()},
            "metadata": {FEE_DENOM: FEE_METADATA},
        },
        "validators": genesis_of_validators(validators, prefix),
    }
    entries = [_module(name, genesis.get(name, {}), (params or {}).get(name, {}), prefix) for name in modules]
    document = {
        "name": name,
        "address_prefix": prefix,
        "genesis_time_ms": int(time.time() * 1000) if genesis_time_ms is None else genesis_time_ms,
        "consensus": consensus.model_dump(mode="json"),
        "roles": {"governance": GOVERNANCE if GOVERNANCE in modules else None},
        "modules": [entry.model_dump(mode="json") for entry in entries],
        "bootnodes": list(bootnodes),
    }
    made: ChainSpec = of_form(ChainSpec, document, "$", None)
    return made


def genesis_of_validators(validators: Sequence[FoundingValidator], prefix: str) -> dict[str, Any]:
    """The genesis of the module `validators`. In whatever order they are given, one spec comes of them."""
    founders = sorted(validators, key=attrgetter("public_key"))
    return {"validators": [_validator(each, prefix) for each in founders]}


def check_modules(names: Sequence[str], where: str) -> None:
    """Raises SpecError, at `where`, when one of the names cannot be composed with the standard modules."""
    for index, name in enumerate(names):
        plugins.load(name, where)
        if name in STANDARD_MODULES or name in names[:index]:
            raise SpecError(where, f"the module {name!r} is composed already; name it once, the standard ones never")


def _module(name: str, genesis: dict[str, Any], given: Mapping[str, Any], prefix: str) -> ModuleSpec:
    """The module as installed, with every parameter written out."""
    installed = plugins.load(name)
    params = installed.metadata().params
    return ModuleSpec(
        name=Name(name),
        version=installed.metadata().version,
        digest=Hash(plugins.digest(installed)),
        params={} if params is None else params(**given).model_dump(mode="json", context={"prefix": prefix}),
        genesis=genesis,
    )


def _validator(validator: FoundingValidator, prefix: str) -> dict[str, Any]:
    return {
        "public_key": validator.public_key.hex(),
        "operator": encode_address(validator.operator, prefix),
        "power": validator.power,
        "peer": validator.peer_id,
    }
