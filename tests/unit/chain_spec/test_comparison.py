"""Two specs differ in what they mean: no difference, one chain; another way to write it, no difference."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain_spec import ChainSpec, SpecError, parse_spec, resolve
from chain_spec.comparison import ABSENT, differences
from runtime.bech32m import decode_address, encode_address
from runtime.network.identity import NetworkKey
from runtime.types import AccountId

Document = Callable[[], dict[str, Any]]
MINE = encode_address(AccountId(b"\7" * 32))


def spec_of(made: dict[str, Any]) -> ChainSpec:
    return parse_spec(json.dumps(made).encode())


def told(first: dict[str, Any], second: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each.kind, each.path) for each in differences(spec_of(first), spec_of(second))]


def shuffled(value: Any, chance: random.Random) -> Any:
    """The same in another order of keys, with some numbers in digits."""
    if isinstance(value, dict):
        keys = chance.sample(sorted(value), len(value))
        return {key: shuffled(value[key], chance) for key in keys}
    if isinstance(value, list):
        return [shuffled(each, chance) for each in value]
    return value


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "$.name": lambda made: made.update(name="other"),
    "$.genesis_time_ms": lambda made: made.update(genesis_time_ms=5),
    "$.runtime.fee_units": lambda made: made["runtime"].update(fee_units=7),
    "$.consensus.timeout_vote_ms": lambda made: made["consensus"].update(timeout_vote_ms=7),
    "$.modules.tokens.digest": lambda made: made["modules"][1].update(digest=None),
    "$.modules.tokens.params.fee_denom": lambda made: made["modules"][1]["params"].update(fee_denom="gold"),
    f"$.modules.tokens.genesis.balances.{MINE}": lambda made: made["modules"][1]["genesis"]["balances"].update(
        {MINE: {"arm": "1"}}
    ),
    "$.bootnodes": lambda made: made.update(bootnodes=[f"/ip4/10.0.0.1/tcp/7400/p2p/{NetworkKey(bytes(32)).peer_id}"]),
}


@settings(max_examples=25)
@given(st.sets(st.sampled_from(sorted(CHANGES))))
def test_every_change_is_told_and_nothing_else(document: Document, paths: set[str]) -> None:
    made = document()
    for path in paths:
        CHANGES[path](made)
    assert {path for _, path in told(document(), made)} == paths
    hashes = [resolve(spec_of(each)).genesis_hash for each in (document(), made)]
    assert (hashes[0] == hashes[1]) == (paths <= {"$.bootnodes"})


@settings(max_examples=15)
@given(chance=st.randoms(use_true_random=False))
def test_another_way_to_write_it_is_no_difference(document: Document, chance: random.Random) -> None:
    first, second = document(), shuffled(document(), chance)
    tokens = next(each for each in second["modules"] if each["name"] == "tokens")
    tokens["params"] = {}  # the defaults
    tokens["version"] = None  # the installed one
    second["genesis_time_ms"] = str(second["genesis_time_ms"])
    for held in tokens["genesis"]["balances"].values():
        held["arm"] = int(held["arm"])
    assert told(first, second) == []
    assert resolve(spec_of(first)).genesis_hash == resolve(spec_of(second)).genesis_hash


def test_accounts_are_compared_whatever_their_prefix(document: Document) -> None:
    made = document() | {"address_prefix": "xyz"}
    for entry in (each for each in made["modules"] if each["name"] in ("tokens", "validators")):
        for validator in entry["genesis"].get("validators", ()):
            validator["operator"] = encode_address(decode_address(validator["operator"]), "xyz")
        held = entry["genesis"].get("balances", {})
        entry["genesis"] |= (
            {"balances": {encode_address(decode_address(a), "xyz"): n for a, n in held.items()}} if held else {}
        )
    assert told(document(), made) == [("changed", "$.address_prefix")]


def test_validators_are_compared_by_key(document: Document) -> None:
    made = document()
    listed = made["modules"][4]["genesis"]["validators"]
    gone, changed = listed.pop(0), listed[1]
    changed["power"] = 11
    where = "$.modules.validators.genesis.validators"
    found = {path.replace('["', ".").replace('"]', ""): kind for kind, path in told(document(), made)}
    assert found == {f"{where}.{gone['public_key']}": "removed", f"{where}.{changed['public_key']}.power": "changed"}


def test_the_order_of_hooks_and_of_validators_is_told(document: Document) -> None:
    made = document()
    made["modules"].reverse()
    assert told(document(), made) == [("changed", "$.hook_order")]
    made = document()
    made["modules"][4]["genesis"]["validators"].reverse()
    assert told(document(), made) == [("changed", "$.modules.validators.genesis.validators.order")]


def test_a_module_more_is_one_difference(document: Document) -> None:
    made = document()
    made["modules"].pop()
    made["roles"]["governance"] = None
    found = differences(spec_of(document()), spec_of(made))
    assert [(each.kind, each.path) for each in found] == [
        ("changed", "$.roles.governance"), ("removed", "$.modules.governance"), ("changed", "$.hook_order"),
    ]  # fmt: skip
    assert found[1].second is ABSENT


def test_invalid_specs_are_not_compared(document: Document) -> None:
    made = document()
    made["modules"][0].update(version=77)
    with pytest.raises(SpecError):
        differences(spec_of(document()), spec_of(made))
