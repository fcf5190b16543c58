"""From calls to a committed transaction: nonce, gas limit and fee are asked of the node; the key never leaves here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from runtime.bech32m import encode_address
from runtime.crypto import SigningKey
from runtime.execution import FeeParams, build_transaction, encode_transaction
from runtime.execution.errors import Rule
from runtime.execution.transaction import VALID_FOREVER
from runtime.module import Call
from runtime.types import AccountId, Hash
from tools.client import NodeClient, NodeError

GAS_MARGIN_PERCENT = 10  # on top of a dry run: the state may have changed until the block
DRY_RUN_GAS_MIN = 1_000_000  # who cannot pay even this is told so


@dataclass(frozen=True)
class ChainFacts:
    """What a signer must know of a chain."""

    genesis_hash: Hash
    prefix: str
    fees: FeeParams
    block_gas_max: int

    @classmethod
    def of(cls, client: NodeClient) -> ChainFacts:
        """As the node says."""
        status = client.status()
        return cls(
            genesis_hash=Hash(bytes.fromhex(status["genesis_hash"])),
            prefix=status["address_prefix"],
            fees=FeeParams(units=status["fee_units"], per_gas=status["fee_per_gas"]),
            block_gas_max=status["block_gas_max"],
        )


class Sender:
    """One account's way onto a chain. Counts its nonce, so that transactions may follow each other unawaited."""

    def __init__(self, client: NodeClient, key: SigningKey) -> None:
        self.client = client
        self.key = key
        self.account = AccountId(key.public_key)
        self.chain = ChainFacts.of(client)
        self.nonce = self.next_nonce()

    @property
    def address(self) -> str:
        return encode_address(self.account, self.chain.prefix)

    def next_nonce(self) -> int:
        """The account's next nonce in the node's present state."""
        info = self.client.get("/query/accounts/info", account=encode_address(self.account, self.chain.prefix))
        nonce: int = info["result"]["nonce"]
        return nonce

    def build(
        self,
        calls: Sequence[Call],
        *,
        gas_limit: int,
        nonce: int | None = None,
        max_fee: int | None = None,
        tip: int = 0,
        last_valid_height: int = VALID_FOREVER,
    ) -> bytes:
        """A signed transaction; nothing is sent. nonce: the next one, if None; max_fee: what the gas limit costs."""
        transaction = build_transaction(
            calls,
            genesis_hash=self.chain.genesis_hash,
            key=self.key,
            nonce=self.nonce if nonce is None else nonce,
            gas_limit=gas_limit,
            max_fee=self.chain.fees.fee(gas_limit) + tip if max_fee is None else max_fee,
            tip=tip,
            last_valid_height=last_valid_height,
        )
        return encode_transaction(transaction)

    def dry_run(
        self, calls: Sequence[Call], *, gas_limit: int | None = None, nonce: int | None = None, **terms: Any
    ) -> dict[str, Any]:
        """What the calls would do in the next block: succeeds, gas_used, fee, events, error.

        nonce: the account's in the node's state, if None, whatever else is on its way. gas_limit: if None, half a
        block's, or as much of it as the account can pay and the max fee allows.
        """
        limit = self.chain.block_gas_max // 2 if gas_limit is None else gas_limit
        nonce = self.next_nonce() if nonce is None else nonce
        while True:
            transaction = self.build(calls, gas_limit=limit, nonce=nonce, **terms)
            try:
                outcome: dict[str, Any] = self.client.post("/simulate", {"transaction": transaction.hex()})
            except NodeError as error:
                if gas_limit is not None or error.rule not in (Rule.FUNDS, Rule.FEE) or limit < 2 * DRY_RUN_GAS_MIN:
                    raise
                limit //= 2
            else:
                return outcome

    def send(self, calls: Sequence[Call], *, gas_limit: int | None = None, **terms: Any) -> str:
        """Sign and submit; the gas limit is a dry run's gas and a margin, if None. Returns the hash in hex."""
        if gas_limit is None:
            gas_limit = with_margin(self.dry_run(calls)["gas_used"])
        sent = self.client.submit(self.build(calls, gas_limit=gas_limit, **terms))
        self.nonce += 1
        return sent


def with_margin(gas: int) -> int:
    """A gas limit for calls that used `gas` in a dry run."""
    return gas + gas * GAS_MARGIN_PERCENT // 100
