"""The Transport over TCP, Noise and Yamux, as libp2p speaks them. This file keeps the table of links.

Rules:
- Whatever a connection's bytes cause ends that connection; only OurError leaves `run`.
- One link per peer. Of two, the one that the lower peer id dialled stays, unless the peer was restarted or dialled
  again itself: then it knows of no other, and the newer one stays.
- A link's going is announced before another of the same peer is.
- Connections that have not proved a peer id are few: when there are too many, the oldest is closed, so that idle ones
  cannot keep others out. Peers that are not configured share a limited allowance.
"""

from __future__ import annotations

import errno
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
import trio

from runtime.errors import OurError, PeerError
from runtime.network.addresses import PeerAddress
from runtime.network.dialling import Backoff, Bans
from runtime.network.errors import ConnectionLost, ListenError, PeerRefused, RefusedByPeer, RequestFailed
from runtime.network.framing import Kind, encode_frame
from runtime.network.hello import PROTOCOL_VERSION, Farewell, Hello, begin_as_dialer, begin_as_listener
from runtime.network.identity import NetworkKey
from runtime.network.limits import (
    BACKOFF_MAX_S,
    BANNED_S,
    DIAL_TIMEOUT_S,
    DIAL_YIELD_S,
    EVENTS_MAX,
    HALF_OPEN_MAX,
    REFUSED_RETRY_S,
    UPGRADE_TIMEOUT_S,
)
from runtime.network.link import Link
from runtime.network.transport import (
    Channel,
    ConnectionFailed,
    Handshake,
    PeerConnected,
    PeerDisconnected,
    PeerEvent,
    PeerId,
    PeerInfo,
    Received,
    RequestHandler,
)
from runtime.network.upgrade import Upgrader
from runtime.network.yamux import YamuxSession

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # libp2p brings stubs of trio that are older than trio.TaskStatus

_log = structlog.get_logger("armillary.network")


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """listen_port 0 takes any free port. peers are dialled until they answer; unknown_peers_max others may dial in."""

    key: NetworkKey
    listen_host: str
    listen_port: int
    peers: tuple[PeerAddress, ...] = ()
    unknown_peers_max: int = 16


@dataclass(frozen=True, eq=False)
class _Attempt:
    """One connection that is being made: to a configured peer, or from whoever dialled in."""

    tcp: trio.SocketStream
    address: str
    dialled: PeerId | None


