"""Oracle: a run inside a transaction is the run outside, paid and on record; whatever does not fit is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from modules.accounts import Accounts
from modules.oracle import Oracle
from modules.oracle.module import (
    OUTPUT_BYTES_MAX,
    Inferred,
    NoInput,
    OutputTooLarge,
    TooManyOutputs,
    TooManyRows,
    UnknownModel,
    inputs_hash,
)
from modules.oracle.protocol import OUTPUTS_MAX, ROWS_MAX, Decisions, Record
from modules.registry import Registry
from modules.registry.protocol import Card, Price
from modules.tokens import Tokens
from modules.tokens.errors import InsufficientBalance
from runtime import Denom, Hash, Module, OutOfGas, Signed, Tensor, Uses, call
from runtime.codec import codec
from runtime.execution import Chain
from runtime.execution.inference_port import EnginePort
from runtime.inference import Tensor as EngineTensor
from runtime.inference import (
    TensorSpec,
    encode_graph,
    from_arrays,
    interpret,
    model_hash,
    tensors_hash,
    to_arrays,
    verify,
)
from runtime.inference.graph import Gemm, Output, Relu, Reshape
from runtime.module import InputRefused
from runtime.state import verify_proof
from runtime.testing.graphs import wrap
from tools.lowering import Lowered
from tools.registration import registration_calls

ARM, GOLD = "arm", "gold"
FUNDS = 10**6


def wire(**arrays: Any) -> tuple[Tensor, ...]:
    """Arrays as a call's tensors."""
    found = from_arrays({name: np.asarray(array, np.int64) for name, array in arrays.items()})
    return tuple(Tensor(each.name, each.shape, each.data) for each in found)


def pair_model() -> bytes:
    """y = 3 x0 - 2 x1, of two numbers from -100 to 100."""
    spec = TensorSpec("x", (2,), 0, -100, 100)
    return encode_graph(wrap([spec], [np.array([[3, -2]], np.int64)], [Gemm(0, 0, None, None)], (1,)))


def wide_model(size: int) -> bytes:
    """One row of output of so many numbers."""
    spec = TensorSpec("x", (size,), 0, 0, 1)
    return encode_graph(wrap([spec], [], [Reshape(0, (1, size))], (1, size)))


def many_model(count: int) -> bytes:
    """So many outputs of one number."""
    spec = TensorSpec("x", (), 0, 0, 1)
    outputs = tuple(Output(1 + number, replace(spec, name=f"y{number:02}")) for number in range(count))
    return encode_graph(replace(wrap([spec], [], [Relu(0)] * count), outputs=outputs))


def card(amount: int = 7, denom: Denom = GOLD) -> Card:
    return Card(title="", version="", licence="", parents=(), remarks=(), price=Price(denom=denom, amount=amount))


def chain_of(engine: EnginePort, *more: type[Module]) -> Chain:
    alice, bob = Chain().account("alice").id, Chain().account("bob").id
    genesis = {"tokens": {"balances": {alice: {ARM: 10**9, GOLD: 0}, bob: {GOLD: FUNDS}}, "issuers": {GOLD: alice}}}
    return Chain(Accounts, Tokens, Registry, Oracle, *more, genesis=genesis, engine=engine)


@pytest.fixture
def chain(engine: EnginePort) -> Chain:
    return chain_of(engine)


def register(chain: Chain, model: bytes, price: int = 7) -> Hash:
    for _, made in registration_calls(model, card(price)):
        assert chain.submit(made, signer=chain.account("alice")).is_ok, chain.explanation
    return model_hash(model)


def infer(chain: Chain, model: Hash, who: str = "bob", **arrays: Any) -> Record:
    """Runs it and returns its record."""
    receipt = chain.submit(Oracle.infer.build(model=model, inputs=wire(**arrays)), signer=chain.account(who))
    assert receipt.is_ok, chain.explanation
    event = chain.events(receipt)[-1]
    assert isinstance(event, Inferred)
    record = chain.query(Oracle.record, id=event.record)
    assert record is not None
    assert (event.model, event.caller, event.rows) == (record.model, record.caller, record.rows)
    return record


def gold(chain: Chain, who: str) -> int:
    return chain.query(Tokens.balance_of, account=chain.account(who).id, denom=GOLD)


# --- what happens ----------------------------------------------------------------------------------------------------


@given(rows=st.lists(st.tuples(*[st.integers(-100, 100)] * 2), min_size=1, max_size=5))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_on_chain_is_what_the_reference_computes(chain: Chain, rows: list[tuple[int, int]]) -> None:
    model = pair_model()
    name = model_hash(model)
    if chain.query(Registry.model, model=name) is None:
        register(chain, model)
    before = gold(chain, "alice"), gold(chain, "bob")
    record = infer(chain, name, x=rows)
    expected = interpret(model, {"x": np.array(rows, np.int64)})
    assert np.array_equal(outputs(record)["y"], expected["y"])
    assert outputs(record)["y"].tolist() == [[3 * x0 - 2 * x1] for x0, x1 in rows]
    assert (gold(chain, "alice"), gold(chain, "bob")) == (before[0] + 7 * len(rows), before[1] - 7 * len(rows))
    cost = verify(model).cost
    assert record == Record(
        id=chain.query(Oracle.count) - 1,
        model=name,
        input_hash=tensors_hash(from_arrays({"x": np.array(rows, np.int64)})),
        rows=len(rows),
        outputs=record.outputs,
        caller=chain.account("bob").id,
        height=chain.height,
        gas=cost.gas(len(rows)),
        paid=7 * len(rows),
        denom=GOLD,
    )


