"""The chain spec as JSON Schema 2020-12: of the envelope, and of the parameters and the genesis of installed modules.

What a schema cannot say, only `armillary spec validate` checks: checksums and prefixes of addresses, pins, roles, what
two places have to do with each other, the state at height 0. Everything that `validate` takes, the schema takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

from chain_spec import plugins
from chain_spec.errors import SpecError
from chain_spec.forms import NO_DEFAULT, Form, Member, form_of
from chain_spec.types import ChainSpec
from runtime import Module
from runtime.codec.schema import Schema

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ADDRESS = "([a-z][a-z0-9]{0,15}1[02-9ac-hj-np-z]{58}|[A-Z][A-Z0-9]{0,15}1[02-9AC-HJ-NP-Z]{58})"
DECIMAL = "(0|[1-9][0-9]*)"


def spec_schema() -> dict[str, Any]:
    """The schema of a spec of the modules that are installed here; those that cannot be loaded are left out."""
    modules = _loadable()
    envelope = _of(form_of(ChainSpec))
    entry = envelope["properties"]["modules"]["items"]
    entry["properties"]["name"] = {"enum": [module.name for module in modules],
                                   "description": entry["properties"]["name"]["description"]}  # fmt: skip
    entry["allOf"] = [_module(module) for module in modules]
    return {"$schema": DIALECT, "title": "Armillary chain spec", **envelope}


def words(form: Form) -> str:
    """What to write, in a few words: "a whole number from 0 to 255"."""
    if form.kind == "optional":
        return f"{words(form.items[0])}, or null"
    if form.kind == "object":
        return "an object {...}"
    if form.kind == "union":
        return f"an object with a type: {', '.join(each.tag for each in form.items)}"
    if form.kind == "constant":
        return " or ".join(str(each) for each in form.values)
    if form.schema is not None:
        said: str = _scalar(form, form.schema)["description"]
        return said
    named = {"map": "an object {...}", "list": "a list [...]", "tuple": f"a list of {len(form.items)}"}
    return named.get(form.kind, "anything")


def _loadable() -> Sequence[type[Module]]:
    found = []
    for name in sorted(plugins.installed()):
        try:
            found.append(plugins.load(name))
        except SpecError:
            continue
    return found


def _module(module: type[Module]) -> dict[str, Any]:
    """What else holds of an entry with this module's name."""
    metadata = module.metadata()
    sections = {"params": metadata.params, "genesis": metadata.genesis}
    properties = {
        name: {"type": "object", "maxProperties": 0, "description": "the module takes none"}
        if model is None
        else _of(form_of(model))
        for name, model in sections.items()
    }
    properties["version"] = {"enum": [metadata.version, str(metadata.version), None]}
    return {
        "if": {"properties": {"name": {"const": module.name}}, "required": ["name"]},
        "then": {"description": " ".join(metadata.docs.split()), "properties": properties},
    }


def _of(form: Form) -> dict[str, Any]:
    if form.schema is not None:
        return _scalar(form, form.schema)
    if form.kind == "object":
        return _object(form)
    inner = [_of(each) for each in form.items]
    if form.kind == "map":
        return {"type": "object", "propertyNames": inner[0], "additionalProperties": inner[1]}
    if form.kind == "list":
        bounds = {"minItems": form.least, "maxItems": form.most}
        return {"type": "array", "items": inner[0], **{name: n for name, n in bounds.items() if n is not None}}
    if form.kind == "tuple":
        return {"type": "array", "prefixItems": inner, "items": False, "minItems": len(inner)}
    if form.kind == "optional":
        return {"anyOf": [inner[0], {"type": "null"}]}
    if form.kind == "union":
        return {"oneOf": inner}
    return {"enum": list(form.values)} if form.kind == "constant" else {}


def _object(form: Form) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "object", "additionalProperties": False}
    if form.docs:
        made["description"] = form.docs
    made["properties"] = {name: _property(member) for name, member in form.members.items()}
    required = [name for name, member in form.members.items() if member.is_required]
    return {**made, "required": required} if required else made


def _property(member: Member) -> dict[str, Any]:
    made = _of(member.form)
    if member.description:
        said = made.get("description", "")
        made["description"] = f"{member.description}; {said}" if said else member.description
    if member.default is not NO_DEFAULT and isinstance(member.default, str | int | None):
        made["default"] = str(member.default) if _is_wide(member.form.schema) else member.default
    elif member.form.kind in ("map", "list", "object", "free") and not member.is_required:
        made["default"] = [] if member.form.kind == "list" else {}
    return made


def _is_wide(schema: Schema | None) -> bool:
    return schema is not None and schema.kind == "int" and schema.bits > 64


def _scalar(form: Form, schema: Schema) -> dict[str, Any]:
    if schema.kind == "int":
        return _integer(form, schema)
    if schema.kind == "bytes":
        return _bytes(schema)
    if schema.kind == "bool":
        return {"type": "boolean", "description": "true or false"}
    if schema.kind == "enum":
        members: list[IntEnum] = list(schema.python)
        said = ", ".join(f"{each.value} {each.name.lower()}" for each in members)
        return {"enum": [each.value for each in members], "description": said}
    bound = {} if schema.limit is None else {"maxLength": schema.limit}
    if schema.regex is None:
        most = "" if schema.limit is None else f" of at most {schema.limit} characters"
        return {"type": "string", **bound, "description": f"a text{most}"}
    said = f"a text of the form {schema.regex}, at most {schema.limit} characters"
    return {"type": "string", "pattern": f"^({schema.regex})$", **bound, "description": said}


def _integer(form: Form, schema: Schema) -> dict[str, Any]:
    """A number, or its decimal digits in a string: programs that read JSON numbers as floats lose digits above 2^53.
    Amounts (above 64 bits) are written in digits."""
    low = -(1 << schema.bits - 1) if schema.signed else 0
    high = (1 << schema.bits - schema.signed) - 1
    low, high = max(low, low if form.least is None else form.least), min(high, high if form.most is None else form.most)
    pattern = "^(0|-?[1-9][0-9]*)$" if schema.signed else f"^{DECIMAL}$"
    kinds = ["string", "integer"] if schema.bits > 64 else ["integer", "string"]
    said = f"a whole number in decimal digits, {low} to {high}" if schema.bits > 64 else (
        f"a whole number, {low} to {high}"
    )  # fmt: skip
    length = max(len(str(low)), len(str(high)))
    return {"type": kinds, "minimum": low, "maximum": high, "pattern": pattern, "maxLength": length,
            "description": said}  # fmt: skip


def _bytes(schema: Schema) -> dict[str, Any]:
    if schema.size is None:
        assert schema.limit is not None
        return {"type": "string", "pattern": "^([0-9a-f]{2})*$", "maxLength": 2 * schema.limit,
                "description": f"at most {schema.limit} bytes in lower-case hex"}  # fmt: skip
    if schema.name == "account":
        return {"type": "string", "format": "bech32m", "pattern": f"^{ADDRESS}$",
                "description": "an address: bech32m with the chain's prefix"}  # fmt: skip
    return {"type": "string", "pattern": f"^[0-9a-f]{{{2 * schema.size}}}$",
            "description": f"{schema.size} bytes in lower-case hex"}  # fmt: skip
