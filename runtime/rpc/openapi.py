"""What the OpenAPI document says besides the paths: the conventions, the stream of events, the form of problems."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI
from pydantic import BaseModel

from runtime.module import ModuleMetadata
from runtime.rpc.module_schemas import EXTENSION, declarations, query_paths
from runtime.rpc.problems import Problem
from runtime.rpc.views import BlockMessage

QUERY: Final = "/query/{module}/{query}"
BESIDE_THE_PATHS: Final[tuple[type[BaseModel], ...]] = (Problem, BlockMessage)

DESCRIPTION: Final = """
What an Armillary node shows and what it accepts. Bytes are lower-case hex, amounts decimal strings, heights and gas
numbers; accounts are bech32m addresses with the chain's prefix; times are Unix milliseconds.

**Errors** are `application/problem+json` (RFC 9457): `type` ends in a stable word for programs, `detail` is one
sentence for people. `503` says that the same request may be fine later.

**Lists** take `limit` and `cursor`, and answer `items` and `next`: the next page's cursor, null at the end.

**Queries**: each query of each of the chain's modules has a path of its own here, from the module's declaration.
Whatever has parts is a parameter in JSON. The modules' calls, events and errors are under `x-armillary-modules`.

**Waiting for a transaction**: `GET /transactions/{hash}?wait_ms=` answers when it is no longer pending.

**Events as they happen**: OpenAPI has no words for WebSockets. `GET /events` with `Upgrade: websocket` takes the
filters of the page of the same path (`module`, `event`, `account`, each several times) and `from_height`; without it,
it begins with the next block. Each message is one JSON object: an `EventMessage` for each event that the filter lets
through, in order, and after each block a `BlockMessage`. A reader that lost its connection goes on at the height after
its last `BlockMessage`, without gap or double. The node pings. It closes with 1013 and the height to go on from where a
reader is too slow for what it asked for, with 1001 when it stops. It takes no messages.
"""


def complete(app: FastAPI, modules: Mapping[str, ModuleMetadata]) -> None:
    """Put into the app's OpenAPI document what the chain's modules declare, and the forms that no path names."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        made = plain()
        made["paths"].update(query_paths(modules, made["paths"][QUERY]["get"]))
        made[EXTENSION] = declarations(modules)
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        for model in BESIDE_THE_PATHS:
            schemas[model.__name__] = model.model_json_schema(ref_template="#/components/schemas/{model}")
        return made

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it
