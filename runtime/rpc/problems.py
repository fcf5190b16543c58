"""Errors as application/problem+json (RFC 9457): type, title, status, detail, and the error's own fields.

400 the request is wrong; 404 it is not here; 405 another method; 408 its body came too slowly; 413 too large; 422 a
parameter has the wrong form; 503 try again later; 500 this node's fault. The detail is one sentence for a person.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from runtime.errors import CallerError, OurError
from runtime.rpc.api import Busy, NotFound

MEDIA_TYPE = "application/problem+json"
PLAIN = (str, int, bool, type(None))
RETRY_AFTER_S = 1


class Problem(BaseModel):
    """Why there is no answer (RFC 9457). An error's own fields stand beside these."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="urn:armillary:problem: and a stable word that programs may compare")
    title: str = Field(description="what the status means")
    status: int
    detail: str = Field(description="one sentence for a person")


def document(status: int, name: str, detail: str, **fields: Any) -> dict[str, Any]:
    """The JSON of one problem. `name` is the stable word that programs compare."""
    title = HTTPStatus(status).phrase
    return {"type": f"urn:armillary:problem:{name}", "title": title, "status": status, "detail": detail, **fields}


def problem(
    status: int, name: str, detail: str, *, headers: Mapping[str, str] | None = None, **fields: Any
) -> JSONResponse:
    """One problem as a response."""
    more = dict(headers or {})
    if status == 503:
        more["retry-after"] = str(RETRY_AFTER_S)
    return JSONResponse(document(status, name, detail, **fields), status, headers=more, media_type=MEDIA_TYPE)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For OpenAPI: these statuses are problems."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def from_error(error: Exception) -> JSONResponse:
    """The problem that an error of ours is. Anything else is a fault of this node, without its details."""
    if isinstance(error, CallerError):
        fields = {key: value for key, value in vars(error).items() if isinstance(value, PLAIN) and key != "detail"}
        reserved = {"type", "title", "status", "name", "headers"}
        kept: dict[str, Any] = {
            key: value for key, value in fields.items() if key not in reserved and not key.startswith("_")
        }
        return problem(_status_of(error), _kebab(type(error).__name__), str(error), **kept)
    if isinstance(error, OurError):
        return problem(500, "node-fault", "this node has a fault; its log says more")
    return problem(500, "internal-error", "the node could not answer; its log says more")


def malformed(errors: Sequence[Any]) -> JSONResponse:
    """The problem that a parameter or a body of the wrong form is. errors: pydantic's."""
    first = errors[0]
    if first["type"] == "json_invalid":  # as where it nests so deeply that the parser gives up
        return problem(400, "bad-request", "there was an error parsing the body: it is not JSON")
    where = ".".join(str(part) for part in first["loc"])
    return problem(422, "malformed-request", f"{where}: {first['msg']}", field=where)


def install(app: FastAPI) -> None:
    """Make every error of the routes a problem."""

    async def caller(_: Request, error: Exception) -> JSONResponse:
        return from_error(error)

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return malformed(error.errors())

    async def http(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        name = _kebab(HTTPStatus(error.status_code).phrase)
        return problem(error.status_code, name, str(error.detail), headers=error.headers)

    app.add_exception_handler(CallerError, caller)
    app.add_exception_handler(Exception, caller)  # answered here, then raised on to the guard, which logs it
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)


def _status_of(error: CallerError) -> int:
    if isinstance(error, NotFound):
        return 404
    return 503 if isinstance(error, Busy) else 400


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|\s+", "-", name).lower()
