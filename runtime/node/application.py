"""What the node needs of the execution: a narrow Protocol that runtime.execution.Application fits; conversions.

The node never looks into calls or state. Methods are blocking; the executor calls execute, propose and commit in a
worker thread, one at a time. The others may be called while one runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from runtime.consensus import Synchrony, Timeouts, Validator
from runtime.crypto import hash_bytes
from runtime.execution.application import CheckedTransaction
from runtime.execution.block import BlockInputs, Dropped, Executed
from runtime.execution.errors import InvalidTransaction, Rule
from runtime.execution.genesis import ChainGenesis
from runtime.execution.params import RuntimeParams
from runtime.execution.transaction import Prepared
from runtime.mempool import Checked, Rejected
from runtime.mempool import Rule as PoolRule
from runtime.module.roles import ValidatorPower
from runtime.types import AccountId, Hash

STATE_RULES: Final = frozenset(
    {Rule.AUTH, Rule.EXPIRED, Rule.NONCE_LOW, Rule.NONCE_HIGH, Rule.FUNDS, Rule.FEE, Rule.GAS_LIMIT, Rule.SIZE}
)
"""What may hold in one state and not in another: a transaction refused by these is no bad transaction for ever."""


class ChainApplication(Protocol):
    """One chain's execution over one store."""

    @property
    def genesis(self) -> ChainGenesis:
        """What the chain spec pins: name, time, modules, parameters and validators at height 0."""
        ...

    @property
    def genesis_hash(self) -> Hash:
        """The chain's name in everything that is signed, and in the network's handshake."""
        ...

    @property
    def state_root(self) -> Hash:
        """After the last committed block."""
        ...

    def execute(self, inputs: BlockInputs) -> Executed:
        """Run a block on the committed state without changing it. Raises runtime.execution's InvalidBlock."""
        ...

    def propose(self, inputs: BlockInputs, candidates: Iterable[bytes]) -> tuple[Executed, tuple[Dropped, ...]]:
        """The same with those candidates that are valid and fit, in their order."""
        ...

    def run_ahead(self, transactions: Iterable[bytes], *, gas_max: int) -> int:
        """Run what these say they will infer, for the engine to remember; the gas that it stands for, at most this."""
        ...

    def commit(self, executed: Executed, *, extra: Mapping[bytes, bytes | None] | None = None) -> None:
        """Make it the state, with the extra records, durably, all or nothing."""
        ...

    def prepare(self, data: bytes) -> Prepared:
        """Decode and check all that needs no state; cached by its bytes. Raises InvalidTransaction."""
        ...

    def check(self, data: bytes) -> CheckedTransaction:
        """Whether a transaction may wait for a block. Raises InvalidTransaction."""
        ...

    def validators(self, height: int | None = None) -> tuple[ValidatorPower, ...]:
        """The set that the updates up to this height (None: the last) lead to; it acts two heights later."""
        ...

    def params(self, height: int | None = None) -> RuntimeParams:
        """Prices and bounds in force in the block after this height (None: the last)."""
        ...

    def live_chunks(self, among: Iterable[Hash] | None = None) -> frozenset[Hash]:
        """Those blob chunks that the committed state refers to."""
        ...


@dataclass(frozen=True)
class ChainParams:
    """What all nodes agree on about time, from the genesis on."""

    timeouts: Timeouts
    synchrony: Synchrony
    empty_block_interval_ms: int


def params_of(genesis: ChainGenesis) -> ChainParams:
    """The genesis' consensus parameters, as the node uses them."""
    params = genesis.consensus
    return ChainParams(
        timeouts=Timeouts(
            propose_ms=params.timeout_propose_ms,
            prevote_ms=params.timeout_vote_ms,
            precommit_ms=params.timeout_vote_ms,
            round_delta_ms=params.timeout_growth_ms,
            timeout_ms_max=params.timeout_ms_max,
        ),
        synchrony=Synchrony(precision_ms=params.clock_precision_ms, message_delay_ms=params.message_delay_ms),
        empty_block_interval_ms=params.empty_block_interval_ms,
    )


def consensus_validators(powers: Iterable[ValidatorPower]) -> tuple[Validator, ...]:
    """The modules' validators as consensus knows them."""
    return tuple(Validator(each.public_key, each.power) for each in powers)


def wire_hash(data: bytes) -> Hash:
    """What the mempool and its gossip know a transaction by: its bytes, signatures included."""
    return hash_bytes("armillary/wire-transaction", data)


def check(app: ChainApplication, data: bytes) -> Checked:
    """A transaction as the mempool takes it. Raises InvalidTransaction."""
    found = app.check(data)
    return Checked(
        hash=wire_hash(data),
        transaction=found.hash,
        data=data,
        sender=found.sender,
        nonce=found.nonce,
        next_nonce=found.next_nonce,
        gas_limit=found.gas_limit,
        fee=found.fee,
        tip=found.tip,
        last_valid_height=found.last_valid_height,
    )


def recheck(app: ChainApplication, checked: Checked) -> Checked | Rejected:
    """The transaction as it is checked in the present state, or why it can be in no block now."""
    try:
        found = app.check(checked.data)
    except InvalidTransaction as error:
        return Rejected(PoolRule.CHECK_FAILED, str(error))
    return replace(checked, next_nonce=found.next_nonce, fee=found.fee)


def next_nonces(app: ChainApplication, transactions: Sequence[bytes]) -> dict[AccountId, int]:
    """Of the senders of a decided block's transactions: the nonce after their last one in it."""
    nonces: dict[AccountId, int] = {}
    for data in transactions:
        body = app.prepare(data).body
        nonces[body.sender] = max(nonces.get(body.sender, 0), body.nonce + 1)
    return nonces
