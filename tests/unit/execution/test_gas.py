"""Gas is time: what a block is charged covers what it takes. And what the fee is."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from runtime.execution import BlockInputs, Chain, FeeParams
from runtime.testing.bank import Bank

TRANSFERS = 200


def test_a_block_is_charged_more_than_it_takes(chain: Chain) -> None:
    """Reference nanoseconds are three of a current core's: even without that factor, and on a busy machine, gas covers
    the time. The least of several runs counts; signatures are verified anew in each."""
    alice = chain.account("alice")
    calls = [Bank.transfer.build(to=chain.account(f"to {each}").id, amount=1) for each in range(TRANSFERS)]
    options = {"signer": alice, "gas_limit": 900_000}
    data = tuple(chain.transaction(call, nonce=nonce, **options) for nonce, call in enumerate(calls))
    inputs = BlockInputs(1, chain.time_ms + 1, data)
    times = []
    for _ in range(5):
        chain.application._cache.clear()
        start = time.process_time_ns()
        executed = chain.application.execute(inputs)
        times.append(time.process_time_ns() - start)
    assert min(times) < executed.gas_used


@given(units=st.integers(0, 2**64 - 1), per_gas=st.integers(1, 2**64 - 1), gas=st.integers(0, 2**63))
def test_the_fee_is_the_price_rounded_up(units: int, per_gas: int, gas: int) -> None:
    fee = FeeParams(units, per_gas).fee(gas)
    assert fee * per_gas >= gas * units > (fee - 1) * per_gas


def test_gas_does_not_depend_on_what_was_cached(chain: Chain) -> None:
    alice, bob = chain.account("alice"), chain.account("bob")
    call = Bank.transfer.build(to=bob.id, amount=1)
    used = {chain.submit(call, signer=alice).gas_used for _ in range(3)}
    assert len(used) == 1
