"""What calls say they will infer is run together, and changes nothing else: receipts, roots and gas are those of a
module that says nothing, whatever is said."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Annotated, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modules.oracle import Oracle
from runtime import (
    U64,
    Blobs,
    CallError,
    Hash,
    Inference,
    InferenceRequest,
    Item,
    Map,
    MaxLen,
    Module,
    Signed,
    Struct,
    Tensor,
    Uses,
    call,
)
from runtime.execution import BlockInputs, Chain, Executed
from runtime.execution.inference_port import EnginePort
from runtime.execution.planning import PLANNING_SHARE, plan_runs
from runtime.execution.remembered import RememberingEngine
from runtime.inference import Engine, TensorSpec, encode_graph, from_arrays, model_hash, verify
from runtime.inference.graph import Gemm
from runtime.state import Overlay
from runtime.testing.graphs import wrap

NODES = 16
GAS_LIMIT = 60_000_000


class Saying(IntEnum):
    """What the declaration does besides naming runs."""

    NAMES = 0
    REFUSES = 1
    BREAKS = 2
    WRITES = 3
    NAMES_A_LIST = 4
    NAMES_MALFORMED = 5
    NAMES_TOO_MANY = 6
    USES_ALL_GAS = 7
    HIDES_THAT = 8


class Step(Struct):
    """One call: what it says it runs, what it runs, and whether it fails at the end."""

    said: Annotated[tuple[InferenceRequest, ...], MaxLen(8)]
    run: Annotated[tuple[InferenceRequest, ...], MaxLen(8)]
    saying: Saying
    fails: bool


class Failed(CallError):
    """As it was told."""


def _says(self: Any, *, step: Step) -> tuple[InferenceRequest, ...]:
    match step.saying:
        case Saying.REFUSES:
            raise Failed
        case Saying.BREAKS:
            raise ZeroDivisionError("in the declaration")
        case Saying.WRITES:
            self.total += 1
        case Saying.NAMES_A_LIST:
            return list(step.said)  # type: ignore[return-value] # an author's mistake
        case Saying.NAMES_MALFORMED:
            odd = Tensor("x", ("one", 2), 5)  # type: ignore[arg-type] # an author's mistake
            return (*step.said, *(InferenceRequest(each.model, (odd,)) for each in step.run))
        case Saying.NAMES_TOO_MANY:
            return step.said * 100
        case Saying.USES_ALL_GAS:
            self.charge(1 << 62)
        case Saying.HIDES_THAT:
            try:
                self.charge(1 << 62)
            except CallError:
                return step.said
    return step.said


def _ask(self: Any, origin: Signed, *, step: Step) -> None:
    """Run, and keep what came out."""
    for request in step.run:
        self.kept[self.total] = self.inference.run(request.model, request.inputs)
        self.total += 1
    if step.fails:
        raise Failed


def _admit(self: Any, origin: Signed, *, model: Annotated[bytes, MaxLen(4096)]) -> None:
    self.inference.admit((self.blobs.put_chunk(model),), nodes_max=NODES)


Kept = Annotated[tuple[Tensor, ...], MaxLen(8)]


class Saying_(Module):  # noqa: N801 # two classes of one module, beside the enum above
    """Runs models, and says so before."""

    name = "asking"
    errors = (Failed,)
    total: Item[U64] = Item(default=0)
    kept: Map[U64, Kept] = Map()
    inference: Uses[Inference]
    blobs: Uses[Blobs]
    admit = call(gas=1)(_admit)
    ask = call(gas=1, infers=_says)(_ask)


class Silent(Module):
    """The same, and says nothing."""

    name = "asking"
    errors = (Failed,)
    total: Item[U64] = Item(default=0)
    kept: Map[U64, Kept] = Map()
    inference: Uses[Inference]
    blobs: Uses[Blobs]
    admit = call(gas=1)(_admit)
    ask = call(gas=1)(_ask)


def model(first: int) -> bytes:
    """y = first * x0 - 2 x1, of two numbers from -100 to 100."""
    spec = TensorSpec("x", (2,), 0, -100, 100)
    return encode_graph(wrap([spec], [np.array([[first, -2]], np.int64)], [Gemm(0, 0, None, None)], (1,)))


MODELS = (model(3), model(5))
UNKNOWN = Hash(bytes(32))


class Counting(Engine):
    """Counts the rows of every run."""

    def __init__(self) -> None:
        super().__init__()
        self.alone: list[int] = []
        self.together: list[int] = []

    def run_by_hash(self, identity: Hash, fetch: Callable[[], bytes], inputs: Any) -> Any:
        self.alone.append(len(inputs["x"]))
        return super().run_by_hash(identity, fetch, inputs)

    def run_many_by_hash(self, identity: Hash, fetch: Callable[[], bytes], batch: Any) -> Any:
        self.together.append(sum(len(inputs["x"]) for inputs in batch))
        return super().run_many_by_hash(identity, fetch, batch)


def chain_of(module: type[Module], engine: Engine | None = None, *, remembers: bool = False) -> Chain:
    port = EnginePort(engine)
    made = Chain(module, engine=RememberingEngine(port) if remembers else port)
    for each in MODELS:
        assert made.submit(Saying_.admit.build(model=each), signer=made.account("alice")).is_ok, made.explanation
    return made


def rows(*values: tuple[int, int]) -> tuple[Tensor, ...]:
    found = from_arrays({"x": np.array(values, np.int64).reshape(len(values), 2)})
    return tuple(Tensor(each.name, each.shape, each.data) for each in found)


def request(number: int, *values: tuple[int, int]) -> InferenceRequest:
    return InferenceRequest(model_hash(MODELS[number]), rows(*values))


def step(*run: InferenceRequest, said: tuple[InferenceRequest, ...] | None = None, **options: Any) -> Step:
    options = {"saying": Saying.NAMES, "fails": False, **options}
    return Step(said=run if said is None else said, run=run, **options)


def signed(chain: Chain, *transactions: tuple[Step, ...], last_gas_limit: int = GAS_LIMIT) -> list[bytes]:
    """Alice's next transactions, each of these calls."""
    nonce = chain.nonce(chain.account("alice").id)
    return [
        chain.transaction(
            *[Saying_.ask.build(step=each) for each in steps],
            signer=chain.account("alice"),
            nonce=nonce + place,
            gas_limit=last_gas_limit if steps is transactions[-1] else GAS_LIMIT,
        )
        for place, steps in enumerate(transactions)
    ]


