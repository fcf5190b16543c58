"""What each thing that a module does costs. Gas is nanoseconds on the reference machine, about three times slower than
a current server core. tests/unit/execution/test_gas.py holds them against the clock.

Lives here: the price list of storage, events and codec. Must not: meter (runtime.module.context), price transactions
(runtime.execution.gas).
"""

from __future__ import annotations

from typing import Final

READ_GAS: Final = 12_000  # a lookup in LMDB through the overlay
READ_BYTE_GAS: Final = 5
WRITE_GAS: Final = 45_000  # overlay, authenticated tree, log
WRITE_BYTE_GAS: Final = 20
DELETE_GAS: Final = 45_000
CODEC_UNIT_GAS: Final = 100  # of decoding a value read, encoding one written: Codec.work says how many units
SCAN_GAS: Final = 60_000  # positioning cursors; each entry is a read besides
SCAN_PENDING_GAS: Final = 2_500  # each of the block's own changes in the range: most where they are deletions, passed
EVENT_GAS: Final = 15_000
EVENT_BYTE_GAS: Final = 5
CHECKPOINT_GAS: Final = 5_000
BLOB_PUT_GAS: Final = 60_000
BLOB_PUT_BYTE_GAS: Final = 10  # hashed and made durable
BLOB_READ_GAS: Final = 60_000
BLOB_READ_BYTE_GAS: Final = 5

QUERY_GAS_MAX: Final = 2_000_000_000
"""What one query may use: two seconds on the reference machine."""
