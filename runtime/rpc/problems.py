"""Errors as application/problem+json (RFC 9457): type, title, status, detail, and the error's own fields.

400 the request is wrong; 404 it is not here; 413 too large; 422 a parameter has the wrong form; 503 try again later;
500 this node's fault. The detail is one sentence for a person.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from runtime.errors import CallerError, OurError
from runtime.rpc.api import Busy, NotFound

MEDIA_TYPE = "application/problem+json"
PLAIN = (str, int, bool, type(None))


def problem(status: int, name: str, detail: str, **fields: Any) -> JSONResponse:
    """One problem. `name` is the stable word that programs compare."""
    title = HTTPStatus(status).phrase
    body = {"type": f"urn:armillary:problem:{name}", "title": title, "status": status, "detail": detail, **fields}
    return JSONResponse(body, status_code=status, media_type=MEDIA_TYPE)


def from_error(error: Exception) -> JSONResponse:
    """The problem that an error of ours is. Anything else is a fault of this node, without its details."""
    if isinstance(error, CallerError):
        fields = {key: value for key, value in vars(error).items() if isinstance(value, PLAIN) and key != "detail"}
        reserved = {"type", "title", "status"}
        kept = {key: value for key, value in fields.items() if key not in reserved and not key.startswith("_")}
        return problem(_status_of(error), _kebab(type(error).__name__), str(error), **kept)
    if isinstance(error, OurError):
        return problem(500, "node-fault", "this node has a fault; its log says more")
    return problem(500, "internal-error", "the node could not answer; its log says more")


def install(app: FastAPI) -> None:
    """Make every error of the routes a problem."""

    async def caller(_: Request, error: Exception) -> JSONResponse:
        return from_error(error)

    async def malformed(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        if first["type"] == "json_invalid":  # as where it nests so deeply that the parser gives up
            return problem(400, "bad-request", "there was an error parsing the body: it is not JSON")
        where = ".".join(str(part) for part in first["loc"])
        return problem(422, "malformed-request", f"{where}: {first['msg']}", field=where)

    async def http(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return problem(error.status_code, _kebab(HTTPStatus(error.status_code).phrase), str(error.detail))

    app.add_exception_handler(CallerError, caller)
    app.add_exception_handler(Exception, caller)  # answered here, then raised on to the guard, which logs it
    app.add_exception_handler(RequestValidationError, malformed)
    app.add_exception_handler(HTTPException, http)


def _status_of(error: CallerError) -> int:
    if isinstance(error, NotFound):
        return 404
    return 503 if isinstance(error, Busy) else 400


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|\s+", "-", name).lower()
