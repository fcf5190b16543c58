"""Hypothesis strategies of transactions and blocks for a given chain: valid ones, and hostile ones that it must refuse.

    @given(st.data())
    def test_whatever_people_send(data: st.DataObject) -> None:
        chain = Chain(Counter)
        chain.block(data.draw(blocks(chain)).transactions)

They are made for the chain's next block, in the state that it is in when a strategy is called. Lives here: what may and
what may not be in a block. Must not: know modules; calls come from their metadata, and may fail by a receipt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hypothesis import strategies as st
from msgspec.structs import replace

from runtime.codec import codec
from runtime.execution import (
    BlockInputs,
    Body,
    Chain,
    Rule,
    Transaction,
    encode_transaction,
    transaction_hash,
)
from runtime.execution.chain import GAS_LIMIT
from runtime.execution.errors import EARLY
from runtime.execution.executor import NONCE_AHEAD_MAX
from runtime.execution.gas import fixed_gas
from runtime.execution.transaction import VALID_FOREVER
from runtime.limits import TRANSACTION_BYTES_MAX
from runtime.module import Call, CallInfo, Offence, Root, Signed, SingleKey
from runtime.testing.strategies import from_schema
from runtime.types import Hash, Signature

PEOPLE: Final = ("alice", "bob", "carol", "dora")
CALLS_MAX: Final = 3
PER_BLOCK_MAX: Final = 6
_MARGIN_BYTES: Final = 64
"""What another gas limit may add to a transaction's length."""


def calls(chain: Chain, *, origin: type[Signed | Root] = Signed) -> st.SearchStrategy[Call]:
    """Calls of the chain's modules that this origin may make, with any arguments of their types."""
    return st.sampled_from(_infos(chain, origin)).flatmap(
        lambda info: from_schema(info.codec.schema).map(lambda record: Call(info.full_name, info.codec.encode(record)))
    )


def transactions(chain: Chain, *, signers: Sequence[str] = PEOPLE) -> st.SearchStrategy[bytes]:
    """Transactions that the next block may hold, each as its first; whatever its calls then do. signers: names of
    accounts that can pay for their gas."""
    return _valid(chain, signers).map(lambda made: made.data)


@dataclass(frozen=True)
class HostileTransaction:
    """Bytes that are no transaction for the next block. rule: by which they must be refused; None: by any. what: the
    defect."""

    data: bytes
    rule: Rule | None
    what: str

    @property
    def is_early(self) -> bool:
        """Whether only the mempool refuses it: in a block it is a receipt with an error."""
        return self.rule in EARLY


@st.composite
def hostile_transactions(
    draw: st.DrawFn, chain: Chain, *, signers: Sequence[str] = PEOPLE, is_early: bool | None = None
) -> HostileTransaction:
    """A valid transaction with one defect, signed as well as can be. is_early: only such, or none of them."""
    defects = [each for each in _DEFECTS if is_early is None or (each.rule in EARLY) is is_early]
    takes_fees = bool(chain.application.params().fees.units) and chain.application.genesis.roles.fees is not None
    defects = [each for each in defects if takes_fees or each.rule not in (Rule.FEE, Rule.FUNDS)]
    if not _infos(chain, Root, alone=True):
        defects = [each for each in defects if each.rule is not Rule.ORIGIN]
    defect = draw(st.sampled_from(defects))
    made = draw(_valid(chain, signers))
    return HostileTransaction(defect.make(draw, chain, made), defect.rule, defect.what)


@st.composite
def blocks(draw: st.DrawFn, chain: Chain, *, signers: Sequence[str] = PEOPLE) -> BlockInputs:
    """What a proposer makes of up to six transactions, several of one signer among them: a next block that every node
    must execute. Who proposes, who signed the block before and who is accused is drawn from the validators."""
    named = [draw(st.sampled_from(signers)) for _ in range(draw(st.integers(0, PER_BLOCK_MAX)))]
    waiting: dict[str, int] = {}
    candidates = []
    for name in named:
        candidates.append(draw(_valid(chain, [name], ahead=waiting.get(name, 0))).data)
        waiting[name] = waiting.get(name, 0) + 1
    keys = [each.public_key for each in chain.application.validators()]
    options: dict[str, Any] = {}
    if keys:
        options["proposer"] = draw(st.sampled_from(keys))
        signed = draw(st.lists(st.sampled_from(keys), unique=True)) if chain.height else []
        accused = draw(st.just([]) | st.lists(st.sampled_from(keys), max_size=1))
        options["last_signers"] = tuple(key for key in keys if key in signed)
        options["evidence"] = tuple(Offence(key, draw(st.integers(0, chain.height))) for key in accused)
    pause = draw(st.sampled_from([1, 1_000, 60_000, 86_400_000]))
    inputs = BlockInputs(chain.height + 1, chain.time_ms + pause, **options)
    proposed, _ = chain.application.propose(inputs, candidates)
    return _with(inputs, proposed.transactions)


