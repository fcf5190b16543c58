"""A chain's founders come together by files: a draft that all share, an entry from each validator, accounts.

The terms of a draft are everything in it but the founders: name, time, modules, parameters, roles. An entry is signed
by the validator key over the terms and what the entry says, so that nobody adds another's key, or an entry that was
meant for other terms. Founders are sorted: whoever adds the same ones to the same draft, in whatever order, has the
same genesis hash.
Lives here: terms, entries, adding. Must not: open keystores or files (tools/cli).
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import Field

from chain_spec.document import read_document, step
from chain_spec.errors import Problem, SpecError, refuse
from chain_spec.explain import read_form
from chain_spec.fitting import TOKENS
from chain_spec.resolve import resolve
from chain_spec.types import ChainSpec, FirstVersion, Section
from runtime.bech32m import encode_address
from runtime.codec import codec
from runtime.crypto import SigningKey, hash_bytes, verify_signature
from runtime.types import U64, AccountId, Denom, Hash, Name, Pattern, PublicKey, Signature, Struct

ENTRY_BYTES_MAX = 16 * 1024
PeerIdText = Annotated[str, Pattern("12D3KooW[1-9A-HJ-NP-Za-km-z]{44}", 52)]


class ValidatorEntry(Section):
    """What one validator hands to the others, as a JSON file. All of it is public."""

    entry_version: FirstVersion = 1
    chain: Name = Field(description="for people: the chain's name in the draft")
    terms: Hash = Field(description="of the draft that it was made for")
    public_key: PublicKey = Field(description="the key that votes, and has signed this")
    operator: AccountId = Field(description="the account that answers for the validator")
    power: U64 = Field(description="voting power")
    peer: PeerIdText = Field(description="the node's peer id")
    signature: Signature = Field(description="by public_key, of terms, operator, power and peer")


class _Statement(Struct):
    terms: Hash
    public_key: PublicKey
    operator: AccountId
    power: U64
    peer: PeerIdText


def terms_of(spec: ChainSpec) -> Hash:
    """The genesis hash that the spec would have without its founders. Raises SpecError where the spec is wrong."""
    bare = _with_genesis(spec, _place_of_validators(spec), {"validators": []})
    place = _place_of(spec, TOKENS)
    if place is not None:
        bare = _with_genesis(bare, place, {"balances": {}})
    return resolve(bare).genesis_hash


def make_entry(spec: ChainSpec, key: SigningKey, operator: AccountId, peer: str, power: int) -> ValidatorEntry:
    """The entry of a validator for this draft, signed. Raises SpecError where the draft is wrong."""
    statement = _Statement(terms_of(spec), key.public_key, operator, power, peer)
    return ValidatorEntry(
        chain=spec.name,
        terms=statement.terms,
        public_key=statement.public_key,
        operator=operator,
        power=power,
        peer=peer,
        signature=key.sign(_sign_bytes(statement)),
    )


def render_entry(entry: ValidatorEntry, prefix: str) -> str:
    """The entry as a JSON file. prefix: of the chain's addresses."""
    return json.dumps(entry.model_dump(mode="json", context={"prefix": prefix}), indent=2) + "\n"


def parse_entry(data: bytes, prefix: str) -> ValidatorEntry:
    """The entry in a JSON file. Raises SpecError with everything that is wrong with its form."""
    document, problems = read_document(data, ENTRY_BYTES_MAX)
    entry: ValidatorEntry | None = read_form(ValidatorEntry, document, "$", prefix, problems)
    refuse(problems)
    assert entry is not None
    return entry