def block_of(chain: Chain, *transactions: tuple[Step, ...], last_gas_limit: int = GAS_LIMIT) -> Executed:
    """One block of them; not committed."""
    data = signed(chain, *transactions, last_gas_limit=last_gas_limit)
    inputs = BlockInputs(chain.height + 1, chain.time_ms + 1_000, tuple(data))
    executed = chain.application.execute(inputs)
    proposed, dropped = chain.application.propose(BlockInputs(inputs.height, inputs.time_ms), data)
    assert not dropped
    assert (proposed.state_root, proposed.leaves) == (executed.state_root, executed.leaves)
    return executed


@pytest.fixture(scope="module")
def pair() -> tuple[Chain, Chain]:
    made = chain_of(Saying_), chain_of(Silent)
    assert made[0].application.genesis_hash == made[1].application.genesis_hash
    return made


@pytest.fixture(scope="module")
def ahead() -> Chain:
    return chain_of(Saying_, remembers=True)


NUMBERS = st.integers(-101, 101)
INPUTS = st.one_of(
    st.sampled_from([rows((1, 2)), rows((1, 2), (3, 4)), rows((100, -100)), ()]),
    st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=3).map(lambda values: rows(*values)),
    st.just((Tensor("x", (2, 2), b"short"),)),
    st.just((Tensor("y", (1, 2), bytes(16)),)),
)
REQUESTS = st.lists(
    st.builds(InferenceRequest, st.sampled_from([*map(model_hash, MODELS), UNKNOWN]), INPUTS), max_size=3
).map(tuple)
STEPS = st.builds(Step, said=REQUESTS, run=REQUESTS, saying=st.sampled_from(Saying), fails=st.booleans())
HONEST = st.builds(lambda run, fails: step(*run, fails=fails), REQUESTS, st.booleans())


@given(st.lists(st.lists(STEPS | HONEST, min_size=1, max_size=3).map(tuple), min_size=1, max_size=4))
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_said_changes_no_bit_of_a_block(
    pair: tuple[Chain, Chain], transactions: list[tuple[Step, ...]]
) -> None:
    said, silent = (block_of(chain, *transactions) for chain in pair)
    assert (said.leaves, said.state_root, said.gas_used) == (silent.leaves, silent.state_root, silent.gas_used)


