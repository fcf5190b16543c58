"""The strategies of transactions and blocks: what they call valid a chain takes, what they call hostile it refuses by
the rule they name, and nothing else ever happens."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.accounts import Accounts
from runtime.execution import BlockInputs, Chain, InvalidBlock, InvalidTransaction, Rule
from runtime.module import Root
from runtime.testing.bank import bank_chain
from runtime.testing.localnet import BareValidators, validator_key
from runtime.testing.transactions import blocks, calls, hostile_blocks, hostile_transactions, transactions
from tools.planted.vault import Vault

RICH = ("alice", "bob", "dora")
MEMBERS = tuple({"public_key": validator_key(number).public_key, "power": 1} for number in range(3))
FREE = Chain(Accounts, BareValidators, Vault, genesis={"validators": {"members": MEMBERS}})
PAID = bank_chain()
FREE.blocks(3)
PAID.blocks(2)
CHAINS = pytest.mark.parametrize(("chain", "signers"), [(FREE, ("alice", "bob")), (PAID, RICH)], ids=["free", "paid"])
"""Nothing is committed to them in a test."""


def inputs_of(chain: Chain, *listed: bytes) -> BlockInputs:
    return BlockInputs(chain.height + 1, chain.time_ms + 1, listed)


@CHAINS
@settings(max_examples=30)
@given(data=st.data())
def test_a_transaction_is_taken_by_mempool_and_block(
    chain: Chain, signers: tuple[str, ...], data: st.DataObject
) -> None:
    made = data.draw(transactions(chain, signers=signers))
    chain.application.check(made)
    executed = chain.application.execute(inputs_of(chain, made))
    assert executed.transactions == (made,)


@CHAINS
@settings(max_examples=30)
@given(data=st.data())
def test_invalid_transactions_are_refused_by_the_rule_that_they_break(
    chain: Chain, signers: tuple[str, ...], data: st.DataObject
) -> None:
    hostile = data.draw(hostile_transactions(chain, signers=signers))
    with pytest.raises(InvalidTransaction) as refused:
        chain.application.check(hostile.data)
    assert hostile.rule in (None, refused.value.rule), hostile.what
    if hostile.is_early:
        (receipt,) = chain.application.execute(inputs_of(chain, hostile.data)).receipts
        assert not receipt.is_ok
    else:
        with pytest.raises(InvalidBlock) as in_block:
            chain.application.execute(inputs_of(chain, hostile.data))
        assert in_block.value.rule == refused.value.rule


@CHAINS
@settings(max_examples=15)
@given(data=st.data())
def test_a_block_is_executed_alike_by_everyone(chain: Chain, signers: tuple[str, ...], data: st.DataObject) -> None:
    made = data.draw(blocks(chain, signers=signers))
    executed, again = chain.application.execute(made), chain.application.execute(made)
    assert (executed.state_root, executed.leaves) == (again.state_root, again.leaves)
    assert executed.transactions == made.transactions


@CHAINS
@settings(max_examples=15)
@given(data=st.data())
def test_invalid_blocks_are_refused_at_their_transaction(
    chain: Chain, signers: tuple[str, ...], data: st.DataObject
) -> None:
    hostile = data.draw(hostile_blocks(chain, signers=signers))
    with pytest.raises(InvalidBlock) as refused:
        chain.application.execute(hostile.inputs)
    assert refused.value.index == hostile.index, hostile.what


def test_every_defect_and_every_kind_of_block_is_drawn() -> None:
    """A strategy that has become empty proves nothing."""
    rules: set[Rule | None] = set()
    kept: list[int] = []
    succeeded: set[bool] = set()

    @settings(max_examples=160, derandomize=True, database=None)
    @given(hostile_transactions(PAID, signers=RICH))
    def collect(hostile: object) -> None:
        rules.add(hostile.rule)  # type: ignore[attr-defined] # given's own signature says object

    @settings(max_examples=30, derandomize=True, database=None)
    @given(blocks(FREE))
    def collect_blocks(made: BlockInputs) -> None:
        kept.append(len(made.transactions))
        succeeded.update(receipt.is_ok for receipt in FREE.application.execute(made).receipts)

    collect()
    collect_blocks()
    never = {Rule.NONCE_LOW, Rule.ROLE, Rule.BLOCK_GAS, Rule.BLOCK_BYTES, Rule.CODEC}
    assert rules == {None, *Rule} - never
    assert max(kept) >= 4
    assert succeeded == {True, False}


@given(st.data())
def test_calls_are_of_their_origin(data: st.DataObject) -> None:
    call = data.draw(calls(FREE, origin=Root))
    assert call.name in ("vault.set_rate", "runtime.set_params")
