"""A client of a node's HTTP interface, for the command line, the demo and scripts.

Every failure is a NodeError of one sentence: what was asked of which node, and the node's own reason (RFC 9457).
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

import httpx

from runtime.errors import CallerError

POLL_S = 0.02
POLL_S_MAX = 0.25


class NodeError(CallerError):
    """A node could not be reached, or refused. `status`: the HTTP status, 0 when it was not reached."""

    def __init__(self, sentence: str, status: int = 0) -> None:
        self.status = status
        super().__init__(sentence)


class NodeClient:
    """Talks to one node. `url` is like http://127.0.0.1:8400; `timeout_s` bounds each request."""

    def __init__(self, url: str, *, timeout_s: float = 10.0) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(base_url=self.url, timeout=timeout_s, trust_env=False)

    def __enter__(self) -> NodeClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, **parameters: Any) -> Any:
        """The JSON document at `path`. Raises NodeError."""
        return self._ask("GET", path, params={key: value for key, value in parameters.items() if value is not None})

    def post(self, path: str, document: Any) -> Any:
        """The JSON answer to `document` posted to `path`. Raises NodeError."""
        return self._ask("POST", path, json=document)

    def status(self) -> dict[str, Any]:
        """What the node says of itself: chain, height, roots, peers."""
        answer: dict[str, Any] = self.get("/status")
        return answer

    def submit(self, transaction: bytes) -> str:
        """Hand a signed transaction to the node. Returns its hash in hex; NodeError says why it was refused."""
        answer: str = self.post("/transactions", {"transaction": transaction.hex()})["hash"]
        return answer

    def wait(self, transaction_hash: str, *, timeout_s: float = 30.0) -> dict[str, Any]:
        """The outcome of a transaction once a block holds it. Raises NodeError when none does in time."""
        end, pause = time.monotonic() + timeout_s, POLL_S
        while True:
            outcome: dict[str, Any] = self.get(f"/transactions/{transaction_hash}")
            if outcome["status"] in ("committed", "failed"):
                return outcome
            if time.monotonic() >= end:
                raise NodeError(
                    f"transaction {transaction_hash} is {outcome['status']} after {timeout_s:g} s; "
                    f"ask later: {self.url}/transactions/{transaction_hash}"
                )
            time.sleep(pause)
            pause = min(pause * 1.5, POLL_S_MAX)

    def _request(self, method: str, path: str, **content: Any) -> httpx.Response:
        """A kept connection may be closed by the node just as it is used again: then asked anew, once. Every request
        may be repeated: a transaction is known by its hash."""
        try:
            return self._http.request(method, path, **content)
        except httpx.RemoteProtocolError:
            return self._http.request(method, path, **content)

    def _ask(self, method: str, path: str, **content: Any) -> Any:
        try:
            response = self._request(method, path, **content)
        except httpx.TimeoutException:
            raise NodeError(f"{self.url} did not answer in time") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NodeError(f"{self.url} cannot be reached ({error}); is the node running?") from None
        if response.status_code >= 400:
            raise NodeError(_reason(response), response.status_code)
        try:
            return response.json()
        except ValueError:
            raise NodeError(f"{self.url}{path} answered with something that is no JSON: no Armillary node?") from None


def _reason(response: httpx.Response) -> str:
    try:
        problem = response.json()
        return str(problem.get("detail") or problem.get("title"))
    except (ValueError, AttributeError):
        return f"the node answered {response.status_code} {response.reason_phrase}"
