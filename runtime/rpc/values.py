"""From what execution knows to what people see, and back: events, errors, queries' arguments and answers.

All of it is derived from the modules' declarations; nothing here knows any module.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from runtime.codec import codec
from runtime.errors import CodecError
from runtime.execution import Application, Receipt, decode_error
from runtime.execution.dispatch import explain
from runtime.module import EventRecord, QueryInfo
from runtime.rpc.accounts import Finder, finder, with_addresses
from runtime.rpc.views import ErrorView, EventView
from runtime.types import AccountId


class Values:
    """Conversions for one chain."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._context = {"prefix": app.genesis.address_prefix}
        self._adapters: dict[Any, TypeAdapter[Any]] = {}
        self._finders: dict[Any, Finder] = {}

    @property
    def prefix(self) -> str:
        """Of the chain's addresses."""
        return self._app.genesis.address_prefix

    def event(self, record: EventRecord) -> EventView:
        """An event of a receipt."""
        info = self._app.metadata[record.module].events.get(record.name)
        fields = (
            {"data": record.data.hex()} if info is None else self._shown(info.event, info.codec.decode(record.data))
        )
        return EventView(module=record.module, name=record.name, fields=fields)

    def accounts(self, record: EventRecord) -> frozenset[AccountId]:
        """The accounts that an event's fields name, at any depth."""
        info = self._app.metadata[record.module].events.get(record.name)
        return frozenset() if info is None else frozenset(self._find(info.event, info.codec.decode(record.data)))

    def error(self, receipt: Receipt, explanation: str = "") -> ErrorView | None:
        """Why a receipt's calls failed; None where they did not. explanation: more for people than the receipt has."""
        record = receipt.error
        if record is None:
            return None
        error = decode_error(self._app, receipt)
        message = explanation or (f"{record.module}.{record.name}" if error is None else explain(error))
        info = self._app.metadata[record.module].errors.get(record.name)
        if info is None:
            return ErrorView(
                module=record.module, name=record.name, fields={"data": record.data.hex()}, message=message
            )
        fields = codec(info.record).decode(record.data)
        return ErrorView(
            module=record.module,
            name=record.name,
            fields=self._shown(info.record, fields),
            message=with_addresses(message, self._find(info.record, fields), self.prefix),
        )

    def arguments(self, info: QueryInfo, texts: Mapping[str, str]) -> dict[str, Any]:
        """A query's arguments as they are typed into a URL: text as it is, anything else as JSON; none is left out.

        Raises CodecError naming the argument.
        """
        values: dict[str, Any] = {field.name: None for field in info.fields if field.is_optional} | dict(texts)
        for name in info.arguments.__struct_fields__:
            if name in texts and not self._fits(info, name, values[name]):
                values[name] = _json(values[name])
        for name in texts:
            if name not in info.arguments.__struct_fields__:
                known = ", ".join(info.arguments.__struct_fields__) or "none"
                raise CodecError(f"$.{name}", f"{info.full_name} has no such argument; it takes {known}")
        try:
            record = self._adapter(info.arguments).validate_json(json.dumps(values), context=self._context)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise CodecError(f"$.{where}", f"{info.full_name}: {first['msg']}") from None
        return {name: getattr(record, name) for name in info.arguments.__struct_fields__}

    def answer(self, info: QueryInfo, value: Any) -> Any:
        """A query's answer as JSON."""
        return self._shown(info.result, value)

    def _fits(self, info: QueryInfo, name: str, text: str) -> bool:
        declared = next(field.type for field in info.fields if field.name == name)
        try:
            self._adapter(declared).validate_json(json.dumps(text), context=self._context)
        except ValidationError:
            return False
        return True

    def _find(self, declared: Any, value: Any) -> Iterator[AccountId]:
        if declared not in self._finders:
            self._finders[declared] = finder(declared)
        return self._finders[declared](value)

    def _shown(self, declared: Any, value: Any) -> Any:
        return self._adapter(declared).dump_python(value, mode="json", context=self._context)

    def _adapter(self, declared: Any) -> TypeAdapter[Any]:
        if declared not in self._adapters:
            self._adapters[declared] = TypeAdapter(declared)
        return self._adapters[declared]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
