"""Around the whole application: a bound on request bodies, and no exception past this point."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from runtime.rpc.problems import from_error, problem

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class _TooLarge(Exception):
    pass


class _Bounded:
    """A request's body, up to a bound."""

    def __init__(self, receive: Receive, bytes_max: int) -> None:
        self._receive = receive
        self._left = bytes_max

    @property
    def exceeded(self) -> bool:
        return self._left < 0

    async def receive(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self.exceeded:
            raise _TooLarge
        return message


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
        body = _Bounded(receive, self._bytes_max)
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            if body.exceeded and not started:
                return  # the application's own answer to a body that it could not read
            started = True
            await send(message)

        try:
            await self._app(scope, body.receive, watched)
        except _TooLarge:
            pass  # refused below
        except Exception as error:  # noqa: BLE001  the last line before the server: whatever it is becomes a problem
            self._on_fault(error)
            if not started and not body.exceeded:
                await from_error(error)(scope, receive, send)
        if body.exceeded and not started:
            await self._refuse(scope, receive, send)

    async def _refuse(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        response = problem(413, "request-too-large", f"a request body may have at most {self._bytes_max} bytes")
        await response(scope, receive, send)

    @staticmethod
    def _declared(scope: MutableMapping[str, Any]) -> int:
        for name, value in scope.get("headers", ()):
            if name == b"content-length":
                return int(value) if value.isdigit() and len(value) < 20 else 0
        return 0
