"""What a transaction costs besides its calls, in nanoseconds on the reference machine; and the fee.

The fixed price pays for what happens around the calls: bytes received, hashed, gossiped and stored, signatures, nonce
and fee bookkeeping. What modules do is priced in runtime.module.gas.
"""

from __future__ import annotations

from typing import Final

TRANSACTION_GAS: Final = 250_000  # decode, nonce, two fee movements, receipt, its share of the roots
TRANSACTION_BYTE_GAS: Final = 40
SIGNATURE_GAS: Final = 160_000
DISPATCH_GAS: Final = 6_000
ARGUMENT_BYTE_GAS: Final = 10


def fixed_gas(size_bytes: int, signatures: int) -> int:
    """The price of a transaction of so many bytes and signatures before its calls."""
    return TRANSACTION_GAS + TRANSACTION_BYTE_GAS * size_bytes + SIGNATURE_GAS * signatures


def dispatch_gas(argument_bytes: int) -> int:
    """The price of finding a call and taking its arguments; what decoding them costs depends on their type."""
    return DISPATCH_GAS + ARGUMENT_BYTE_GAS * argument_bytes