@dataclass(frozen=True)
class HostileBlock:
    """A block that no node may execute. index: of the first transaction that may not stand where it does."""

    inputs: BlockInputs
    index: int
    what: str


@st.composite
def hostile_blocks(draw: st.DrawFn, chain: Chain, *, signers: Sequence[str] = PEOPLE) -> HostileBlock:
    """A valid block, and in it one hostile transaction, or one of its own again."""
    inputs = draw(blocks(chain, signers=signers))
    listed = list(inputs.transactions)
    is_repeated = draw(st.booleans())
    if listed and is_repeated:
        data, what, earliest = draw(st.sampled_from(listed)), "twice", 1
        earliest += listed.index(data)
    else:
        hostile = draw(hostile_transactions(chain, signers=signers, is_early=False))
        data, what, earliest = hostile.data, hostile.what, 0
    index = draw(st.integers(earliest, len(listed)))
    listed.insert(index, data)
    return HostileBlock(_with(inputs, tuple(listed)), index, what)


# --- a valid one, in parts


@dataclass(frozen=True)
class _Made:
    """A transaction with what signs it."""

    body: Body
    names: tuple[str, ...]

    @property
    def data(self) -> bytes:
        return _signed(self.body, self.names)

    def but(self, **fields: Any) -> bytes:
        """With other fields, signed as well."""
        return _signed(replace(self.body, **fields), self.names)


def _signed(body: Body, names: Sequence[str]) -> bytes:
    digest = transaction_hash(body)
    keys = [Chain.account_named(name).key for name in names]
    return encode_transaction(Transaction(body, tuple(SingleKey(key.public_key, key.sign(digest)) for key in keys)))


