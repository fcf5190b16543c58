"""Around the whole application: a bound on request bodies, and no exception past this point."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from runtime.errors import OurError
from runtime.rpc.problems import from_error, problem

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class _TooLarge(Exception):
    pass


class Guard:
    """ASGI middleware. `on_fault` is told of every exception that was not a caller's (for the log)."""

    def __init__(self, app: Asgi, *, request_bytes_max: int, on_fault: Callable[[Exception], None]) -> None:
        self._app = app
        self._bytes_max = request_bytes_max
        self._on_fault = on_fault

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._declared(scope) > self._bytes_max:
            await self._refuse(scope, receive, send)
            return
        started = False
        left = self._bytes_max

        async def bounded() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise _TooLarge
            return message

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, bounded, watched)
        except _TooLarge:
            if not started:
                await self._refuse(scope, receive, send)
        except Exception as error:
            self._on_fault(error)
            if not started:
                await from_error(error)(scope, receive, send)
            if isinstance(error, OurError):
                raise

    async def _refuse(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        response = problem(413, "request-too-large", f"a request body may have at most {self._bytes_max} bytes")
        await response(scope, receive, send)

    @staticmethod
    def _declared(scope: MutableMapping[str, Any]) -> int:
        for name, value in scope.get("headers", ()):
            if name == b"content-length":
                return int(value) if value.isdigit() and len(value) < 20 else 0
        return 0
