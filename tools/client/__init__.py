"""A client of a node's HTTP interface, for your application, and what the command line itself uses.

    from tools.client import AsyncNodeClient, NodeClient, NodeError

    with NodeClient("http://127.0.0.1:8400") as node:                 # threads, scripts
        print(node.status()["height"])
        print(node.query("tokens", "balance_of", account="arm1...", denom="arm"))
        outcome = node.wait(node.submit(transaction))                 # its receipt, once a block holds it

    async with AsyncNodeClient("http://127.0.0.1:8400") as node:      # trio
        async with node.events(modules=["tokens"], accounts=["arm1..."]) as events:
            async for event in events:
                print(event.height, event.name, event.fields)

Both have the same methods. Values are as the node's JSON has them (its /openapi.json says which): bytes in lower-case
hex, amounts as decimal strings, accounts as addresses. Every failure is a `NodeError` of one sentence. Signing and
sending is in `tools.transactions`: `Sender` and `AsyncSender`.

exchange.py    what is asked and answered, as values: no socket, no clock
operations.py  the operations, written once, as steps that either client performs
events.py      what the stream of events says, and where a lost one goes on
sync.py, asynchronous.py   the two clients: they perform steps, and know nothing else
stream.py      the WebSocket under AsyncNodeClient.events
"""

from typing import TYPE_CHECKING, Any

from tools.client.events import BlockDone, ChainEvent
from tools.client.exchange import NodeError
from tools.client.sync import NodeClient

if TYPE_CHECKING:
    from tools.client.asynchronous import AsyncNodeClient

__all__ = ["AsyncNodeClient", "BlockDone", "ChainEvent", "NodeClient", "NodeError"]


def __getattr__(name: str) -> Any:
    """AsyncNodeClient when it is asked for: trio and the WebSocket would double the command line's start."""
    if name == "AsyncNodeClient":
        from tools.client.asynchronous import AsyncNodeClient

        return AsyncNodeClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
