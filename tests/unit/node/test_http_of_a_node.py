"""What HTTP shows of a real node, under virtual time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Annotated

import pytest
import trio

from runtime import CallError, Event, Map, MaxLen, Module, Name, Signed, Struct, ValidatorPower, call, query
from runtime.bech32m import encode_address
from runtime.codec import codec
from runtime.consensus import Header
from runtime.crypto import SigningKey
from runtime.errors import CallerError, CodecError
from runtime.execution.chain import BareAccounts
from runtime.execution.composition import module_genesis
from runtime.execution.errors import InvalidTransaction
from runtime.execution.genesis import DEFAULT_CONSENSUS, FREE, GENESIS_VERSION, ChainGenesis, Roles
from runtime.execution.transaction import build_transaction, encode_transaction
from runtime.network.simulated import run_simulation
from runtime.node.api import RunningNodeApi
from runtime.rpc.api import NotFound
from runtime.rpc.events import EventFilter, messages
from runtime.testing.node_simulator import SimulatedNodes
from runtime.types import U128, AccountId, Hash

KEY = SigningKey.from_seed(b"\1" * 32)
USER = SigningKey.from_seed(b"\2" * 32)


class OneValidator(Module):
    """A chain of one."""

    name = "validators"

    def validators(self) -> tuple[ValidatorPower, ...]:
        """As ValidatorSource."""
        return (ValidatorPower(KEY.public_key, 1),)


class Noted(Event):
    """A note was taken."""

    writer: AccountId
    words: U128


class TooLong(CallError):
    """The note has more than one word."""

    words: U128


class NotYours(CallError):
    """Seven words are for somebody else."""

    account: AccountId


class Page(Struct):
    """What a query may answer."""

    writer: AccountId
    words: U128


class Notes(Module):
    """Counts words."""

    name = "notes"
    words: Map[AccountId, U128] = Map(default=0)
    events = (Noted,)
    errors = (TooLong, NotYours)

    @call(gas=1_000)
    def note(self, origin: Signed, *, words: U128) -> None:
        """Take a note."""
        if words > 1 << 100:
            raise TooLong(words=words)
        if words == 7:
            raise NotYours(account=origin.account)
        self.words[origin.account] += words
        self.emit(Noted(writer=origin.account, words=words))

    @query
    def pages(
        self, *, writers: Annotated[tuple[AccountId, ...], MaxLen(4)], flag: bool, least: U128
    ) -> Annotated[tuple[Page, ...], MaxLen(4)]:
        """Of some writers."""
        return tuple(Page(writer, self.words[writer]) for writer in writers if flag and self.words[writer] >= least)


MODULES = (BareAccounts, OneValidator, Notes)
GENESIS = ChainGenesis(
    GENESIS_VERSION,
    Name("one"),
    "arm",
    1_700_000_000_000,
    tuple(module_genesis(module) for module in MODULES),
    DEFAULT_CONSENSUS,
    FREE,
    Roles(auth=Name("accounts"), fees=None, validators=Name("validators"), governance=None),
)


def note(nonce: int, words: int) -> bytes:
    made = build_transaction(
        [Notes.note.build(words=words)],
        genesis_hash=GENESIS.hash,
        key=USER,
        nonce=nonce,
        gas_limit=10_000_000,
        max_fee=0,
    )
    return encode_transaction(made)


def test_a_node_of_one_validator_shows_what_it_did(tmp_path: Path) -> None:
    async def main() -> None:
        async with SimulatedNodes(GENESIS, MODULES, (KEY,), tmp_path, seed=1) as nodes:
            await nodes.start_all()
            await nodes.reach(1)
            api = RunningNodeApi(nodes.node(0), nodes.application(0))
            good, bad = await api.submit(note(0, 3)), await api.submit(note(1, 1 << 120))
            assert (await api.submit(note(0, 3))).hash == good.hash, "sending again is no error"
            assert (await api.transaction(good.hash, wait_ms=0)).status == "pending"
            dry = await api.simulate(note(0, 3))
            await nodes.committed(bad.hash)
            await shows_transactions(api, good.hash, bad.hash)
            assert dry.gas_used == (await api.receipt(good.hash)).gas_used
            await shows_blocks(api, good.hash)
            await shows_queries(api)
            await refuses(api)

    run_simulation(main, seed=1)


async def shows_transactions(api: RunningNodeApi, good: Hash, bad: Hash) -> None:
    committed, failed = await api.transaction(good, wait_ms=0), await api.transaction(bad, wait_ms=0)
    assert (committed.status, failed.status) == ("committed", "failed")
    assert committed.error is None
    assert committed.events is not None
    shown = committed.model_dump(mode="json")["events"][0]
    assert (shown["module"], shown["name"], shown["fields"]["words"]) == ("notes", "Noted", "3")
    assert shown["fields"]["writer"].startswith("arm1")
    assert failed.error is not None
    assert (failed.error.name, failed.error.fields) == ("TooLong", {"words": str(1 << 120)})
    assert "TooLong" in failed.error.message or "more than one word" in failed.error.message


async def shows_blocks(api: RunningNodeApi, good: Hash) -> None:
    status = await api.status()
    assert (status.validator, status.voting, status.behind) == (KEY.public_key, True, 0)
    receipt = await api.receipt(good)
    block = await api.block(receipt.height)
    assert good in block.transactions
    header = Header(**{name: getattr(block.header, name) for name in Header.__struct_fields__})
    assert codec(Header).decode(codec(Header).encode(header)) == header
    assert (await api.block(None)).height == status.height


async def shows_queries(api: RunningNodeApi) -> None:
    address = encode_address(AccountId(USER.public_key), "arm")
    arguments = {"writers": json.dumps([address]), "flag": "true", "least": "3"}
    view = await api.query("notes", "pages", arguments, height=None, prove=False)
    assert view.result == [{"writer": address, "words": "3"}]
    genesis = await api.query("notes", "pages", arguments, height=0, prove=False)
    assert genesis.result == []
    assert genesis.state_root != view.state_root


async def refuses(api: RunningNodeApi) -> None:
    for arguments, words in (
        ({}, "writers"),
        ({"writers": "[]", "flag": "maybe", "least": "0"}, "flag"),
        ({"writers": '["arm1bad"]', "flag": "true", "least": "0"}, "writers"),
        ({"writers": "[]", "flag": "true", "least": "-1"}, "least"),
        ({"writers": "[]", "flag": "true", "least": "0", "extra": "1"}, "extra"),
    ):
        with pytest.raises(CodecError, match=words):
            await api.query("notes", "pages", arguments, height=None, prove=False)
    with pytest.raises(NotFound, match="no module nothing"):
        await api.query("nothing", "x", {}, height=None, prove=False)
    with pytest.raises(NotFound, match="has no query"):
        await api.query("notes", "x", {}, height=None, prove=False)
    with pytest.raises(CallerError, match="genesis, which nobody signed"):
        await api.query("notes", "pages", {"writers": "[]", "flag": "true", "least": "0"}, height=0, prove=True)
    with pytest.raises(NotFound, match="no block 99"):
        await api.block(99)
    with pytest.raises(NotFound, match="in no block"):
        await api.receipt(Hash(bytes(32)))
    with pytest.raises(NotFound, match="no oracle"):
        await api.certificate("1")
    with pytest.raises(InvalidTransaction, match="nonce_low"):
        await api.submit(note(0, 4))


ADDRESS = encode_address(AccountId(USER.public_key), "arm")


async def noted(nodes: SimulatedNodes, api: RunningNodeApi, counts: Sequence[int]) -> list[Hash]:
    """Notes of so many words, each in a block of its own; their hashes."""
    hashes = []
    for nonce, words in enumerate(counts):
        hashes.append((await api.submit(note(nonce, words))).hash)
        await nodes.committed(hashes[-1])
    return hashes


def test_events_by_pages_are_those_of_the_stream_and_of_the_receipts(tmp_path: Path) -> None:
    async def main() -> None:
        async with SimulatedNodes(GENESIS, MODULES, (KEY,), tmp_path, seed=1) as nodes:
            await nodes.start_all()
            api = RunningNodeApi(nodes.node(0), nodes.application(0))
            hashes = await noted(nodes, api, [1, 2, 7, 3])
            top = await api.height()
            streamed = []
            async with aclosing(messages(api, EventFilter(), 1)) as stream:
                async for height, text in stream:
                    message = json.loads(text)
                    streamed += [message] if message["type"] == "event" else []
                    if height == top and message["type"] == "block":
                        break
            paged, height, index = [], 1, 0
            while True:
                page = await api.events(EventFilter(), height, index, 1)
                paged += [view.model_dump(mode="json") for view in page.items]
                if page.next is None:
                    break
                height, index = map(int, page.next.split("."))
            assert paged == streamed
            receipts = [await api.receipt(hash_) for hash_ in hashes]
            assert [(event["height"], event["transaction"]) for event in streamed] == [
                (receipt.height, receipt.hash.hex()) for receipt in receipts for _ in receipt.events or ()
            ]
            mine = EventFilter.of(["notes"], ["Noted"], [ADDRESS], "arm")
            assert len((await api.events(mine, 1, 0, 100)).items) == 3
            other = EventFilter(accounts=frozenset({AccountId(bytes(32))}))
            assert (await api.events(other, 1, 0, 100)).items == []
            assert (await api.events(mine, top + 5, 0, 100)).items == [], "the future is empty"

    run_simulation(main, seed=1)


def test_waiting_for_a_transaction_is_the_nodes_part(tmp_path: Path) -> None:
    async def main() -> None:
        async with SimulatedNodes(GENESIS, MODULES, (KEY,), tmp_path, seed=1) as nodes:
            await nodes.start_all()
            api = RunningNodeApi(nodes.node(0), nodes.application(0))
            sent = (await api.submit(note(0, 3))).hash
            began = trio.current_time()
            found = await api.transaction(sent, wait_ms=20_000)
            assert found.status == "committed"
            assert found.height == await api.height()
            assert trio.current_time() - began < 20
            began = trio.current_time()
            assert (await api.transaction(Hash(bytes(32)), wait_ms=20_000)).status == "unknown"
            assert trio.current_time() == began, "there is nothing to wait for"

    run_simulation(main, seed=1)


def test_blocks_and_their_transactions_by_pages(tmp_path: Path) -> None:
    async def main() -> None:
        async with SimulatedNodes(GENESIS, MODULES, (KEY,), tmp_path, seed=1) as nodes:
            await nodes.start_all()
            api = RunningNodeApi(nodes.node(0), nodes.application(0))
            hashes = await noted(nodes, api, [1, 2, 3])
            top = await api.height()
            found, below = [], None
            while True:
                page = await api.blocks(below, 2)
                found += page.items
                if page.next is None:
                    break
                below = int(page.next)
            assert [block.height for block in found] == list(range(top, 0, -1))
            assert found[0].block_id == (await api.block(top)).block_id
            at = (await api.receipt(hashes[0])).height
            assert at is not None
            block = await api.transactions(at, 0, 5)
            assert ([view.hash for view in block.items], block.next) == ([hashes[0]], None)
            with pytest.raises(NotFound, match="block 999 is not held"):
                await api.transactions(999, 0, 5)

    run_simulation(main, seed=1)


def test_sentences_show_accounts_as_addresses(tmp_path: Path) -> None:
    async def main() -> None:
        async with SimulatedNodes(GENESIS, MODULES, (KEY,), tmp_path, seed=1) as nodes:
            await nodes.start_all()
            api = RunningNodeApi(nodes.node(0), nodes.application(0))
            dry = await api.simulate(note(0, 7))
            assert dry.error is not None
            assert dry.error.message == f"Seven words are for somebody else (account={ADDRESS})"
            (sent,) = await noted(nodes, api, [7])
            error = (await api.receipt(sent)).error
            assert error is not None
            assert (error.message, error.fields) == (dry.error.message, {"account": ADDRESS})
            forged = build_transaction(
                [Notes.note.build(words=1)], genesis_hash=GENESIS.hash, key=KEY, nonce=1, gas_limit=10_000_000,
                max_fee=0, sender=AccountId(USER.public_key),
            )  # fmt: skip
            with pytest.raises(InvalidTransaction, match=f"account {ADDRESS}"):
                await api.submit(encode_transaction(forged))

    run_simulation(main, seed=1)
