"""How a connection begins: the control stream, the two hellos, then the other streams.

1. The dialer opens the control stream. Both send a HELLO and read the other's; neither sends anything else before.
2. Each checks it: protocol version and genesis hash. Who refuses says GOODBYE with its reason and closes.
3. The dialer opens one stream for each channel and one for requests; the listener takes them and resets all others.
   Wide windows are granted on the streams that carry blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from runtime.codec import codec
from runtime.errors import CodecError, PeerError
from runtime.network.errors import ConnectionLost, PeerRefused, ProtocolViolation, RefusedByPeer
from runtime.network.framing import Frame, FrameReader, Kind, encode_frame
from runtime.network.limits import BULK_WINDOW_BYTES, GOODBYE_BYTES_MAX, HELLO_BYTES_MAX, REFUSED_RETRY_S
from runtime.network.transport import Channel, Handshake
from runtime.network.upgrade import confirm, negotiate, propose
from runtime.network.yamux import YamuxSession, YamuxStream
from runtime.types import U16, U64, Struct

PROTOCOL_VERSION: Final = 1
CONTROL: Final = "/armillary/control/1"
_REQUESTS: Final = "/armillary/requests/1"
_CHANNELS: Final = {f"/armillary/{channel.name.lower().replace('_', '-')}/1": channel for channel in Channel}
_LATER: Final = (*_CHANNELS, _REQUESTS)
_CONTROL_BOUNDS: Final = {Kind.HELLO: HELLO_BYTES_MAX, Kind.PING: 8, Kind.PONG: 8, Kind.GOODBYE: GOODBYE_BYTES_MAX}


class Hello(Struct):
    """instance: drawn when the node starts, so that a restarted peer is told from a second connection."""

    version: U16
    instance: U64
    handshake: Handshake


class Farewell(IntEnum):
    """The first byte of a GOODBYE: what the other end makes of it. The reason, for people, follows."""

    CLOSING = 0  # dial again
    DUPLICATE = 1  # another connection of these two peers is kept
    REFUSED = 2  # do not dial again soon


@dataclass(frozen=True)
class Streams:
    """What one connection consists of once both ends have said hello. control_frames: what follows the hello."""

    control: YamuxStream
    control_frames: FrameReader
    channels: dict[Channel, YamuxStream]
    requests: YamuxStream


Admit = Callable[[], None]
"""Asked once the peer's hello is in order; raises PeerRefused, whose reason the peer is told."""


async def begin_as_dialer(session: YamuxSession, hello: Hello, admit: Admit) -> tuple[Hello, Streams]:
    """Raises PeerError."""
    control = await session.open()
    await propose(control, CONTROL)
    await confirm(control, CONTROL)
    frames = FrameReader(control, _CONTROL_BOUNDS)
    theirs = await _exchange(control, frames, hello, admit)
    streams: dict[str, YamuxStream] = {}
    try:
        for protocol in _LATER:
            streams[protocol] = await session.open()
            await propose(streams[protocol], protocol)
        for protocol, stream in streams.items():
            await confirm(stream, protocol)
    except ConnectionLost as lost:
        raise await _explained(lost, frames) from lost
    return theirs, _assembled(control, frames, streams)


async def begin_as_listener(session: YamuxSession, hello: Hello, admit: Admit) -> tuple[Hello, Streams]:
    """Raises PeerError."""
    _, control = await _accepted(session, [CONTROL])
    frames = FrameReader(control, _CONTROL_BOUNDS)
    theirs = await _exchange(control, frames, hello, admit)
    wanted = list(_LATER)
    streams: dict[str, YamuxStream] = {}
    try:
        while wanted:
            protocol, stream = await _accepted(session, wanted)
            wanted.remove(protocol)
            streams[protocol] = stream
    except ConnectionLost as lost:
        raise await _explained(lost, frames) from lost
    session.accepts = False
    return theirs, _assembled(control, frames, streams)


async def _accepted(session: YamuxSession, wanted: list[str]) -> tuple[str, YamuxStream]:
    """The next stream of a wanted protocol. A stock libp2p peer also opens others (identify): those are reset."""
    while True:
        stream = await session.accept()
        try:
            return await negotiate(stream, wanted), stream
        except PeerError:
            stream.reset()  # if it was the connection that ended, `accept` says so next


async def _explained(lost: ConnectionLost, frames: FrameReader) -> PeerError:
    """Why the peer went away behind its hello, if it said so."""
    try:
        frame = await frames.next()
    except PeerError:
        return lost
    return farewell_of(frame.payload) if frame.kind is Kind.GOODBYE else lost


def _assembled(control: YamuxStream, frames: FrameReader, streams: dict[str, YamuxStream]) -> Streams:
    channels = {channel: streams[protocol] for protocol, channel in _CHANNELS.items()}
    channels[Channel.BLOCK_PARTS].widen(BULK_WINDOW_BYTES)
    streams[_REQUESTS].widen(BULK_WINDOW_BYTES)
    return Streams(control, frames, channels, streams[_REQUESTS])


async def _exchange(control: YamuxStream, frames: FrameReader, hello: Hello, admit: Admit) -> Hello:
    await control.write(encode_frame(Kind.HELLO, codec(Hello).encode(hello), HELLO_BYTES_MAX))
    theirs = _decode_hello(await frames.next())
    try:
        _check(hello, theirs)
        admit()
    except PeerRefused as refused:
        await control.write(farewell_frame(Farewell.REFUSED, str(refused)))
        raise
    return theirs


def _decode_hello(frame: Frame) -> Hello:
    if frame.kind is Kind.GOODBYE:
        raise farewell_of(frame.payload)
    if frame.kind is not Kind.HELLO:
        raise ProtocolViolation(f"a {frame.kind.name} frame in place of a hello")
    try:
        hello: Hello = codec(Hello).decode(frame.payload)
    except CodecError as error:
        raise ProtocolViolation(f"a hello that does not decode: {error}") from error
    return hello


def _check(ours: Hello, theirs: Hello) -> None:
    if theirs.version != ours.version:
        raise PeerRefused(f"protocol version {theirs.version}, ours is {ours.version}", REFUSED_RETRY_S)
    mine, its = ours.handshake.genesis_hash, theirs.handshake.genesis_hash
    if its != mine:
        raise PeerRefused(f"another chain: genesis {its.hex()[:16]}, ours is {mine.hex()[:16]}", REFUSED_RETRY_S)


def farewell_frame(farewell: Farewell, reason: str) -> bytes:
    """A GOODBYE: one byte of farewell, then the reason as ASCII, cut to what the frame may hold."""
    text = reason.encode("ascii", "replace")[: GOODBYE_BYTES_MAX - 1]
    return encode_frame(Kind.GOODBYE, bytes([farewell]) + text, GOODBYE_BYTES_MAX)


def farewell_of(payload: bytes) -> RefusedByPeer:
    """What a GOODBYE of the peer means for this node. Its text is shown to people: printable ASCII only."""
    text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "?" for byte in payload[1:])
    code = payload[0] if payload else Farewell.CLOSING
    return RefusedByPeer(text or "goodbye", REFUSED_RETRY_S if code == Farewell.REFUSED else 0.0)
