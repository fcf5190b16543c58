"""Block sync: how a node that was away catches up. Sans-IO: events in, effects out.

What lives here: whom to ask for which heights (block_sync.py), who is trusted how far (peers.py), the messages
(messages.py). What must not: sockets, clocks, disks, execution. Blocks come out verified and in order; applying them is
the shell's matter.
"""

from runtime.sync.block_sync import Ban, BlockSync, Request, SyncEffect
from runtime.sync.messages import BlocksRequest, BlocksResponse, SyncedBlock, serve_blocks

__all__ = [
    "Ban",
    "BlockSync",
    "BlocksRequest",
    "BlocksResponse",
    "Request",
    "SyncEffect",
    "SyncedBlock",
    "serve_blocks",
]
