"""A chain spec becomes a genesis, the same from the same text; what is wrong in it is named by its JSON path."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain_spec import FoundingValidator, SpecError, make_spec, parse_spec, plugins, render_spec, resolve
from chain_spec.presets import STANDARD_MODULES
from runtime.bech32m import encode_address
from runtime.consensus import Validator, ValidatorSet
from runtime.crypto import SigningKey
from runtime.execution import Application
from runtime.network.identity import NetworkKey
from runtime.state import MemoryStore
from runtime.types import AccountId

KEYS = [SigningKey.from_seed(bytes([number]) * 32) for number in range(1, 5)]
OPERATOR = AccountId(KEYS[0].public_key)


def document(prefix: str = "arm") -> dict[str, Any]:
    founders = [
        FoundingValidator(key.public_key, AccountId(key.public_key), NetworkKey(key.seed).peer_id) for key in KEYS
    ]
    spec = make_spec("testing", founders, {OPERATOR: 1_000_000}, prefix=prefix, genesis_time_ms=1_700_000_000_000)
    made: dict[str, Any] = json.loads(render_spec(spec))
    return made


def refused(change: Callable[[dict[str, Any]], object]) -> SpecError:
    made = document()
    change(made)
    with pytest.raises(SpecError) as caught:
        resolve(parse_spec(json.dumps(made).encode()))
    return caught.value


def test_a_made_spec_reads_back_as_itself() -> None:
    text = json.dumps(document())
    assert json.loads(render_spec(parse_spec(text.encode()))) == json.loads(text)


def test_the_genesis_hash_is_of_the_content_not_of_the_layout() -> None:
    made = document()
    shuffled = {key: made[key] for key in sorted(made)}
    assert resolve(parse_spec(json.dumps(made, indent=3).encode())).genesis_hash == (
        resolve(parse_spec(json.dumps(shuffled).encode())).genesis_hash
    )


@given(st.sampled_from(["name", "address_prefix", "genesis_time_ms", "units", "block_gas_max", "balance"]))
def test_the_genesis_hash_covers_every_choice(field: str) -> None:
    made = document()
    before = resolve(parse_spec(json.dumps(made).encode())).genesis_hash
    tokens = made["modules"][1]["genesis"]["balances"]
    changes: dict[str, Callable[[], object]] = {
        "name": lambda: made.update(name="other"),
        "address_prefix": lambda: made.update(document("xyz")),
        "genesis_time_ms": lambda: made.update(genesis_time_ms=1),
        "units": lambda: made["runtime"].update(fee_units=2),
        "block_gas_max": lambda: made["runtime"].update(block_gas_max=10**9),
        "balance": lambda: tokens.update({encode_address(OPERATOR): {"arm": "7"}}),
    }
    changes[field]()
    assert resolve(parse_spec(json.dumps(made).encode())).genesis_hash != before


def test_the_state_at_height_0_has_the_spec_s_validators_and_balances() -> None:
    chain = resolve(parse_spec(json.dumps(document()).encode()))
    application = Application(chain.genesis, chain.modules, MemoryStore())
    application.start()
    application.check_invariants()
    expected = ValidatorSet.of(Validator(key.public_key, 10) for key in KEYS)
    assert ValidatorSet.of(Validator(v.public_key, v.power) for v in application.validators()).hash == expected.hash
    assert application.query("tokens", "balance_of", {"account": OPERATOR, "denom": "arm"}) == 1_000_000


def test_every_standard_module_is_pinned_to_its_sources() -> None:
    made = document()
    assert [module["name"] for module in made["modules"]] == list(STANDARD_MODULES)
    for module in made["modules"]:
        assert module["digest"] == plugins.digest(plugins.load(module["name"])).hex()


def test_the_module_for_governance_has_its_role_where_it_is_composed() -> None:
    made = document()
    assert resolve(parse_spec(json.dumps(made).encode())).genesis.roles.governance == "governance"
    without = make_spec("testing", [], {}, modules=[name for name in STANDARD_MODULES if name != "governance"])
    assert without.roles.governance is None


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda made: made.update(nmae="x"), "$.nmae"),
        (lambda made: made.pop("name"), "$.name"),
        (lambda made: made.update(name="Upper"), "$.name"),
        (lambda made: made.update(spec_version=2), "$.spec_version"),
        (lambda made: made.update(address_prefix="1"), "$.address_prefix"),
        (lambda made: made.update(genesis_time_ms=-1), "$.genesis_time_ms"),
        (lambda made: made.update(genesis_time_ms=1.5), "$.genesis_time_ms"),
        (lambda made: made["runtime"].update(fee_per_gas=-1), "$.runtime.fee_per_gas"),
        (lambda made: made["runtime"].update(fee_prize=1), "$.runtime.fee_prize"),
        (lambda made: made["roles"].update(auth="nobody"), "$.roles.auth"),
        (lambda made: made["modules"][0].update(name="acounts"), "$.modules[0].name"),
        (lambda made: made["modules"][0].update(version=77), "$.modules[0].version"),
        (lambda made: made["modules"][0].update(digest="00"), "$.modules[0].digest"),
        (lambda made: made["modules"][1]["params"].update(fee_denom="!"), "$.modules[1].params.fee_denom"),
        (lambda made: made["modules"][1]["params"].update(colour=1), "$.modules[1].params.colour"),
        (lambda made: made["modules"][1]["genesis"].update(balances={"arm1x": {}}), "$.modules[1].genesis.balances"),
        (lambda made: made["modules"].append(made["modules"][0]), "$.modules[6].name"),
    ],
)
def test_invalid_fields_are_named_by_their_path(change: Callable[[dict[str, Any]], object], path: str) -> None:
    assert refused(change).path.startswith(path)


def test_invalid_module_name_suggests_the_nearest() -> None:
    assert "did you mean 'accounts'" in refused(lambda made: made["modules"][0].update(name="acounts")).reason


def test_invalid_amounts_and_accounts_are_refused() -> None:
    other = encode_address(OPERATOR, "xyz")
    assert "prefix" in refused(lambda m: m["modules"][1]["genesis"].update(balances={other: {"arm": "1"}})).reason
    mine = encode_address(OPERATOR)
    too_much = str(1 << 128)
    assert "outside" in refused(lambda m: m["modules"][1]["genesis"].update(balances={mine: {"arm": too_much}})).reason
