"""Prices and bounds of the runtime itself: in force from the next block on, for everyone who makes, checks, proposes or
executes a transaction alike; never where nobody could follow or change them again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.tokens import Tokens
from runtime import Call, Hash, Item, ModelInfo, Module, Name, RootCalls, Uses, hook
from runtime.codec import codec
from runtime.execution import (
    DEFAULT_CONSENSUS,
    BlockInputs,
    Chain,
    FeeParams,
    InvalidTransaction,
    Rule,
    RuntimeParams,
)
from runtime.execution.core import Core, ModelTooLarge, ModelTooSlow, ParamOutOfRange
from runtime.execution.params import Frame
from runtime.inference import model_hash, verify
from runtime.module.params import PARAMS_KEY
from runtime.state import verify_proof
from runtime.testing.bank import Bank

FRAME = Frame(
    hook_gas=Bank.metadata().hooks["end_block"], timeout_ms_max=DEFAULT_CONSENSUS.timeout_ms_max, takes_fees=True
)
RULES_OF_PARAMS = (Rule.SIZE, Rule.GAS_LIMIT, Rule.FEE)


def change(params: RuntimeParams) -> Call:
    return Core.set_params.build(module=Name("runtime"), params=codec(RuntimeParams).encode(params))


def changed(chain: Chain, **fields: int) -> RuntimeParams:
    """The present ones but for these fields; set in a block of their own."""
    wanted = chain.application.params().model_copy(update=fields)
    chain.root(change(wanted))
    return wanted


def around(low: int, high: int) -> st.SearchStrategy[int]:
    return st.sampled_from(sorted({0, 1, max(low - 1, 0), low, high, high + 1}))


def fits(params: RuntimeParams) -> bool:
    return all(low <= getattr(params, name) <= high for name, (low, high) in FRAME.ranges(params).items())


@st.composite
def settings_of_the_runtime(draw: st.DrawFn) -> RuntimeParams:
    """Some parameters at or beside the ends of their ranges, the others as they are by themselves."""
    found = FRAME.ranges(RuntimeParams(inference_gas_percent=draw(st.sampled_from([1, 14, 100, 1_000]))))
    fields = draw(st.sets(st.sampled_from(sorted(found)), max_size=3))
    values = {name: min(draw(around(*found[name])), (1 << 32) - 1) for name in fields}
    return RuntimeParams(**values)


@settings(max_examples=40, deadline=None)
@given(st.lists(settings_of_the_runtime(), min_size=1, max_size=4))
def test_what_is_in_force_is_what_was_last_set_within_its_ranges(wanted: list[RuntimeParams]) -> None:
    chain = Chain(Bank, genesis={"bank": {"balances": {}}}, fees=FeeParams(1, 1_000))
    expected = [chain.application.params()]
    for params in wanted:
        if fits(params):
            chain.root(change(params))
            expected.append(params)
        else:
            with pytest.raises(ParamOutOfRange) as refused:
                chain.root(change(params))
            assert not refused.value.low <= getattr(params, refused.value.param) <= refused.value.high
        assert chain.application.params() == expected[-1]
    assert [chain.application.params(height) for height in range(chain.height + 1)] == expected


@pytest.mark.parametrize(
    "wanted", [{"fee_per_gas": 0}, {"block_gas_max": 0}, {"block_transactions_max": 0}, {"inference_gas_percent": 0}]
)
def test_invalid_parameter_out_of_its_range_names_it(wanted: dict[str, int]) -> None:
    chain = Chain(Bank, genesis={"bank": {"balances": {}}}, fees=FeeParams(1, 1_000))
    with pytest.raises(ParamOutOfRange) as refused:
        chain.root(change(RuntimeParams(**wanted)))
    assert [refused.value.param] == [*wanted]


def test_they_are_proven_under_the_state_root() -> None:
    chain = Chain()
    wanted = changed(chain, block_transactions_max=7)
    proven = chain.application.prove("runtime", "params")
    verify_proof(proven.state_root, "runtime", PARAMS_KEY, codec(RuntimeParams).encode(wanted), proven.proof)


# --- in force from the next block on


class Changer(Module):
    """Speaks for the chain, in the begin_block hook of height 2."""

    name = "changer"
    outcome: Item[bool] = Item(default=False)
    root: Uses[RootCalls]

    @hook(gas=20_000_000)
    def begin_block(self) -> None:
        """Seven times the price, one transaction a block, from the next block on."""
        if self.height == 2:
            wanted = RuntimeParams(fee_units=7, block_transactions_max=1, inference_gas_percent=300)
            self.outcome = self.root.run_as_root((change(wanted),), gas_limit=10_000_000).failure is None


def test_a_change_holds_from_the_next_block_on_wherever_in_a_block_it_is_made() -> None:
    alice = Chain().account("alice")
    chain = Chain(
        Tokens, Changer, genesis={"tokens": {"balances": {alice.id: {"arm": 10**12}}}}, fees=FeeParams(1, 1_000)
    )

    def transfers(height: int, units: int, count: int) -> list[bytes]:
        assert chain.height + 1 == height
        call = Tokens.transfer.build(to=chain.account("bob").id, denom="arm", amount=1)
        cost = FeeParams(units, 1_000).fee(1_000_000)
        nonce = chain.nonce(alice.id)
        return [
            chain.transaction(call, signer=alice, nonce=nonce + each, gas_limit=1_000_000, max_fee=cost)
            for each in range(count)
        ]

    for height, units, count in ((1, 1, 2), (2, 1, 2), (3, 7, 1)):
        receipts = chain.block(transfers(height, units, count)).receipts
        assert [receipt.fee for receipt in receipts] == [
            FeeParams(units, 1_000).fee(each.gas_used) for each in receipts
        ]
    with pytest.raises(InvalidTransaction) as refused:
        chain.application.check(transfers(4, 1, 1)[0])
    assert refused.value.rule is Rule.FEE
    executed, dropped = chain.application.propose(BlockInputs(4, chain.time_ms + 1), transfers(4, 7, 2))
    assert (len(executed.transactions), [each.rule for each in dropped]) == (1, [Rule.BLOCK_BYTES])


# --- the mempool, the proposer and everyone else agree


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_what_the_mempool_takes_alone_a_block_takes_too_and_what_it_refuses_none_does(data: st.DataObject) -> None:
    """By the rules that come from the parameters: size, gas limit, fee."""
    alice = Chain().account("alice")
    chain = Chain(Tokens, genesis={"tokens": {"balances": {alice.id: {"arm": 10**15}}}}, fees=FeeParams(1, 1_000))
    changed(
        chain,
        fee_units=data.draw(st.sampled_from([0, 1, 5])),
        block_gas_max=data.draw(st.sampled_from([20_000_000, 40_000_000])),
        block_bytes_max=data.draw(st.sampled_from([16_384, 20_000])),
    )
    own = Tokens.transfer.build(to=alice.id, denom="arm", amount=1)
    wide = Call("tokens.transfer", own.arguments + bytes(data.draw(st.sampled_from([0, 16_000, 16_384, 19_900]))))
    given_ = {"gas_limit": data.draw(st.sampled_from([5_000_000, 20_000_000, 20_000_001, 40_000_001]))}
    offer = data.draw(st.sampled_from([0, 5_000, 25_000, 100_000, 200_001]))
    transaction = chain.transaction(wide, signer=alice, max_fee=offer, **given_)
    try:
        chain.application.check(transaction)
    except InvalidTransaction as error:
        refused = error.rule if error.rule in RULES_OF_PARAMS else None
    else:
        refused = None
    executed, dropped = chain.application.propose(BlockInputs(chain.height + 1, chain.time_ms + 1), [transaction])
    assert [each.rule for each in dropped] == ([] if refused is None else [refused])
    assert all(each.is_invalid for each in dropped)
    chain.block(executed.transactions)


# --- what inference costs, and may hold


def infer(chain: Chain, calls_of: Callable[[Chain], dict[str, Call]]) -> Call:
    return calls_of(chain)["infer"]


@pytest.mark.parametrize("percent", [14, 99, 100, 250, 9_000])
def test_a_run_costs_its_share_of_the_proven_cost(
    make_whole: Callable[..., Chain], calls_of: Callable[[Chain], dict[str, Call]], percent: int
) -> None:
    chain = make_whole()
    call, alice = infer(chain, calls_of), chain.account("alice")
    options: dict[str, Any] = {"signer": alice, "gas_limit": 1_000_000_000}
    cost = verify(model_bytes(chain, call)).cost
    proven = cost.gas_load + cost.gas_fixed + 2 * cost.gas_per_row
    before = chain.simulate(call, **options).receipt
    price = changed(chain, inference_gas_percent=percent)
    after = chain.simulate(call, **options).receipt
    assert after.gas_used - before.gas_used == price.inference_gas(proven) - proven
    assert 0 <= price.inference_gas(proven) * 100 - proven * percent < 100
    assert chain.submit(call, **options) == after, "a dry run tells it exactly"


def model_bytes(chain: Chain, call: Call) -> bytes:
    arguments = chain.application.metadata["oracle"].calls["infer"].codec.decode(call.arguments)
    with chain.application._reading() as run:
        core = run.environment.core
        return core._load(arguments.model, core.models[arguments.model])


def test_invalid_model_above_the_bound_of_memory(
    make_whole: Callable[..., Chain], calls_of: Callable[[Chain], dict[str, Call]]
) -> None:
    chain = make_whole()
    call, alice = infer(chain, calls_of), chain.account("alice")
    needed = verify(model_bytes(chain, call)).cost.memory_bytes
    model = Hash(model_hash(model_bytes(chain, call)))
    changed(chain, model_memory_bytes_max=needed)
    assert chain.submit(call, signer=alice).is_ok
    changed(chain, model_memory_bytes_max=needed - 1)
    receipt = chain.submit(call, signer=alice)
    assert chain.error(receipt) == ModelTooLarge(memory_bytes=needed, limit=needed - 1)
    core_admits(chain, model, needed)
    changed(chain, model_memory_bytes_max=needed)
    assert chain.submit(call, signer=alice).is_ok, "the bound is the only thing in its way"


def core_admits(chain: Chain, model: Hash, needed: int) -> None:
    """What the registry asks of the runtime as an upload ends."""
    with pytest.raises(ModelTooLarge) as refused:
        admitted(chain, model)
    assert refused.value == ModelTooLarge(memory_bytes=needed, limit=needed - 1)


def test_invalid_model_of_which_one_row_takes_more_gas_than_a_block_has(
    make_whole: Callable[..., Chain], calls_of: Callable[[Chain], dict[str, Call]]
) -> None:
    """The highest price at which a row fits is the highest at which the model is taken."""
    chain = make_whole()
    model = model_bytes(chain, infer(chain, calls_of))
    limit = chain.application.params().block_gas_max - chain.application.composition.hook_gas
    proven = verify(model).cost.gas(1)
    highest = limit * 100 // proven
    changed(chain, inference_gas_percent=highest)
    assert admitted(chain, Hash(model_hash(model))).gas_per_row == verify(model).cost.gas_per_row
    dear = changed(chain, inference_gas_percent=highest + 1)
    with pytest.raises(ModelTooSlow) as refused:
        admitted(chain, Hash(model_hash(model)))
    assert refused.value == ModelTooSlow(gas=dear.inference_gas(proven), limit=limit)


def admitted(chain: Chain, model: Hash) -> ModelInfo:
    with chain.application._next_block() as run:
        core = run.environment.core
        return core.admit(core.model_chunks[model, 0], nodes_max=100)


def test_invalid_origin_of_a_change_of_prices(make_whole: Callable[..., Chain]) -> None:
    chain = make_whole()
    with pytest.raises(InvalidTransaction) as refused:
        chain.submit(change(RuntimeParams(fee_units=0)), signer=chain.account("alice"))
    assert refused.value.rule is Rule.ORIGIN
