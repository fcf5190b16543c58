"""A new chain that goes on where another stands: its genesis, and its spec.

Carried over is what modules export, with the parameters and prices in force. Heights begin anew: those that a module
stores are lowered by the height of the export (runtime.DatedGenesis). docs/adr/020 says what differs, and why.

Lives here: from a chain's state to a genesis, from a genesis to a spec. Must not: open stores.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from msgspec.structs import asdict, replace

from chain_spec.types import ChainSpec, Consensus, ModuleSpec, Roles
from runtime import DatedGenesis, Module
from runtime.codec import codec
from runtime.errors import CodecError, UsageError
from runtime.execution import Application, ChainGenesis, ModuleGenesis
from runtime.execution.composition import Environment
from runtime.execution.genesis import MODULE_GENESIS_BYTES_MAX, UNPINNED
from runtime.module.params import PARAMS_KEY
from runtime.state import Overlay
from runtime.types import Name


def unexportable(application: Application) -> list[str]:
    """The modules that hold state and do not say it as a genesis."""
    return [name for name, module in _modules(application) if _is_stateful(module) and not _exports(module)]


def export_chain(
    application: Application,
    *,
    name: str | None = None,
    height: int | None = None,
    heights_from: int | None = None,
    afresh: Collection[str] = (),
) -> ChainGenesis:
    """The genesis of a chain that goes on from the state at `height` (None: the last). name: of the new chain; None: as
    before. heights_from: the height that is its 0; None: `height`. afresh: modules that begin as this chain's did.

    Raises UsageError for a module that cannot be exported or whose export is too large, HeightUnavailable.
    """
    lost = [each for each in unexportable(application) if each not in afresh]
    if lost:
        raise UsageError(
            f"{', '.join(lost)} cannot be exported: define export_genesis() in it; half of a state is none"
        )
    at = application.height if height is None else height
    block = application.block_at(at)
    genesis, store = application.genesis, application.store
    with application.reading(Overlay(store.at(at), store.blobs), block) as run:
        zero = at if heights_from is None else heights_from
        entries = tuple(_entry(entry, run.environment, zero, entry.name in afresh) for entry in genesis.modules)
    return replace(
        genesis,
        chain=genesis.chain if name is None else Name(name),
        time_ms=block.time_ms,
        modules=entries,
        runtime=application.params(at),
    )


def spec_of(genesis: ChainGenesis, modules: Collection[type[Module]]) -> ChainSpec:
    """The chain spec that makes this genesis. modules: the classes of all that it names."""
    by_name = {module.name: module for module in modules}
    return ChainSpec(
        name=genesis.chain,
        address_prefix=genesis.address_prefix,
        genesis_time_ms=genesis.time_ms,
        consensus=Consensus(**asdict(genesis.consensus)),
        runtime=genesis.runtime,
        roles=Roles(**asdict(genesis.roles)),
        modules=[module_spec(entry, by_name[entry.name], genesis.address_prefix) for entry in genesis.modules],
    )


def module_spec(entry: ModuleGenesis, module: type[Module], prefix: str) -> ModuleSpec:
    """A module's entry in a genesis, as a spec says it. prefix: of addresses."""
    metadata = module.metadata()

    def shown(model: Any, data: bytes) -> dict[str, Any]:
        if model is None:
            return {}
        values: dict[str, Any] = codec(model).decode(data).model_dump(mode="json", context={"prefix": prefix})
        return values

    return ModuleSpec(
        name=entry.name,
        version=entry.version,
        digest=None if entry.digest == UNPINNED else entry.digest,
        params=shown(metadata.params, entry.params),
        genesis=shown(metadata.genesis, entry.genesis),
    )


def _entry(entry: ModuleGenesis, environment: Environment, zero: int, is_afresh: bool) -> ModuleGenesis:
    module = environment.modules[entry.name]
    made = replace(entry, params=environment.context.read(entry.name, PARAMS_KEY) or entry.params)
    if is_afresh or not _exports(type(module)):
        return made
    config = module.export_genesis()
    if isinstance(config, DatedGenesis):
        config = config.model_copy(update={"heights_from": zero})
    try:
        data = codec(type(config)).encode(config)
    except CodecError as error:
        raise UsageError(f"{entry.name} cannot be exported: {error}") from None
    if len(data) > MODULE_GENESIS_BYTES_MAX:
        limit = MODULE_GENESIS_BYTES_MAX
        raise UsageError(f"{entry.name} cannot be exported: it has {len(data):,} bytes, a genesis at most {limit:,}")
    return replace(made, genesis=data)


def _modules(application: Application) -> list[tuple[str, type[Module]]]:
    return [(entry.name, application.composition.modules[entry.name]) for entry in application.genesis.modules]


def _is_stateful(module: type[Module]) -> bool:
    return bool(module.metadata().storage)


def _exports(module: type[Module]) -> bool:
    return module.export_genesis is not Module.export_genesis