class Libp2pTransport:
    """runtime.network.transport.Transport for real. `handshake` is called anew for each connection."""

    def __init__(self, config: NetworkConfig, *, handshake: Callable[[], Handshake], handler: RequestHandler) -> None:
        self._config = config
        self._handshake = handshake
        self._handler = handler
        self._upgrader = Upgrader(config.key)
        self._instance = secrets.randbits(64)
        self._known = {peer.peer_id for peer in config.peers}
        self._links: dict[PeerId, Link] = {}
        self._half_open: dict[_Attempt, trio.CancelScope] = {}
        self._not_dialled = Bans()
        self._banned = Bans()
        self._port: int | None = None
        self._scope = trio.CancelScope()
        self._fault: ExceptionGroup[OurError] | None = None
        self._event_sender, self._events = trio.open_memory_channel[PeerEvent](EVENTS_MAX)
        inboxes = {c: trio.open_memory_channel[Received](c.bounds.inbox_frames_max) for c in Channel}
        self._inbox_senders = {channel: sender for channel, (sender, _) in inboxes.items()}
        self._inboxes = {channel: receiver for channel, (_, receiver) in inboxes.items()}

    @property
    def peer_id(self) -> PeerId:
        """As Transport."""
        return self._config.key.peer_id

    @property
    def address(self) -> PeerAddress:
        """Where others dial this node, once `run` has started. The port is the real one. Raises OurError before."""
        if self._port is None:
            raise OurError("the transport does not listen yet")
        return PeerAddress.of(self._config.listen_host, self._port, self.peer_id)

    @property
    def events(self) -> trio.MemoryReceiveChannel[PeerEvent]:
        """As Transport. While nobody reads, failed connections are left out first."""
        return self._events

    def incoming(self, channel: Channel) -> trio.MemoryReceiveChannel[Received]:
        """As Transport."""
        return self._inboxes[channel]

    def peers(self) -> Mapping[PeerId, PeerInfo]:
        """As Transport."""
        return {peer_id: link.info for peer_id, link in self._links.items() if link.is_open}

    def send(self, peer_id: PeerId, channel: Channel, payload: bytes) -> bool:
        """As Transport."""
        frame = encode_frame(Kind.DATA, payload, channel.bounds.frame_bytes_max)
        link = self._links.get(peer_id)
        return link is not None and link.send(channel, frame)

    def broadcast(self, channel: Channel, payload: bytes) -> int:
        """As Transport."""
        frame = encode_frame(Kind.DATA, payload, channel.bounds.frame_bytes_max)
        return sum(link.send(channel, frame) for link in self._links.values())

    async def request(self, peer_id: PeerId, payload: bytes, timeout_s: float) -> bytes:
        """As Transport."""
        link = self._links.get(peer_id)
        if link is None or not link.is_open:
            raise RequestFailed(f"peer {peer_id} is not connected")
        return await link.request(payload, timeout_s)

    def disconnect(self, peer_id: PeerId, reason: str) -> None:
        """As Transport: it is neither dialled nor let in for BANNED_S."""
        link = self._links.get(peer_id)
        if link is not None and link.is_open:
            self._banned.ban(peer_id, BANNED_S)
            self._not_dialled.ban(peer_id, BANNED_S)
            link.close(reason, Farewell.REFUSED)

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """As Transport. Raises an exception group of the OurErrors that a request handler raised, too."""
        listeners = await self._listen()
        try:
            async with trio.open_nursery() as nursery:
                self._scope = nursery.cancel_scope
                for peer in self._config.peers:
                    if peer.peer_id != self.peer_id:
                        nursery.start_soon(self._keep_dialled, peer)
                task_status.started()
                await trio.serve_listeners(self._accept, listeners)
        finally:
            self._event_sender.close()
            for inbox in self._inbox_senders.values():
                inbox.close()
            if self._fault is not None:
                raise self._fault

    def _halt(self, fault: ExceptionGroup[OurError]) -> None:
        """Remembered rather than raised: on its way out, trio's listener would replace it by a Cancelled."""
        self._fault = fault
        self._scope.cancel()

    # Listening

    async def _listen(self) -> Sequence[trio.SocketListener]:
        """Without SO_REUSEPORT, so that a second node on the port is told."""
        host, port = self._config.listen_host, self._config.listen_port
        try:
            listeners = await trio.open_tcp_listeners(port, host=host)
        except OSError as error:
            busy = error.errno == errno.EADDRINUSE
            why = "another program listens there" if busy else error.strerror or str(error)
            raise ListenError(f"cannot listen on {host} port {port}: {why}") from error
        self._port = int(listeners[0].socket.getsockname()[1])
        return listeners

    async def _accept(self, tcp: trio.SocketStream) -> None:
        await self._contained(_Attempt(tcp, _address_of(tcp), None))

    # Dialling

    async def _keep_dialled(self, peer: PeerAddress) -> None:
        backoff = Backoff()
        while True:
            while (link := self._links.get(peer.peer_id)) is not None:
                await link.ended.wait()
            await trio.sleep(self._not_dialled.remaining_s(peer.peer_id))
            if self.peer_id > peer.peer_id:
                await trio.sleep(DIAL_YIELD_S)
            if peer.peer_id in self._links:
                continue
            began = trio.current_time()
            await self._dial(peer)
            if trio.current_time() - began > BACKOFF_MAX_S:
                backoff.reset()
            await trio.sleep(backoff.next())

    async def _dial(self, peer: PeerAddress) -> None:
        """One attempt, to the end of the link that comes of it."""
        try:
            with trio.fail_after(DIAL_TIMEOUT_S):
                tcp = await trio.open_tcp_stream(peer.host, peer.port)
        except (OSError, trio.TooSlowError) as error:
            self._report_failure(peer.peer_id, str(peer), f"cannot be reached: {error or 'no answer'}")
            return
        await self._contained(_Attempt(tcp, str(peer), peer.peer_id))

    # A connection's life

    async def _contained(self, attempt: _Attempt) -> None:
        """Serve a connection. Nothing leaves this but cancellation; an OurError makes `run` end and raise it."""
        try:
            async with trio.open_nursery() as nursery:
                await self._serve(await self._establish(attempt, nursery))
                nursery.cancel_scope.cancel()
        except* OurError as group:
            self._halt(group)
        except* PeerError as group:
            error = _leaves(group)[0]
            if attempt.dialled is not None and isinstance(error, (PeerRefused, RefusedByPeer)):
                self._not_dialled.ban(attempt.dialled, error.retry_after_s)
            self._report_failure(attempt.dialled, attempt.address, str(error))
        except* Exception as group:  # noqa: BLE001 - no fault that a peer's bytes bring out may stop the node
            _log.error("connection broke", address=attempt.address, exc_info=group)
            self._report_failure(attempt.dialled, attempt.address, f"internal error: {_leaves(group)[0]!r}"[:200])
        finally:
            await trio.aclose_forcefully(attempt.tcp)

    async def _establish(self, attempt: _Attempt, nursery: trio.Nursery) -> Link:
        """Handshakes, up to a link that is not registered yet. Raises PeerError."""
        hello = Hello(version=PROTOCOL_VERSION, instance=self._instance, handshake=self._handshake())
        with self._half_open_slot(attempt):
            peer_id, session = await self._upgrade(attempt)
            nursery.start_soon(session.run)
            begin = begin_as_listener if attempt.dialled is None else begin_as_dialer
            theirs, streams = await begin(session, hello, lambda: self._check_room(peer_id))
        info = PeerInfo(
            peer_id=peer_id,
            address=attempt.address,
            known=peer_id in self._known,
            dialled=attempt.dialled is not None,
            handshake=theirs.handshake,
        )
        return Link(session, streams, theirs, info, self._inbox_senders, self._handler)

    async def _upgrade(self, attempt: _Attempt) -> tuple[PeerId, YamuxSession]:
        if attempt.dialled is None:
            return await self._upgrader.inbound(attempt.tcp, self._check_welcome)
        return attempt.dialled, await self._upgrader.outbound(attempt.tcp, attempt.dialled)

    async def _serve(self, link: Link) -> None:
        """A link's life in the table. Raises PeerRefused if another of the same peer stays."""
        peer_id = link.info.peer_id
        await self._register(link)
        try:
            await self._event_sender.send(PeerConnected(link.info))
            await link.run()
            self._not_dialled.ban(peer_id, link.retry_after_s)
            await self._event_sender.send(PeerDisconnected(peer_id, link.reason or ""))
        finally:
            del self._links[peer_id]
            link.ended.set()

    async def _register(self, link: Link) -> None:
        peer_id = link.info.peer_id
        while (rival := self._links.get(peer_id)) is not None:
            if rival.is_open and not self._displaces(link, rival):
                await link.decline("another connection of ours is kept", Farewell.DUPLICATE)
            rival.close("replaced by a newer connection", Farewell.DUPLICATE)
            await rival.ended.wait()
        self._check_room(peer_id)
        self._links[peer_id] = link

    def _displaces(self, new: Link, old: Link) -> bool:
        if new.instance != old.instance or new.info.dialled == old.info.dialled:
            return True
        return new.info.dialled == (self.peer_id < new.info.peer_id)  # whether the lower one dialled

    def _check_welcome(self, peer_id: PeerId) -> None:
        if peer_id == self.peer_id:
            raise PeerRefused("this node itself")
        if self._banned.remaining_s(peer_id):
            raise PeerRefused(f"peer {peer_id} was disconnected and is kept away for {BANNED_S:g} s")

    def _check_room(self, peer_id: PeerId) -> None:
        if peer_id in self._known or peer_id in self._links:
            return
        unknown = sum(not link.info.known for link in self._links.values())
        if unknown >= self._config.unknown_peers_max:
            raise PeerRefused("no room for peers that are not configured", REFUSED_RETRY_S)

    @contextmanager
    def _half_open_slot(self, attempt: _Attempt) -> Iterator[None]:
        """A deadline for the handshakes; of too many inbound ones the oldest is given up."""
        scope = trio.CancelScope(deadline=trio.current_time() + UPGRADE_TIMEOUT_S)
        if attempt.dialled is None:
            self._half_open[attempt] = scope
            if len(self._half_open) > HALF_OPEN_MAX:
                self._half_open.pop(next(iter(self._half_open))).cancel()
        try:
            with scope:
                yield
        finally:
            self._half_open.pop(attempt, None)
        if scope.cancelled_caught:
            raise ConnectionLost("the handshake took too long")

    def _report_failure(self, peer_id: PeerId | None, address: str, reason: str) -> None:
        # Strangers can cause any number of these: they never hold anything up.
        with suppress(trio.WouldBlock, trio.ClosedResourceError, trio.BrokenResourceError):
            self._event_sender.send_nowait(ConnectionFailed(peer_id, address, reason))


def _address_of(tcp: trio.SocketStream) -> str:
    try:
        host, port = tcp.socket.getpeername()[:2]
    except OSError:
        return "unknown"
    return f"/{'ip6' if ':' in host else 'ip4'}/{host}/tcp/{port}"


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]
