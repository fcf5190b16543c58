"""Chain specs as files: read with everything that is wrong in them, written for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from chain_spec.document import read_document
from chain_spec.errors import Problem, SpecError, refuse
from chain_spec.explain import read_form
from chain_spec.fitting import misfits_of_bootnodes, misfits_of_roles
from chain_spec.resolve import ResolvedChain, choose, resolve
from chain_spec.types import ChainSpec, ModuleSpec, Roles
from runtime.bech32m import DEFAULT_PREFIX, is_prefix

SPEC_BYTES_MAX = 64 * 1024 * 1024


def read_spec(path: Path) -> ChainSpec:
    """The spec in a JSON file, its form checked. Raises SpecError: unreadable, no JSON, wrong fields."""
    return parse_spec(_bytes_of(path))


def read_chain(path: Path) -> tuple[ChainSpec, ResolvedChain]:
    """The spec in a JSON file, resolved. Raises SpecError with all that is wrong, of form and of content together."""
    return parse_chain(_bytes_of(path))


def parse_spec(data: bytes) -> ChainSpec:
    """The spec in JSON bytes, its form checked. Raises SpecError."""
    spec, problems, _ = _parse(data)
    refuse(problems)
    assert spec is not None
    return spec


def parse_chain(data: bytes) -> tuple[ChainSpec, ResolvedChain]:
    """The spec in JSON bytes, resolved. Raises SpecError with all that is wrong, of form and of content together."""
    spec, problems, document = _parse(data)
    if spec is None:
        problems += _of_parts(document)
        refuse(problems)
    assert spec is not None
    try:
        chain = resolve(spec)
    except SpecError as error:
        problems += error.problems
    refuse(problems)
    return spec, chain


def render_spec(spec: ChainSpec) -> str:
    """The spec as a JSON file for people: every field, in the order of its declaration."""
    return json.dumps(spec.model_dump(mode="json"), indent=2) + "\n"


def _bytes_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(SPEC_BYTES_MAX + 1)
    except OSError as error:
        raise SpecError(str(path), f"cannot be read: {error.strerror}; armillary spec new makes one") from None


def _parse(data: bytes) -> tuple[ChainSpec | None, list[Problem], dict[str, Any]]:
    document, problems = read_document(data, SPEC_BYTES_MAX)
    return read_form(ChainSpec, document, "$", None, problems), problems, document


def _of_parts(document: dict[str, Any]) -> list[Problem]:
    """What is wrong inside the parts that are right as such, where the spec around them is not."""
    listed, prefix = document.get("modules"), document.get("address_prefix", DEFAULT_PREFIX)
    listed = listed if isinstance(listed, list) else []
    entries = [
        (place, entry)
        for place, each in enumerate(listed)
        if (entry := read_form(ModuleSpec, each, "$", None, [])) is not None
    ]
    problems: list[Problem] = []
    is_right = isinstance(prefix, str) and is_prefix(prefix)
    chosen = choose(entries, prefix if is_right else None, problems)
    roles: Roles | None = read_form(Roles, document.get("roles", {}), "$", None, [])
    names = [each["name"] for each in listed if isinstance(each, dict) and isinstance(each.get("name"), str)]
    if roles is not None and listed and len(names) == len(listed):
        problems += misfits_of_roles(roles, names, prefix if is_right else DEFAULT_PREFIX, chosen)
    problems += misfits_of_bootnodes(read_form(list[str], document.get("bootnodes", []), "$", None, []) or [])
    return problems
