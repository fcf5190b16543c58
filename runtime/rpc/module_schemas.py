"""What the modules of a chain declare, in the OpenAPI document's words: a path for each query, and everything else.

The same metadata makes the command line and the module reference (tools/reference.py), so that the three agree. What
must not live here: knowing any module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import TypeAdapter

from runtime.codec.schema import schema_of
from runtime.module import CallInfo, Field, ModuleMetadata, QueryInfo

Json = dict[str, Any]
PLAIN: Final = frozenset({"int", "bool", "enum", "bytes", "str"})
EXTENSION: Final = "x-armillary-modules"


def query_paths(modules: Mapping[str, ModuleMetadata], template: Json) -> dict[str, Json]:
    """A path for each query. template: the operation of all queries, whose answers and own parameters they share."""
    shared = [parameter for parameter in template["parameters"] if parameter["in"] == "query"]
    return {
        f"/query/{name}/{info.name}": {"get": _query(name, info, shared, template["responses"])}
        for name, metadata in modules.items()
        for info in metadata.queries.values()
    }


def declarations(modules: Mapping[str, ModuleMetadata]) -> Json:
    """Calls, events and errors, which are no paths: calls travel in transactions, the others in receipts."""
    return {
        name: {
            "description": metadata.docs,
            "version": metadata.version,
            "calls": {call.name: _call(call) for call in metadata.calls.values()},
            "events": {event.name: _record(event.docs, event.fields) for event in metadata.events.values()},
            "errors": {error.name: _record(error.docs, error.fields) for error in metadata.errors.values()},
        }
        for name, metadata in modules.items()
    }


def _query(module: str, info: QueryInfo, shared: Sequence[Json], responses: Json) -> Json:
    any_answer = responses["200"]["content"]["application/json"]["schema"]
    result = {"type": "object", "properties": {"result": _schema(info.result, "serialization")}}
    answered = {**responses["200"], "content": {"application/json": {"schema": {"allOf": [any_answer, result]}}}}
    return {
        "summary": info.full_name,
        "description": info.docs,
        "operationId": f"query_{module}_{info.name}",
        "tags": [module],
        "parameters": [*map(_parameter, info.fields), *shared],
        "responses": {**responses, "200": answered},
    }


def _parameter(field: Field) -> Json:
    schema, found = schema_of(field.type), _schema(field.type, "validation")
    if schema.kind == "optional":
        schema = schema.items[0]
        found = next(part for part in found["anyOf"] if part.get("type") != "null")
    form = {"schema": found} if schema.kind in PLAIN else {"content": {"application/json": {"schema": found}}}
    return {"name": field.name, "in": "query", "required": not field.is_optional, **form}


def _call(info: CallInfo) -> Json:
    return {
        **_record(info.docs, info.fields),
        "gas": info.gas,
        "origins": [origin.__name__ for origin in info.origins],
    }


def _record(docs: str, fields: Sequence[Field]) -> Json:
    return {
        "description": docs,
        "fields": {
            "type": "object",
            "properties": {field.name: _schema(field.type, "serialization") for field in fields},
            "required": [field.name for field in fields],
        },
    }


def _schema(declared: Any, mode: Any) -> Json:
    made = TypeAdapter(declared).json_schema(mode=mode)
    inlined: Json = _inlined(made, made.pop("$defs", {}))
    return inlined


def _inlined(schema: Any, definitions: Mapping[str, Json]) -> Any:
    """Without references: types are never recursive, and two modules may have different ones of one name."""
    if isinstance(schema, list):
        return [_inlined(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {key: _inlined(value, definitions) for key, value in schema.items() if key != "title" or _is_field(value)}


def _is_field(value: Any) -> bool:
    """Whether "title" is a property of that name, not the annotation."""
    return isinstance(value, dict)
