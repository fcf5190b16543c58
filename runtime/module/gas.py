"""What each thing that a module does costs. Gas is nanoseconds on the reference machine, about three times slower than
a current server core. tests/unit/execution/test_gas.py holds them against the clock.

Lives here: the price list of storage, events and codec. Must not: meter (runtime.module.context), price transactions
(runtime.execution.gas).
"""

from __future__ import annotations

from typing import Final

READ_GAS: Final = 9_000  # a lookup in LMDB through the overlay, decoded
READ_BYTE_GAS: Final = 5
WRITE_GAS: Final = 30_000  # overlay, authenticated tree, log
WRITE_BYTE_GAS: Final = 15
DELETE_GAS: Final = 30_000
SCAN_GAS: Final = 9_000  # positioning a cursor; each entry is a read besides
EVENT_GAS: Final = 6_000
EVENT_BYTE_GAS: Final = 5
CHECKPOINT_GAS: Final = 2_000
BLOB_PUT_GAS: Final = 60_000
BLOB_PUT_BYTE_GAS: Final = 10  # hashed and made durable
BLOB_READ_GAS: Final = 60_000
BLOB_READ_BYTE_GAS: Final = 5

QUERY_GAS_MAX: Final = 2_000_000_000
"""What one query may use: two seconds on the reference machine."""
