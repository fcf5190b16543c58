"""A client of a node's HTTP interface, for the command line, the demo and scripts.

Every failure is a NodeError of one sentence: what was asked of which node, and the node's own reason (RFC 9457).
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import httpx

from runtime.errors import CallerError, UsageError

POLL_S = 0.02
POLL_S_MAX = 0.25


class NodeError(CallerError):
    """A node could not be reached, or refused. `status`: the HTTP status, 0 when it was not reached; `rule`: the
    transaction's rule that was broken (runtime.execution.errors.Rule), "" where it is about something else."""

    def __init__(self, sentence: str, status: int = 0, rule: str = "") -> None:
        self.status = status
        self.rule = rule
        super().__init__(sentence)


class NodeClient:
    """Talks to one node. `url` is like http://127.0.0.1:8400; `timeout_s` bounds each request.

    Raises UsageError when `url` is no such thing.
    """

    def __init__(self, url: str, *, timeout_s: float = 10.0) -> None:
        self.url = url.rstrip("/")
        _check_url(self.url)
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
        return self._holding(self.get("/status"), "genesis_hash", "address_prefix", "height")

    def certificate(self, record: int) -> tuple[bytes, int]:
        """The decision certificate of an inference record, and at which height it proves it. Raises NodeError."""
        answer = self._holding(self.get(f"/certificates/{record}"), "certificate", "height")
        return bytes.fromhex(answer["certificate"]), answer["height"]

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
            raise _refused(response)
        try:
            return response.json()
        except (ValueError, RecursionError):
            raise NodeError(f"{self.url}{path} answered with something that is no JSON: no Armillary node?") from None

    def _holding(self, answer: Any, *names: str) -> dict[str, Any]:
        if not isinstance(answer, dict) or any(name not in answer for name in names):
            raise NodeError(f"{self.url} answers, but not as an Armillary node does")
        return answer


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and url.isprintable()
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        is_good = False
    if not is_good:
        raise UsageError(f"{url!r} is no URL of a node: write it like http://127.0.0.1:8400")


def _refused(response: httpx.Response) -> NodeError:
    """The node's own reason (RFC 9457), or the bare status where something else than a node answered."""
    status = response.status_code
    try:
        problem = response.json()
        detail, rule = str(problem.get("detail") or problem["title"]), problem.get("rule", "")
    except (ValueError, AttributeError, KeyError, RecursionError):
        return NodeError(f"{response.url} answered {status} {response.reason_phrase}", status)
    return NodeError(detail, status, rule if isinstance(rule, str) else "")
