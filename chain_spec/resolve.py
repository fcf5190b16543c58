"""From a chain spec to the runtime's ChainGenesis and the module classes. Everything that is wrong is said at once.

Lives here: finding modules, their pins, parameters and genesis. What modules have to do with each other is judged in
fitting.py, the state that comes of it in start.py; files are read in files.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from chain_spec import plugins
from chain_spec.errors import Problem, SpecError, refuse
from chain_spec.explain import read_form
from chain_spec.fitting import Chosen, misfits
from chain_spec.types import ChainSpec, ModuleSpec
from runtime import Module
from runtime.codec import codec
from runtime.errors import CodecError
from runtime.execution import ChainGenesis, ConsensusParams, ModuleGenesis, Roles
from runtime.execution.genesis import (
    GENESIS_VERSION,
    MODULE_GENESIS_BYTES_MAX,
    MODULE_PARAMS_BYTES_MAX,
    UNPINNED,
)
from runtime.types import Hash


@dataclass(frozen=True)
class ResolvedChain:
    """A spec made ready: the genesis, its hash, and the classes to compose, in order."""

    genesis: ChainGenesis
    genesis_hash: Hash
    modules: tuple[type[Module], ...]


def resolve(spec: ChainSpec) -> ResolvedChain:
    """Find the modules, check their pins, parameters and genesis. Raises SpecError with everything that is wrong."""
    problems: list[Problem] = []
    chosen = choose(enumerate(spec.modules), spec.address_prefix, problems)
    problems += misfits(spec, chosen)
    refuse(problems)
    genesis = ChainGenesis(
        version=GENESIS_VERSION,
        chain=spec.name,
        address_prefix=spec.address_prefix,
        time_ms=spec.genesis_time_ms,
        modules=tuple(_entry(each, spec.modules[each.place]) for each in chosen),
        consensus=ConsensusParams(**spec.consensus.model_dump()),
        runtime=spec.runtime,
        roles=Roles(**spec.roles.model_dump()),
    )
    return ResolvedChain(genesis, genesis.hash, tuple(each.module for each in chosen))


def choose(entries: Iterable[tuple[int, ModuleSpec]], prefix: str | None, problems: list[Problem]) -> list[Chosen]:
    """The modules of these entries, by their place in the spec, as far as they are right; `problems` has the rest.

    prefix: of the chain's addresses; None where the spec has none that is right: sections that hold any are left out.
    """
    found, names = [], set[str]()
    for place, entry in entries:
        path = f"$.modules[{place}]"
        if entry.name in names:
            problems.append(Problem(f"{path}.name", f"the module {entry.name!r} is there twice; remove one"))
            continue
        names.add(entry.name)
        try:
            module = plugins.load(entry.name, f"{path}.name")
        except SpecError as error:
            problems += error.problems
            continue
        found.append(_chosen(place, module, entry, prefix, problems))
    return found


def _chosen(place: int, module: type[Module], entry: ModuleSpec, prefix: str | None, problems: list[Problem]) -> Chosen:
    path, metadata = f"$.modules[{place}]", module.metadata()
    if entry.version is not None and entry.version != metadata.version:
        reason = f"the spec pins version {entry.version}, installed is {metadata.version}; install that one"
        problems.append(Problem(f"{path}.version", reason))
    sections = [
        _section(model, values, where, prefix, bytes_max, problems)
        for model, values, where, bytes_max in (
            (metadata.params, entry.params, f"{path}.params", MODULE_PARAMS_BYTES_MAX),
            (metadata.genesis, entry.genesis, f"{path}.genesis", MODULE_GENESIS_BYTES_MAX),
        )
    ]
    return Chosen(place, module, params=sections[0], genesis=sections[1])


def _section(
    model: type[BaseModel] | None,
    values: dict[str, Any],
    path: str,
    prefix: str | None,
    bytes_max: int,
    problems: list[Problem],
) -> Any:
    if model is None:
        if values:
            problems.append(Problem(path, f"the module takes none; remove {', '.join(values)}"))
        return None
    if prefix is None:
        return None
    made = read_form(model, values, path, prefix, problems)
    if made is not None:
        try:
            size = len(codec(model).encode(made))
        except CodecError as error:
            problems.append(Problem(path + error.path.removeprefix("$"), error.reason))
            return None
        if size > bytes_max:
            problems.append(Problem(path, f"it takes {size:,} bytes; at most {bytes_max:,} are allowed"))
    return made


def _entry(chosen: Chosen, entry: ModuleSpec) -> ModuleGenesis:
    metadata = chosen.module.metadata()
    return ModuleGenesis(
        name=entry.name,
        version=metadata.version,
        digest=UNPINNED if entry.digest is None else entry.digest,
        params=b"" if metadata.params is None else codec(metadata.params).encode(chosen.params),
        genesis=b"" if metadata.genesis is None else codec(metadata.genesis).encode(chosen.genesis),
    )
