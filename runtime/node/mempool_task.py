"""Transactions in and out: checks what peers and clients send, tells the pool, gossips, re-checks after each block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final

import structlog
import trio

from runtime.codec import codec
from runtime.errors import CallerError, CodecError
from runtime.execution.errors import InvalidTransaction
from runtime.mempool import Added, Checked, Gossip, Mempool, MempoolMessage, Misbehaved, Offer, Rule, Send
from runtime.mempool.gossip import Effect
from runtime.network.transport import Channel, PeerId, Transport
from runtime.node.application import STATE_RULES, ChainApplication, check, next_nonces, recheck, wire_hash
from runtime.node.consensus_parts import AppliedBlock
from runtime.node.consensus_task import ConsensusTask
from runtime.node.mempool_journal import MempoolJournal
from runtime.node.metrics import NodeMetrics
from runtime.types import Hash

FLUSH_S: Final = 0.01
TICK_S: Final = 0.5
RECHECKS_PER_BLOCK_MAX: Final = 64  # about 10 ms of the event loop
CHECKS_AT_ONCE_MAX: Final = 8
CAME_FORGOTTEN_MAX: Final = 1024  # moments kept of transactions that left the pool otherwise than in a block


class TransactionRefused(CallerError):
    """A transaction cannot wait here. `rule` is a stable word."""

    def __init__(self, rule: str, reason: str) -> None:
        self.rule = rule
        self.reason = reason
        super().__init__(f"transaction refused: {reason}")


class MempoolTask:
    """Owns the gossip around the pool. `attach` names the consensus task before `run`. added: is told of each
    transaction that waits from now on."""

    def __init__(
        self,
        app: ChainApplication,
        pool: Mempool,
        journal: MempoolJournal,
        transport: Transport,
        metrics: NodeMetrics,
        added: Callable[[bytes], None],
        log: Any = None,
    ) -> None:
        self.pool = pool
        self._tell_added = added
        self._journal = journal
        self._metrics = metrics
        self._came_s: dict[Hash, float] = {}
        self._app = app
        self._transport = transport
        self._gossip = Gossip(pool, wire_hash)
        self._flush_wanted = trio.Event()
        self._log = log or structlog.get_logger()

    def attach(self, consensus: ConsensusTask) -> None:
        """The consensus task is woken when a transaction comes in."""
        self._consensus = consensus

    async def run(self) -> None:
        """Serve until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep)
            nursery.start_soon(self._read)
            nursery.start_soon(self._flush)
            nursery.start_soon(self._tick)

    async def submit(self, data: bytes) -> Hash:
        """A client's transaction; its name. On return this node does not forget it, whatever happens to its process.

        Raises InvalidTransaction, TransactionRefused or JournalUnwritable.
        """
        checked = self.admit(data)
        if not self.pool.was_committed(checked.hash):
            await self._journal.keep(checked.hash, data)
        return checked.transaction

    def admit(self, data: bytes) -> Checked:
        """The same in memory only. One that waits already or is in a block is fine. Raises InvalidTransaction,
        TransactionRefused."""
        checked = check(self._app, data)
        answer = self.pool.add(checked)
        if isinstance(answer, Added):
            self._added(answer, data)
        elif answer.rule not in (Rule.DUPLICATE, Rule.COMMITTED):
            raise TransactionRefused(answer.rule.value, answer.reason)
        return checked

    def joined(self, peer: PeerId) -> None:
        """A peer connected: what waits here is announced to it."""
        self._gossip.joined(peer)
        self._want_flush()

    def left(self, peer: PeerId) -> None:
        """A peer is gone: what was asked of it is asked of the next announcer."""
        self._perform(self._gossip.left(peer, self._now_ms()))

    def applied(self, block: AppliedBlock) -> None:
        """A block is part of the chain: what it holds leaves, what it made invalid leaves too."""
        moved = next_nonces(self._app, block.whole.block.transactions)
        hashes = tuple(map(wire_hash, block.whole.block.transactions))
        self.pool.committed(hashes, block.tip.height, moved)
        self._time(hashes)
        for hash_, rejected in self.pool.recheck(partial(recheck, self._app), RECHECKS_PER_BLOCK_MAX):
            self._log.debug("transaction left", hash=hash_.hex(), reason=rejected.reason)
        limits = self.pool.limits
        room, room_bytes = limits.transactions_max - len(self.pool), limits.bytes_max - self.pool.bytes
        self._perform(self._gossip.retry(room, room_bytes, self._now_ms()))

    def _time(self, final: Sequence[Hash]) -> None:
        now = trio.current_time()
        for hash_ in final:
            came = self._came_s.pop(hash_, None)
            if came is not None:
                self._metrics.final(now - came)
        if len(self._came_s) > 2 * len(self.pool) + CAME_FORGOTTEN_MAX:
            self._came_s = {hash_: came for hash_, came in self._came_s.items() if hash_ in self.pool}

    def _added(self, answer: Added, data: bytes) -> None:
        self._tell_added(data)
        self._came_s[answer.hash] = trio.current_time()
        self._gossip.added(answer.hash)
        self._want_flush()
        self._consensus.wake()

    def _want_flush(self) -> None:
        self._flush_wanted.set()

    async def _keep(self) -> None:
        """What an earlier run acknowledged comes first: the journal may forget what is not in the pool."""
        if self._journal.found:
            await self._take_all(self._journal.found)
            waiting = sum(wire_hash(data) in self.pool for data in self._journal.found)
            self._log.info("acknowledged transactions restored", found=len(self._journal.found), waiting=waiting)
            self._journal.found = ()
        await self._journal.run()

    async def _read(self) -> None:
        async for received in self._transport.incoming(Channel.TRANSACTIONS):
            try:
                message: MempoolMessage = codec(MempoolMessage).decode(received.payload)
            except CodecError as error:
                self._blame(received.peer_id, f"sent a transaction message that is none: {error}")
                continue
            for effect in self._gossip.received(received.peer_id, message, self._now_ms()):
                if isinstance(effect, Offer):
                    await self._take_all(effect.transactions, effect.peer)
                else:
                    self._perform([effect])
            await trio.lowlevel.checkpoint()

    async def _flush(self) -> None:
        """At once when idle, then at most every FLUSH_S: announcements gather meanwhile."""
        while True:
            await self._flush_wanted.wait()
            self._flush_wanted = trio.Event()
            self._perform(self._gossip.flush())
            await trio.sleep(FLUSH_S)

    async def _tick(self) -> None:
        while True:
            await trio.sleep(TICK_S)
            self._perform(self._gossip.tick(self._now_ms()))

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Misbehaved(peer, reason):
                    self._blame(PeerId(peer), reason)
                case Send(peer, message):
                    encoded = codec(MempoolMessage).encode(message)
                    self._transport.send(PeerId(peer), Channel.TRANSACTIONS, encoded)
                case Offer():
                    raise AssertionError("only messages of peers make offers, and those are taken where they are read")

    async def _take_all(self, transactions: Sequence[bytes], peer: str | None = None) -> None:
        """Check many transactions a few at a time: votes do not wait behind a megabyte of signatures."""
        for index, data in enumerate(transactions):
            self._take(data, peer)
            if index % CHECKS_AT_ONCE_MAX == CHECKS_AT_ONCE_MAX - 1:
                await trio.lowlevel.checkpoint()

    def _take(self, data: bytes, peer: str | None) -> None:
        """A peer's transaction, or one of an earlier run. A bad one is no fault of the peer: its state may be
        another."""
        try:
            answer = self.pool.add(check(self._app, data))
        except InvalidTransaction as error:
            if error.rule not in STATE_RULES:
                self._gossip.refused(wire_hash(data))
            self._log.debug("gossiped transaction refused", reason=str(error))
            return
        if isinstance(answer, Added):
            self._added(answer, data)
        elif answer.rule is Rule.POOL_FULL and peer is not None:
            self._gossip.crowded_out(peer, wire_hash(data), len(data))

    def _blame(self, peer: PeerId, reason: str) -> None:
        self._log.warning("peer broke the protocol", peer=peer, reason=reason)
        self._transport.disconnect(peer, reason[:200])

    @staticmethod
    def _now_ms() -> int:
        return int(trio.current_time() * 1000)
