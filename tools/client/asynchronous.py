"""The client for trio: the same operations, and the stream of events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Any, TypeVar

import httpx
import trio

from tools.client.events import Subscription
from tools.client.exchange import Answer, Effect, Lost, Node, Now, Pause, Request, Steps, lost
from tools.client.operations import Operations
from tools.client.stream import Events, Messages, followed

T = TypeVar("T")


class AsyncNodeClient:
    """Talks to one node, under trio. As NodeClient, method by method; use it in `async with`."""

    def __init__(self, url: str, *, timeout_s: float = 10.0) -> None:
        self._node = Node.at(url)
        self.url = self._node.url
        self._timeout_s = timeout_s
        self._do = Operations(self._node)
        self._http = httpx.AsyncClient(base_url=self.url, timeout=timeout_s, trust_env=False)

    async def __aenter__(self) -> AsyncNodeClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections that are kept."""
        await self._http.aclose()

    async def get(self, path: str, **parameters: Any) -> Any:
        """The JSON document at `path`; parameters that are None are left out."""
        return await self.run(self._do.get(path, parameters))

    async def post(self, path: str, document: Any) -> Any:
        """The JSON answer to `document` posted to `path`."""
        return await self.run(self._do.post(path, document))

    async def status(self) -> dict[str, Any]:
        """What the node says of itself: chain, height, roots, peers."""
        return await self.run(self._do.status())

    async def query(self, module: str, name: str, *, height: int | None = None, **arguments: Any) -> Any:
        """As NodeClient.query."""
        return await self.run(self._do.query(module, name, height, arguments))

    async def items(self, path: str, **parameters: Any) -> AsyncIterator[Any]:
        """As NodeClient.items: `async for block in client.items("/blocks")`."""
        cursor: str | None = None
        while True:
            found, cursor = await self.run(self._do.page(path, {**parameters, "cursor": cursor}))
            for item in found:
                yield item
            if cursor is None:
                return

    async def certificate(self, record: int) -> tuple[bytes, int]:
        """As NodeClient.certificate."""
        return await self.run(self._do.certificate(record))

    async def submit(self, transaction: bytes) -> str:
        """Hand a signed transaction to the node. Returns its hash in hex; NodeError says why it was refused."""
        return await self.run(self._do.submit(transaction))

    async def simulate(self, transaction: bytes) -> dict[str, Any]:
        """As NodeClient.simulate."""
        return await self.run(self._do.simulate(transaction))

    async def wait(self, transaction_hash: str, *, timeout_s: float = 30.0) -> dict[str, Any]:
        """As NodeClient.wait."""
        return await self.run(self._do.wait(transaction_hash, timeout_s))

    def follow(
        self,
        *,
        modules: Sequence[str] = (),
        names: Sequence[str] = (),
        accounts: Sequence[str] = (),
        from_height: int | None = None,
        patience_s: float = 30.0,
    ) -> AbstractAsyncContextManager[Messages]:
        """The chain's events as they happen, and a BlockDone after those of each block, without gap or double.

        modules, names, accounts: only events of one of these modules, of one of these names, that name one of these
        addresses in a field; an empty kind lets all through. from_height: the first block; the next one, if None. A
        lost connection is made again, for `patience_s`; then, or where the node refuses the filter, NodeError.
        """
        wanted = Subscription(tuple(modules), tuple(names), tuple(accounts), from_height)
        return followed(self._node, self._height, wanted, patience_s)

    @asynccontextmanager
    async def events(
        self,
        *,
        modules: Sequence[str] = (),
        names: Sequence[str] = (),
        accounts: Sequence[str] = (),
        from_height: int | None = None,
        patience_s: float = 30.0,
    ) -> AsyncIterator[Events]:
        """As `follow`, the events alone."""
        following = self.follow(
            modules=modules, names=names, accounts=accounts, from_height=from_height, patience_s=patience_s
        )
        async with following as messages:
            yield Events(messages)

    async def _height(self) -> int:
        return int((await self.status())["height"])

    async def run(self, steps: Steps[T]) -> T:
        """Perform an operation's steps; for operations of your own."""
        came: Any = None
        while True:
            try:
                effect = steps.send(came)
            except StopIteration as end:
                result: T = end.value
                return result
            came = await self._perform(effect)

    async def _perform(self, effect: Effect) -> Answer | Lost | float | None:
        match effect:
            case Pause(seconds):
                await trio.sleep(seconds)
                return None
            case Now():
                return trio.current_time()
            case Request(method, path, parameters, document, extra_s):
                timeout = self._timeout_s + extra_s
                try:
                    response = await self._http.request(
                        method, path, params=dict(parameters), json=document, timeout=timeout
                    )
                except (httpx.HTTPError, httpx.InvalidURL) as error:
                    return lost(error)
                return Answer(response.status_code, response.content)
