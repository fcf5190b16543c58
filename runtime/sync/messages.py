"""The messages of block sync, and the pure function that answers a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

from runtime.consensus.certificate import CommitCertificate
from runtime.limits import BLOCK_BYTES_MAX
from runtime.types import U8, U64, MaxLen, Struct

WINDOW_BLOCKS_MAX: Final = 32
WINDOW_BYTES_MAX: Final = 1024 * 1024  # of blocks in one answer; the first block is sent whatever its size


class BlocksRequest(Struct, tag=2):
    """Blocks from this height upwards, at most `count`."""

    height: U64
    count: U8


class SyncedBlock(Struct):
    """An encoded block and the certificate of its header."""

    block: Annotated[bytes, MaxLen(BLOCK_BYTES_MAX)]
    certificate: CommitCertificate


class BlocksResponse(Struct, tag=2):
    """Consecutive blocks from the height asked for; fewer than asked for when they are large, none when not held."""

    blocks: Annotated[tuple[SyncedBlock, ...], MaxLen(WINDOW_BLOCKS_MAX)]


def serve_blocks(request: BlocksRequest, read: Callable[[int], SyncedBlock | None]) -> BlocksResponse:
    """Answer from `read` (height -> block and certificate, or None), within WINDOW_BYTES_MAX."""
    found: list[SyncedBlock] = []
    room = WINDOW_BYTES_MAX
    for height in range(request.height, request.height + min(request.count, WINDOW_BLOCKS_MAX)):
        item = read(height)
        if item is None or (found and len(item.block) > room):
            break
        room -= len(item.block)
        found.append(item)
    return BlocksResponse(tuple(found))
