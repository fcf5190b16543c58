"""GET /metrics, and what HTTP itself is measured by: requests by path and status, how long they took, open streams.

Rules: a path is counted by its pattern, an unknown one as "other": nobody outside makes series. The text is made at
most once a second: whoever asks more often gets the same one again.

What must not live here: what is measured of the node (runtime.node.metrics).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Final

import trio
from fastapi import FastAPI, Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from runtime.rpc.guard import Asgi, Message, Receive, Scope, Send

BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)
METHODS: Final = frozenset({"GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"})
TEXT_S_MIN: Final = 1.0


class HttpMetrics:
    """Of one node's HTTP. text: makes the exposition of everything in the registry."""

    def __init__(self, registry: CollectorRegistry, text: Callable[[], Awaitable[bytes]]) -> None:
        self._text = text
        self._last: tuple[float, bytes] | None = None
        self._making = trio.Lock()
        self._requests = Counter(
            "armillary_http_requests",
            "HTTP requests answered, by path pattern and status.",
            ("method", "path", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "armillary_http_request_seconds",
            "From an HTTP request's head to the end of its answer.",
            ("path",),
            registry=registry,
            buckets=BUCKETS_S,
        )
        self._streams = Gauge("armillary_http_streams", "WebSockets open: readers of events.", registry=registry)

    def install(self, app: FastAPI) -> None:
        """Add the path."""

        @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
        async def metrics() -> Response:
            """What Prometheus reads."""
            return Response(await self._fresh(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    def around(self, app: Asgi) -> Asgi:
        """The application, counted."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                await self._request(app, scope, receive, send)
            elif scope["type"] == "websocket":
                with self._streams.track_inprogress():
                    await app(scope, receive, send)
            else:
                await app(scope, receive, send)

        return counted

    async def _request(self, app: Asgi, scope: Scope, receive: Receive, send: Send) -> None:
        status, started = "none", perf_counter()

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await app(scope, receive, noted)
        finally:
            path = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in METHODS else "other"
            self._requests.labels(method, path, status).inc()
            self._seconds.labels(path).observe(perf_counter() - started)

    async def _fresh(self) -> bytes:
        async with self._making:
            now = trio.current_time()
            if self._last is None or now - self._last[0] >= TEXT_S_MIN:
                self._last = now, await self._text()
            return self._last[1]