def outputs(record: Record) -> dict[str, np.ndarray]:
    return to_arrays([EngineTensor(each.name, each.shape, each.data) for each in record.outputs])


def test_digits_are_read_as_the_lowered_model_reads_them(chain: Chain, digits: Lowered, images: np.ndarray) -> None:
    name = register(chain, digits.model, price=0)
    inputs: dict[str, Any] = dict(digits.quantize({"image": images[:20]}))
    record = infer(chain, name, **inputs)
    expected = interpret(digits.model, inputs)
    found = outputs(record)
    assert found.keys() == expected.keys()
    for output, values in expected.items():
        assert np.array_equal(found[output], values)
    assert record.paid == 0


def test_gas_is_the_proven_cost_whatever_was_run_before(chain: Chain) -> None:
    model = pair_model()
    name, cost = register(chain, model), verify(model).cost
    bob = chain.account("bob")

    def used(rows: int) -> int:
        made = Oracle.infer.build(model=name, inputs=wire(x=[[1, 2]] * rows))
        receipt = chain.simulate(made, signer=bob).receipt
        assert receipt.is_ok
        return receipt.gas_used

    infer(chain, name, x=[[1, 2]])  # from here on, the storage that a run touches has the same sizes
    first = used(1)
    infer(chain, name, x=[[1, 2]])
    assert used(1) == first
    assert first > cost.gas(1)
    assert used(3) - used(1) > 2 * cost.gas_per_row


def test_a_record_is_proven_by_one_state_proof(chain: Chain) -> None:
    record = infer(chain, register(chain, pair_model()), x=[[1, 2]])
    proven = chain.application.prove("oracle", "records", record.id)
    assert proven.value == codec(Record).encode(record)
    verify_proof(proven.state_root, proven.module, proven.key, proven.value, proven.proof)


def test_input_hash_is_the_one_that_inference_defines() -> None:
    arrays = {"b": np.arange(6).reshape(2, 3), "a": np.array([[1], [-1]])}
    assert inputs_hash(wire(**arrays)) == tensors_hash(from_arrays(arrays))


@given(
    runs=st.lists(st.tuples(st.sampled_from(["alice", "bob"]), st.integers(0, 1)), max_size=12), limit=st.integers(1, 5)
)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_records_are_found_by_model_and_by_caller(engine: EnginePort, runs: list[tuple[str, int]], limit: int) -> None:
    chain = chain_of(engine)
    other = encode_graph(
        wrap([TensorSpec("x", (2,), 0, -100, 100)], [np.array([[1, 1]], np.int64)], [Gemm(0, 0, None, None)], (1,))
    )
    models = [register(chain, model, price=0) for model in (pair_model(), other)]
    ids = [infer(chain, models[model], who, x=[[1, 2]]).id for who, model in runs]
    assert ids == list(range(len(runs)))
    for model in (0, 1):
        expected = [number for number in ids if runs[number][1] == model]
        assert pages(chain, Oracle.of_model, limit, model=models[model]) == expected
    for who in ("alice", "bob"):
        expected = [number for number in ids if runs[number][0] == who]
        assert pages(chain, Oracle.of_caller, limit, caller=chain.account(who).id) == expected
    assert chain.query(Oracle.record, id=len(runs)) is None


def pages(chain: Chain, query: Any, limit: int, **arguments: Any) -> list[int]:
    found: list[int] = []
    while page := chain.query(query, after=found[-1] if found else None, limit=limit, **arguments):
        assert len(page) <= limit
        found += page
    return found


class Judge(Module):
    """Acts on decisions."""

    name = "judge"
    decisions: Uses[Decisions]

    @call(gas=0)
    def act(self, origin: Signed) -> None:
        """Succeeds where decision 0 is the signer's."""
        decision = self.decisions.decision(0)
        if decision is None or decision.caller != origin.account:
            raise UnknownModel(model=Hash(bytes(32)))


def test_modules_act_on_decisions(engine: EnginePort) -> None:
    chain = chain_of(engine, Judge)
    assert not chain.submit(Judge.act.build(), signer=chain.account("bob")).is_ok
    infer(chain, register(chain, pair_model()), x=[[1, 2]])
    assert chain.submit(Judge.act.build(), signer=chain.account("bob")).is_ok
    assert not chain.submit(Judge.act.build(), signer=chain.account("alice")).is_ok


def test_as_many_rows_as_a_call_takes(chain: Chain) -> None:
    record = infer(chain, register(chain, pair_model()), x=[[1, 2]] * ROWS_MAX)
    assert record.rows == ROWS_MAX


# --- what is refused -------------------------------------------------------------------------------------------------


