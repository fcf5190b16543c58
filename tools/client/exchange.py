"""One request and what came of it, as values. No socket and no clock here: a client performs them.

Every failure is a NodeError of one sentence: what was asked of which node, and the node's own reason (RFC 9457).
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from runtime.errors import CallerError, UsageError

T = TypeVar("T")


class NodeError(CallerError):
    """A node could not be reached, or refused. `status`: the HTTP status, 0 when it was not reached; `rule`: the
    transaction's rule that was broken (runtime.execution.errors.Rule), "" where it is about something else."""

    def __init__(self, sentence: str, status: int = 0, rule: str = "") -> None:
        self.status = status
        self.rule = rule
        super().__init__(sentence)


@dataclass(frozen=True)
class Request:
    """What to ask. extra_s: for how much longer than usual the answer may take."""

    method: str
    path: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    document: Any = None
    extra_s: float = 0.0


@dataclass(frozen=True)
class Pause:
    """Do nothing for a while."""

    seconds: float


@dataclass(frozen=True)
class Now:
    """What a clock shows that never goes back, in seconds."""


@dataclass(frozen=True)
class Answer:
    """What a node answered, whatever the status."""

    status: int
    body: bytes


class Loss(Enum):
    """Why there is no answer."""

    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"  # nothing was sent
    BROKEN = "broken"  # the connection ended: the node may have taken the request


@dataclass(frozen=True)
class Lost:
    """No answer came."""

    why: Loss
    reason: str


Effect = Request | Pause | Now
Steps = Generator[Effect, Any, T]
"""An operation: yields effects, is sent what came of each (Answer or Lost, None, float), returns its result."""


@dataclass(frozen=True)
class Node:
    """A node's address, for sentences."""

    url: str

    @classmethod
    def at(cls, url: str) -> Node:
        """Raises UsageError where `url` is not like http://127.0.0.1:8400."""
        stripped = url.rstrip("/")
        try:
            parts = urlsplit(stripped)
            is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
            is_good = is_good and stripped.isprintable()
            httpx.URL(stripped)
        except (ValueError, httpx.InvalidURL):
            is_good = False
        if not is_good:
            raise UsageError(f"{stripped!r} is no URL of a node: write it like http://127.0.0.1:8400")
        return cls(stripped)

    def exchange(self, request: Request) -> Steps[tuple[Answer | Lost, bool]]:
        """What came of a request, and whether it was sent twice: a kept connection may end just as it is used again.
        Every request may be repeated: a transaction is known by its hash."""
        outcome: Answer | Lost = yield request
        is_broken = isinstance(outcome, Lost) and outcome.why is Loss.BROKEN
        if is_broken:
            outcome = yield request
        return outcome, is_broken

    def ask(self, request: Request) -> Steps[Any]:
        """The JSON that answers a request. Raises NodeError."""
        outcome, _ = yield from self.exchange(request)
        return self.read(request, outcome)

    def holding(self, answer: Any, *names: str) -> dict[str, Any]:
        """The answer, which must be an object with these names. Raises NodeError."""
        if not isinstance(answer, dict) or any(name not in answer for name in names):
            raise NodeError(f"{self.url} answers, but not as an Armillary node does")
        return answer

    def refusal(self, path: str, status: int, body: bytes) -> NodeError:
        """The node's own reason (RFC 9457), or the bare status where something else than a node answered."""
        try:
            problem = json.loads(body)
            detail, rule = str(problem.get("detail") or problem["title"]), problem.get("rule", "")
        except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
            return NodeError(f"{self.url}{path} answered {status} {_phrase(status)}", status)
        return NodeError(detail, status, rule if isinstance(rule, str) else "")

    def read(self, request: Request, outcome: Answer | Lost) -> Any:
        """The JSON of an answer. Raises NodeError for anything else."""
        if isinstance(outcome, Lost):
            if outcome.why is Loss.TIMEOUT:
                raise NodeError(f"{self.url} did not answer in time")
            raise NodeError(f"{self.url} cannot be reached ({outcome.reason}); is the node running?")
        if outcome.status >= 400:
            raise self.refusal(request.path, outcome.status, outcome.body)
        try:
            return json.loads(outcome.body)
        except (ValueError, RecursionError):
            raise NodeError(
                f"{self.url}{request.path} answered with something that is no JSON: no Armillary node?"
            ) from None


def lost(error: httpx.HTTPError | httpx.InvalidURL) -> Lost:
    """What an exception of httpx says."""
    if isinstance(error, httpx.TimeoutException):
        return Lost(Loss.TIMEOUT, str(error))
    is_broken = isinstance(error, (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError, httpx.CloseError))
    return Lost(Loss.BROKEN if is_broken else Loss.UNREACHABLE, str(error) or type(error).__name__)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "of no known meaning"
