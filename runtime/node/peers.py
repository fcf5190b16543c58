"""Consensus gossip: frames of peers become events of the consensus task, its messages become frames.

Rules. A node's own messages go to every peer at once. What a peer may have missed is sent again: all that is held of
the height when a peer connects, and every second in which nothing moves. A peer that is behind is told the certificate
of its height; the blocks it fetches itself. A frame that does not decode, or holds what cannot be, costs the
connection.
"""

from __future__ import annotations

from typing import Any, Final

import structlog
import trio

from runtime.codec import codec
from runtime.errors import CodecError, PeerError
from runtime.network.transport import Channel, ConnectionFailed, PeerConnected, PeerDisconnected, PeerId, Transport
from runtime.node.block_store import BlockStore
from runtime.node.consensus_parts import FromPeer
from runtime.node.consensus_task import ConsensusTask
from runtime.node.mempool_task import MempoolTask
from runtime.node.sync_task import SyncTask
from runtime.node.wire import (
    CertificateMessage,
    ConsensusMessage,
    FetchBlock,
    FoundBlock,
    NodeRequest,
    NodeResponse,
    PartMessage,
    StatusMessage,
)
from runtime.types import Hash

RESEND_S: Final = 1.0
FETCH_TIMEOUT_S: Final = 3.0


class PeerGossip:
    """The consensus side of the transport. `attach` names the tasks it serves before `run`."""

    def __init__(self, transport: Transport, store: BlockStore, log: Any = None) -> None:
        self._transport = transport
        self._store = store
        self._log = log or structlog.get_logger()
        self._turn = 0

    def attach(self, consensus: ConsensusTask, mempool: MempoolTask, sync: SyncTask) -> None:
        """Name the tasks that frames are handed to."""
        self._consensus, self._mempool, self._sync = consensus, mempool, sync

    async def run(self) -> None:
        """Serve until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read_events)
            nursery.start_soon(self._read_messages)
            nursery.start_soon(self._read_parts)
            nursery.start_soon(self._resend)

    # --- out --------------------------------------------------------------------------------------------------------

    def broadcast(self, message: ConsensusMessage) -> None:
        """As Outside."""
        self._transport.broadcast(Channel.CONSENSUS, codec(ConsensusMessage).encode(message))

    def broadcast_part(self, message: PartMessage) -> None:
        """As Outside."""
        self._transport.broadcast(Channel.BLOCK_PARTS, codec(PartMessage).encode(message))

    def announce(self) -> None:
        """Tell everyone where this node stands."""
        self.broadcast(StatusMessage(self._consensus.tip.height))

    def blame(self, peer: str, reason: str) -> None:
        """As Outside: the peer is logged and disconnected. reason: its first 200 characters are sent."""
        self._log.warning("peer broke the protocol", peer=peer, reason=reason)
        self._transport.disconnect(PeerId(peer), reason[:200])

    async def fetch_block(self, height: int, block_id: Hash) -> bytes | None:
        """Ask one peer, another one each time."""
        peers = sorted(self._transport.peers())
        if not peers:
            return None
        self._turn += 1
        peer = peers[self._turn % len(peers)]
        try:
            request = codec(NodeRequest).encode(FetchBlock(height, block_id))
            answer = codec(NodeResponse).decode(await self._transport.request(peer, request, FETCH_TIMEOUT_S))
        except CodecError as error:
            self.blame(peer, f"answered with what is no answer: {error}")
            return None
        except PeerError:
            return None
        return answer.block if isinstance(answer, FoundBlock) else None

    def _send(self, peer: PeerId, message: ConsensusMessage) -> None:
        self._transport.send(peer, Channel.CONSENSUS, codec(ConsensusMessage).encode(message))

    # --- in ---------------------------------------------------------------------------------------------------------

    async def _read_events(self) -> None:
        async for event in self._transport.events:
            match event:
                case PeerConnected(info):
                    self._log.info("peer connected", peer=info.peer_id, peer_height=info.handshake.height)
                    self._mempool.joined(info.peer_id)
                    self._sync.peer_at(info.peer_id, info.handshake.height)
                    self._send(info.peer_id, StatusMessage(self._consensus.tip.height))
                    for message in self._consensus.held_messages():
                        self._send(info.peer_id, message)
                case PeerDisconnected(peer, reason):
                    self._log.info("peer disconnected", peer=peer, reason=reason)
                    self._mempool.left(peer)
                    self._sync.peer_left(peer)
                case ConnectionFailed(_, address, reason):
                    self._log.debug("connection failed", address=address, reason=reason)

    async def _read_messages(self) -> None:
        async for received in self._transport.incoming(Channel.CONSENSUS):
            try:
                message: ConsensusMessage = codec(ConsensusMessage).decode(received.payload)
            except CodecError as error:
                self.blame(received.peer_id, f"sent a consensus message that is none: {error}")
                continue
            if isinstance(message, StatusMessage):
                self._on_status(received.peer_id, message.height)
            else:
                await self._consensus.inbox.send(FromPeer(received.peer_id, message))

    async def _read_parts(self) -> None:
        async for received in self._transport.incoming(Channel.BLOCK_PARTS):
            try:
                part: PartMessage = codec(PartMessage).decode(received.payload)
            except CodecError as error:
                self.blame(received.peer_id, f"sent a block part that is none: {error}")
                continue
            await self._consensus.inbox.send(FromPeer(received.peer_id, part))

    def _on_status(self, peer: PeerId, height: int) -> None:
        self._sync.peer_at(peer, height)
        tip = self._consensus.tip.height
        if height < tip:
            certificate = self._store.certificate(height + 1)
            if certificate is not None:
                self._send(peer, CertificateMessage(certificate))

    async def _resend(self) -> None:
        before = self._consensus.progress
        while True:
            await trio.sleep(RESEND_S)
            self.announce()
            now = self._consensus.progress
            if now == before:
                for message in self._consensus.held_messages():
                    self.broadcast(message)
            before = now
