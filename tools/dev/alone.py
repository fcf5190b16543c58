"""A network of one: the Transport of a node that has no peers, so that a dev chain starts without libp2p and opens no
port for others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import trio

from runtime.network.errors import RequestFailed
from runtime.network.transport import Channel, PeerEvent, PeerId, PeerInfo, Received

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # libp2p brings stubs of trio that are older than trio.TaskStatus


class Alone:
    """runtime.network.transport.Transport without anybody."""

    def __init__(self, peer_id: PeerId) -> None:
        self._peer_id = peer_id
        self._event_sender, self._events = trio.open_memory_channel[PeerEvent](1)
        inboxes = {channel: trio.open_memory_channel[Received](1) for channel in Channel}
        self._senders = {channel: sender for channel, (sender, _) in inboxes.items()}
        self._inboxes = {channel: receiver for channel, (_, receiver) in inboxes.items()}

    @property
    def peer_id(self) -> PeerId:
        """As Transport."""
        return self._peer_id

    def peers(self) -> Mapping[PeerId, PeerInfo]:
        """As Transport: nobody."""
        return {}

    def send(self, peer_id: PeerId, channel: Channel, payload: bytes) -> bool:
        """As Transport."""
        return False

    def broadcast(self, channel: Channel, payload: bytes) -> int:
        """As Transport."""
        return 0

    def incoming(self, channel: Channel) -> trio.MemoryReceiveChannel[Received]:
        """As Transport."""
        return self._inboxes[channel]

    @property
    def events(self) -> trio.MemoryReceiveChannel[PeerEvent]:
        """As Transport: nothing comes."""
        return self._events

    async def request(self, peer_id: PeerId, payload: bytes, timeout_s: float) -> bytes:
        """As Transport."""
        raise RequestFailed("this node has no peers")

    def disconnect(self, peer_id: PeerId, reason: str) -> None:
        """As Transport."""

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """As Transport."""
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            self._event_sender.close()
            for sender in self._senders.values():
                sender.close()
