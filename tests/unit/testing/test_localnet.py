"""The fixture localnet: whole validators of an author's modules, in one process and in virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from modules.accounts import Accounts
from modules.tokens import Tokens
from runtime import U64, AccountId, CallError, Item, Map, Module, Signed, call, query
from runtime.errors import UsageError
from runtime.execution import FeeParams
from runtime.network.simulated import Conditions
from runtime.testing import Localnet
from runtime.testing.node_simulator import SimulationFailed
from runtime.testing.plugin import LocalnetOf
from runtime.types import Hash


class TooMuch(CallError):
    """At most a hundred at once."""


class Tally(Module):
    """Adds up."""

    name = "tally"
    total: Item[U64] = Item(default=0)
    by: Map[AccountId, U64] = Map(default=0)

    @call(gas=1_000)
    def add(self, origin: Signed, *, more: U64) -> None:
        """Add so much."""
        if more > 100:
            raise TooMuch
        self.total += more
        self.by[origin.account] += more

    @query
    def sum(self) -> U64:
        """All that was added."""
        return self.total


def test_every_node_executes_what_an_author_submits(localnet: LocalnetOf) -> None:
    net = localnet(Tally, seed=1)
    alice, bob = net.account("alice"), net.account("bob")

    async def story() -> None:
        assert (await net.submit(Tally.add.build(more=3), signer=alice)).is_ok
        names = [net.send(Tally.add.build(more=more), signer=bob, at=more % 4) for more in (4,)]
        names += [net.send(Tally.add.build(more=more), signer=alice, at=0) for more in (5, 6)]
        await net.committed(*names)
        assert [net.query_at(node, Tally.sum) for node in net.running] == [18] * 4
        failed = await net.submit(Tally.add.build(more=101), signer=alice, at=3)
        assert isinstance(net.error(failed), TooMuch)
        before = net.height(0)
        await net.blocks(2)
        assert net.height(3) >= before + 2
        assert net.root(before + 2) == net.nodes.application(0).store.root_at(before + 2)

    net.run(story)


def roots_of(seed: int) -> tuple[dict[int, Hash], int]:
    net = Localnet(Tally, validators=4, seed=seed, conditions=Conditions(latency_s=(0.001, 0.05), loss=0.02))

    async def story() -> tuple[dict[int, Hash], int]:
        victim = seed % 4
        for more in range(3):
            net.send(Tally.add.build(more=more), signer=net.account("alice"), at=(victim + 1) % 4)
            await net.advance(0.3)
            if more == 1:
                await net.crash(victim)
        await net.restart(victim)
        await net.blocks(2)
        height = min(map(net.height, net.running))
        times = [net.nodes.node(node).consensus.tip.time_ms for node in net.running]
        return {each: net.root(each) for each in range(1, height + 1)}, sum(times)

    return net.run(story)


def test_a_seed_is_one_run() -> None:
    first = roots_of(3)
    assert roots_of(3) == first
    assert roots_of(4) != first


def test_without_a_quorum_nothing_is_decided_and_what_was_crashed_catches_up() -> None:
    net = Localnet(Tally, seed=5)
    alice = net.account("alice")

    async def story() -> None:
        await net.blocks(1)
        net.partition((0, 1), (2, 3))
        name = net.send(Tally.add.build(more=7), signer=alice)
        await net.advance(8)
        assert net.query(Tally.sum) == 0
        net.heal()
        await net.crash(3)
        await net.committed(name)
        assert net.running == (0, 1, 2)
        await net.restart(3)
        await net.blocks(1)
        assert net.query_at(3, Tally.sum) == 7

    net.run(story)


def test_modules_that_take_fees_and_a_genesis_of_ones_own() -> None:
    held = {Localnet().account("alice").id: {"arm": 10**12}}
    genesis, fees = {"tokens": {"balances": held}}, FeeParams(units=1, per_gas=1_000)
    net = Localnet(Accounts, Tokens, Tally, validators=1, genesis=genesis, fees=fees)
    alice = net.account("alice")

    async def story() -> int:
        receipt = await net.submit(Tally.add.build(more=1), signer=alice)
        assert receipt.fee > 0
        balance: int = net.query(Tokens.balance_of, account=alice.id, denom="arm")
        return balance + receipt.fee

    assert net.run(story) == 10**12


class Astray(Tally):
    """Adds one more than it was told."""

    @call(gas=1_000)
    def add(self, origin: Signed, *, more: U64) -> None:
        """Add so much, and one."""
        self.total += more + 1


def test_a_node_that_executes_otherwise_fails_the_run() -> None:
    net = Localnet(Tally, seed=2)

    async def story() -> None:
        await net.crash(2)
        modules = tuple(Astray if module is Tally else module for module in net.modules)
        await net.nodes.start(2, modules=modules)
        await net.submit(Tally.add.build(more=1), signer=net.account("alice"), at=0)

    with pytest.raises(SimulationFailed):
        net.run(story)


def test_what_a_story_raises_is_raised_as_it_is() -> None:
    async def story() -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        Localnet(Tally, validators=1).run(story)


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (lambda net: net.height(0), "a localnet runs while its story does"),
        (lambda net: Localnet(Tally, of=net), "leave out modules"),
        (lambda net: Localnet(Tally, genesis={"nobody": {}}), "nobody"),
        (lambda net: Localnet(Tally, validators=0), "at least one validator"),
    ],
)
def test_invalid_use_is_told(use: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        use(Localnet(Tally))
