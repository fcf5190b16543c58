"""What pydantic found wrong, as problems of a person: the JSON path, the reason, the mend. All of it, in its order."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from chain_spec.document import shown, step
from chain_spec.errors import Problem, refuse
from chain_spec.forms import Form, form_of
from chain_spec.json_schema import words

_SAID_BY_US = {"integer_range", "address", "identifier"}  # runtime.types: these sentences name value and bound
_KEY = "[key]"  # how pydantic calls a key that is wrong, at the end of a location


def read_form(declared: Any, values: Any, path: str, prefix: str | None, problems: list[Problem]) -> Any:
    """The value of a declared type that `values`, of a JSON document, are; None where they are none of it, and then
    `problems` has everything that is wrong. prefix: of addresses; None: the type holds none."""
    context = None if prefix is None else {"prefix": prefix}
    adapter: TypeAdapter[Any] = TypeAdapter(declared)
    form = form_of(declared)
    found = list(_capitals(form, values, path))
    try:
        made = adapter.validate_json(json.dumps(values), context=context)
    except ValidationError as error:
        found += _Explained(values, form, path, prefix).problems(error)
    problems += found
    return None if found else made


def of_form(declared: Any, values: Any, path: str, prefix: str | None) -> Any:
    """As `read_form`. Raises SpecError with everything that is wrong."""
    problems: list[Problem] = []
    made = read_form(declared, values, path, prefix, problems)
    refuse(problems)
    return made


def nearest(name: str, names: list[str]) -> str:
    """The mend of a wrong name: the nearest right one, else all of them."""
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"remove it; there is {', '.join(names)}" if names else "remove it"


@dataclass(frozen=True)
class _Explained:
    values: Any
    form: Form
    path: str
    prefix: str | None

    def problems(self, error: ValidationError) -> list[Problem]:
        found = [each for one in error.errors(include_url=False) for each in self._problem(one)]
        return list(dict.fromkeys(found))

    def _problem(self, error: Any) -> Iterator[Problem]:
        """Walks to where pydantic points. Its location also names members of unions, which are no part of the path."""
        path, value, form = self.path, self.values, _present(self.form)
        for place, part in enumerate(error["loc"]):
            if form.kind == "union":
                yield from self._of_union(path, value, form)
                return
            if part == _KEY and place == len(error["loc"]) - 1:
                yield Problem(path, f"as a key: {_reason(error, form.items[0] if form.items else form, value)}")
                return
            above, path = form, step(path, part)
            inner = _below(form, part)
            if inner is None:
                yield Problem(path, f"there is no such field; {nearest(str(part), list(above.members))}")
                return
            form = _present(inner)
            value = value[part] if _holds(value, part) else None
        if form.kind == "union":
            yield from self._of_union(path, value, form)
        elif error["type"] == "missing":
            yield Problem(path, f"this field is missing; add it: {words(form)}")
        else:
            yield Problem(path, _reason(error, form, value))

    def _of_union(self, path: str, value: Any, form: Form) -> Iterator[Problem]:
        """What is wrong with it as the member that its type names, not as each of the others."""
        named = value.get("type") if isinstance(value, dict) else None
        member = next((each for each in form.items if each.tag == named), None)
        if member is None:
            wanted = f"write one of {', '.join(each.tag for each in form.items)}"
            if isinstance(value, dict):
                yield Problem(step(path, "type"), f"found {shown(named)}; {wanted}")
            else:
                yield Problem(path, f"found {shown(value)}; write {words(form)}")
            return
        problems: list[Problem] = []
        read_form(member.python, value, path, self.prefix, problems)
        yield from problems


def _reason(error: Any, form: Form, value: Any) -> str:
    if error["type"] in _SAID_BY_US:
        return str(error["msg"])
    if error["type"] == "value_error":
        return f"{error['ctx']['error']}; found {shown(value)}"
    if error["type"] in ("too_short", "too_long"):
        return f"{error['msg'][:1].lower()}{error['msg'][1:]}"
    return f"found {shown(value)}; write {words(form)}"


def _present(form: Form) -> Form:
    return form.items[0] if form.kind == "optional" else form


def _below(form: Form, part: str | int) -> Form | None:
    """The form at a member or an element; None where an object has no such member."""
    if form.kind == "object":
        return form.members[str(part)].form if part in form.members else None
    if form.kind == "map":
        return form.items[1]
    if form.kind == "tuple":
        return form.items[min(int(part), len(form.items) - 1)]
    return form.items[0] if form.kind == "list" else form


def _holds(value: Any, part: str | int) -> bool:
    if isinstance(part, int):
        return isinstance(value, list) and part < len(value)
    return isinstance(value, dict) and part in value


def _capitals(form: Form, values: Any, path: str) -> Iterator[Problem]:
    """Addresses in capitals as keys: beside the same in small letters, one of the two would be lost without a word."""
    form = _present(form)
    if isinstance(values, list) and form.kind == "list":
        for place, value in enumerate(values):
            yield from _capitals(form.items[0], value, step(path, place))
    if not isinstance(values, dict):
        return
    for key, value in values.items():
        inner = _below(form, key) if form.kind in ("object", "map") else None
        if form.kind == "map" and _is_account(form.items[0]) and key != key.lower():
            yield Problem(step(path, key), "as a key: write the address in small letters")
        if inner is not None:
            yield from _capitals(inner, value, step(path, key))


def _is_account(form: Form) -> bool:
    return form.schema is not None and form.schema.name == "account"
