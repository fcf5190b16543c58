"""What modules can do, each at its worst, against the clock: no nanosecond of a current core costs less than one gas.

Gas is nanoseconds on a reference three times slower, so about a third is expected; what is asserted leaves that factor
for a busy machine. A price that fails here lets a transaction of some gas hold up every validator.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from msgspec.structs import replace

from modules.accounts import Accounts
from modules.registry import Registry
from modules.registry.protocol import Card, Price, Remark
from modules.tokens import Tokens
from runtime import U8, U64, U128, Call, Denom, Event, Map, MaxLen, Module, Name, Signed, Struct, call, hash_bytes
from runtime.execution import DEFAULT_CONSENSUS, BlockInputs, Chain
from runtime.execution.block import execute_block
from runtime.state import chunk_hash
from runtime.state.disk import DiskStore

STORED = 10_000
PATIENT = replace(DEFAULT_CONSENSUS, timeout_ms_max=(1 << 32) - 1)
AMPLE = 1 << 40
Bytes = Annotated[bytes, MaxLen(300_000)]


class Pair(Struct):
    """The least record."""

    small: U8
    flag: bool


Pairs = Annotated[tuple[Pair, ...], MaxLen(100_000)]
Wides = Annotated[tuple[U128, ...], MaxLen(100_000)]
Small = Annotated[tuple[U8, ...], MaxLen(300_000)]


class Noted(Event):
    data: Annotated[bytes, MaxLen(16_000)]


class Paired(Event):
    pairs: Pairs


def spread(number: int) -> int:
    """Keys all over the map."""
    return number * 7_919 % (1 << 30)


class Probe(Module):
    """Does one thing many times."""

    name = "probe"
    numbers: Map[U64, U64] = Map(default=0)
    long: Map[Annotated[bytes, MaxLen(430)], Annotated[bytes, MaxLen(65_000)]] = Map()
    pairs: Map[U64, Pairs] = Map()
    wides: Map[U64, Wides] = Map()

    @call(gas=0)
    def fill(self, origin: Signed) -> None:
        """What the others read."""
        for number in range(STORED):
            self.numbers[spread(number)] = number
        for number in range(40):
            self.long[self.long_key(number)] = bytes(60_000)
        for number in range(4):
            self.pairs[number] = (Pair(1, True),) * 20_000
            self.wides[number] = (1,) * 3_400

    def long_key(self, number: int) -> bytes:
        return b"%08d" % number * 49

    @call(gas=0)
    def do(self, origin: Signed, *, what: Annotated[str, MaxLen(40)], count: U64) -> None:
        """By name."""
        WORK[what](self, count)

    @call(gas=0)
    def take_bytes(self, origin: Signed, *, data: Bytes) -> None:
        """Nothing."""

    @call(gas=0)
    def take_pairs(self, origin: Signed, *, data: Pairs) -> None:
        """Nothing."""

    @call(gas=0)
    def take_wides(self, origin: Signed, *, data: Wides) -> None:
        """Nothing."""

    @call(gas=0)
    def take_small(self, origin: Signed, *, data: Small) -> None:
        """Nothing."""


def each(do: Callable[[Any, int], object]) -> Callable[[Any, int], None]:
    def many(probe: Any, count: int) -> None:
        for number in range(count):
            do(probe, number)

    return many


def checkpoint(probe: Any, number: int) -> None:
    with probe.checkpoint():
        pass


def pop(probe: Any, number: int) -> None:
    """A queue, taken from its head: what was taken lies in the way of the next."""
    del probe.numbers[next(probe.numbers.keys(limit=1))]


def push(probe: Any, number: int) -> None:
    """A queue that grows and is looked at."""
    probe.numbers[(1 << 40) + number] = number
    next(probe.numbers.keys(limit=1))


def scan(probe: Any, count: int) -> None:
    for _ in probe.numbers.items(limit=count):
        pass


WORK: dict[str, Callable[[Any, int], None]] = {
    "read": each(lambda probe, number: probe.numbers[spread(number)]),
    "read what is not there": each(lambda probe, number: probe.numbers[spread(number) + 1]),
    "read a long value": each(lambda probe, number: probe.long[probe.long_key(number)]),
    "read many records in one": each(lambda probe, number: probe.pairs[number]),
    "read many wide integers in one": each(lambda probe, number: probe.wides[number]),
    "write a new key": each(lambda probe, number: probe.numbers.__setitem__(spread(number) + 1, number)),
    "write an old key": each(lambda probe, number: probe.numbers.__setitem__(spread(number), number + 1)),
    "write a long key": each(lambda probe, number: probe.long.__setitem__(probe.long_key(number + 99), b"")),
    "write a long value": each(lambda probe, number: probe.long.__setitem__(probe.long_key(number), bytes(60_001))),
    "write many records in one": each(lambda probe, number: probe.pairs.__setitem__(number, (Pair(2, True),) * 20_000)),
    "write many wide integers in one": each(lambda probe, number: probe.wides.__setitem__(number, (2,) * 3_400)),
    "delete": each(lambda probe, number: probe.numbers.__delitem__(spread(number))),
    "scan": scan,
    "scan for one": each(lambda probe, number: next(probe.numbers.items(limit=1, after=spread(number)), None)),
    "pop from a queue": each(pop),
    "push to a queue": each(push),
    "open a checkpoint": each(checkpoint),
    "emit": each(lambda probe, number: probe.emit(Noted(data=b""))),
    "emit a long event": each(lambda probe, number: probe.emit(Noted(data=bytes(16_000)))),
    "emit many records in one": each(lambda probe, number: probe.emit(Paired(pairs=(Pair(1, True),) * 5_000))),
}
COUNTS = {"pop from a queue": 400, "push to a queue": 400, "scan": 3_000, "open a checkpoint": 5_000}


def count_of(what: str) -> int:
    if "in one" in what:
        return 4
    return 200 if what.startswith("emit") else 40 if "long value" in what else COUNTS.get(what, 1_000)


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """A chain on disk, whose state LMDB holds."""
    folder: Path = tmp_path_factory.mktemp("prices")
    store = DiskStore(folder, flush_bytes=1 << 16)
    chain = Chain(Probe, store=store, consensus=PATIENT, params={"runtime": {"block_gas_max": 1 << 41}})
    assert chain.submit(Probe.fill.build(), signer=chain.account("alice"), gas_limit=AMPLE).is_ok
    chain.blocks(2)
    yield chain
    store.close()


def time_and_gas(chain: Chain, *calls: Call, gas_limit: int = AMPLE) -> tuple[int, int]:
    """Of the calls alone: an empty transaction is taken off. The least of several runs, of this thread's own time."""
    gc.collect()
    gc.disable()
    try:
        (least, least_gas), (took, gas) = (measured(chain, each, gas_limit) for each in ((), calls))
    finally:
        gc.enable()
    return took - least, gas - least_gas


