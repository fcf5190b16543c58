"""What a block may hold, against a proposer who stuffs it, a founder who asks for too much, and a module that names no
validators that can be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.tokens import Tokens
from runtime import U8, Call, Item, Map, Module, PublicKey, Signed, ValidatorPower, call
from runtime.execution import (
    DEFAULT_CONSENSUS,
    BlockInputs,
    Chain,
    GenesisError,
    InvalidBlock,
    Rule,
)
from runtime.execution.block import validators_refused
from runtime.execution.chain import BareAccounts
from runtime.execution.params import TRANSACTIONS_BYTES_MIN, TRANSACTIONS_GAS_MIN
from runtime.limits import BLOCK_BYTES_MAX, BLOCK_FRAME_BYTES, BLOCK_TRANSACTIONS_MAX

KEY = PublicKey(bytes(range(32)))


def inputs(chain: Chain, *transactions: bytes) -> BlockInputs:
    return BlockInputs(chain.height + 1, chain.time_ms + 1, transactions)


# --- a proposer who stuffs -------------------------------------------------------------------------------------------


def small_blocks(**bounds: int) -> Chain:
    people = [Chain().account(f"p{number}") for number in range(8)]
    return Chain(
        Tokens,
        genesis={"tokens": {"balances": {person.id: {"arm": 10**12} for person in people}}},
        params={"runtime": bounds},
    )


def transfers(chain: Chain, count: int, gas_limit: int = 1_000_000) -> list[bytes]:
    call = Tokens.transfer.build(to=chain.account("to").id, denom="arm", amount=1)
    people = [chain.account(f"p{number}") for number in range(count)]
    return [chain.transaction(call, signer=person, gas_limit=gas_limit) for person in people]


def fillers(chain: Chain, count: int) -> list[bytes]:
    """Transactions of 5 KB each, whose one call no module has."""
    call = Call("tokens.fill", bytes(5_000))
    return [chain.transaction(call, signer=chain.account(f"p{number}"), gas_limit=1_000_000) for number in range(count)]


def test_a_block_one_byte_too_long_is_invalid_as_a_whole() -> None:
    total = sum(map(len, fillers(small_blocks(), 4)))
    for bound, fits in ((total, True), (total - 1, False)):
        chain = small_blocks(block_bytes_max=bound)
        block = fillers(chain, 4)
        if fits:
            assert len(chain.application.execute(inputs(chain, *block)).receipts) == 4
            continue
        with pytest.raises(InvalidBlock) as refused:
            chain.application.execute(inputs(chain, *block))
        assert (refused.value.rule, refused.value.index) == (Rule.BLOCK_BYTES, 3)


def test_a_block_of_one_transaction_too_many_is_invalid() -> None:
    chain = small_blocks(block_transactions_max=3)
    block = transfers(chain, 4)
    with pytest.raises(InvalidBlock) as refused:
        chain.application.execute(inputs(chain, *block))
    assert (refused.value.rule, refused.value.index) == (Rule.BLOCK_BYTES, 3)
    proposed, dropped = chain.application.propose(inputs(chain), block)
    assert len(proposed.transactions) == 3
    assert not dropped[0].is_invalid


def test_a_gas_limit_beyond_what_is_left_is_invalid_even_where_less_would_be_used() -> None:
    room = TRANSACTIONS_GAS_MIN
    chain = small_blocks(block_gas_max=room)
    block = transfers(chain, 4, gas_limit=room - 1_000_000)
    used = chain.application.execute(inputs(chain, block[0])).receipts[0].gas_used
    fitting = next(count for count in range(5) if count * used > 1_000_000)
    with pytest.raises(InvalidBlock) as refused:
        chain.application.execute(inputs(chain, *block))
    assert (refused.value.rule, refused.value.index) == (Rule.BLOCK_GAS, fitting)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_change_of_a_blocks_order_or_number_is_executed_or_refused(whole: Chain, data: st.DataObject) -> None:
    """Three transactions of one account and one of another, in any order, some twice or left out."""
    alice, bob = whole.account("alice"), whole.account("bob")
    call = Tokens.transfer.build(to=bob.id, denom="arm", amount=1)
    nonce = whole.nonce(alice.id)
    own = [whole.transaction(call, signer=alice, nonce=nonce + each, gas_limit=1_000_000) for each in range(3)]
    block = data.draw(
        st.lists(st.sampled_from([*own, whole.transaction(call, signer=bob, gas_limit=1_000_000)]), max_size=5)
    )
    wanted = [each for each in block if each in own]
    valid = wanted == own[: len(wanted)] and len(block) - len(wanted) <= 1
    try:
        executed = whole.application.execute(inputs(whole, *block))
    except InvalidBlock as error:
        refused: InvalidBlock | None = error
    else:
        refused = None
        assert len(executed.receipts) == len(block)
    assert (refused is None) == valid
    if refused is not None:
        assert refused.rule in (Rule.NONCE_LOW, Rule.NONCE_HIGH)


# --- a founder who asks for too much ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("block_bytes_max", 0),
        ("block_bytes_max", TRANSACTIONS_BYTES_MIN - 1),
        ("block_bytes_max", BLOCK_BYTES_MAX - BLOCK_FRAME_BYTES + 1),
        ("block_bytes_max", (1 << 32) - 1),
        ("block_transactions_max", 0),
        ("block_transactions_max", BLOCK_TRANSACTIONS_MAX + 1),
        ("block_gas_max", TRANSACTIONS_GAS_MIN - 1),
        ("block_gas_max", DEFAULT_CONSENSUS.timeout_ms_max * 1_000_000 // 2 + 1),
        ("inference_gas_percent", 0),
        ("inference_gas_percent", 13),
        ("inference_gas_percent", 100_001),
        ("model_memory_bytes_max", (4 << 30) + 1),
        ("fee_units", 1),
        ("fee_per_gas", 0),
    ],
)
def test_invalid_prices_and_bounds_are_refused_at_the_genesis(field: str, value: int) -> None:
    """Consensus cannot carry such a block, or no node could keep it, or nobody could ever change it again."""
    with pytest.raises(GenesisError) as refused:
        Chain(BareAccounts, params={"runtime": {field: value}})
    culprit = "block_gas_max" if value == 13 else field  # the bound that this discount makes too large
    assert refused.value.field == f"runtime.{culprit}"


def test_the_largest_bounds_of_blocks_are_taken() -> None:
    bounds = {
        "block_bytes_max": BLOCK_BYTES_MAX - BLOCK_FRAME_BYTES,
        "block_transactions_max": BLOCK_TRANSACTIONS_MAX,
        "block_gas_max": DEFAULT_CONSENSUS.timeout_ms_max * 1_000_000 // 2,
    }
    assert small_blocks(**bounds).block().receipts == ()


# --- a module that names no validators that can be -------------------------------------------------------------------

ODD: dict[str, Any] = {
    "no tuple": [1],
    "no records": (1, 2),
    "a power that is no number": (ValidatorPower(KEY, "5"),),  # type: ignore[arg-type] # on purpose
    "a negative power": (ValidatorPower(KEY, -1),),
    "a power too large for its type": (ValidatorPower(KEY, 1 << 64),),
    "a short key": (ValidatorPower(PublicKey(b"short"), 1),),
    "a key that is text": (ValidatorPower("key", 1),),  # type: ignore[arg-type] # on purpose
    "too many": tuple(ValidatorPower(PublicKey(number.to_bytes(32, "big")), 1) for number in range(257)),
    "one twice": (ValidatorPower(KEY, 1), ValidatorPower(KEY, 2)),
    "nobody": (),
    "nothing": None,
    "an iterator": iter(()),
}
NAMES = tuple(ODD)


class Strange(Module):
    """The role `validators`, at a loss."""

    name = "strange"
    choice: Item[U8] = Item(default=0)
    marks: Map[U8, U8] = Map()

    @call(gas=1_000)
    def choose(self, origin: Signed, *, choice: U8) -> None:
        """Which set, from now on; 0: a good one."""
        self.choice = choice

    def validators(self) -> tuple[ValidatorPower, ...]:
        """As chosen."""
        found: tuple[ValidatorPower, ...] = (
            (ValidatorPower(KEY, 1),) if self.choice == 0 else ODD[NAMES[self.choice - 1]]
        )
        return found


@pytest.mark.parametrize("name", NAMES)
def test_no_set_of_validators_stops_the_chain(name: str) -> None:
    chain = Chain(Strange)
    choose: Call = Strange.choose.build(choice=1 + NAMES.index(name))
    assert chain.submit(choose, signer=chain.account("alice")).is_ok
    assert chain.last is not None
    assert [event.name for event in chain.last.block_receipt.end_events] == ["ValidatorsRefused"]
    assert chain.application.validators() == (ValidatorPower(KEY, 1),)


@given(powers=st.lists(st.integers(0, 1 << 61), max_size=4))
def test_a_set_is_refused_exactly_where_its_powers_are(powers: list[int]) -> None:
    made = tuple(ValidatorPower(PublicKey(bytes([place]) * 32), power) for place, power in enumerate(powers))
    assert bool(validators_refused(made)) == (not powers or 0 in powers or sum(powers) > 1 << 60)
