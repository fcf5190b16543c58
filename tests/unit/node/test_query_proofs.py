"""What a node proves of its chain, at every retained height and across changes of the validator set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from runtime import U64, U128, AccountId, Call, Item, Map, Module, Signed, ValidatorPower, call, query
from runtime.bech32m import encode_address
from runtime.consensus import Validator, ValidatorSet
from runtime.crypto import SigningKey
from runtime.errors import CallerError, CodecError
from runtime.execution import Application, BareAccounts, Chain, QueryFailed, build_transaction, encode_transaction
from runtime.execution.proving import check_answer
from runtime.light import QueryProof, QueryProofRefused, decode_query_proof, encode_query_proof, verify_query_proof
from runtime.module import BlockInfo
from runtime.network.simulated import run_simulation
from runtime.node.api import RunningNodeApi
from runtime.rpc.views import ProvenQueryView, QueryView
from runtime.state import HeightUnavailable, MemoryStore
from runtime.testing.node_simulator import SimulatedNodes

KEY = SigningKey.from_seed(b"\1" * 32)
USER = SigningKey.from_seed(b"\2" * 32)


class Growing(Module):
    """A chain of one validator, whose power each note changes."""

    name = "validators"
    power: Item[U64] = Item(default=1)

    @call(gas=0)
    def grow(self, origin: Signed) -> None:
        """One more."""
        self.power += 1

    def validators(self) -> tuple[ValidatorPower, ...]:
        """As ValidatorSource."""
        return (ValidatorPower(KEY.public_key, self.power),)


class Notes(Module):
    """Counts words."""

    name = "notes"
    words: Map[AccountId, U128] = Map(default=0)

    @call(gas=0)
    def note(self, origin: Signed, *, words: U128) -> None:
        """Take a note."""
        self.words[origin.account] += words

    @query
    def taken(self, *, writer: AccountId) -> U128:
        """By somebody."""
        return self.words[writer]

    @query
    def writers(self) -> U64:
        """How many there are."""
        return len(tuple(self.words.keys(limit=9)))

    @query
    def broken(self) -> U64:
        """Fails."""
        raise ZeroDivisionError


MODULES = (BareAccounts, Growing, Notes)
GENESIS = Chain(*MODULES).application.genesis
FIRST = ValidatorSet.of([Validator(KEY.public_key, 1)])


def sent(nonce: int, made: Call) -> bytes:
    transaction = build_transaction(
        [made], genesis_hash=GENESIS.hash, key=USER, nonce=nonce, gas_limit=10_000_000, max_fee=0
    )
    return encode_transaction(transaction)


@pytest.fixture
def stranger() -> Application:
    """Who has the modules and the genesis, and nothing else."""
    made = Application(GENESIS, MODULES, MemoryStore())
    made.start()
    return made


def checked(view: QueryView, stranger: Application) -> tuple[QueryProof, Any]:
    """What the answer's proof proves to a stranger."""
    assert isinstance(view, ProvenQueryView)
    proof, state = verify_query_proof(bytes.fromhex(view.proof), genesis_hash=GENESIS.hash, validators=FIRST)
    header = proof.read.header
    assert (header.height, header.state_root) == (view.height, view.state_root)
    info = stranger.query_info(proof.module, proof.query)
    block = BlockInfo(header.height, header.time_ms)
    return proof, check_answer(stranger, state, block, info, proof.arguments, proof.answer)[1]


def test_a_node_proves_its_answers_at_every_retained_height(tmp_path: Path, stranger: Application) -> None:
    writer = encode_address(AccountId(USER.public_key), "arm")

    async def main() -> None:
        async with SimulatedNodes(GENESIS, MODULES, (KEY,), tmp_path, seed=1) as nodes:
            await nodes.start_all()
            api = RunningNodeApi(nodes.node(0), nodes.application(0))
            for nonce, made in enumerate((Notes.note.build(words=3), Growing.grow.build(), Notes.note.build(words=4))):
                await nodes.committed((await api.submit(sent(nonce, made))).hash)
            height = (await api.status()).height
            await nodes.reach(height + 4)
            steps = []
            for at in range(1, height + 5):
                view = await api.query("notes", "taken", {"writer": writer}, height=at, prove=True)
                plain = await api.query("notes", "taken", {"writer": writer}, height=at, prove=False)
                assert not isinstance(plain, ProvenQueryView)
                proof, answer = checked(view, stranger)
                assert str(answer) == view.result == plain.result
                steps.append(len(proof.read.trail))
            assert (steps[0], steps[-1]) == (0, 1)
            assert steps == sorted(steps), "the set changed once, and the trail says so from there on"
            newest = await api.query("notes", "writers", {}, height=None, prove=True)
            assert checked(newest, stranger)[1] == 1
            await refuses(api, writer)

    run_simulation(main, seed=1)


async def refuses(api: RunningNodeApi, writer: str) -> None:
    with pytest.raises(CallerError, match="height 0 is the genesis, which nobody signed"):
        await api.query("notes", "taken", {"writer": writer}, height=0, prove=True)
    with pytest.raises(HeightUnavailable, match="no state at height 99: heights 0 to"):
        await api.query("notes", "taken", {"writer": writer}, height=99, prove=True)
    with pytest.raises(CodecError, match="writer"):
        await api.query("notes", "taken", {}, height=None, prove=True)
    with pytest.raises(QueryFailed, match=r"^notes\.broken"):
        await api.query("notes", "broken", {}, height=None, prove=True)


def test_invalid_trail_that_leaves_the_change_out_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with SimulatedNodes(GENESIS, MODULES, (KEY,), tmp_path, seed=1) as nodes:
            await nodes.start_all()
            api = RunningNodeApi(nodes.node(0), nodes.application(0))
            await nodes.committed((await api.submit(sent(0, Growing.grow.build()))).hash)
            await nodes.reach((await api.status()).height + 4)
            view = await api.query("notes", "writers", {}, height=None, prove=True)
            assert isinstance(view, ProvenQueryView)
            proof = decode_query_proof(bytes.fromhex(view.proof))
            short = encode_query_proof(replace(proof, read=replace(proof.read, trail=())))
            with pytest.raises(QueryProofRefused, match=r"header\.validators_hash"):
                verify_query_proof(short, genesis_hash=GENESIS.hash, validators=FIRST)

    run_simulation(main, seed=1)
