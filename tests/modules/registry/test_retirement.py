"""Registry: what becomes of models that are retired: what knows them still, and how their space is cleared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from modules.oracle import Oracle
from modules.oracle.module import ModelRetired as RunOfRetired
from modules.registry import Registry
from modules.registry.errors import (
    ModelExists,
    NotOffered,
)
from modules.registry.events import (
    DepositLost,
    ModelCleared,
    ModelRetired,
    UploadDropped,
)
from modules.registry.protocol import Price, Remark, Standing
from modules.tokens import Tokens
from runtime import Hash, Inference, Module, Signed, Tensor, Uses, call, module_account
from runtime.inference import model_hash
from runtime.module import ModelUnknown
from runtime.state import chunk_hash, split_chunks

ARM, GOLD = "arm", "gold"
FUNDS = 10**9
NOTICE = 3
PEOPLE = ("alice", "bob")


def test_a_retired_model_runs_no_more_and_is_remembered(world: Any, fails: Any) -> None:
    parent = world.register(world.tiny(1))
    name = world.register(world.tiny(), card=world.card(parent))
    world.send(world.infer(name), "bob")
    before, record = world.view(name), world.chain.query(Oracle.record, id=0)
    world.send(Registry.offer.build(model=name, to=world.account("bob").id), "alice")
    world.send(Registry.set_price.build(model=name, price=Price(denom=ARM, amount=50)), "alice")
    receipt = world.send(Registry.retire.build(model=name), "alice")
    alice, deposit = world.account("alice").id, before.record.deposit
    assert world.chain.events(receipt) == (ModelRetired(model=name, owner=alice),)
    assert ModelCleared(owner=alice, model=name, deposit=deposit) in world.end_events()
    after = world.view(name)
    assert after.info == before.info
    assert (after.standing, after.price) == (Standing.RETIRED, Price(denom=ARM, amount=7))
    assert (after.record.card, after.record.height) == (before.record.card, before.record.height)
    assert (after.record.deposit, after.record.retired) == (0, world.chain.height)
    assert world.chain.query(Oracle.record, id=0) == record
    assert world.chain.query(Registry.chunk_names, model=name, after=None, limit=9) == ()
    assert world.chain.application.live_chunks() == {chunk_hash(world.tiny(1))}
    fails(world.chain, world.infer(name), world.account("bob"), RunOfRetired(model=name))
    fails(world.chain, Registry.accept.build(model=name), world.account("bob"), NotOffered(model=name, offered_to=None))
    ((child, _),) = [(each.path, each) for each in ancestors(world, parent, "descendants")]
    assert child == (name,)
    child = world.register(world.tiny(2), card=world.card(name))
    assert [each.path for each in ancestors(world, child)] == [(name,), (name, parent)]


def ancestors(world: Any, model: Hash, query: str = "ancestors") -> Any:
    return world.chain.query(getattr(Registry, query), model=model, depth=9, after=None, limit=9)


def test_nobody_brings_a_retired_model_back(world: Any, fails: Any) -> None:
    """Its hash is the name of past decisions."""
    data = world.tiny()
    name = world.register(data)
    world.send(Registry.retire.build(model=name), "alice")
    again = Registry.begin_upload.build(model=name, size_bytes=len(data), chunks=(chunk_hash(data),), card=world.card())
    for who in ("alice", "bob"):
        fails(world.chain, again, world.account(who), ModelExists(model=name))


class Runner(Module):
    """Runs models without asking the registry, as any module may."""

    name = "runner"
    inference: Uses[Inference]

    @call(gas=0)
    def run(self, origin: Signed, *, model: Hash) -> None:
        """A run whose outputs nobody keeps."""
        self.inference.run(model, (Tensor("x", (1, 2), bytes(16)),))


def test_a_retired_model_is_unknown_to_every_module(make_world: Callable[..., Any], fails: Any) -> None:
    """Its bytes are gone: a run that began would find a hole in the state and halt the node."""
    world = make_world(more=(Runner,))
    name = world.register(world.tiny())
    world.send(Runner.run.build(model=name), "bob")
    world.send(Registry.retire.build(model=name), "alice")
    fails(world.chain, Runner.run.build(model=name), world.account("bob"), ModelUnknown(model=name))


def test_a_chunk_that_others_hold_stays(world: Any) -> None:
    data = world.tiny()
    name = world.register(data)
    other = model_hash(b"other")
    begin = Registry.begin_upload.build(
        model=other, size_bytes=len(data), chunks=(chunk_hash(data),), card=world.card()
    )
    world.send(begin, "bob")
    world.send(Registry.upload_chunk.build(model=other, index=0, data=data), "bob")
    world.send(Registry.retire.build(model=name), "alice")
    assert world.chain.application.live_chunks() == {chunk_hash(data)}


def test_a_large_model_is_cleared_over_several_blocks(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    data = world.large()
    name = world.register(data)
    monkeypatch.setattr("modules.registry.uploads.SWEPT_PER_BLOCK", 1)
    before = world.funds("alice")
    world.send(Registry.retire.build(model=name), "alice")
    names = tuple(chunk_hash(chunk) for chunk in split_chunks(data))
    assert world.chain.query(Registry.chunk_names, model=name, after=None, limit=9) == names[1:]
    assert (world.funds("alice"), world.view(name).record.deposit) == (before, 0)
    world.chain.application.check_invariants()
    world.chain.block()
    assert world.chain.application.live_chunks() == frozenset()
    assert world.funds("alice") == before + 1000 + len(data)


def test_many_models_retired_at_once_are_cleared_within_the_hooks_gas(make_world: Callable[..., Any]) -> None:
    """Also where their cards say as much as they can."""
    world = make_world(deposit_denom=GOLD)
    chain, alice = world.chain, world.account("alice")
    remarks = (Remark(name="note", text="\U0001f600" * 256),) * 16
    card = replace(world.card(denom=GOLD), title="\U0001f600" * 64, remarks=remarks)
    names = [world.register(world.tiny(number), card=card) for number in range(70)]
    nonce = chain.nonce(alice.id)
    calls = [Registry.retire.build(model=name) for name in names]
    executed = chain.block(
        [chain.transaction(*calls[at : at + 14], signer=alice, nonce=nonce + at // 14) for at in range(0, 70, 14)]
    )
    assert all(receipt.is_ok for receipt in executed.receipts)
    assert executed.faults == ()
    assert len(chain.application.live_chunks()) == 6
    assert chain.block().faults == ()
    assert chain.application.live_chunks() == frozenset()
    assert world.funds("alice", GOLD) == FUNDS


def test_the_sweep_goes_on_where_deposits_were_taken_away(make_world: Callable[..., Any]) -> None:
    """Root may burn what anyone holds, the module's own account included; the invariant then says so."""
    world = make_world(upload_blocks=4)
    chain, alice, bob = world.chain, world.account("alice"), world.account("bob")
    world.chain.application.check_invariants = lambda: None  # they do not hold meanwhile
    data, small = world.large(), world.tiny()
    name = world.register(small, "bob")
    chunks = tuple(chunk_hash(chunk) for chunk in split_chunks(data))
    world.send(
        Registry.begin_upload.build(model=model_hash(data), size_bytes=len(data), chunks=chunks, card=world.card()),
        "alice",
    )
    lost, kept = 1000 + len(data), 1000 + len(small)
    chain.root(Tokens.burn.build(holder=module_account("registry"), denom=ARM, amount=lost))
    chain.blocks(2)
    world.send(Registry.retire.build(model=name), "bob")  # both end with this block, the upload first
    assert world.end_events()[:2] == [
        DepositLost(owner=alice.id, model=model_hash(data), denom=ARM, deposit=lost),
        UploadDropped(owner=alice.id, model=model_hash(data), deposit=0),
    ]
    assert ModelCleared(owner=bob.id, model=name, deposit=kept) in world.end_events()
    assert chain.query(Registry.upload, owner=alice.id, model=model_hash(data)) is None
    assert (world.funds("alice"), world.funds("bob")) == (FUNDS - lost, FUNDS)
    assert chain.application.live_chunks() == frozenset()