def test_invalid_model_that_is_not_registered(chain: Chain, fails: Any) -> None:
    unknown = model_hash(b"")
    made = Oracle.infer.build(model=unknown, inputs=wire(x=[[1, 2]]))
    fails(chain, made, chain.account("bob"), UnknownModel(model=unknown))


@pytest.mark.parametrize("inputs", [(), wire(x=1)])
def test_invalid_without_rows(chain: Chain, fails: Any, inputs: tuple[Tensor, ...]) -> None:
    name = register(chain, pair_model())
    fails(chain, Oracle.infer.build(model=name, inputs=inputs), chain.account("bob"), NoInput())


@pytest.mark.parametrize(
    ("inputs", "tensor", "reason"),
    [
        (wire(z=[[1, 2]]), "z", "no such input"),
        (wire(x=[[1, 2]], z=[[1, 2]]), "z", "no such input"),
        (wire(x=[[1, 2, 3]]), "x", "expected shape (rows, 2), found (1, 3)"),
        (wire(x=[1, 2]), "x", "expected shape"),
        (wire(x=np.zeros((0, 2))), "x", "holds nothing"),
        (wire(x=[[1, 101]]), "x", "the model takes [-100, 100]"),
        (wire(x=[[-101, 0]]), "x", "the model takes [-100, 100]"),
        ((replace(wire(x=[[1, 2]])[0], data=bytes(15)),), "x", "needs 16 bytes"),
        ((replace(wire(x=[[1, 2]])[0], data=bytes(24)),), "x", "needs 16 bytes"),
        ((*wire(x=[[1, 2]]), *wire(x=[[1, 2]])), "x", "sorted by name"),
    ],
)
def test_invalid_inputs_are_named(chain: Chain, inputs: tuple[Tensor, ...], tensor: str, reason: str) -> None:
    name = register(chain, pair_model())
    before = gold(chain, "bob")
    receipt = chain.submit(Oracle.infer.build(model=name, inputs=inputs), signer=chain.account("bob"))
    error: Any = chain.error(receipt)
    assert isinstance(error, InputRefused), chain.explanation
    assert error.tensor == tensor
    assert reason in error.reason
    assert chain.query(Oracle.count) == 0
    assert gold(chain, "bob") == before


def test_invalid_too_many_rows(chain: Chain, fails: Any) -> None:
    name = register(chain, pair_model())
    made = Oracle.infer.build(model=name, inputs=wire(x=[[1, 2]] * (ROWS_MAX + 1)))
    fails(chain, made, chain.account("bob"), TooManyRows(rows=ROWS_MAX + 1, limit=ROWS_MAX))


def test_invalid_output_larger_than_a_record(chain: Chain, fails: Any) -> None:
    size = OUTPUT_BYTES_MAX // 8
    fits, exceeds = register(chain, wide_model(size)), register(chain, wide_model(size + 1))
    assert infer(chain, fits, x=[[0] * size]).rows == 1
    made = Oracle.infer.build(model=exceeds, inputs=wire(x=[[0] * (size + 1)]))
    fails(chain, made, chain.account("bob"), OutputTooLarge(bytes_needed=8 * size + 8, limit=OUTPUT_BYTES_MAX))


def test_invalid_more_outputs_than_a_record_holds(chain: Chain, fails: Any) -> None:
    fits, exceeds = register(chain, many_model(OUTPUTS_MAX)), register(chain, many_model(OUTPUTS_MAX + 1))
    assert len(infer(chain, fits, x=[1]).outputs) == OUTPUTS_MAX
    made = Oracle.infer.build(model=exceeds, inputs=wire(x=[1]))
    fails(chain, made, chain.account("bob"), TooManyOutputs(outputs=OUTPUTS_MAX + 1, limit=OUTPUTS_MAX))


def test_invalid_price_that_the_caller_cannot_pay(chain: Chain, fails: Any) -> None:
    name, carol = register(chain, pair_model()), chain.account("carol")
    made = Oracle.infer.build(model=name, inputs=wire(x=[[1, 2]] * 3))
    fails(chain, made, carol, InsufficientBalance(account=carol.id, denom=GOLD, held=0, amount=21))


def test_invalid_gas_that_does_not_cover_the_run(chain: Chain) -> None:
    model = pair_model()
    name = register(chain, model)
    made = Oracle.infer.build(model=name, inputs=wire(x=[[1, 2]]))
    receipt = chain.submit(made, signer=chain.account("bob"), gas_limit=verify(model).cost.gas(1))
    assert isinstance(chain.error(receipt), OutOfGas)
    assert chain.query(Oracle.count) == 0
    assert gold(chain, "bob") == FUNDS


def test_invalid_rows_that_claim_more_than_any_gas(chain: Chain) -> None:
    """A shape of 2^32 - 1 rows without their data is refused before anything is allocated."""
    name = register(chain, pair_model())
    tensor = replace(wire(x=[[1, 2]])[0], shape=(2**32 - 1, 2))
    receipt = chain.submit(Oracle.infer.build(model=name, inputs=(tensor,)), signer=chain.account("bob"))
    assert isinstance(chain.error(receipt), TooManyRows)
