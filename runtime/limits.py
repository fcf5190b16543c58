"""Every bound that all layers share, with its unit in its name. Relations between bounds are checked at import.

A layer's own bounds live with the layer. A bound here is part of the protocol: changing one forks the chain.
"""

from __future__ import annotations

from typing import Final

TRANSACTION_BYTES_MAX: Final = 320 * 1024  # holds one 256 KiB chunk of a blob and its envelope
BLOCK_BYTES_MAX: Final = 4 * 1024 * 1024
BLOCK_TRANSACTIONS_MAX: Final = 20_000
BLOCK_FRAME_BYTES: Final = 256 * 1024  # of a block besides its transactions: header, certificate, evidence, lengths
CALLS_PER_TRANSACTION_MAX: Final = 16
SIGNERS_PER_TRANSACTION_MAX: Final = 16
CALL_ARGUMENTS_BYTES_MAX: Final = 300 * 1024
EVENTS_PER_TRANSACTION_MAX: Final = 256
EVENT_BYTES_MAX: Final = 16 * 1024
BLOCK_EVENT_BYTES_MAX: Final = 16 * 1024 * 1024  # of all events of a block's transactions; as much again of its hooks
EVENT_FRAME_BYTES: Final = 128  # counted for each: its module's and its own name, and how the codec marks them
ERROR_BYTES_MAX: Final = 1024  # a failed call's fields in its receipt

STORAGE_KEY_BYTES_MAX: Final = 448  # with a module's name (48) and a separator it fits into an LMDB key of 511
STORAGE_VALUE_BYTES_MAX: Final = 64 * 1024
CODEC_DEPTH_MAX: Final = 16
CHECKPOINT_DEPTH_MAX: Final = 32

BLOB_CHUNK_BYTES_MAX: Final = 256 * 1024
BLOB_CHUNKS_MAX: Final = 4096  # 1 GiB
MODEL_MEMORY_BYTES_MAX: Final = 4 * 1024 * 1024 * 1024  # of one run of one row, weights included

VALIDATORS_MAX: Final = 256
VOTING_POWER_TOTAL_MAX: Final = 1 << 60
HEIGHT_MAX: Final = (1 << 63) - 1

_RELATIONS = {
    "a call's arguments fit into a transaction": CALL_ARGUMENTS_BYTES_MAX < TRANSACTION_BYTES_MAX,
    "a blob's chunk fits into a call": BLOB_CHUNK_BYTES_MAX < CALL_ARGUMENTS_BYTES_MAX,
    "a transaction fits into a block": TRANSACTION_BYTES_MAX < BLOCK_BYTES_MAX - BLOCK_FRAME_BYTES,
    "the longest event fits into a block": EVENT_BYTES_MAX + EVENT_FRAME_BYTES < BLOCK_EVENT_BYTES_MAX,
    "three times the voting power fits into 64 bits": 3 * VOTING_POWER_TOTAL_MAX < 1 << 64,
}
for _sentence, _holds in _RELATIONS.items():
    if not _holds:
        raise ImportError(f"runtime.limits contradict each other: {_sentence} does not hold")
