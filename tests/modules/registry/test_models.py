"""Registry: what is registered is proven exact, once, under its hash, with what its owner says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from modules.accounts import Accounts
from modules.registry import Registry
from modules.registry.errors import ModelExists, WrongModelHash
from modules.registry.events import ModelRegistered
from modules.registry.protocol import Card, Price
from modules.tokens import Tokens
from runtime import Call, Hash, OutOfGas
from runtime.execution import Chain
from runtime.execution.inference_port import EnginePort
from runtime.inference import TensorSpec, encode_graph, model_hash, verification_gas, verify
from runtime.inference.graph import Gemm, Relu
from runtime.module import ModelRefused
from runtime.state import blob_root, chunk_hash, split_chunks
from runtime.testing.graphs import wrap
from runtime.testing.strategies import from_type
from tools.lowering import Lowered
from tools.registration import registration_calls

ARM = "arm"
CARD = Card(title="a model", version="1", licence="MIT", parents=(), remarks=(), price=Price(denom=ARM, amount=7))


def tiny(bias: int = 0) -> bytes:
    """y = max(x0 + x1 + bias, 0) of two numbers from -100 to 100: about 300 bytes, proven exact."""
    weights, offset = np.ones((1, 2), np.int64), np.array([bias], np.int64)
    spec = TensorSpec("x", (2,), 0, -100, 100)
    return encode_graph(wrap([spec], [weights, offset], [Gemm(0, 0, 1, None), Relu(1)], (1,)))


def large() -> bytes:
    """Two chunks of weights."""
    weights = np.arange(1000 * 300, dtype=np.int64).reshape(1000, 300) % 251 - 125
    spec = TensorSpec("x", (300,), 0, -100, 100)
    return encode_graph(wrap([spec], [weights], [Gemm(0, 0, None, None)], (1000,)))


def unproven() -> bytes:
    """A product that may leave 2**53: canonical, and refused."""
    spec = TensorSpec("x", (2,), 0, -(1 << 52), 1 << 52)
    return encode_graph(wrap([spec], [np.full((1, 2), 3, np.int64)], [Gemm(0, 0, None, None)], (1,)))


def chain_of(engine: EnginePort) -> Chain:
    people = [Chain().account(name).id for name in ("alice", "bob")]
    genesis = {"tokens": {"balances": {person: {ARM: 10**9} for person in people}}}
    return Chain(Accounts, Tokens, Registry, genesis=genesis, engine=engine)


@pytest.fixture
def chain(engine: EnginePort) -> Chain:
    return chain_of(engine)


@dataclass(frozen=True)
class Plan:
    """The calls that register a model."""

    model: Hash
    begin: Call
    chunks: list[Call]
    complete: Call


def plan_of(model: bytes, card: Card = CARD) -> Plan:
    begin, *chunks, complete = [made for _, made in registration_calls(model, card)]
    return Plan(model_hash(model), begin, chunks, complete)


def register(chain: Chain, model: bytes, who: str = "alice", card: Card = CARD) -> Hash:
    plan = plan_of(model, card)
    for made in (plan.begin, *plan.chunks, plan.complete):
        assert chain.submit(made, signer=chain.account(who)).is_ok, chain.explanation
    return plan.model


def pages(chain: Chain, query: Any, limit: int, **arguments: Any) -> list[Hash]:
    found: list[Hash] = []
    while page := chain.query(query, after=found[-1] if found else None, limit=limit, **arguments):
        assert len(page) <= limit
        found += [entry.model for entry in page]
    return found


# --- what happens ----------------------------------------------------------------------------------------------------


def test_a_real_model_is_registered_in_one_transaction(chain: Chain, digits: Lowered) -> None:
    plan, verified = plan_of(digits.model), verify(digits.model)
    receipt = chain.submit(plan.begin, *plan.chunks, plan.complete, signer=chain.account("alice"))
    assert receipt.is_ok, chain.explanation
    assert plan.model == model_hash(digits.model)
    assert chain.events(receipt)[-1] == ModelRegistered(
        model=plan.model,
        owner=chain.account("alice").id,
        gas_load=verified.cost.gas_load,
        gas_fixed=verified.cost.gas_fixed,
        gas_per_row=verified.cost.gas_per_row,
    )
    view = chain.query(Registry.model, model=plan.model)
    assert view is not None
    assert view.record.card == CARD
    assert view.record.blob == view.info.blob == blob_root(split_chunks(digits.model))
    assert [tensor.name for tensor in view.info.inputs] == [spec.name for spec in verified.inputs]
    assert [(tensor.name, tensor.shape) for tensor in view.info.outputs] == [
        (spec.name, spec.shape) for spec in verified.outputs
    ]


def test_a_model_of_several_chunks_is_registered_and_its_deposit_stays(chain: Chain) -> None:
    model = large()
    assert len(split_chunks(model)) == 2
    name = register(chain, model)
    view = chain.query(Registry.model, model=name)
    assert view is not None
    assert view.record.deposit == 1000 + len(model)
    alice = chain.account("alice").id
    assert chain.query(Tokens.balance_of, account=alice, denom=ARM) == 10**9 - 1000 - len(model)
    assert chain.query(Registry.upload, owner=alice, model=name) is None
    names = chain.query(Registry.chunk_names, model=name, after=None, limit=64)
    assert chain.application.live_chunks() == set(names)
    assert chain.query(Registry.chunk_names, model=name, after=0, limit=64) == names[1:]
    chain.blocks(3)
    assert chain.application.live_chunks() == set(names)


@given(card=from_type(Card), parents=st.lists(st.integers(0, 2), max_size=3, unique=True))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_the_owner_says_is_kept_as_said(engine: EnginePort, card: Card, parents: list[int]) -> None:
    chain = chain_of(engine)
    known = [register(chain, tiny(bias)) for bias in range(3)]
    card = replace(card, parents=tuple(known[n] for n in parents), price=replace(card.price, denom=ARM))
    view = chain.query(Registry.model, model=register(chain, tiny(3), card=card))
    assert view is not None
    assert view.record.card == card


def test_pages_come_in_order_and_by_owner(chain: Chain) -> None:
    mine = {register(chain, tiny(bias)) for bias in range(4)}
    others = {register(chain, tiny(bias), "bob") for bias in range(4, 7)}
    assert pages(chain, Registry.page, 3) == sorted(mine | others)
    assert pages(chain, Registry.owned_by, 3, owner=chain.account("alice").id) == sorted(mine)
    assert pages(chain, Registry.owned_by, 255, owner=chain.account("bob").id) == sorted(others)
    assert pages(chain, Registry.owned_by, 3, owner=chain.account("carol").id) == []


def test_an_unknown_model_is_nothing(chain: Chain) -> None:
    nothing = model_hash(b"")
    assert chain.query(Registry.model, model=nothing) is None
    assert chain.query(Registry.chunk_names, model=nothing, after=None, limit=1) == ()


def test_invalid_second_upload_of_a_model_the_first_to_complete_owns_it(chain: Chain, fails: Any) -> None:
    alice, bob, plan = chain.account("alice"), chain.account("bob"), plan_of(tiny())
    for who in (alice, bob):
        assert chain.submit(plan.begin, *plan.chunks, signer=who).is_ok
    assert chain.submit(plan.complete, signer=bob).is_ok
    fails(chain, plan.complete, alice, ModelExists(model=plan.model))
    fails(chain, plan.begin, chain.account("alice"), ModelExists(model=plan.model))
    assert chain.submit(Registry.cancel_upload.build(model=plan.model), signer=alice).is_ok
    assert chain.query(Tokens.balance_of, account=alice.id, denom=ARM) == 10**9
    view = chain.query(Registry.model, model=plan.model)
    assert view is not None
    assert view.record.owner == bob.id
    assert chain.application.live_chunks() == set(
        chain.query(Registry.chunk_names, model=plan.model, after=None, limit=64)
    )


def test_verification_is_charged_before_it_starts(chain: Chain) -> None:
    """From bytes and the nodes paid for: more nodes paid for cost more gas, though the work is the same."""
    alice, plan = chain.account("alice"), plan_of(tiny())
    chain.submit(plan.begin, *plan.chunks, signer=alice)
    used = [
        chain.simulate(Registry.complete_upload.build(model=plan.model, nodes_max=nodes), signer=alice).receipt.gas_used
        for nodes in (2, 12)
    ]
    size = len(tiny())
    assert used[1] - used[0] == verification_gas(size, 12) - verification_gas(size, 2) > 0


# --- what is refused -------------------------------------------------------------------------------------------------


def test_invalid_model_that_is_not_proven(chain: Chain) -> None:
    alice, data = chain.account("alice"), unproven()
    name, size = model_hash(data), len(data)
    begin = Registry.begin_upload.build(model=name, size_bytes=size, chunks=(chunk_hash(data),), card=CARD)
    assert chain.submit(begin, Registry.upload_chunk.build(model=name, index=0, data=data), signer=alice).is_ok
    receipt = chain.submit(Registry.complete_upload.build(model=name, nodes_max=1), signer=alice)
    error = chain.error(receipt)
    assert isinstance(error, ModelRefused)
    assert "nodes[0] Gemm" in str(error)
    assert chain.query(Registry.model, model=name) is None
    assert chain.query(Registry.upload, owner=alice.id, model=name) is not None  # its deposit can be had back


def test_invalid_model_of_another_hash(chain: Chain, fails: Any) -> None:
    alice, plan, other = chain.account("alice"), plan_of(tiny()), model_hash(b"other")
    begin = Registry.begin_upload.build(model=other, size_bytes=len(tiny()), chunks=(chunk_hash(tiny()),), card=CARD)
    chunk = Registry.upload_chunk.build(model=other, index=0, data=tiny())
    assert chain.submit(begin, chunk, signer=alice).is_ok
    complete = Registry.complete_upload.build(model=other, nodes_max=2)
    fails(chain, complete, alice, WrongModelHash(expected=other, found=plan.model))


def test_invalid_model_of_more_nodes_than_paid_for(chain: Chain) -> None:
    alice, plan = chain.account("alice"), plan_of(tiny())
    chain.submit(plan.begin, *plan.chunks, signer=alice)
    receipt = chain.submit(Registry.complete_upload.build(model=plan.model, nodes_max=1), signer=alice)
    error = chain.error(receipt)
    assert isinstance(error, ModelRefused)
    assert "nodes are within what was paid for" in str(error)


def test_invalid_gas_that_does_not_cover_the_verification(chain: Chain) -> None:
    alice, plan = chain.account("alice"), plan_of(tiny())
    chain.submit(plan.begin, *plan.chunks, signer=alice)
    error = chain.error(chain.submit(plan.complete, signer=alice, gas_limit=2_000_000))
    assert isinstance(error, OutOfGas)
    assert chain.query(Registry.model, model=plan.model) is None
