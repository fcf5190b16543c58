"""From calls to a committed transaction: nonce, gas limit and fee are asked of the node; the key never leaves here.

    with NodeClient(url) as client:
        sender = Sender(client, key)
        outcome = client.wait(sender.send([Tokens.transfer.build(to=bob, denom="arm", amount=4)]))

    async with AsyncNodeClient(url) as client:
        sender = await AsyncSender.open(client, key)
        outcome = await client.wait(await sender.send([...]))

Both have the same methods; what they do is written once, in `Signing`, as steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runtime.bech32m import encode_address
from runtime.crypto import SigningKey
from runtime.execution import FeeParams, build_transaction, encode_transaction
from runtime.execution.errors import Rule
from runtime.execution.transaction import VALID_FOREVER
from runtime.module import Call
from runtime.types import AccountId, Hash
from tools.client import NodeClient, NodeError
from tools.client.exchange import Node, Steps
from tools.client.operations import Operations

if TYPE_CHECKING:
    from tools.client import AsyncNodeClient

GAS_MARGIN_PERCENT = 10  # on top of a dry run: the state may have changed until the block
DRY_RUN_GAS_MIN = 1_000_000  # who cannot pay even this is told so
CHANGEABLE = (Rule.FEE, Rule.GAS_LIMIT)  # what governance can make of a transaction that was right before


@dataclass(frozen=True)
class ChainFacts:
    """What a signer must know of a chain."""

    genesis_hash: Hash
    prefix: str
    fees: FeeParams
    transaction_gas_max: int

    @classmethod
    def of(cls, status: Mapping[str, Any]) -> ChainFacts:
        """As a node's status says."""
        return cls(
            genesis_hash=Hash(bytes.fromhex(status["genesis_hash"])),
            prefix=status["address_prefix"],
            fees=FeeParams(units=status["fee_units"], per_gas=status["fee_per_gas"]),
            transaction_gas_max=status["transaction_gas_max"],
        )


class Signing:
    """An account on a chain, and its way there as steps, which the two senders below perform.

    Counts its nonce, so that transactions may follow each other unawaited.
    """

    def __init__(self, url: str, key: SigningKey, chain: ChainFacts) -> None:
        self.key = key
        self.account = AccountId(key.public_key)
        self.chain = chain
        self.nonce = 0
        self._do = Operations(Node.at(url))

    @property
    def address(self) -> str:
        """The account's, bech32m with the chain's prefix."""
        return encode_address(self.account, self.chain.prefix)

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

    def _next_nonce(self) -> Steps[int]:
        info = yield from self._do.query("accounts", "info", None, {"account": self.address})
        return int(info["nonce"])

    def _dry_run(
        self, calls: Sequence[Call], gas_limit: int | None, nonce: int | None, terms: Mapping[str, Any]
    ) -> Steps[dict[str, Any]]:
        if nonce is None:
            nonce = yield from self._next_nonce()
        limit, is_fresh = gas_limit, False
        while True:
            tried = self.chain.transaction_gas_max if limit is None else limit
            try:
                return (yield from self._do.simulate(self.build(calls, gas_limit=tried, nonce=nonce, **terms)))
            except NodeError as error:
                if error.rule in CHANGEABLE and not is_fresh:
                    yield from self._refresh()
                    is_fresh = True
                    continue
                if gas_limit is not None or error.rule not in (Rule.FUNDS, Rule.FEE) or tried < 2 * DRY_RUN_GAS_MIN:
                    raise
                limit = tried // 2

    def _send(self, calls: Sequence[Call], gas_limit: int | None, terms: Mapping[str, Any]) -> Steps[str]:
        if gas_limit is None:
            outcome = yield from self._dry_run(calls, None, None, {})
            gas_limit = with_margin(outcome["gas_used"])
        try:
            sent = yield from self._do.submit(self.build(calls, gas_limit=gas_limit, **terms))
        except NodeError as error:
            if error.rule != Rule.FEE or terms.get("max_fee") is not None:
                raise
            yield from self._refresh()
            sent = yield from self._do.submit(self.build(calls, gas_limit=gas_limit, **terms))
        self.nonce += 1
        return sent

    def _refresh(self) -> Steps[None]:
        """The chain may have changed prices and bounds since it was asked for them."""
        self.chain = ChainFacts.of((yield from self._do.status()))


class Sender(Signing):
    """One account's way onto a chain, over a NodeClient. Whatever asks the node raises NodeError."""

    def __init__(self, client: NodeClient, key: SigningKey) -> None:
        super().__init__(client.url, key, ChainFacts.of(client.status()))
        self.client = client
        self.nonce = self.next_nonce()

    def next_nonce(self) -> int:
        """The account's next nonce in the node's present state."""
        return self.client.run(self._next_nonce())

    def dry_run(
        self, calls: Sequence[Call], *, gas_limit: int | None = None, nonce: int | None = None, **terms: Any
    ) -> dict[str, Any]:
        """What the calls would do in the next block: succeeds, gas_used, fee, events, error.

        nonce: the account's in the node's state, if None, whatever else is on its way. gas_limit: if None, all that
        a block has, or as much of it as the account can pay and the max fee allows. terms: as those of `build`.
        """
        return self.client.run(self._dry_run(calls, gas_limit, nonce, terms))

    def send(self, calls: Sequence[Call], *, gas_limit: int | None = None, **terms: Any) -> str:
        """Sign and submit; the gas limit is a dry run's gas and a margin, if None. Returns the hash in hex."""
        return self.client.run(self._send(calls, gas_limit, terms))


class AsyncSender(Signing):
    """One account's way onto a chain, over an AsyncNodeClient; made by `open`. As Sender, method by method."""

    @classmethod
    async def open(cls, client: AsyncNodeClient, key: SigningKey) -> AsyncSender:
        """Asks the node for the chain and the account's nonce."""
        sender = cls(client.url, key, ChainFacts.of(await client.status()))
        sender.client = client
        sender.nonce = await sender.next_nonce()
        return sender

    client: AsyncNodeClient

    async def next_nonce(self) -> int:
        """The account's next nonce in the node's present state."""
        return await self.client.run(self._next_nonce())

    async def dry_run(
        self, calls: Sequence[Call], *, gas_limit: int | None = None, nonce: int | None = None, **terms: Any
    ) -> dict[str, Any]:
        """As Sender.dry_run."""
        return await self.client.run(self._dry_run(calls, gas_limit, nonce, terms))

    async def send(self, calls: Sequence[Call], *, gas_limit: int | None = None, **terms: Any) -> str:
        """As Sender.send."""
        return await self.client.run(self._send(calls, gas_limit, terms))


def with_margin(gas: int) -> int:
    """A gas limit for calls that used `gas` in a dry run."""
    return gas + gas * GAS_MARGIN_PERCENT // 100
