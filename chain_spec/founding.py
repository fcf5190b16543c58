"""The same chain with other founders: for networks on one machine, whose keys are made for them.

Lives here: whom a spec names as validators, and who holds something. Must not: make keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chain_spec.errors import SpecError
from chain_spec.fitting import TOKENS, VALIDATORS
from chain_spec.presets import FEE_DENOM, FoundingValidator, genesis_of_validators
from chain_spec.types import ChainSpec
from runtime.bech32m import encode_address
from runtime.types import AccountId


def refounded(spec: ChainSpec, validators: Sequence[FoundingValidator], balances: Mapping[AccountId, int]) -> ChainSpec:
    """The spec with these validators in place of its own, and with these balances besides, in base units of what pays
    the fees. Raises SpecError where another module than ours says who validates."""
    if spec.roles.validators != VALIDATORS:
        reason = f"keys can be made for validators of the module {VALIDATORS!r} only, found {spec.roles.validators!r}"
        raise SpecError("$.roles.validators", reason)
    changed = []
    for entry in spec.modules:
        genesis = dict(entry.genesis)
        if entry.name == VALIDATORS:
            genesis = genesis_of_validators(validators, spec.address_prefix)
        elif entry.name == TOKENS:
            denom = str(entry.params.get("fee_denom", FEE_DENOM))
            genesis["balances"] = _with_more(genesis.get("balances"), denom, balances, spec.address_prefix)
        changed.append(entry.model_copy(update={"genesis": genesis}))
    return spec.model_copy(update={"modules": changed})


def _with_more(found: Any, denom: str, more: Mapping[AccountId, int], prefix: str) -> dict[str, dict[str, Any]]:
    held: dict[str, dict[str, Any]] = {name: dict(each) for name, each in (found or {}).items()}
    for account, amount in more.items():
        mine = held.setdefault(encode_address(account, prefix), {})
        mine[denom] = str(int(mine.get(denom, 0)) + amount)
    return held
