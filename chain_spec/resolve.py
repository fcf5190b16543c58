"""From the JSON file to the runtime's ChainGenesis and the module classes. Errors name the JSON path and the mend."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from chain_spec import plugins
from chain_spec.errors import SpecError
from chain_spec.types import ChainSpec, ModuleSpec
from runtime import Module
from runtime.codec import codec
from runtime.errors import CodecError
from runtime.execution import ChainGenesis, ConsensusParams, ModuleGenesis, Roles
from runtime.execution.genesis import GENESIS_VERSION, UNPINNED
from runtime.types import Hash

SPEC_BYTES_MAX = 64 * 1024 * 1024


@dataclass(frozen=True)
class ResolvedChain:
    """A spec made ready: the genesis, its hash, and the classes to compose, in order."""

    genesis: ChainGenesis
    genesis_hash: Hash
    modules: tuple[type[Module], ...]


def read_spec(path: Path) -> ChainSpec:
    """The spec in a JSON file. Raises SpecError: unreadable, no JSON, a duplicate key, a wrong field."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SpecError(str(path), f"cannot be read: {error.strerror}; armillary spec new makes one") from None
    return parse_spec(data)


def parse_spec(data: bytes) -> ChainSpec:
    """The spec in JSON bytes. Raises SpecError with the JSON path of the first wrong field."""
    if len(data) > SPEC_BYTES_MAX:
        raise SpecError("$", f"{len(data):,} bytes; a spec has at most {SPEC_BYTES_MAX:,}")
    try:
        document = json.loads(data, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except SpecError:
        raise
    except (ValueError, RecursionError) as error:
        raise SpecError("$", f"not JSON: {error}") from None
    if not isinstance(document, dict):
        raise SpecError("$", "a chain spec is a JSON object; armillary spec new makes one")
    spec: ChainSpec = _validate(ChainSpec, document, "$", str(document.get("address_prefix", "")))
    return spec


def render_spec(spec: ChainSpec) -> str:
    """The spec as a JSON file for people: every field, in the order of its declaration."""
    return json.dumps(spec.model_dump(mode="json"), indent=2) + "\n"


def resolve(spec: ChainSpec) -> ResolvedChain:
    """Find the modules, check their pins, parameters and genesis. Raises SpecError."""
    classes, entries = [], []
    for index, chosen in enumerate(spec.modules):
        path = f"$.modules[{index}]"
        if any(chosen.name == other.name for other in spec.modules[:index]):
            raise SpecError(f"{path}.name", f"the module {chosen.name!r} is there twice; remove one")
        module = plugins.load(chosen.name, f"{path}.name")
        classes.append(module)
        entries.append(_entry(module, chosen, path, spec.address_prefix))
    _check_roles(spec)
    genesis = ChainGenesis(
        version=GENESIS_VERSION,
        chain=spec.name,
        address_prefix=spec.address_prefix,
        time_ms=spec.genesis_time_ms,
        modules=tuple(entries),
        consensus=ConsensusParams(**spec.consensus.model_dump()),
        runtime=spec.runtime,
        roles=Roles(**spec.roles.model_dump()),
    )
    return ResolvedChain(genesis, genesis.hash, tuple(classes))


def _entry(module: type[Module], chosen: ModuleSpec, path: str, prefix: str) -> ModuleGenesis:
    metadata = module.metadata()
    if chosen.version is not None and chosen.version != metadata.version:
        raise SpecError(
            f"{path}.version",
            f"the spec pins version {chosen.version}, installed is {metadata.version}; install that one",
        )
    return ModuleGenesis(
        name=chosen.name,
        version=metadata.version,
        digest=UNPINNED if chosen.digest is None else chosen.digest,
        params=_section(metadata.params, chosen.params, f"{path}.params", prefix),
        genesis=_section(metadata.genesis, chosen.genesis, f"{path}.genesis", prefix),
    )


def _section(model: type[BaseModel] | None, values: dict[str, Any], path: str, prefix: str) -> bytes:
    if model is None:
        if values:
            raise SpecError(path, f"the module takes none; remove {', '.join(values)}")
        return b""
    try:
        return codec(model).encode(_validate(model, values, path, prefix))
    except CodecError as error:
        raise SpecError(path + error.path.removeprefix("$"), error.reason) from None


def _check_roles(spec: ChainSpec) -> None:
    names = [module.name for module in spec.modules]
    for role, name in spec.roles.model_dump().items():
        if name is not None and name not in names:
            raise SpecError(f"$.roles.{role}", f"{name!r} is none of the spec's modules ({', '.join(names)})")


def _validate(model: Any, values: dict[str, Any], path: str, prefix: str) -> Any:
    try:
        return model.model_validate_json(json.dumps(values), context={"prefix": prefix} if prefix else None)
    except ValidationError as error:
        raise spec_error(error, path) from None


def spec_error(error: ValidationError, path: str) -> SpecError:
    """The first thing that pydantic found wrong, as ours. path: of what was validated."""
    first = error.errors(include_url=False)[0]
    where = path + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return SpecError(where, "there is no such field; remove it, or mend its spelling")
    if first["type"] == "missing":
        return SpecError(where, "this field is missing; add it")
    return SpecError(where, f"{first['msg']}; found {str(first['input'])[:80]!r}")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise SpecError("$", f"the key {key!r} is there twice in one object; remove one")
        found[key] = value
    return found


def _no_constant(text: str) -> Any:
    raise SpecError("$", f"{text} is no JSON number")
