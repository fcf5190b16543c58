"""Answers to peers' requests, read from the store and from the height being worked on."""

from __future__ import annotations

from collections.abc import Callable

from runtime.codec import codec
from runtime.consensus import block_id
from runtime.errors import CodecError, PeerError
from runtime.network.transport import PeerId
from runtime.node.block_store import BlockStore
from runtime.node.wire import FetchBlock, FoundBlock, NodeRequest, NodeResponse
from runtime.sync import serve_blocks
from runtime.types import Hash


class RequestHandlers:
    """`handle` is the transport's RequestHandler. undecided: a block of the height being worked on, by its id."""

    def __init__(self, store: BlockStore, undecided: Callable[[Hash], bytes | None]) -> None:
        self._store = store
        self._undecided = undecided

    async def handle(self, peer: PeerId, payload: bytes) -> bytes:
        """Raises PeerError for bytes that are no request."""
        try:
            request = codec(NodeRequest).decode(payload)
        except CodecError as error:
            raise PeerError(f"sent a request that is none: {error}") from None
        if isinstance(request, FetchBlock):
            response: NodeResponse = FoundBlock(self._find(request))
        else:
            response = serve_blocks(request, self._store.synced_block)
        encoded: bytes = codec(NodeResponse).encode(response)
        return encoded

    def _find(self, request: FetchBlock) -> bytes | None:
        found = self._undecided(request.block_id)
        if found is not None:
            return found
        decided = self._store.block(request.height)
        if decided is None or block_id(decided.header) != request.block_id:
            return None
        return self._store.encoded_block(request.height)
