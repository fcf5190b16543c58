"""The client for scripts and threads: it performs steps one after another, over httpx."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, TypeVar

import httpx

from tools.client.exchange import Answer, Effect, Lost, Node, Now, Pause, Request, Steps, lost
from tools.client.operations import Operations

T = TypeVar("T")


class NodeClient:
    """Talks to one node. `url` is like http://127.0.0.1:8400; `timeout_s` bounds each request. Use it in `with`.

    Raises UsageError when `url` is no such thing. Every method raises NodeError.
    """

    def __init__(self, url: str, *, timeout_s: float = 10.0) -> None:
        node = Node.at(url)
        self.url = node.url
        self._timeout_s = timeout_s
        self._do = Operations(node)
        self._http = httpx.Client(base_url=self.url, timeout=timeout_s, trust_env=False)

    def __enter__(self) -> NodeClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are kept."""
        self._http.close()

    def get(self, path: str, **parameters: Any) -> Any:
        """The JSON document at `path`; parameters that are None are left out."""
        return self.run(self._do.get(path, parameters))

    def post(self, path: str, document: Any) -> Any:
        """The JSON answer to `document` posted to `path`."""
        return self.run(self._do.post(path, document))

    def status(self) -> dict[str, Any]:
        """What the node says of itself: chain, height, roots, peers."""
        return self.run(self._do.status())

    def query(self, module: str, name: str, *, height: int | None = None, **arguments: Any) -> Any:
        """A module's answer on the state after block `height` (the last one, if None).

        arguments: by the query's own names, in the form that JSON shows them; what has parts as JSON text.
        """
        return self.run(self._do.query(module, name, height, arguments))

    def items(self, path: str, **parameters: Any) -> Iterator[Any]:
        """Everything in a list ("/blocks", "/events", "/blocks/7/transactions"), fetched a page at a time."""
        cursor: str | None = None
        while True:
            found, cursor = self.run(self._do.page(path, {**parameters, "cursor": cursor}))
            yield from found
            if cursor is None:
                return

    def certificate(self, record: int) -> tuple[bytes, int]:
        """The decision certificate of an inference record, and at which height it proves it."""
        return self.run(self._do.certificate(record))

    def submit(self, transaction: bytes) -> str:
        """Hand a signed transaction to the node. Returns its hash in hex; NodeError says why it was refused."""
        return self.run(self._do.submit(transaction))

    def simulate(self, transaction: bytes) -> dict[str, Any]:
        """What a signed transaction would do in the next block: succeeds, gas_used, fee, events, error."""
        return self.run(self._do.simulate(transaction))

    def wait(self, transaction_hash: str, *, timeout_s: float = 30.0) -> dict[str, Any]:
        """The outcome of a transaction once a block holds it. NodeError where none does in time.

        The node holds its answer until then; only one that does not know the transaction yet is asked again and again.
        """
        return self.run(self._do.wait(transaction_hash, timeout_s))

    def run(self, steps: Steps[T]) -> T:
        """Perform an operation's steps; for operations of your own."""
        came: Any = None
        while True:
            try:
                effect = steps.send(came)
            except StopIteration as end:
                result: T = end.value
                return result
            came = self._perform(effect)

    def _perform(self, effect: Effect) -> Answer | Lost | float | None:
        match effect:
            case Pause(seconds):
                time.sleep(seconds)
                return None
            case Now():
                return time.monotonic()
            case Request(method, path, parameters, document, extra_s):
                timeout = self._timeout_s + extra_s
                try:
                    response = self._http.request(method, path, params=dict(parameters), json=document, timeout=timeout)
                except (httpx.HTTPError, httpx.InvalidURL) as error:
                    return lost(error)
                return Answer(response.status_code, response.content)
