"""The mempool's messages between nodes: announce, ask, answer. Every list states its bound."""

from __future__ import annotations

from typing import Annotated

from runtime.limits import TRANSACTION_BYTES_MAX
from runtime.types import U32, Hash, MaxLen, Struct

ANNOUNCED_MAX = 1_024
FETCH_MAX = 256
BATCH_BYTES_MAX = 1024 * 1024  # of transactions in one answer: a full-sized one always fits


class Announced(Struct):
    """A waiting transaction: its hash and its size in bytes, so that the asker can size its requests."""

    hash: Hash
    size: U32


class TransactionHashes(Struct, tag=0):
    """I hold these."""

    transactions: Annotated[tuple[Announced, ...], MaxLen(ANNOUNCED_MAX)]


class FetchTransactions(Struct, tag=1):
    """Send me these. The asker keeps the sum of their announced sizes within BATCH_BYTES_MAX."""

    hashes: Annotated[tuple[Hash, ...], MaxLen(FETCH_MAX)]


class Transactions(Struct, tag=2):
    """Here they are, as far as I still hold them."""

    transactions: Annotated[tuple[Annotated[bytes, MaxLen(TRANSACTION_BYTES_MAX)], ...], MaxLen(FETCH_MAX)]


MempoolMessage = TransactionHashes | FetchTransactions | Transactions

if BATCH_BYTES_MAX < TRANSACTION_BYTES_MAX:
    raise ImportError("runtime.mempool.messages: a batch must hold the largest transaction")