def add_validator(spec: ChainSpec, entry: ValidatorEntry) -> ChainSpec:
    """The spec with one more founding validator. Raises SpecError: other terms, a signature that is not the key's, a
    key, operator or peer id that is there already. Paths are of the entry."""
    resolve(spec)
    terms = terms_of(spec)
    if entry.terms != terms:
        raise SpecError(
            "$.terms",
            f"the entry was made for a draft with the terms {entry.terms.hex()} (chain {entry.chain}), this spec has "
            f"{terms.hex()} (chain {spec.name}); they differ in something else than founders: make a new entry",
        )
    if entry.chain != spec.name:
        raise SpecError("$.chain", f"found {entry.chain!r}, the terms are those of {spec.name!r}: it was changed")
    statement = _Statement(entry.terms, entry.public_key, entry.operator, entry.power, entry.peer)
    if not verify_signature(entry.public_key, _sign_bytes(statement), entry.signature):
        reason = "is not the key's own over this entry: it was changed, or made by somebody without the key"
        raise SpecError("$.signature", reason)
    place = _place_of_validators(spec)
    listed = spec.modules[place].genesis.get("validators", [])
    added = {
        "public_key": entry.public_key.hex(),
        "operator": encode_address(entry.operator, spec.address_prefix),
        "power": entry.power,
        "peer": entry.peer,
    }
    _check_new(added, listed)
    validators = sorted([*listed, added], key=lambda each: str(each["public_key"]))
    return _with_genesis(spec, place, {"validators": validators})


def add_balance(spec: ChainSpec, account: AccountId, denom: Denom, amount: int) -> ChainSpec:
    """The spec with an account that holds this at height 0. Raises SpecError where the account has some already."""
    resolve(spec)
    place = _place_of(spec, TOKENS)
    if place is None:
        raise SpecError("$.modules", f"the chain has no module {TOKENS!r}: it has no balances")
    address = encode_address(account, spec.address_prefix)
    balances: dict[str, dict[str, Any]] = spec.modules[place].genesis.get("balances", {})
    held = balances.get(address, {})
    if denom in held:
        path = step(step(f"$.modules[{place}].genesis.balances", address), denom)
        raise SpecError(path, f"the account holds {held[denom]} {denom} already; to change that, edit the spec")
    changed = {**balances, address: dict(sorted({**held, denom: str(amount)}.items()))}
    return _with_genesis(spec, place, {"balances": dict(sorted(changed.items()))})


def unit_in(spec: ChainSpec, denom: str) -> tuple[str, int] | None:
    """Symbol and exponent that a right spec gives a denomination; None where it gives none."""
    place = _place_of(spec, TOKENS)
    shown = {} if place is None else spec.modules[place].genesis.get("metadata", {}).get(denom, {})
    return (str(shown["symbol"]), int(shown["exponent"])) if shown else None


def _check_new(added: dict[str, Any], listed: list[dict[str, Any]]) -> None:
    taken = [
        Problem(f"$.{name}", f"{added[name]} is that of a validator of the spec already ({each['public_key']})")
        for each in listed
        for name in ("public_key", "operator", "peer")
        if each[name] == added[name]
    ]
    if any(problem.path == "$.public_key" for problem in taken):
        raise SpecError("$.public_key", f"the validator {added['public_key']} is in the spec already")
    refuse(taken)


def _sign_bytes(statement: _Statement) -> Hash:
    return hash_bytes("armillary/founding-validator", codec(_Statement).encode(statement))


def _place_of(spec: ChainSpec, name: str) -> int | None:
    return next((place for place, entry in enumerate(spec.modules) if entry.name == name), None)


def _place_of_validators(spec: ChainSpec) -> int:
    place = _place_of(spec, spec.roles.validators)
    if place is None:
        raise SpecError("$.roles.validators", f"{spec.roles.validators!r} is none of the spec's modules")
    return place


def _with_genesis(spec: ChainSpec, place: int, change: dict[str, Any]) -> ChainSpec:
    """The spec with other fields in one module's genesis."""
    modules = list(spec.modules)
    modules[place] = modules[place].model_copy(update={"genesis": {**modules[place].genesis, **change}})
    return spec.model_copy(update={"modules": modules})
