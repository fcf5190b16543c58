"""Frames come out as they went in, however the stream was cut; what is out of bounds is refused before it is kept."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.network.errors import ConnectionLost, FrameTooLarge, ProtocolViolation
from runtime.network.framing import FrameDecoder, FrameReader, Kind, encode_frame

BOUNDS = {Kind.DATA: 64, Kind.PING: 8}
frames = st.one_of(
    st.tuples(st.just(Kind.DATA), st.binary(max_size=64)), st.tuples(st.just(Kind.PING), st.binary(max_size=8))
)


@given(st.lists(frames, max_size=20), st.lists(st.integers(1, 30), min_size=1))
def test_frames_survive_any_cutting_of_the_stream(sent: list[tuple[Kind, bytes]], sizes: list[int]) -> None:
    stream = b"".join(encode_frame(kind, payload, BOUNDS[kind]) for kind, payload in sent)
    decoder, received, index = FrameDecoder(BOUNDS), [], 0
    while stream:
        size = sizes[index % len(sizes)]
        received += decoder.feed(stream[:size])
        stream, index = stream[size:], index + 1
    assert [(frame.kind, frame.payload) for frame in received] == sent


@given(st.binary(max_size=400))
def test_any_bytes_give_frames_in_bounds_or_a_violation(data: bytes) -> None:
    decoder = FrameDecoder(BOUNDS)
    try:
        received = decoder.feed(data)
    except ProtocolViolation:
        return
    assert all(len(frame.payload) <= BOUNDS[frame.kind] for frame in received)
    assert len(decoder._buffer) < 5 + max(BOUNDS.values())


@pytest.mark.parametrize(("kind", "size"), [(Kind.DATA, 65), (Kind.PING, 9), (Kind.DATA, 0xFFFFFFFF)])
def test_invalid_length_is_refused_from_the_header_alone(kind: Kind, size: int) -> None:
    with pytest.raises(ProtocolViolation, match=f"{kind.name} frame of {size} bytes; at most {BOUNDS[kind]}"):
        FrameDecoder(BOUNDS).feed(struct.pack(">IB", size, kind))


@pytest.mark.parametrize("kind", [0, Kind.HELLO, 255])
def test_invalid_kind_is_refused(kind: int) -> None:
    with pytest.raises(ProtocolViolation, match=f"kind {kind}"):
        FrameDecoder(BOUNDS).feed(struct.pack(">IB", 0, kind))


def test_invalid_too_large_a_payload_is_our_own_fault() -> None:
    with pytest.raises(FrameTooLarge, match="65 bytes; at most 64"):
        encode_frame(Kind.DATA, bytes(65), 64)


class Pieces:
    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)

    async def read(self, size_max: int) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


async def test_reader_gives_frames_one_by_one_and_says_when_the_stream_ends() -> None:
    two = encode_frame(Kind.DATA, b"a", 64) + encode_frame(Kind.PING, b"b", 8)
    reader = FrameReader(Pieces(two[:3], two[3:]), BOUNDS)
    assert [(await reader.next()).payload, (await reader.next()).payload] == [b"a", b"b"]
    with pytest.raises(ConnectionLost):
        await reader.next()
