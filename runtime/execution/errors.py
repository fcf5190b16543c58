"""Errors of execution, and whose fault each is.

CallerError
├── InvalidTransaction   may not be in a block at all: rule (see Rule) and one sentence
├── GenesisError         the chain's genesis contradicts itself or the modules at hand: field and mend
└── InvariantBroken      a module's invariant does not hold
PeerError
└── InvalidBlock         a proposed block holds an invalid transaction or breaks a bound: rule, height, index
OurError
└── ExecutionFault       this node cannot execute: halt, keep the evidence
"""

from __future__ import annotations

from enum import StrEnum

from runtime.errors import CallerError, OurError, PeerError


class Rule(StrEnum):
    """What a transaction must satisfy to be in a block. Those below EARLY only the mempool asks for: in a block they
    are failed receipts."""

    SIZE = "size"  # at most TRANSACTION_BYTES_MAX, and what a block has for transactions
    CODEC = "codec"  # the canonical bytes of a transaction
    GENESIS = "genesis"  # of this chain
    CALLS = "calls"  # one call or more
    AUTH = "auth"  # one well-formed auth for each signer, which the account's rule admits
    SIGNATURE = "signature"  # each signature verifies
    EXPIRED = "expired"  # last valid height not passed
    NONCE_LOW = "nonce_low"  # the account has used it
    NONCE_HIGH = "nonce_high"  # transactions of the account are missing before it
    GAS_LIMIT = "gas_limit"  # covers the fixed price; fits into a block
    FEE = "fee"  # max fee covers gas limit x price + tip
    FUNDS = "funds"  # the payer holds that
    ROLE = "role"  # the modules for auth and fees do not break over it
    BLOCK_GAS = "block_gas"  # the gas limit fits into what the block has left
    BLOCK_BYTES = "block_bytes"  # the bytes fit into what the block has left
    # early
    UNKNOWN_CALL = "unknown_call"
    BAD_ARGUMENT = "bad_argument"
    ORIGIN = "origin"


EARLY = frozenset({Rule.UNKNOWN_CALL, Rule.BAD_ARGUMENT, Rule.ORIGIN})


class InvalidTransaction(CallerError):
    """A transaction that may not be in a block. rule: which; reason: the values found and wanted."""

    def __init__(self, rule: Rule, reason: str) -> None:
        self.rule = rule
        self.reason = reason
        super().__init__(f"{rule}: {reason}")


class InvalidBlock(PeerError):
    """A block that may not be voted for. index: of the transaction at fault; None where it is the block itself."""

    def __init__(self, rule: str, height: int, index: int | None, reason: str) -> None:
        self.rule = rule
        self.height = height
        self.index = index
        self.reason = reason
        where = f"block {height}" if index is None else f"block {height}, transaction {index}"
        super().__init__(f"{where}: {rule}: {reason}")


class GenesisError(CallerError):
    """The genesis cannot start this chain. field: where; reason: what is wrong and the mend."""

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        self.reason = reason
        super().__init__(f"genesis, {field}: {reason}")


class InvariantBroken(CallerError):
    """An invariant that must hold after every block does not. height: after which."""

    def __init__(self, module: str, invariant: str, height: int, reason: str) -> None:
        self.module = module
        self.invariant = invariant
        self.height = height
        self.reason = reason
        super().__init__(f"{module}.{invariant} does not hold after block {height}: {reason}")


class ExecutionFault(OurError):
    """This node cannot go on executing; the chain may well."""
