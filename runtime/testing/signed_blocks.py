"""Hypothesis strategies of blocks as they travel: header, transactions, evidence and a commit certificate, signed by
validators whose keys are at hand; valid ones, and ones with one defect.

For what is judged before anything is executed (runtime.consensus.check_block): the transactions are any bytes. Blocks
that a chain executes are in transactions.py. Lives here: signed blocks. Must not: execute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from hypothesis import strategies as st
from msgspec.structs import replace

from runtime.consensus import (
    Block,
    Equivocation,
    Parent,
    VoteKind,
    evidence_hash,
    last_certificate_hash,
    transactions_root,
)
from runtime.testing.strategies import from_type
from runtime.testing.validators import SigningValidators
from runtime.types import ZERO_HASH, Hash

_HASHES: Final = from_type(Hash)


@dataclass(frozen=True)
class SignedBlock:
    """A block and what it follows. check: the name of the check that must refuse it; "": it is valid."""

    block: Block
    parent: Parent
    validators: SigningValidators
    check: str = ""


@st.composite
def signed_blocks(draw: st.DrawFn) -> SignedBlock:
    """Valid blocks of the first two heights of one to five validators with any powers: any transactions, evidence of
    what somebody signed twice, certificates by any quorum."""
    validators = SigningValidators(draw(st.lists(st.integers(1, 1 << 40), min_size=1, max_size=5)))
    numbers = range(len(validators.keys))
    listed = st.lists(st.binary(max_size=40), max_size=4).map(tuple)
    proposer = draw(st.sampled_from(numbers))
    parent = validators.genesis_parent()
    first = validators.block(parent, transactions=draw(listed), proposer=proposer)
    if draw(st.booleans()):
        return SignedBlock(first, parent, validators)
    parent = validators.parent(first)
    accused = draw(st.lists(st.sampled_from(numbers), max_size=2, unique=True))
    evidence = tuple(_offence(draw, validators, number, 1) for number in accused)
    block = validators.block(parent, transactions=draw(listed), evidence=evidence, proposer=proposer)
    signers = draw(st.permutations(numbers))
    while _has_quorum(validators, signers[:-1]) and draw(st.booleans()):
        signers = signers[:-1]
    certificate = validators.certificate(first.id, signers=signers)
    return SignedBlock(_committed(block, last_certificate=certificate), parent, validators)


@st.composite
def broken_blocks(draw: st.DrawFn) -> SignedBlock:
    """A valid block with one defect, signed as well as can be."""
    made = draw(signed_blocks())
    defects = _DEFECTS if not made.parent.is_genesis else {name: _DEFECTS[name] for name in _OF_ANY_HEIGHT}
    check = draw(st.sampled_from(sorted(defects)))
    return SignedBlock(defects[check](draw, made), made.parent, made.validators, check.partition(" ")[0])


def _offence(draw: st.DrawFn, validators: SigningValidators, number: int, height: int) -> Equivocation:
    """Two votes of one validator in one step."""
    kind, (one, other) = (
        draw(st.sampled_from(list(VoteKind))),
        draw(st.lists(_VALUES, min_size=2, max_size=2, unique=True)),
    )
    return Equivocation.of(*(validators.vote(number, kind, value, height=height) for value in (one, other)))


_VALUES: Final = st.none() | _HASHES


def _has_quorum(validators: SigningValidators, numbers: Any) -> bool:
    known = validators.validators
    return known.has_quorum(sum(known.power_of(validators.key(number)) for number in numbers))


def _committed(block: Block, **body: Any) -> Block:
    """With another body, to which the header commits."""
    block = replace(block, **body)
    header = replace(
        block.header,
        transactions_root=transactions_root(block.transactions),
        evidence_hash=evidence_hash(block.evidence),
        last_certificate_hash=last_certificate_hash(block.last_certificate),
    )
    return replace(block, header=header)


def _header(name: str, values: st.SearchStrategy[Any]) -> Callable[[st.DrawFn, SignedBlock], Block]:
    """Another value of a field of the header."""

    def make(draw: st.DrawFn, made: SignedBlock) -> Block:
        header = made.block.header
        other = draw(values.filter(lambda value: value != getattr(header, name)))
        return replace(made.block, header=replace(header, **{name: other}))

    return make


def _late(draw: st.DrawFn, made: SignedBlock) -> Block:
    header = replace(made.block.header, time_ms=draw(st.integers(0, made.parent.time_ms)))
    return replace(made.block, header=header)


def _stranger(draw: st.DrawFn, made: SignedBlock) -> Block:
    key = SigningValidators((1,) * 9).key(draw(st.integers(5, 8)))
    return replace(made.block, header=replace(made.block.header, proposer=key))


def _other_transactions(draw: st.DrawFn, made: SignedBlock) -> Block:
    return replace(made.block, transactions=(*made.block.transactions, draw(st.binary(max_size=8))))


def _no_certificate(draw: st.DrawFn, made: SignedBlock) -> Block:
    return _committed(made.block, last_certificate=None)


def _no_quorum(draw: st.DrawFn, made: SignedBlock) -> Block:
    kept = list(draw(st.permutations(range(len(made.validators.keys)))))
    while _has_quorum(made.validators, kept):
        kept.pop()
    certificate = made.validators.certificate(made.parent.block_id, height=made.parent.height, signers=kept)
    return _committed(made.block, last_certificate=certificate)


def _other_block(draw: st.DrawFn, made: SignedBlock) -> Block:
    return _committed(
        made.block, last_certificate=made.validators.certificate(draw(_HASHES), height=made.parent.height)
    )


def _other_chain(draw: st.DrawFn, made: SignedBlock) -> Block:
    powers = [made.validators.validators.power_of(key.public_key) for key in made.validators.keys]
    elsewhere = SigningValidators(powers, genesis_hash=ZERO_HASH)
    certificate = elsewhere.certificate(made.parent.block_id, height=made.parent.height)
    return _committed(made.block, last_certificate=certificate)


def _evidence_to_come(draw: st.DrawFn, made: SignedBlock) -> Block:
    offence = _offence(draw, made.validators, 0, made.block.header.height + draw(st.integers(0, 3)))
    return _committed(made.block, evidence=(offence,))


def _evidence_twice(draw: st.DrawFn, made: SignedBlock) -> Block:
    offences = (_offence(draw, made.validators, 0, 1), _offence(draw, made.validators, 0, 1))
    return _committed(made.block, evidence=offences)


_DEFECTS: Final[dict[str, Callable[[st.DrawFn, SignedBlock], Block]]] = {
    "version": _header("version", st.integers(0, 9)),
    "genesis_hash": _header("genesis_hash", _HASHES),
    "height": _header("height", st.integers(0, 9)),
    "last_block_id": _header("last_block_id", _HASHES),
    "validators_hash": _header("validators_hash", _HASHES),
    "next_validators_hash": _header("next_validators_hash", _HASHES),
    "transactions_root": _header("transactions_root", _HASHES),
    "transactions_root of less": _other_transactions,
    "evidence_hash": _header("evidence_hash", _HASHES),
    "last_certificate_hash": _header("last_certificate_hash", _HASHES),
    "time_ms": _late,
    "proposer": _stranger,
    "evidence of later": _evidence_to_come,
    "evidence twice": _evidence_twice,
    "last_certificate missing": _no_certificate,
    "last_certificate without a quorum": _no_quorum,
    "last_certificate of another block": _other_block,
    "last_certificate of another chain": _other_chain,
}
_OF_ANY_HEIGHT: Final = tuple(
    name for name in _DEFECTS if not name.startswith("last_certificate ") and name != "evidence twice"
)
