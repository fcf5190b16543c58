"""Calls inside arguments, as people write and read them, for example those of a governance proposal:

    {"call": "validators.set_power", "arguments": {"public_key": "9c0f...", "power": 20}}
    {"call": "runtime.set_params", "arguments": {"module": "oracle", "params": {"records_max": 8}}}

Their types come from the installed modules, as for the commands themselves. Of a module's parameters only those that
change need be named: the others are taken from the chain as they stand, and every change is said on standard error.
Lives here: both directions, typed forms to bytes and back. Must not: know governance.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import click
from pydantic import TypeAdapter

from chain_spec import plugins
from chain_spec.explain import nearest, of_form
from runtime.codec import codec
from runtime.codec.schema import Schema, schema_of
from runtime.errors import CodecError, UsageError
from runtime.execution.core import NAME as RUNTIME
from runtime.execution.core import Core
from runtime.module import Call, CallInfo, ModuleMetadata, ModuleParams
from runtime.types import Struct
from tools.cli.amounts import UnitOf, in_base_units
from tools.client import NodeClient, NodeError

FORM: Final = '{"call": "module.call", "arguments": {...}}'
SET_PARAMS: Final = f"{RUNTIME}.set_params"


def metadata_of(module: str, where: str) -> ModuleMetadata:
    """What an installed module declares, the runtime's own included. Raises UsageError at `where`."""
    return Core.metadata() if module == RUNTIME else plugins.load(module, where).metadata()


class Params:
    """The parameters of the chain's modules, as a node has them."""

    def __init__(self, client: NodeClient, prefix: str) -> None:
        self._client = client
        self._context = {"prefix": prefix}
        self._prefix = prefix

    def declared(self, module: str, where: str) -> type[ModuleParams]:
        """The type of a module's parameters. Raises UsageError at `where`."""
        found = metadata_of(module, where).params
        if found is None:
            raise UsageError(f"{where}: module {module} has no parameters")
        return found

    def now(self, module: str, where: str) -> ModuleParams:
        """As they stand after the node's last block. Raises UsageError where the chain or this machine has none."""
        kind = self.declared(module, where)
        answer = self._stored(module)
        if answer is None:
            raise UsageError(f"{where}: this chain has no module {module} with parameters")
        try:
            found: ModuleParams = codec(kind).decode(bytes.fromhex(answer))
        except (CodecError, ValueError, TypeError):
            raise NodeError(f"the chain's module {module} has other parameters than the one installed here") from None
        return found

    def modules(self) -> list[str]:
        """The installed modules that have parameters on this chain."""
        having = [name for name in (RUNTIME, *sorted(plugins.installed())) if metadata_of(name, name).params]
        return [name for name in having if self._stored(name) is not None]

    def for_people(self, params: ModuleParams) -> dict[str, Any]:
        """As JSON."""
        return params.model_dump(mode="json", context=self._context)

    def _stored(self, module: str) -> Any:
        return self._client.get("/query/runtime/params_of", module=module)["result"]

    def changed(self, module: str, fields: Mapping[str, Any], where: str) -> bytes:
        """The canonical bytes of the present ones with these fields changed. Says each change. Raises UsageError."""
        before = self.for_people(self.now(module, f"{where}.module"))
        kind = self.declared(module, where)
        after = of_form(kind, {**before, **fields}, f"{where}.params", self._prefix)
        for name, new in self.for_people(after).items():
            if new != before[name]:
                click.echo(f"{module}.{name}: {text_of(before[name])} becomes {text_of(new)}", err=True)
        return codec(kind).encode(after)


