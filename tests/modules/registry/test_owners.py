"""Registry: what owners and governance do with registered models: price, words, ownership, approval, retirement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from modules.oracle.module import ModelNotApproved
from modules.registry import Registry
from modules.registry.errors import (
    AlreadyRetired,
    NotOffered,
    NotOwner,
    UnknownModel,
    UnknownPriceDenom,
)
from modules.registry.events import (
    ApprovalChanged,
    MetadataSet,
    ModelOffered,
    ModelTransferred,
    PriceSet,
)
from modules.registry.protocol import Approval, Price, Remark, Standing
from modules.tokens import Tokens
from runtime import Call, Hash, module_account
from runtime.execution import InvalidTransaction
from runtime.inference import model_hash
from runtime.module import OriginRefused

ARM, GOLD = "arm", "gold"
FUNDS = 10**9
NOTICE = 3
PEOPLE = ("alice", "bob")


# --- a model of it all -----------------------------------------------------------------------------------------------


@dataclass
class Expected:
    """A model as a dictionary would keep it. promised: for heights, the most that a row may cost then."""

    owner: str
    price: tuple[str, int] = (ARM, 7)
    change: tuple[tuple[str, int], int] | None = None
    offered: str | None = None
    approval: Approval = Approval.UNDECIDED
    retired: bool = False
    promised: dict[int, list[tuple[str, int]]] = field(default_factory=dict)

    def price_at(self, height: int) -> tuple[str, int]:
        return self.price if self.change is None or height < self.change[1] else self.change[0]


def make_machine(world_of: Callable[..., Any]) -> type[RuleBasedStateMachine]:
    class OwnersAgainstAModel(RuleBasedStateMachine):
        """Two models, two people, governance. Runs succeed and pay as the dictionary says; nobody pays more than the
        chain said within the notice."""

        who = st.sampled_from(PEOPLE)
        numbers = st.integers(0, 1)
        prices = st.tuples(st.sampled_from([ARM, GOLD, "tin"]), st.integers(0, 9))

        @initialize()
        def begin(self) -> None:
            self.world = world_of(price_notice_blocks=NOTICE)
            self.required = False
            self.names = [self.world.register(self.world.tiny(number), "alice") for number in range(2)]
            self.models = [Expected("alice"), Expected("alice")]
            self.deposits = [1000 + len(self.world.tiny(number)) for number in range(2)]
            self.funds = {(who, denom): self.world.funds(who, denom) for who in PEOPLE for denom in (ARM, GOLD)}

        def send(self, call: Call, who: str, allowed: bool) -> bool:
            receipt = self.world.chain.submit(call, signer=self.world.account(who))
            assert receipt.is_ok == allowed, self.world.chain.explanation
            return allowed

        def settle(self) -> None:
            chain = self.world.chain
            for name, known in zip(self.names, self.models, strict=True):
                view = self.world.view(name)
                assert view.record.owner == chain.account(known.owner).id
                assert (view.price.denom, view.price.amount) == known.price_at(chain.height)
                assert view.standing is self.standing(known)
                offered = None if known.offered is None else chain.account(known.offered).id
                assert view.record.offered_to == offered
                assert [entry.model for entry in self.owned(known.owner)].count(name) == 1
                for height in range(chain.height + 1, chain.height + NOTICE + 1):
                    known.promised.setdefault(height, []).append(known.price_at(height))
            assert {key: self.world.funds(*key) for key in self.funds} == self.funds
            held = sum(d for d, known in zip(self.deposits, self.models, strict=True) if not known.retired)
            account = module_account("registry")
            assert chain.query(Tokens.balance_of, account=account, denom=ARM) == held

        def owned(self, who: str) -> Any:
            return self.world.chain.query(Registry.owned_by, owner=self.world.account(who).id, after=None, limit=9)

        def standing(self, known: Expected) -> Standing:
            if known.retired:
                return Standing.RETIRED
            if known.approval is Approval.REVOKED or (self.required and known.approval is not Approval.APPROVED):
                return Standing.NOT_APPROVED
            return Standing.RUNS

        @rule(who=who, number=numbers, price=prices)
        def set_price(self, who: str, number: int, price: tuple[str, int]) -> None:
            known, height = self.models[number], self.world.chain.height + 1
            call = Registry.set_price.build(model=self.names[number], price=Price(denom=price[0], amount=price[1]))
            if self.send(call, who, known.owner == who and not known.retired and price[0] != "tin"):
                now = known.price_at(height)
                if price[0] == now[0] and price[1] <= now[1]:
                    known.price, known.change = price, None
                else:
                    known.price, known.change = now, (price, height + NOTICE)
            self.settle()

        @rule(who=who, number=numbers, to=st.sampled_from([*PEOPLE, None]))
        def offer(self, who: str, number: int, to: str | None) -> None:
            known = self.models[number]
            account = None if to is None else self.world.account(to).id
            call = Registry.offer.build(model=self.names[number], to=account)
            if self.send(call, who, known.owner == who and not known.retired):
                known.offered = to
            self.settle()

        @rule(who=who, number=numbers)
        def accept(self, who: str, number: int) -> None:
            known = self.models[number]
            if self.send(Registry.accept.build(model=self.names[number]), who, known.offered == who):
                known.owner, known.offered = who, None
            self.settle()

        @rule(who=who, number=numbers)
        def retire(self, who: str, number: int) -> None:
            known = self.models[number]
            if self.send(
                Registry.retire.build(model=self.names[number]), who, known.owner == who and not known.retired
            ):
                known.price, known.change = known.price_at(self.world.chain.height), None
                known.retired, known.offered = True, None
                self.funds[who, ARM] += self.deposits[number]
            self.settle()

        @rule(number=numbers, approval=st.sampled_from([Approval.APPROVED, Approval.REVOKED]))
        def decide(self, number: int, approval: Approval) -> None:
            verb = Registry.approve if approval is Approval.APPROVED else Registry.revoke
            self.world.chain.root(verb.build(model=self.names[number]))
            self.models[number].approval = approval
            self.settle()

        @rule(required=st.booleans())
        def require(self, required: bool) -> None:
            self.world.set_params(approval_required=required)
            self.required = required
            self.settle()

        @rule(who=who, number=numbers, rows=st.integers(1, 3))
        def infer(self, who: str, number: int, rows: int) -> None:
            known, height = self.models[number], self.world.chain.height + 1
            if self.send(self.world.infer(self.names[number], rows), who, self.standing(known) is Standing.RUNS):
                denom, amount = known.price_at(height)
                self.funds[who, denom] -= rows * amount
                self.funds[known.owner, denom] += rows * amount
                for promise in known.promised.get(height, ()):
                    assert denom == promise[0]
                    assert amount <= promise[1]
            self.settle()

        @rule(count=st.integers(1, NOTICE))
        def wait(self, count: int) -> None:
            for _ in range(count):
                self.world.chain.block()
                self.settle()

    return OwnersAgainstAModel


def test_owners_against_a_model(make_world: Callable[..., Any]) -> None:
    machine = make_machine(make_world)
    run_state_machine_as_test(machine, settings=settings(max_examples=20, stateful_step_count=20, deadline=None))


# --- price -----------------------------------------------------------------------------------------------------------


def priced(amount: int, denom: str = ARM) -> Price:
    return Price(denom=denom, amount=amount)


@pytest.mark.parametrize("price", [priced(7), priced(3), priced(0)])
def test_a_price_that_is_not_higher_holds_at_once(world: Any, price: Price) -> None:
    name = world.register(world.tiny())
    receipt = world.send(Registry.set_price.build(model=name, price=price), "alice")
    assert world.chain.events(receipt) == (PriceSet(model=name, price=price, starts=world.chain.height),)
    assert world.view(name).price == price


@pytest.mark.parametrize("price", [priced(8), priced(7, GOLD), priced(0, GOLD)])
def test_any_other_price_holds_after_its_notice(world: Any, price: Price) -> None:
    """Another denomination is another price, however small: the caller may hold none of it."""
    name = world.register(world.tiny())
    receipt = world.send(Registry.set_price.build(model=name, price=price), "alice")
    starts = world.chain.height + NOTICE
    assert world.chain.events(receipt) == (PriceSet(model=name, price=price, starts=starts),)
    while world.chain.height + 1 < starts:
        world.chain.block()
        assert world.view(name).price == priced(7)
    paid = world.funds("alice", price.denom)
    world.send(world.infer(name), "bob")  # in the block of height `starts`
    assert world.funds("alice", price.denom) == paid + price.amount
    assert world.view(name).price == price


def test_an_announcement_is_taken_back_by_the_price_that_holds(world: Any) -> None:
    name = world.register(world.tiny())
    world.send(Registry.set_price.build(model=name, price=priced(100)), "alice")
    world.send(Registry.set_price.build(model=name, price=priced(7)), "alice")
    world.chain.blocks(NOTICE + 1)
    assert world.view(name).price == priced(7)


def test_a_later_announcement_does_not_hurry_an_earlier_one(world: Any) -> None:
    name = world.register(world.tiny())
    world.send(Registry.set_price.build(model=name, price=priced(8)), "alice")
    world.send(Registry.set_price.build(model=name, price=priced(9)), "alice")
    world.chain.blocks(NOTICE - 1)
    assert world.view(name).price == priced(7)
    world.chain.block()
    assert world.view(name).price == priced(9)


def test_without_a_notice_every_price_holds_at_once(make_world: Callable[..., Any]) -> None:
    world = make_world(price_notice_blocks=0)
    name = world.register(world.tiny())
    world.send(Registry.set_price.build(model=name, price=priced(1000, GOLD)), "alice")
    assert world.view(name).price == priced(1000, GOLD)


# --- words -----------------------------------------------------------------------------------------------------------


def words(name: Hash, title: str = "new") -> Call:
    remarks = (Remark(name="successor", text="the next one"),)
    return Registry.set_metadata.build(model=name, title=title, version="2", licence="CC0-1.0", remarks=remarks)


def test_an_owner_puts_it_differently_and_parents_and_price_stay(world: Any) -> None:
    parent = world.register(world.tiny(1))
    name = world.register(world.tiny(), card=world.card(parent))
    receipt = world.send(words(name), "alice")
    assert world.chain.events(receipt) == (MetadataSet(model=name),)
    card = world.view(name).record.card
    assert (card.title, card.version, card.licence) == ("new", "2", "CC0-1.0")
    assert [remark.name for remark in card.remarks] == ["successor"]
    assert (card.parents, card.price) == ((parent,), priced(7))


def test_a_retired_model_may_name_its_successor(world: Any) -> None:
    name = world.register(world.tiny())
    world.send(Registry.retire.build(model=name), "alice")
    world.send(words(name, "ended"), "alice")
    assert world.view(name).record.card.title == "ended"


# --- ownership -------------------------------------------------------------------------------------------------------


def test_a_model_changes_hands_once_it_is_accepted_and_its_deposit_with_it(world: Any) -> None:
    name = world.register(world.tiny())
    alice, bob = world.account("alice").id, world.account("bob").id
    receipt = world.send(Registry.offer.build(model=name, to=bob), "alice")
    assert world.chain.events(receipt) == (ModelOffered(model=name, owner=alice, to=bob),)
    before = world.funds("alice")
    world.send(world.infer(name), "carol")
    assert world.funds("alice") == before + 7  # the offer alone changes nothing
    receipt = world.send(Registry.accept.build(model=name), "bob")
    deposit = 1000 + len(world.tiny())
    assert world.chain.events(receipt) == (ModelTransferred(model=name, sender=alice, recipient=bob, deposit=deposit),)
    world.send(world.infer(name), "carol")
    assert (world.funds("alice"), world.funds("bob")) == (before + 7, FUNDS + 7)
    world.send(Registry.retire.build(model=name), "bob")
    assert (world.funds("alice"), world.funds("bob")) == (before + 7, FUNDS + 7 + deposit)
    assert world.view(name).record.uploader == alice


# --- approval --------------------------------------------------------------------------------------------------------


def test_where_approval_is_required_a_model_runs_once_it_is_approved(
    make_world: Callable[..., Any], fails: Any
) -> None:
    world = make_world(approval_required=True)
    name, bob = world.register(world.tiny()), world.account("bob")
    assert world.view(name).standing is Standing.NOT_APPROVED
    fails(world.chain, world.infer(name), bob, ModelNotApproved(model=name))
    (event,) = world.chain.root(Registry.approve.build(model=name))
    assert world.chain.decode_event(event) == ApprovalChanged(model=name, approval=Approval.APPROVED)
    world.send(world.infer(name), "bob")
    (event,) = world.chain.root(Registry.revoke.build(model=name))
    assert world.chain.decode_event(event) == ApprovalChanged(model=name, approval=Approval.REVOKED)
    fails(world.chain, world.infer(name), bob, ModelNotApproved(model=name))


def test_a_revoked_model_does_not_run_where_no_approval_is_required_either(world: Any, fails: Any) -> None:
    name, bob = world.register(world.tiny()), world.account("bob")
    world.send(world.infer(name), "bob")
    world.chain.root(Registry.revoke.build(model=name))
    assert world.view(name).standing is Standing.NOT_APPROVED
    fails(world.chain, world.infer(name), bob, ModelNotApproved(model=name))
    world.chain.root(Registry.approve.build(model=name))
    world.send(world.infer(name), "bob")


def test_models_approved_beforehand_go_on_when_approval_becomes_required(world: Any, fails: Any) -> None:
    approved, other = world.register(world.tiny()), world.register(world.tiny(1))
    world.chain.root(Registry.approve.build(model=approved))
    world.set_params(approval_required=True)
    world.send(world.infer(approved), "bob")
    fails(world.chain, world.infer(other), world.account("bob"), ModelNotApproved(model=other))


def test_an_owner_cannot_fail_a_decision_by_retiring(world: Any) -> None:
    name = world.register(world.tiny())
    world.send(Registry.retire.build(model=name), "alice")
    world.chain.root(Registry.approve.build(model=name), Registry.revoke.build(model=name))
    assert world.view(name).standing is Standing.RETIRED


# --- what is refused -------------------------------------------------------------------------------------------------

OWNERS_CALLS: dict[str, Callable[[Hash], Call]] = {
    "set_price": lambda name: Registry.set_price.build(model=name, price=priced(1)),
    "set_metadata": words,
    "offer": lambda name: Registry.offer.build(model=name, to=None),
    "retire": lambda name: Registry.retire.build(model=name),
}


@pytest.mark.parametrize("verb", OWNERS_CALLS)
def test_invalid_signer_who_does_not_own_the_model(world: Any, fails: Any, verb: str) -> None:
    name, bob = world.register(world.tiny()), world.account("bob")
    expected = NotOwner(model=name, held_by=world.account("alice").id)
    fails(world.chain, OWNERS_CALLS[verb](name), bob, expected)
    world.send(Registry.offer.build(model=name, to=bob.id), "alice")
    fails(world.chain, OWNERS_CALLS[verb](name), bob, expected)  # an offer gives no rights


@pytest.mark.parametrize("verb", OWNERS_CALLS)
def test_invalid_former_owner(world: Any, fails: Any, verb: str) -> None:
    name, bob = world.register(world.tiny()), world.account("bob")
    world.send(Registry.offer.build(model=name, to=bob.id), "alice")
    world.send(Registry.accept.build(model=name), "bob")
    fails(world.chain, OWNERS_CALLS[verb](name), world.account("alice"), NotOwner(model=name, held_by=bob.id))


@pytest.mark.parametrize("verb", [*OWNERS_CALLS, "accept"])
def test_invalid_model_that_nobody_registered(world: Any, fails: Any, verb: str) -> None:
    unknown = model_hash(b"unknown")
    made = OWNERS_CALLS.get(verb, lambda name: Registry.accept.build(model=name))(unknown)
    fails(world.chain, made, world.account("alice"), UnknownModel(model=unknown))


@pytest.mark.parametrize("verb", ["approve", "revoke"])
def test_invalid_decision_of_a_model_that_nobody_registered(world: Any, verb: str) -> None:
    with pytest.raises(UnknownModel):
        world.chain.root(getattr(Registry, verb).build(model=model_hash(b"unknown")))


@pytest.mark.parametrize("verb", ["approve", "revoke"])
def test_invalid_decision_by_a_person(world: Any, verb: str) -> None:
    """The mempool refuses it; a proposer who puts it into a block gets a failed receipt."""
    name, alice = world.register(world.tiny()), world.account("alice")
    made = getattr(Registry, verb).build(model=name)
    with pytest.raises(InvalidTransaction, match="takes Root"):
        world.chain.submit(made, signer=alice)
    receipt = world.chain.block([world.chain.transaction(made, signer=alice)]).receipts[0]
    assert isinstance(world.chain.error(receipt), OriginRefused)
    assert world.view(name).record.approval is Approval.UNDECIDED


@pytest.mark.parametrize("verb", ["set_price", "offer", "retire"])
def test_invalid_change_of_a_retired_model(world: Any, fails: Any, verb: str) -> None:
    name = world.register(world.tiny())
    world.send(Registry.retire.build(model=name), "alice")
    since = world.chain.height
    world.chain.block()
    made = OWNERS_CALLS[verb](name)
    fails(world.chain, made, world.account("alice"), AlreadyRetired(model=name, since=since))


def test_invalid_acceptance_of_what_is_not_offered(world: Any, fails: Any) -> None:
    name, bob, carol = world.register(world.tiny()), world.account("bob"), world.account("carol")
    accept = Registry.accept.build(model=name)
    fails(world.chain, accept, bob, NotOffered(model=name, offered_to=None))
    world.send(Registry.offer.build(model=name, to=carol.id), "alice")
    fails(world.chain, accept, bob, NotOffered(model=name, offered_to=carol.id))
    fails(world.chain, accept, world.account("alice"), NotOffered(model=name, offered_to=carol.id))
    world.send(Registry.offer.build(model=name, to=bob.id), "alice")
    fails(world.chain, accept, carol, NotOffered(model=name, offered_to=bob.id))  # the offer went on to bob
    world.send(Registry.offer.build(model=name, to=None), "alice")
    fails(world.chain, accept, bob, NotOffered(model=name, offered_to=None))
    world.send(Registry.offer.build(model=name, to=bob.id), "alice")
    world.send(accept, "bob")
    fails(world.chain, accept, bob, NotOffered(model=name, offered_to=None))  # once


def test_invalid_price_in_an_unknown_denomination(world: Any, fails: Any) -> None:
    name = world.register(world.tiny())
    made = Registry.set_price.build(model=name, price=priced(1, "tin"))
    fails(world.chain, made, world.account("alice"), UnknownPriceDenom(denom="tin"))
