"""Founders add themselves by files: in whatever order, one chain; nobody adds another's key, or for other terms."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain_spec import ChainSpec, FoundingValidator, SpecError, make_spec, render_spec, resolve
from chain_spec.ceremony import (
    ENTRY_BYTES_MAX,
    ValidatorEntry,
    add_balance,
    add_validator,
    make_entry,
    parse_entry,
    render_entry,
    terms_of,
)
from chain_spec.fitting import no_validators
from chain_spec.start import start_in_memory
from runtime.bech32m import encode_address
from runtime.crypto import SigningKey
from runtime.network.identity import NetworkKey
from runtime.types import AccountId

KEYS = [SigningKey.from_seed(bytes([number]) * 32) for number in range(1, 5)]
PREFIX = "our"
DRAFT = make_spec("ours", [], {}, prefix=PREFIX, genesis_time_ms=1_700_000_000_000)


def entry_of(number: int, draft: ChainSpec = DRAFT, power: int = 10) -> ValidatorEntry:
    key = KEYS[number]
    return make_entry(draft, key, AccountId(key.public_key), NetworkKey(key.seed).peer_id, power)


ENTRIES = [entry_of(number) for number in range(len(KEYS))]
ACCOUNTS = [(AccountId(bytes([number]) * 32), denom, 5 + number) for number in (1, 2) for denom in ("arm", "gold")]


@settings(max_examples=10)
@given(st.permutations([*ENTRIES, *ACCOUNTS]))
def test_in_whatever_order_founders_come_it_is_one_chain(steps: list[Any]) -> None:
    made = DRAFT
    for each in steps:
        made = add_validator(made, each) if isinstance(each, ValidatorEntry) else add_balance(made, *each)
    expected = DRAFT
    for entry in ENTRIES:
        expected = add_validator(expected, entry)
    for account in ACCOUNTS:
        expected = add_balance(expected, *account)
    assert render_spec(made) == render_spec(expected)
    assert terms_of(made) == terms_of(DRAFT) == resolve(DRAFT).genesis_hash


def test_the_chain_starts_with_its_founders_and_accounts() -> None:
    made = add_balance(add_validator(add_validator(DRAFT, ENTRIES[1]), entry_of(0, power=3)), *ACCOUNTS[0])
    application = start_in_memory(resolve(made))
    powers = {each.public_key: each.power for each in application.validators()}
    assert powers == {KEYS[0].public_key: 3, KEYS[1].public_key: 10}
    assert application.query("tokens", "balance_of", {"account": ACCOUNTS[0][0], "denom": "arm"}) == 6
    assert no_validators(DRAFT)
    assert not no_validators(made)


def test_a_ceremony_makes_what_one_person_would_have_made() -> None:
    founders = [FoundingValidator(k.public_key, AccountId(k.public_key), NetworkKey(k.seed).peer_id) for k in KEYS]
    alone = make_spec("ours", founders, {}, prefix=PREFIX, genesis_time_ms=1_700_000_000_000)
    together = DRAFT
    for entry in reversed(ENTRIES):
        together = add_validator(together, entry)
    assert render_spec(alone) == render_spec(together)


@pytest.mark.parametrize("entry", ENTRIES[:1])
def test_an_entry_is_read_as_it_was_written(entry: ValidatorEntry) -> None:
    text = render_entry(entry, PREFIX)
    assert encode_address(entry.operator, PREFIX) in text
    assert parse_entry(text.encode(), PREFIX) == entry


def changed(**change: Any) -> ValidatorEntry:
    return ENTRIES[0].model_copy(update=change)


@pytest.mark.parametrize(
    "change",
    [
        {"public_key": KEYS[1].public_key},
        {"operator": AccountId(b"\1" * 32)},
        {"power": 11},
        {"peer": ENTRIES[1].peer},
        {"signature": ENTRIES[1].signature},
        {"signature": KEYS[1].sign(bytes(ENTRIES[0].signature))},
        {"signature": bytes(64)},
    ],
    ids=lambda change: ", ".join(change),
)
def test_invalid_entry_that_its_key_has_not_signed(change: dict[str, Any]) -> None:
    with pytest.raises(SpecError) as caught:
        add_validator(DRAFT, changed(**change))
    assert caught.value.path == "$.signature"
    assert "changed, or made by somebody without the key" in caught.value.reason


def test_invalid_entry_for_other_terms() -> None:
    other = make_spec("ours", [], {}, prefix=PREFIX, genesis_time_ms=1)
    with pytest.raises(SpecError) as caught:
        add_validator(other, ENTRIES[0])
    assert caught.value.path == "$.terms"
    assert terms_of(DRAFT).hex() in caught.value.reason
    assert "make a new entry" in caught.value.reason


def test_invalid_entry_under_another_chain_s_name() -> None:
    with pytest.raises(SpecError) as caught:
        add_validator(DRAFT, changed(chain="theirs"))
    assert caught.value.path == "$.chain"


def test_invalid_validator_twice() -> None:
    made = add_validator(DRAFT, ENTRIES[0])
    for entry in (ENTRIES[0], entry_of(0, power=7)):
        with pytest.raises(SpecError) as caught:
            add_validator(made, entry)
        assert str(caught.value) == f"$.public_key: the validator {KEYS[0].public_key.hex()} is in the spec already"


def test_invalid_operator_and_peer_of_another() -> None:
    made = add_validator(DRAFT, ENTRIES[0])
    entry = make_entry(DRAFT, KEYS[1], AccountId(KEYS[0].public_key), ENTRIES[0].peer, 10)
    with pytest.raises(SpecError) as caught:
        add_validator(made, entry)
    assert [problem.path for problem in caught.value.problems] == ["$.operator", "$.peer"]


def test_invalid_account_twice() -> None:
    made = add_balance(DRAFT, *ACCOUNTS[0])
    with pytest.raises(SpecError) as caught:
        add_balance(made, ACCOUNTS[0][0], "arm", 1)
    assert caught.value.path.endswith(".arm")
    assert "holds 6 arm already; to change that, edit the spec" in caught.value.reason


def test_invalid_specs_take_no_founders() -> None:
    modules = [entry for entry in DRAFT.modules if entry.name not in ("tokens", "governance", "registry", "oracle")]
    bare = DRAFT.model_copy(update={"modules": modules, "roles": DRAFT.roles.model_copy(update={"governance": None})})
    free = bare.model_copy(
        update={
            "roles": bare.roles.model_copy(update={"fees": None}),
            "runtime": bare.runtime.model_copy(update={"fee_units": 0}),
        }
    )
    resolve(free)
    with pytest.raises(SpecError, match=r"^\$\.modules: the chain has no module 'tokens'"):
        add_balance(free, *ACCOUNTS[0])
    with pytest.raises(SpecError, match=r"\$\.roles\.fees"):
        add_balance(bare, *ACCOUNTS[0])
    lost = DRAFT.model_copy(update={"roles": DRAFT.roles.model_copy(update={"validators": "nobody"})})
    with pytest.raises(SpecError, match=r"^\$\.roles\.validators: 'nobody' is none"):
        add_validator(lost, ENTRIES[0])
    with pytest.raises(SpecError, match=r"^\$\.roles\.validators: 'nobody' is none"):
        make_entry(lost, KEYS[0], AccountId(KEYS[0].public_key), ENTRIES[0].peer, 10)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"power": -1}, "$.power"),
        ({"power": 1.5}, "$.power"),
        ({"peer": "12D3"}, "$.peer"),
        ({"operator": encode_address(AccountId(b"\1" * 32), "arm")}, "$.operator"),
        ({"public_key": "00"}, "$.public_key"),
        ({"signature": "00" * 63}, "$.signature"),
        ({"terms": None}, "$.terms"),
        ({"chain": "Ours"}, "$.chain"),
        ({"entry_version": 2}, "$.entry_version"),
        ({"colour": 1}, "$.colour"),
    ],
)
def test_invalid_entries_are_named_by_their_path(change: dict[str, Any], path: str) -> None:
    document = json.loads(render_entry(ENTRIES[0], PREFIX)) | change
    with pytest.raises(SpecError) as caught:
        parse_entry(json.dumps(document).encode(), PREFIX)
    assert [problem.path for problem in caught.value.problems] == [path]


@pytest.mark.parametrize("text", ["", "[]", "{", " " * (ENTRY_BYTES_MAX + 1), '{"power": 1, "power": 2}'])
def test_invalid_entry_files(text: str) -> None:
    with pytest.raises(SpecError, match=r"\$"):
        parse_entry(text.encode(), PREFIX)
