"""From a TCP connection to an authenticated session of Yamux streams, as libp2p does it. The only importer of libp2p.

Taken from libp2p: multistream-select, the Noise handshake and its encryption, keys and peer ids. Not taken: its host
and swarm, its listener and its Yamux; docs/adr/002 says why. Whatever libp2p raises on a peer's bytes becomes a
PeerError here, and none of its types leaves this file.

Bounds: no more than UPGRADE_BYTES_MAX are read before the peer has proved its id; no more than NEGOTIATION_BYTES_MAX
are read as one message of a negotiation (libp2p's own reader believes any length).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol, TypeVar

import trio
from libp2p.abc import IMultiselectCommunicator
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.io.abc import ReadWriteCloser
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID
from libp2p.protocol_muxer.exceptions import MultiselectCommunicatorError
from libp2p.protocol_muxer.multiselect import MULTISELECT_PROTOCOL_ID, Multiselect
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise

from runtime.network.errors import ConnectionLost, ProtocolViolation
from runtime.network.identity import NetworkKey
from runtime.network.limits import NEGOTIATION_BYTES_MAX, READ_BYTES, UPGRADE_BYTES_MAX, UPGRADE_TIMEOUT_S
from runtime.network.transport import PeerId
from runtime.network.yamux import YamuxSession

# libp2p reports each failed connection of a peer as an error of its own, on stderr where no handler is set.
_libp2p_log = logging.getLogger("libp2p")
_libp2p_log.addHandler(logging.NullHandler())
_libp2p_log.setLevel(logging.CRITICAL)

_YAMUX = TProtocol("/yamux/1.0.0")
_T = TypeVar("_T")


class ByteStream(Protocol):
    """What of a connection libp2p's handshakes are given. Both methods raise ConnectionLost."""

    async def read(self, size_max: int) -> bytes:
        """At most `size_max` bytes, as many as came; b"" at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Returns once all of it was handed to the connection."""
        ...


class Upgrader:
    """Makes sessions in the name of one network key."""

    def __init__(self, key: NetworkKey) -> None:
        self._noise = Noise(create_new_key_pair(key.seed), noise_privkey=create_noise_key_pair().private_key)

    async def inbound(self, tcp: trio.SocketStream, admit: Callable[[PeerId], None]) -> tuple[PeerId, YamuxSession]:
        """The listener's side. `admit` raises PeerRefused as soon as the peer has proved its id. Raises PeerError."""
        socket = _Socket(tcp)
        raw = RawConnection(socket, initiator=False)
        await negotiate(socket, [NOISE])
        secured = await _foreign("the Noise handshake", lambda: self._noise.secure_inbound(raw))
        peer_id = PeerId(secured.get_remote_peer().to_base58())
        admit(peer_id)
        socket.lift_allowance()
        channel = _NoiseChannel(secured)
        await negotiate(channel, [_YAMUX])
        return peer_id, YamuxSession(channel, is_dialer=False, accepts=True)

    async def outbound(self, tcp: trio.SocketStream, peer_id: PeerId) -> YamuxSession:
        """The dialer's side. Raises PeerError, also if another peer answers."""
        socket = _Socket(tcp)
        raw = RawConnection(socket, initiator=True)
        await propose(socket, NOISE)
        await confirm(socket, NOISE)
        expected = ID.from_base58(peer_id)
        secured = await _foreign("the Noise handshake", lambda: self._noise.secure_outbound(raw, expected))
        socket.lift_allowance()
        channel = _NoiseChannel(secured)
        await propose(channel, _YAMUX)
        await confirm(channel, _YAMUX)
        return YamuxSession(channel, is_dialer=True, accepts=False)


async def negotiate(stream: ByteStream, protocols: Iterable[str]) -> str:
    """The listener's side of multistream-select: let the dialer choose one of `protocols`. Raises PeerError."""
    table: dict[Any, Any] = {TProtocol(protocol): None for protocol in protocols}
    messages = _Messages(stream)
    chosen, _ = await _foreign("multistream-select", lambda: Multiselect(table).negotiate(messages, _TIMEOUT))
    return str(chosen)


async def propose(stream: ByteStream, protocol: str) -> None:
    """The dialer's side: say what it wants, without waiting for the listener's greeting. Raises ConnectionLost."""
    await stream.write(_message(MULTISELECT_PROTOCOL_ID) + _message(protocol))


