"""What HTTP shows of a node: runtime.rpc's NodeApi over a running Node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import trio

from runtime.codec import codec
from runtime.consensus import Block, CommitCertificate, Header
from runtime.errors import CodecError
from runtime.execution import Application, UnknownQuery
from runtime.execution.errors import InvalidTransaction
from runtime.execution.transaction import Transaction
from runtime.mempool import Rule
from runtime.module import ModuleMetadata
from runtime.node.block_reader import BlockReader
from runtime.node.digest import program_version
from runtime.node.mempool_task import TransactionRefused
from runtime.node.node import Node
from runtime.node.proofs import Proofs
from runtime.rpc.accounts import with_addresses
from runtime.rpc.api import Busy, NotFound
from runtime.rpc.bounds import WAITING_MAX
from runtime.rpc.events import BlockEvents, EventFilter
from runtime.rpc.paging import Page
from runtime.rpc.values import Values
from runtime.rpc.views import (
    BlockSummary,
    BlockView,
    CertificateView,
    CommitSignatureView,
    EventMessage,
    HeaderView,
    ProvenQueryView,
    QueryView,
    RecordCertificateView,
    SimulationView,
    StatusView,
    SubmitView,
    TransactionStatus,
    TransactionView,
    ValidatorView,
)
from runtime.types import Hash

LONG_REQUESTS_MAX: Final = 2
LONG_REQUESTS_WAITING_MAX: Final = 64
FULL: Final = frozenset({Rule.POOL_FULL.value, Rule.SENDER_FULL.value})


T = TypeVar("T")


class RunningNodeApi:
    """Every method reads the committed state; long ones outside the event loop."""

    def __init__(self, node: Node, app: Application) -> None:
        self._node = node
        self._app = app
        self._values = Values(app)
        self._version = program_version()
        self._limiter = trio.CapacityLimiter(LONG_REQUESTS_MAX)
        self._proofs = Proofs(app, node.store)
        self._reader = BlockReader(node.store, self._values)
        self._reading = trio.Lock()  # who comes second finds what the first has read
        self._waiting = 0

    async def status(self) -> StatusView:
        """As NodeApi."""
        node, app, tip = self._node, self._app, self._node.consensus.tip
        signer = node.setup.signer
        key = None if signer is None else signer.public_key
        genesis, params = app.genesis, app.params()
        return StatusView(
            name=node.setup.name,
            version=self._version,
            runtime_digest=node.setup.runtime_digest,
            chain=genesis.chain,
            genesis_hash=app.genesis_hash,
            address_prefix=genesis.address_prefix,
            height=tip.height,
            block_id=tip.block_id,
            state_root=tip.state_root,
            time_ms=tip.time_ms,
            behind=node.behind(),
            round=node.consensus.round,
            peers=len(node.transport.peers()),
            peer_id=node.transport.peer_id,
            validator=key,
            voting=key is not None and key in tip.validators,
            validators=[ValidatorView(public_key=each.public_key, power=each.power) for each in tip.validators],
            mempool_transactions=len(node.pool),
            mempool_bytes=node.pool.bytes,
            oldest_height=app.store.oldest_height,
            fee_units=params.fee_units,
            fee_per_gas=params.fee_per_gas,
            block_gas_max=params.block_gas_max,
            transaction_gas_max=params.block_gas_max - app.composition.hook_gas,
        )

    @property
    def modules(self) -> Mapping[str, ModuleMetadata]:
        """As NodeApi."""
        return self._app.metadata

    @property
    def address_prefix(self) -> str:
        """As NodeApi."""
        return self._values.prefix

    async def submit(self, transaction: bytes) -> SubmitView:
        """As NodeApi. Busy where the pool or the sender's share of it is full."""
        try:
            return SubmitView(hash=await self._node.mempool.submit(transaction))
        except TransactionRefused as error:
            if error.rule in FULL:
                raise Busy(str(error)) from None
            raise
        except InvalidTransaction as error:
            raise self._with_addresses(error, transaction) from None

    async def simulate(self, transaction: bytes) -> SimulationView:
        """As NodeApi, on the last committed state; outside the event loop."""
        try:
            outcome = await self._outside(lambda: self._app.simulate(transaction))
        except InvalidTransaction as error:
            raise self._with_addresses(error, transaction) from None
        receipt = outcome.receipt
        return SimulationView(
            hash=receipt.transaction,
            height=self._node.consensus.tip.height + 1,
            succeeds=receipt.is_ok,
            gas_used=receipt.gas_used,
            fee=receipt.fee,
            events=[self._values.event(event) for event in receipt.events],
            error=self._values.error(receipt, outcome.explanation),
        )

    async def transaction(self, hash_: Hash, *, wait_ms: int) -> TransactionView:
        """As NodeApi."""
        waits = self._node.pool.find(hash_) is not None
        if waits and wait_ms > 0:
            waits = await self._pending(hash_, wait_ms / 1000)
        found = self._in_block(hash_)
        if found is not None:
            return found
        return TransactionView(hash=hash_, status=TransactionStatus.PENDING if waits else TransactionStatus.UNKNOWN)

    async def receipt(self, hash_: Hash) -> TransactionView:
        """As NodeApi."""
        found = self._in_block(hash_)
        if found is None:
            raise NotFound(f"transaction {hash_.hex()} is in no block of this node")
        return found

    async def block(self, height: int | None) -> BlockView:
        """As NodeApi."""
        at = self._node.consensus.tip.height if height is None else height
        encoded, certificate = self._node.store.encoded_block(at), self._node.store.certificate(at)
        if encoded is None or certificate is None:
            raise NotFound(f"there is no block {at} here: the last one is {self._node.consensus.tip.height}")
        block: Block = codec(Block).decode(encoded)
        return BlockView(
            height=at,
            block_id=certificate.block_id,
            header=_header(block.header),
            transactions=[self._app.prepare(data).hash for data in block.transactions],
            evidence=[piece.offender for piece in block.evidence],
            certificate=_certificate(certificate),
            bytes=len(encoded),
        )

    async def query(
        self, module: str, query: str, arguments: Mapping[str, str], *, height: int | None, prove: bool
    ) -> QueryView:
        """As NodeApi, outside the event loop."""
        try:
            info = self._app.query_info(module, query)
        except UnknownQuery as error:
            raise NotFound(str(error)) from None
        at = self._node.consensus.tip.height if height is None else height
        given = self._values.arguments(info, arguments)
        root = self._app.store.root_at(at)
        if prove:
            answer, proof = await self._outside(lambda: self._proofs.query(module, query, given, at))
            shown = self._values.answer(info, answer)
            return ProvenQueryView(height=at, state_root=root, result=shown, proof=proof.hex())
        answer = await self._outside(lambda: self._app.query(module, query, given, height=at))
        return QueryView(height=at, state_root=root, result=self._values.answer(info, answer))

    async def certificate(self, record: str) -> RecordCertificateView:
        """As NodeApi, outside the event loop."""
        key = int(record) if record.isascii() and record.isdigit() else None
        if key is None or key >= 1 << 64:
            raise NotFound(f"there is no record {record}: records are numbered from 0")
        height = self._node.consensus.tip.height
        certificate = await self._outside(lambda: self._proofs.decision(key, height))
        return RecordCertificateView(record=record, height=height, certificate=certificate.hex())

    async def _outside(self, work: Callable[[], T]) -> T:
        """Run something long outside the event loop, few at a time: requests never take what consensus needs."""
        if self._limiter.statistics().tasks_waiting >= LONG_REQUESTS_WAITING_MAX:
            raise Busy(f"{LONG_REQUESTS_WAITING_MAX} requests wait for this node already")
        async with self._limiter:
            return await self._node.setup.runner(work)

    def _in_block(self, hash_: Hash) -> TransactionView | None:
        location = self._node.store.location(hash_)
        if location is None:
            return None
        leaf = self._node.store.receipts(location.height)[location.index]
        return self._reader.transaction(leaf, location.height, location.index)

    async def _pending(self, hash_: Hash, wait_s: float) -> bool:
        """Wait while the transaction waits, for so long at most. Returns whether it still does."""
        if self._waiting >= WAITING_MAX:
            raise Busy(f"{WAITING_MAX} requests wait for a transaction already: ask again without wait_ms")
        self._waiting += 1
        try:
            with trio.move_on_after(wait_s):
                while self._node.pool.find(hash_) is not None:
                    await self._node.advanced.wait()
        finally:
            self._waiting -= 1
        return self._node.pool.find(hash_) is not None

    def _with_addresses(self, error: InvalidTransaction, transaction: bytes) -> InvalidTransaction:
        """The error with the accounts of its transaction as people write them."""
        try:
            body = codec(Transaction).decode(transaction).body
        except CodecError:
            return error
        accounts = [body.sender] if body.fee_payer is None else [body.sender, body.fee_payer]
        return InvalidTransaction(error.rule, with_addresses(error.reason, accounts, self._values.prefix))

    # --- lists and events -------------------------------------------------------------------------------------------

    async def blocks(self, below: int | None, limit: int) -> Page[BlockSummary]:
        """As NodeApi, outside the event loop."""
        tip = self._node.consensus.tip.height
        newest = tip if below is None else min(tip, below - 1)
        return await self._outside(lambda: self._reader.blocks(newest, limit))

    async def transactions(self, height: int, first: int, limit: int) -> Page[TransactionView]:
        """As NodeApi, outside the event loop."""
        return await self._outside(lambda: self._reader.transactions(height, first, limit))

    async def events(self, wanted: EventFilter, height: int, index: int, limit: int) -> Page[EventMessage]:
        """As NodeApi, outside the event loop."""
        tip = self._node.consensus.tip.height
        return await self._outside(lambda: self._reader.events_page(wanted, height, index, limit, tip))

    async def height(self) -> int:
        """As NodeApi."""
        return self._node.consensus.tip.height

    async def reached(self, height: int) -> None:
        """As NodeApi. A height far ahead is waited for until the caller is cancelled."""
        while self._node.consensus.tip.height < height:
            await self._node.advanced.wait()

    async def block_events(self, height: int) -> BlockEvents:
        """As NodeApi; one at a time, and no faster than the node bears where they are past."""
        async with self._reading:
            began = trio.current_time()
            found = await self._node.setup.runner(lambda: self._reader.events(height))
            if height < self._node.consensus.tip.height:  # the past leaves the node as much time as it takes
                await trio.sleep(trio.current_time() - began)
            return found


def _header(header: Header) -> HeaderView:
    return HeaderView(**{name: getattr(header, name) for name in Header.__struct_fields__})


def _certificate(certificate: CommitCertificate) -> CertificateView:
    return CertificateView(
        height=certificate.height,
        round=certificate.round,
        block_id=certificate.block_id,
        signatures=[
            CommitSignatureView(public_key=entry.public_key, signature=entry.signature)
            for entry in certificate.signatures
        ],
    )
