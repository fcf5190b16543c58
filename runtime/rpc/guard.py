"""Around the whole application: bounds on bodies, time and requests in flight; nothing escapes as a traceback."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import trio
from fastapi.responses import JSONResponse

from runtime.rpc import bounds
from runtime.rpc.problems import from_error, problem

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]


class _TooLarge(Exception):
    pass


class _Exchange:
    """One request and its answer, as the application sees them: the body up to a bound, one answer at most."""

    def __init__(self, receive: Receive, send: Send, bytes_max: int) -> None:
        self._receive = receive
        self._send = send
        self._left = bytes_max
        self.started = False
        self.reads_body = False
        self.scope = trio.CancelScope(deadline=trio.current_time() + bounds.REQUEST_S_MAX)

    @property
    def exceeded(self) -> bool:
        return self._left < 0

    async def receive(self) -> Message:
        self.reads_body = True
        message = await self._receive()
        self.reads_body = False
        self._left -= len(message.get("body", b""))
        if self.exceeded:
            raise _TooLarge
        return message

    async def send(self, message: Message) -> None:
        if self.exceeded and not self.started:
            return  # the application's own answer to a body that it could not read
        self.started = True
        self.scope.deadline = math.inf  # how long the reader takes is bounded for each piece of the answer
        await self._send(message)


class Guard:
    """ASGI middleware. `on_fault` is told of every exception that was not a caller's (for the log)."""

    def __init__(self, app: Asgi, *, request_bytes_max: int, on_fault: Callable[[Exception], None]) -> None:
        self._app = app
        self._bytes_max = request_bytes_max
        self._on_fault = on_fault
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI. Raises nothing but cancellation: each fault is answered and reported."""
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "http":
            refused = self._refused(scope)
            await (self._http(scope, receive, send) if refused is None else refused(scope, receive, send))

    def _refused(self, scope: Scope) -> JSONResponse | None:
        if self._in_flight >= bounds.REQUESTS_IN_FLIGHT_MAX:
            return problem(503, "busy", f"this node answers {bounds.REQUESTS_IN_FLIGHT_MAX} requests already")
        return self._too_large() if self._declared(scope) > self._bytes_max else None

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = _Exchange(receive, send, self._bytes_max)
        self._in_flight += 1
        try:
            answer = await self._answer(scope, exchange)
        finally:
            self._in_flight -= 1
        if answer is not None and not exchange.started:
            await answer(scope, receive, send)

    async def _answer(self, scope: Scope, exchange: _Exchange) -> JSONResponse | None:
        """Run the application. Returns what to answer in its place, if it could not."""
        try:
            with exchange.scope:
                await self._app(scope, exchange.receive, exchange.send)
        except _TooLarge:
            pass  # answered below
        except Exception as error:  # noqa: BLE001  the last line before the server: whatever it is becomes a problem
            self._on_fault(error)
            return self._too_large() if exchange.exceeded else from_error(error)
        if exchange.exceeded:
            return self._too_large()
        if not exchange.scope.cancelled_caught:
            return None
        if exchange.reads_body:
            return problem(408, "request-timeout", f"the body did not come within {bounds.REQUEST_S_MAX:g} s")
        return problem(503, "busy", f"the answer was not ready within {bounds.REQUEST_S_MAX:g} s")

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception as error:  # noqa: BLE001  as above
            self._on_fault(error)

    def _too_large(self) -> JSONResponse:
        return problem(413, "request-too-large", f"a request body may have at most {self._bytes_max} bytes")

    @staticmethod
    def _declared(scope: Scope) -> int:
        for name, value in scope.get("headers", ()):
            if name == b"content-length":
                return int(value) if value.isdigit() and len(value) < 20 else 0
        return 0