@st.composite
def _valid(draw: st.DrawFn, chain: Chain, signers: Sequence[str], ahead: int = 0) -> _Made:
    application = chain.application
    params = application.params()
    name = draw(st.sampled_from(signers))
    payer = draw(st.none() | st.sampled_from(signers))
    account = Chain.account_named(name).id
    body = Body(
        genesis_hash=application.genesis_hash,
        sender=account,
        fee_payer=None if payer is None else Chain.account_named(payer).id,
        nonce=application.next_nonce(account) + ahead,
        calls=tuple(draw(st.lists(calls(chain), min_size=1, max_size=CALLS_MAX))),
        gas_limit=GAS_LIMIT,
        max_fee=0,
        tip=draw(st.sampled_from([0, 0, 1, 7])),
        last_valid_height=draw(st.sampled_from([VALID_FOREVER, chain.height + 1, chain.height + 100])),
    )
    names = (name,) if payer in (None, name) else (name, str(payer))
    least = fixed_gas(len(_signed(body, names)) + _MARGIN_BYTES, len(names))
    most = min(GAS_LIMIT, (params.block_gas_max - application.composition.hook_gas) // PER_BLOCK_MAX)
    gas_limit = draw(st.sampled_from([least, most]) | st.integers(least, most))
    cost = params.fees.fee(gas_limit) + body.tip
    max_fee = draw(st.sampled_from([cost, cost + 1, (1 << 128) - 1]))
    return _Made(replace(body, gas_limit=gas_limit, max_fee=max_fee), names)


def _infos(chain: Chain, origin: type[Signed | Root], *, alone: bool = False) -> list[CallInfo]:
    infos = [info for module in chain.application.metadata.values() for info in module.calls.values()]
    return [info for info in infos if origin in info.origins and not (alone and len(info.origins) > 1)]


def _with(inputs: BlockInputs, listed: tuple[bytes, ...]) -> BlockInputs:
    return BlockInputs(inputs.height, inputs.time_ms, listed, inputs.proposer, inputs.evidence, inputs.last_signers)


# --- defects


@dataclass(frozen=True)
class _Defect:
    rule: Rule | None
    what: str
    make: Callable[[st.DrawFn, Chain, _Made], bytes]


def _another_genesis(draw: st.DrawFn, chain: Chain, made: _Made) -> bytes:
    return made.but(genesis_hash=Hash(bytes(31) + b"\1"))


def _nonce_ahead(draw: st.DrawFn, chain: Chain, made: _Made) -> bytes:
    """Further ahead than the mempool lets wait."""
    last = (1 << 64) - 1
    far = made.body.nonce + NONCE_AHEAD_MAX + 1
    return made.but(nonce=draw(st.sampled_from([min(far, last), last])))


def _expired(draw: st.DrawFn, chain: Chain, made: _Made) -> bytes:
    return made.but(last_valid_height=draw(st.integers(0, chain.height)))


def _no_calls(draw: st.DrawFn, chain: Chain, made: _Made) -> bytes:
    return made.but(calls=())


def _gas_beyond_a_block(draw: st.DrawFn, chain: Chain, made: _Made) -> bytes:
    least = chain.application.params().block_gas_max - chain.application.composition.hook_gas + 1
    return made.but(gas_limit=draw(st.sampled_from([least, (1 << 64) - 1])))


def _gas_below_the_fixed(draw: st.DrawFn, chain: Chain, made: _Made) -> bytes:
    return made.but(gas_limit=draw(st.integers(0, fixed_gas(0, len(made.names)) - 1)))


def _fee_not_covered(draw: st.DrawFn, chain: Chain, made: _Made) -> bytes:
    cost = chain.application.params().fees.fee(made.body.gas_limit) + made.body.tip
    return made.but(max_fee=draw(st.sampled_from([0, cost - 1])))


def _no_funds(draw: st.DrawFn, chain: Chain, made: _Made) -> bytes:
    """Of somebody who has nothing."""
    stranger = Chain.account_named(f"stranger {draw(st.integers(0, 9))}")
    return _signed(replace(made.body, sender=stranger.id, fee_payer=None, nonce=0), [stranger.name])


def _signature_of_another_body(draw: st.DrawFn, chain: Chain, made: _Made) -> bytes:
    whole: Transaction = codec(Transaction).decode(made.data)
    return encode_transaction(replace(whole, body=replace(whole.body, tip=whole.body.tip + 1, max_fee=(1 << 128) - 1)))


def _bit_of_a_signature(draw: st.DrawFn, chain: Chain, made: _Made) -> bytes:
    whole: Transaction = codec(Transaction).decode(made.data)
    first, *others = whole.auth
    assert isinstance(first, SingleKey)
    place = draw(st.integers(0, 8 * 64 - 1))
    flipped = int.from_bytes(first.signature, "big") ^ (1 << place)
    return encode_transaction(
        replace(whole, auth=(replace(first, signature=Signature(flipped.to_bytes(64, "big"))), *others))
    )


def _key_of_another(draw: st.DrawFn, chain: Chain, made: _Made) -> bytes:
    return _signed(made.body, ["nobody's", *made.names[1:]])


def _too_many_signers(draw: st.DrawFn, chain: Chain, made: _Made) -> bytes:
    body = replace(made.body, fee_payer=None)
    return _signed(body, [made.names[0]] * draw(st.sampled_from([0, 2])))


def _too_long(draw: st.DrawFn, chain: Chain, made: _Made) -> bytes:
    return made.data.ljust(TRANSACTION_BYTES_MAX + 1, b"\0")


def _other_bytes(draw: st.DrawFn, chain: Chain, made: _Made) -> bytes:
    """Cut, extended, or with bytes changed."""
    data = made.data
    start = draw(st.integers(0, len(data) - 1))
    end = draw(st.integers(start, min(start + 3, len(data))))
    changed = data[:start] + draw(st.binary(max_size=3)) + data[end:]
    return changed if changed != data else data[:start]


def _unknown_call(draw: st.DrawFn, chain: Chain, made: _Made) -> bytes:
    name = draw(st.sampled_from(["nobody.nothing", f"{made.body.calls[0].name}x"]))
    return made.but(calls=(*made.body.calls[:-1], Call(name, b"\x90")))


def _other_arguments(draw: st.DrawFn, chain: Chain, made: _Made) -> bytes:
    *before, last = made.body.calls
    return made.but(calls=(*before, replace(last, arguments=last.arguments + b"\xc0")))


def _a_call_of_roots(draw: st.DrawFn, chain: Chain, made: _Made) -> bytes:
    info = draw(st.sampled_from(_infos(chain, Root, alone=True)))
    arguments = info.codec.encode(draw(from_schema(info.codec.schema)))
    return made.but(calls=(*made.body.calls[:-1], Call(info.full_name, arguments)))


_DEFECTS: Final = tuple(
    _Defect(rule, make.__name__.strip("_").replace("_", " "), make)
    for rule, make in (
        (Rule.GENESIS, _another_genesis),
        (Rule.NONCE_HIGH, _nonce_ahead),
        (Rule.EXPIRED, _expired),
        (Rule.CALLS, _no_calls),
        (Rule.GAS_LIMIT, _gas_beyond_a_block),
        (Rule.GAS_LIMIT, _gas_below_the_fixed),
        (Rule.FEE, _fee_not_covered),
        (Rule.FUNDS, _no_funds),
        (Rule.SIGNATURE, _signature_of_another_body),
        (Rule.SIGNATURE, _bit_of_a_signature),
        (Rule.AUTH, _key_of_another),
        (Rule.AUTH, _too_many_signers),
        (Rule.SIZE, _too_long),
        (None, _other_bytes),
        (Rule.UNKNOWN_CALL, _unknown_call),
        (Rule.BAD_ARGUMENT, _other_arguments),
        (Rule.ORIGIN, _a_call_of_roots),
    )
)