@given(
    st.lists(st.lists(STEPS | HONEST, min_size=1, max_size=3).map(tuple), min_size=1, max_size=4),
    st.integers(0, 4 * GAS_LIMIT),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_run_ahead_changes_no_bit_of_a_block(
    pair: tuple[Chain, Chain], ahead: Chain, transactions: list[tuple[Step, ...]], gas_max: int
) -> None:
    assert 0 <= ahead.application.run_ahead(signed(ahead, *transactions), gas_max=gas_max) <= gas_max
    found, plain = (block_of(chain, *transactions) for chain in (ahead, pair[0]))
    assert (found.leaves, found.state_root, found.gas_used) == (plain.leaves, plain.state_root, plain.gas_used)


def test_what_was_run_ahead_is_not_run_in_the_block() -> None:
    engine = Counting()
    chain = chain_of(Saying_, engine, remembers=True)
    steps = [(step(request(0, (each, 1)), request(1, (each, 2))),) for each in range(5)]
    cost = [verify(each).cost for each in MODELS]
    gas = sum(each.gas_load + 5 * (each.gas_fixed + each.gas_per_row) for each in cost)
    assert chain.application.run_ahead([*signed(chain, *steps), b"junk"], gas_max=1 << 40) == gas
    assert (engine.together, engine.alone) == ([5, 5], [])
    assert all(receipt.is_ok for receipt in block_of(chain, *steps).receipts)
    assert (engine.together, engine.alone) == ([5, 5], [])


def test_runs_of_one_model_are_made_together() -> None:
    """Also what two calls ask for alike, once."""
    engine = Counting()
    chain = chain_of(Saying_, engine)
    steps = [(step(request(0, (each, 1)), request(1, (each, 2), (each, 3))),) for each in range(5)]
    executed = block_of(chain, *steps, (step(request(0, (0, 1))),))
    assert all(receipt.is_ok for receipt in executed.receipts)
    assert engine.together == [5, 10] * 2  # executed, and proposed
    assert not engine.alone


def test_a_run_that_was_not_said_is_made_in_place() -> None:
    engine = Counting()
    chain = chain_of(Saying_, engine)
    other = step(request(0, (7, 7)), said=(request(0, (8, 8)),))
    assert block_of(chain, (other,), (step(request(0, (9, 9))),)).receipts[0].is_ok
    assert (engine.alone, engine.together) == ([1] * 2, [2] * 2)


def test_nothing_is_run_that_nobody_pays_for() -> None:
    """Said and not asked for: no run."""
    engine = Counting()
    chain = chain_of(Saying_, engine)
    block_of(chain, (step(said=(request(0, (1, 1)),)),), (step(fails=True, said=(request(1, (1, 1)),)),))
    assert not engine.alone
    assert not engine.together


def test_a_transaction_does_not_order_more_than_its_gas_limit_pays() -> None:
    """The rows that are said and not run would be made with the first run of their model, if they were planned."""
    engine = Counting()
    chain = chain_of(Saying_, engine)
    many = tuple((each % 100, each // 100) for each in range(3_000))
    cost = verify(MODELS[0]).cost
    limit = cost.gas_load + cost.gas_fixed + 2_999 * cost.gas_per_row
    for gas_limit, rows_run in ((limit, 1), (limit + cost.gas_per_row, 3_001)):
        engine.together.clear()
        block_of(
            chain, (step(request(0, (1, 1))),), (step(fails=True, said=(request(0, *many),)),), last_gas_limit=gas_limit
        )
        assert engine.together == [rows_run] * 2


def test_asking_is_bounded_by_a_share_of_the_blocks_gas() -> None:
    """A declaration that takes all of it leaves those behind it unasked: they run in place."""
    engine = Counting()
    chain = chain_of(Saying_, engine)
    greedy = step(saying=Saying.USES_ALL_GAS)
    executed = block_of(chain, (step(request(0, (1, 1))),), (greedy,), (step(request(0, (2, 2))),))
    assert [receipt.error for receipt in executed.receipts] == [None] * 3
    assert (engine.together, engine.alone) == ([1] * 2, [1] * 2)


def test_wherever_asking_ends_for_want_of_gas_the_block_goes_on(pair: tuple[Chain, Chain]) -> None:
    """The meter for all declarations together may run out between any two of the things that it pays for."""
    chain, _ = pair
    application = chain.application
    data = chain.transaction(
        Saying_.ask.build(step=step(request(0, (1, 1)), request(1, (2, 2)))), signer=chain.account("alice")
    )
    prepared = application.prepare(data)
    found = set()
    for gas in range(0, 3_000_000, 5_000):
        environment = application.composition.environment()
        block = BlockInputs(chain.height + 1, chain.time_ms).info
        environment.open(Overlay(application.store), block, writable=False)
        found.add(len(plan_runs(environment, [prepared], gas_max=PLANNING_SHARE * gas).batches))
    assert {0, 2} <= found


@pytest.mark.parametrize("saying", [Saying.BREAKS, Saying.NAMES_A_LIST, Saying.NAMES_MALFORMED, Saying.WRITES])
def test_a_broken_declaration_is_in_the_nodes_log(pair: tuple[Chain, Chain], saying: Saying) -> None:
    executed = block_of(pair[0], (step(request(0, (1, 1)), saying=saying),))
    assert executed.receipts[0].is_ok
    assert any(fault.startswith("asking.ask, infers:") for fault in executed.faults)


def test_the_oracle_says_what_it_runs() -> None:
    runs = Oracle.infer.infers
    assert runs is not None
    asked = request(0, (1, 2))
    assert runs(None, model=asked.model, inputs=asked.inputs) == (asked,)
