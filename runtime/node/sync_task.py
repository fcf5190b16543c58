"""Performs what block sync asks for, and hands verified blocks to the consensus task."""

from __future__ import annotations

from typing import Any, Final

import structlog
import trio

from runtime.codec import codec
from runtime.consensus import Block, Parent, check_block, decode_block, verify_commit
from runtime.errors import CodecError, PeerError
from runtime.network.transport import PeerId, Transport
from runtime.node.consensus_parts import Decision
from runtime.node.consensus_task import ConsensusTask
from runtime.node.flight import WholeBlock
from runtime.node.wire import NodeRequest, NodeResponse
from runtime.sync import Ban, BlocksRequest, BlocksResponse, BlockSync, Request, SyncedBlock, SyncEffect

POLL_S: Final = 0.1
REQUEST_TIMEOUT_S: Final = 5.0


class SyncTask:
    """Owns the BlockSync of a node. `attach` names the consensus task before `run`."""

    def __init__(self, height: int, transport: Transport, log: Any = None) -> None:
        self._sync = BlockSync(height)
        self._transport = transport
        self._log = log or structlog.get_logger()
        self._nursery: trio.Nursery | None = None

    def attach(self, consensus: ConsensusTask) -> None:
        """The consensus task is woken when blocks come in."""
        self._consensus = consensus

    async def run(self) -> None:
        """Serve until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            while True:
                self._perform(self._sync.poll(self._now_ms()))
                await trio.sleep(POLL_S)

    def peer_at(self, peer: PeerId, height: int) -> None:
        """A peer says that its last decided block is of this height."""
        self._sync.peer_at(peer, height)

    def peer_left(self, peer: PeerId) -> None:
        """Nothing is asked of it any more."""
        self._sync.peer_left(peer)

    def applied(self, height: int) -> None:
        """This node's last block is of this height, whoever it came from; ask for what comes after."""
        self._sync.applied(height)
        self._perform(self._sync.poll(self._now_ms()))

    def behind(self) -> int:
        """By how many blocks peers are ahead; 0 where none is."""
        return self._sync.behind(self._now_ms())

    def next_block(self, parent: Parent) -> Decision | None:
        """The block after `parent`, fully checked but for its roots; a liar is banned on the way."""
        verified: list[Block] = []

        def verify(item: SyncedBlock) -> None:
            block = decode_block(item.block)
            genesis_hash, validators = parent.genesis_hash, parent.validators
            verify_commit(block.header, item.certificate, genesis_hash=genesis_hash, validators=validators)
            check_block(block, parent)
            verified.append(block)

        item, effects = self._sync.next_block(verify)
        self._perform(effects)
        if item is None:
            return None
        return Decision(WholeBlock(verified[0], item.block, verified[0].id), item.certificate, synced=True)

    def _perform(self, effects: list[SyncEffect]) -> None:
        for effect in effects:
            if isinstance(effect, Ban):
                self._log.warning("peer lied", peer=effect.peer, reason=effect.reason)
                self._transport.disconnect(PeerId(effect.peer), effect.reason[:200])
            elif self._nursery is not None:
                self._nursery.start_soon(self._ask, effect)
            else:
                self._perform(self._sync.failed(effect, self._now_ms()))

    async def _ask(self, request: Request) -> None:
        peer = PeerId(request.peer)
        try:
            encoded = codec(NodeRequest).encode(BlocksRequest(request.height, request.count))
            answer = codec(NodeResponse).decode(await self._transport.request(peer, encoded, REQUEST_TIMEOUT_S))
        except (CodecError, PeerError) as error:
            self._log.debug("blocks not answered", peer=peer, reason=str(error))
            self._perform(self._sync.failed(request, self._now_ms()))
            return
        if isinstance(answer, BlocksResponse):
            self._perform(self._sync.responded(request, answer, self._now_ms()))
        else:
            self._perform(self._sync.failed(request, self._now_ms()))
        self._consensus.wake()

    @staticmethod
    def _now_ms() -> int:
        return int(trio.current_time() * 1000)
