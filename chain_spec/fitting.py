"""What parts of a spec have to do with each other: roles, needs of modules, founders, the sum of what is held.

The runtime refuses all of it too, the first it meets; here everything is found, with the path of who is to mend it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain as chained
from typing import Any

from chain_spec.errors import Problem
from chain_spec.explain import nearest
from chain_spec.types import ChainSpec, Roles
from runtime import AuthRules, FeeLedger, Module, ValidatorSource
from runtime.bech32m import encode_address
from runtime.errors import DefinitionError
from runtime.execution.composition import wants_root
from runtime.execution.core import Core
from runtime.execution.params import Frame
from runtime.limits import VOTING_POWER_TOTAL_MAX
from runtime.module import find_provider
from runtime.module.uses import missing
from runtime.network.addresses import PeerAddress
from runtime.network.errors import AddressError

TOKENS = "tokens"
VALIDATORS = "validators"
SUPPLY_MAX = (1 << 128) - 1


@dataclass(frozen=True)
class Chosen:
    """A module of a spec, at its place there. params, genesis: what the spec gives it, typed; None where it takes none
    or what is given is wrong."""

    place: int
    module: type[Module]
    params: Any
    genesis: Any

    @property
    def path(self) -> str:
        """Of its genesis in the spec."""
        return f"$.modules[{self.place}].genesis"


def misfits(spec: ChainSpec, chosen: Sequence[Chosen]) -> Iterator[Problem]:
    """Everything that does not fit together, among the modules that are right by themselves."""
    yield from misfits_of_bootnodes(spec.bootnodes)
    yield from misfits_of_roles(spec.roles, [entry.name for entry in spec.modules], spec.address_prefix, chosen)
    if len(chosen) == len(spec.modules):
        yield from _needs(chosen)
        yield from _ranges(spec, chosen)


def misfits_of_roles(roles: Roles, names: Sequence[str], prefix: str, chosen: Sequence[Chosen]) -> Iterator[Problem]:
    """Roles that nobody can have, and what those who have them cannot hold. names: of all modules of the spec."""
    by_name = {each.module.name: each for each in chosen}
    yield from _roles(roles, names, by_name)
    validators, tokens = by_name.get(roles.validators), by_name.get(TOKENS)
    if validators is not None:
        yield from _founders(validators, prefix)
    if tokens is not None:
        yield from _supply(tokens)


def misfits_of_bootnodes(bootnodes: Sequence[str]) -> Iterator[Problem]:
    """What is no address of a peer."""
    for place, text in enumerate(bootnodes):
        try:
            PeerAddress.parse(text)
        except AddressError as error:
            yield Problem(f"$.bootnodes[{place}]", str(error))


def no_validators(spec: ChainSpec) -> list[Problem]:
    """What a spec lacks that resolves and is a draft: validators. Empty where it is a whole one, or where another
    module than ours says who validates."""
    for place, entry in enumerate(spec.modules):
        if entry.name == spec.roles.validators == VALIDATORS and not entry.genesis.get("validators"):
            reason = "a chain needs a validator; armillary spec add-validator adds one"
            return [Problem(f"$.modules[{place}].genesis.validators", reason)]
    return []


def founding_validators(chosen: Chosen) -> Sequence[Any] | None:
    """The validators of height 1 in a module's genesis; None where it has no list of them."""
    found: Sequence[Any] | None = getattr(chosen.genesis, "validators", None)
    return found


def _roles(roles: Roles, names: Sequence[str], by_name: dict[str, Chosen]) -> Iterator[Problem]:
    protocols = {"auth": AuthRules, "fees": FeeLedger, "validators": ValidatorSource}
    for role, name in roles:
        if name is None:
            continue
        if name not in names:
            yield Problem(f"$.roles.{role}", f"{name!r} is none of the spec's modules; {nearest(name, list(names))}")
        elif role in protocols and name in by_name:
            reason = missing(by_name[name].module, protocols[role])
            if reason:
                asks = f"({protocols[role].__name__} asks for it); bind another module"
                yield Problem(f"$.roles.{role}", f"module {name} {reason} {asks}")
    yield from _root(roles.governance, by_name)


def _root(bound: str | None, by_name: dict[str, Chosen]) -> Iterator[Problem]:
    """Only the module that the spec names may run calls as Root, and only one that does so is named."""
    if bound in by_name and not wants_root(by_name[bound].module):
        yield Problem("$.roles.governance", f"module {bound} runs no calls as Root; bind one that does, or null")
    for name, each in by_name.items():
        if name != bound and wants_root(each.module):
            reason = f"module {name} would run calls as Root; bind the role to it, or leave it out"
            yield Problem("$.roles.governance", reason)


def _needs(chosen: Sequence[Chosen]) -> Iterator[Problem]:
    modules: list[type[Module]] = [Core, *(each.module for each in chosen)]
    for each in chosen:
        for uses in each.module.metadata().uses.values():
            try:
                find_provider(uses, each.module.name, modules)
            except DefinitionError as error:
                yield Problem(f"$.modules[{each.place}].name", f"{error}; add a module that does")


def _ranges(spec: ChainSpec, chosen: Sequence[Chosen]) -> Iterator[Problem]:
    modules: list[type[Module]] = [Core, *(each.module for each in chosen)]
    frame = Frame(
        hook_gas=sum(gas for module in modules for gas in module.metadata().hooks.values()),
        timeout_ms_max=spec.consensus.timeout_ms_max,
        takes_fees=spec.roles.fees is not None,
    )
    for name, (low, high) in frame.ranges(spec.runtime).items():
        found = getattr(spec.runtime, name)
        if low > high:
            yield Problem(f"$.runtime.{name}", f"no value is possible: {low} at least for the hooks of the modules, "
                          f"{high} at most for $.consensus.timeout_ms_max; raise that one")  # fmt: skip
        elif not low <= found <= high:
            yield Problem(f"$.runtime.{name}", f"{found} is outside of what this chain can have, {low} to {high}")


def _founders(chosen: Chosen, prefix: str) -> Iterator[Problem]:
    """Each validator has a key, an operator and a peer id of its own, and power above 0."""
    path, power = f"{chosen.path}.validators", 0
    seen: dict[tuple[str, Any], int] = {}
    for place, each in enumerate(founding_validators(chosen) or ()):
        for name in ("public_key", "operator", "peer"):
            value = getattr(each, name)
            first = seen.setdefault((name, value), place)
            if first != place:
                text = encode_address(value, prefix) if name == "operator" else value
                text = text.hex() if isinstance(text, bytes) else text
                yield Problem(
                    f"{path}[{place}].{name}", f"{text} is that of validators[{first}] already; each has its own"
                )
        if each.power == 0:
            yield Problem(f"{path}[{place}].power", "a validator has voting power above 0; write 1 or more")
        power += each.power
    if power > VOTING_POWER_TOTAL_MAX:
        yield Problem(path, f"all voting power together is {power}; at most {VOTING_POWER_TOTAL_MAX} is possible")


def _supply(chosen: Chosen) -> Iterator[Problem]:
    sums: dict[str, int] = {}
    balances = getattr(chosen.genesis, "balances", {})
    for denom, amount in chained.from_iterable(held.items() for held in balances.values()):
        sums[denom] = sums.get(denom, 0) + amount
    for denom, total in sorted(sums.items()):
        if total > SUPPLY_MAX:
            yield Problem(
                f"{chosen.path}.balances", f"the supply of {denom} would be {total}; at most {SUPPLY_MAX} fits"
            )