def measured(chain: Chain, calls: tuple[Call, ...], gas_limit: int) -> tuple[int, int]:
    data = chain.transaction(*calls, *EMPTY, signer=chain.account("alice"), gas_limit=gas_limit)
    inputs = BlockInputs(chain.height + 1, chain.time_ms + 1, (data,))
    application, times = chain.application, []
    for _ in range(3):
        application._cache.clear()
        start = time.thread_time_ns()
        executed = execute_block(application.composition.environment(), application.store, inputs, application.prepare)
        times.append(time.thread_time_ns() - start)
    assert executed.receipts[0].is_ok, executed.explanations
    return min(times), executed.receipts[0].gas_used


EMPTY = (Probe.take_bytes.build(data=b""),)


@pytest.mark.parametrize("what", sorted(WORK))
def test_no_work_is_cheaper_than_its_time(probe: Chain, what: str) -> None:
    took, gas = time_and_gas(probe, Probe.do.build(what=what, count=count_of(what)))
    assert took < gas, f"{what}: {took} ns for {gas} gas"


@pytest.mark.parametrize(
    "made",
    [
        Probe.take_bytes.build(data=bytes(290_000)),
        Probe.take_small.build(data=(1,) * 290_000),
        Probe.take_wides.build(data=(1,) * 16_000),
        Probe.take_pairs.build(data=(Pair(1, True),) * 60_000),
    ],
    ids=["bytes", "small integers", "wide integers", "records"],
)
def test_no_arguments_are_cheaper_than_their_time(probe: Chain, made: Call) -> None:
    took, gas = time_and_gas(probe, made)
    assert took < gas, f"{took} ns for {gas} gas"


def test_the_registry_sweeps_the_worst_uploads_within_its_gas() -> None:
    """As many as it takes on in one block, each with the longest card there can be, all at an end at once."""
    wide = "\U0001f600"
    remarks = tuple(Remark(name=Name("n" * 48), text=wide * 256) for _ in range(16))
    card = Card(
        title=wide * 64,
        version=wide * 32,
        licence=wide * 64,
        parents=(),
        remarks=remarks,
        price=Price(denom=Denom("arm"), amount=(1 << 96) - 1),
    )
    people = [Chain().account(f"owner {number}") for number in range(70)]
    chain = Chain(
        Accounts,
        Tokens,
        Registry,
        genesis={"tokens": {"balances": {person.id: {"arm": 10**9} for person in people}}},
        consensus=PATIENT,
        params={"runtime": {"block_gas_max": 1 << 41, "block_bytes_max": 3 << 20}},
    )
    options: dict[str, Any] = {"gas_limit": 50_000_000}
    begun, cancelled = [], []
    for number, person in enumerate(people):
        data = b"%04d" % number
        model = hash_bytes("test", data)
        calls = (
            Registry.begin_upload.build(model=model, size_bytes=4, chunks=(chunk_hash(data),), card=card),
            Registry.upload_chunk.build(model=model, index=0, data=data),
        )
        begun.append(chain.transaction(*calls, signer=person, nonce=0, **options))
        cancelled.append(
            chain.transaction(Registry.cancel_upload.build(model=model), signer=person, nonce=1, **options)
        )
    for block in (begun, cancelled, ()):
        executed = chain.block(block)
        assert all(receipt.is_ok for receipt in executed.receipts)
        assert executed.faults == ()
    assert chain.application.query("registry", "upload", {"owner": people[0].id, "model": model}) is None