async def confirm(stream: ByteStream, protocol: str) -> None:
    """The listener agrees to what was proposed. Raises PeerError."""
    messages = _Messages(stream)
    for expected in (MULTISELECT_PROTOCOL_ID, protocol):
        answer = await _foreign("multistream-select", messages.read)
        if answer != expected:
            raise ProtocolViolation(f"{answer[:40]!r} in answer to {protocol!r}")


_TIMEOUT = int(UPGRADE_TIMEOUT_S)


async def _foreign(what: str, step: Callable[[], Awaitable[_T]]) -> _T:
    """Run libp2p's code on a peer's bytes: whatever it raises is the peer's fault and ends this connection."""
    try:
        return await step()
    except (ConnectionLost, ProtocolViolation):
        raise
    except Exception as error:
        raise ProtocolViolation(f"{what} failed: {_describe(error)}") from error


def _describe(error: BaseException) -> str:
    """One line of the innermost cause: libp2p wraps errors without a message."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}"[:200]


class _Socket(ReadWriteCloser):
    """libp2p's view of a TCP connection, read in large pieces, with an allowance until the peer is known."""

    def __init__(self, tcp: trio.SocketStream) -> None:
        self._tcp = tcp
        self._buffer = bytearray()
        self._allowance: int | None = UPGRADE_BYTES_MAX

    def lift_allowance(self) -> None:
        self._allowance = None

    async def read(self, n: int | None = None) -> bytes:
        if not self._buffer and n != 0:
            self._buffer += await self._receive()
        size = len(self._buffer) if n is None else min(n, len(self._buffer))
        if self._allowance is not None:
            self._allowance -= size
            if self._allowance < 0:
                raise ProtocolViolation(f"over {UPGRADE_BYTES_MAX} bytes before the handshake was complete")
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    async def _receive(self) -> bytes:
        try:
            data = await self._tcp.receive_some(READ_BYTES)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionLost("the connection was reset") from error
        if not data:
            raise ConnectionLost("the connection was closed")
        return bytes(data)

    async def write(self, data: bytes) -> None:
        try:
            await self._tcp.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionLost("the connection was reset") from error

    async def close(self) -> None:
        await self._tcp.aclose()

    def get_remote_address(self) -> tuple[str, int] | None:
        return None  # asked for by libp2p's swarm only


class _NoiseChannel:
    """libp2p's Noise session as a SecureChannel, and as a ByteStream for the last negotiation."""

    def __init__(self, session: Any) -> None:
        self._session = session

    async def receive(self) -> bytes:
        try:
            return bytes(await _foreign("Noise", lambda: self._session.read(None)))
        except ConnectionLost as lost:
            if lost.__cause__ is None:
                return b""
            raise

    async def read(self, size_max: int) -> bytes:
        return bytes(await _foreign("Noise", lambda: self._session.read(size_max)))

    async def send(self, data: bytes) -> None:
        await _foreign("Noise", lambda: self._session.write(data))

    async def write(self, data: bytes) -> None:
        await self.send(data)

    async def aclose(self) -> None:
        await self._session.close()


class _Messages(IMultiselectCommunicator):
    """Messages of multistream-select: a length of one or two bytes, ASCII, a line feed.

    https://github.com/multiformats/multistream-select. It reads not one byte further, for the next protocol's sake.
    """

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    async def write(self, msg_str: str) -> None:
        await self._stream.write(_message(msg_str))

    async def read(self) -> str:
        size = await self._length()
        if not 0 < size <= NEGOTIATION_BYTES_MAX:
            raise MultiselectCommunicatorError(f"a message of {size} bytes; 1 to {NEGOTIATION_BYTES_MAX} are allowed")
        message = await self._exactly(size)
        if not message.isascii() or not message.endswith(b"\n"):
            raise MultiselectCommunicatorError("a message that is not ASCII ended by a line feed")
        return message[:-1].decode("ascii")

    async def _length(self) -> int:
        low = (await self._exactly(1))[0]
        if low < 0x80:
            return low
        return low & 0x7F | (await self._exactly(1))[0] << 7

    async def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = await self._stream.read(size - len(data))
            if not piece:
                raise ConnectionLost("the stream ended during a negotiation")
            data += piece
        return data


def _message(text: str) -> bytes:
    message = text.encode("ascii") + b"\n"
    if len(message) >= 0x80:
        raise MultiselectCommunicatorError("a message too long for a length of one byte")
    return bytes([len(message)]) + message
