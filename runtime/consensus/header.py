"""The block header: what validators vote on by its hash, and all that a light client ever needs of a block."""

from __future__ import annotations

from typing import Final

from runtime.codec import codec
from runtime.crypto import hash_bytes
from runtime.types import U16, U64, Hash, PublicKey, Struct

HEADER_VERSION: Final = 1


class Header(Struct):
    """Commits to a block and to everything before it. state_root and receipts_root are those *after* this block.

    last_block_id and last_certificate_hash are zero at height 1. time_ms: Unix time that the proposer gave the block,
    above the previous block's. validators_hash: the set that decides this height; next_validators_hash: the next one's.
    """

    version: U16
    genesis_hash: Hash
    height: U64
    time_ms: U64
    proposer: PublicKey
    last_block_id: Hash
    last_certificate_hash: Hash
    evidence_hash: Hash
    transactions_root: Hash
    state_root: Hash
    receipts_root: Hash
    validators_hash: Hash
    next_validators_hash: Hash


def block_id(header: Header) -> Hash:
    """The identity of a block: the hash of its header."""
    return hash_bytes("armillary/header", codec(Header).encode(header))