class NestedCalls:
    """Calls inside arguments and answers, on one chain."""

    def __init__(self, client: NodeClient, prefix: str, unit_of: UnitOf) -> None:
        self._params = Params(client, prefix)
        self._prefix = prefix
        self._unit_of = unit_of

    def encoded(self, record: type[Struct], values: dict[str, Any], where: str = "$") -> dict[str, Any]:
        """Arguments whose typed calls are in the form that travels. Raises UsageError with the JSON path."""
        found: dict[str, Any] = _each_call(schema_of(record), values, where, self._encode)
        return found

    def decoded(self, schema: Schema, value: Any) -> Any:
        """A node's answer with its calls in the typed form; one that no module here knows stays as it is."""
        return _each_call(schema, value, "$", self._decode)

    def _encode(self, value: Any, where: str) -> Any:
        if isinstance(value, dict) and set(value) == {"name", "arguments"}:
            return value
        if not isinstance(value, dict) or not isinstance(value.get("call"), str):
            raise UsageError(f"{where}: a call is {FORM}")
        for name in value:
            if name not in ("call", "arguments"):
                raise UsageError(f"{where}.{name}: there is no such field; a call is {FORM}")
        info = call_info(value["call"], f"{where}.call")
        inside, given = f"{where}.arguments", value.get("arguments", {})
        if not isinstance(given, dict):
            raise UsageError(f"{inside}: a JSON object with the arguments' names is expected")
        given = {**{field.name: None for field in info.fields if field.is_optional}, **given}
        if info.full_name == SET_PARAMS and isinstance(given.get("params"), dict):
            changed = self._params.changed(str(given.get("module")), given["params"], inside)
            given = {**given, "params": changed.hex()}
        given = self.encoded(info.arguments, given, inside)
        given = in_base_units(info.arguments, given, self._unit_of, inside)
        record = of_form(info.arguments, given, inside, self._prefix)
        return {"name": info.full_name, "arguments": info.codec.encode(record).hex()}

    def _decode(self, value: Any, where: str) -> Any:
        try:
            info = call_info(value["name"], where)
            record = info.codec.decode(bytes.fromhex(value["arguments"]))
        except (UsageError, CodecError, ValueError, TypeError, KeyError):
            return value
        context = {"prefix": self._prefix}
        shown = TypeAdapter(info.arguments).dump_python(record, mode="json", context=context)
        if info.full_name == SET_PARAMS:
            shown["params"] = self._readable(shown)
        return {"call": info.full_name, "arguments": self.decoded(schema_of(info.arguments), shown)}

    def _readable(self, change: Mapping[str, str]) -> Any:
        """The parameters of a set_params as JSON, or as they are where no module here knows them."""
        try:
            kind = self._params.declared(change["module"], "$")
            return self._params.for_people(codec(kind).decode(bytes.fromhex(change["params"])))
        except (UsageError, CodecError, ValueError):
            return change["params"]


def call_info(full_name: str, where: str) -> CallInfo:
    """What the installed module declares of a call. Raises UsageError at `where`, naming the nearest."""
    module, _, name = full_name.partition(".")
    calls = metadata_of(module, where).calls
    if name not in calls:
        raise UsageError(f"{where}: module {module} has no call {name!r}; {nearest(name, list(calls))}")
    return calls[name]


def holds_calls(schema: Schema) -> bool:
    """Whether values of this form may hold calls."""
    return schema.python is Call or any(map(holds_calls, schema.items))


def _each_call(schema: Schema, value: Any, where: str, change: Callable[[Any, str], Any]) -> Any:
    """The value with each call in it changed. What is not of its type stays: the types say so, in their own words."""
    if schema.kind == "optional":
        return None if value is None else _each_call(schema.items[0], value, where, change)
    if schema.python is Call:
        return change(value, where)
    if schema.kind == "struct" and isinstance(value, dict):
        parts = dict(zip(schema.names, schema.items, strict=True))
        return {
            name: _each_call(parts[name], part, f"{where}.{name}", change) if name in parts else part
            for name, part in value.items()
        }
    if schema.kind == "array" and isinstance(value, list):
        return [_each_call(schema.items[0], part, f"{where}[{n}]", change) for n, part in enumerate(value)]
    return value


def text_of(value: Any) -> str:
    """A JSON value for people: a text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)
