"""Composition: the genesis' modules as one whole, checked once; and environments, in which they run.

Lives here: order, versions, params, roles, who provides what to whom. Must not: execute anything.
An Environment is a set of module instances over one Context. Instances hold no state, so making one costs little; each
block, check and query has its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic import ValidationError

from runtime.codec import codec
from runtime.errors import CodecError, DefinitionError
from runtime.execution.core import NAME as CORE
from runtime.execution.core import Core, ModelEngine
from runtime.execution.errors import GenesisError
from runtime.execution.genesis import UNPINNED, ChainGenesis, ModuleGenesis
from runtime.execution.params import Frame, RuntimeParams
from runtime.module import (
    AuthRules,
    BlockInfo,
    CallInfo,
    Context,
    FeeLedger,
    Module,
    ModuleMetadata,
    RootCalls,
    ValidatorSource,
    find_provider,
)
from runtime.module.params import PARAMS_KEY
from runtime.module.uses import missing, protocol_methods
from runtime.state import Overlay
from runtime.types import Name


@dataclass(frozen=True, slots=True)
class Target:
    """Where a call goes."""

    module: str
    info: CallInfo


class Composition:
    """A chain's modules. metadata: in the order of hooks, the runtime's own first. hook_gas: what hooks may use in each
    block. targets: where calls go, by full name. declares_runs: whether a call says what it will infer. root: makes an
    environment's RootCalls.

    Raises GenesisError where genesis and modules do not fit, DefinitionError where modules do not fit each other."""

    def __init__(
        self,
        genesis: ChainGenesis,
        modules: Sequence[type[Module]],
        engine: ModelEngine,
        root: Callable[[Environment], RootCalls],
    ) -> None:
        self.genesis = genesis
        self.engine = engine
        self.root = root
        by_name = {module.metadata().name: module for module in modules}
        if len(by_name) < len(modules) or CORE in by_name:
            raise GenesisError(
                "modules", f"two modules have one name, or one is called {CORE}, which is the runtime's own"
            )
        self.modules: dict[str, type[Module]] = {CORE: Core}
        for place, entry in enumerate(genesis.modules):
            self._add(f"modules[{place}]", entry, by_name.get(entry.name))
        self.metadata: dict[str, ModuleMetadata] = {name: module.metadata() for name, module in self.modules.items()}
        self.hook_gas = sum(gas for metadata in self.metadata.values() for gas in metadata.hooks.values())
        self._check_roles()
        self._check_root()
        self.frame = Frame(
            hook_gas=self.hook_gas,
            timeout_ms_max=genesis.consensus.timeout_ms_max,
            takes_fees=genesis.roles.fees is not None,
        )
        self._known_params = b"", genesis.runtime
        self.providers = {
            name: {
                uses.name: find_provider(uses, name, self.modules.values()) for uses in module.metadata().uses.values()
            }
            for name, module in self.modules.items()
        }
        self.targets = {
            info.full_name: Target(name, info)
            for name, module in self.modules.items()
            for info in module.metadata().calls.values()
        }
        self.declares_runs = any(target.info.infers is not None for target in self.targets.values())
        self.error_owners = {
            error.error: name for name, module in self.modules.items() for error in module.metadata().errors.values()
        }

    def _add(self, where: str, entry: ModuleGenesis, module: type[Module] | None) -> None:
        if module is None:
            raise GenesisError(where, f"module {entry.name} is not at hand: pass its class, or install its package")
        if entry.name in self.modules:
            raise GenesisError(where, f"module {entry.name} is listed twice: list it once")
        if entry.version != module.version:
            raise GenesisError(where, f"{entry.name} is pinned at version {entry.version}, at hand is {module.version}")
        self.modules[entry.name] = module
        _decode(f"{where}.params", module.metadata().params, entry.params)

    def _check_roles(self) -> None:
        roles = self.genesis.roles
        for role, name, protocol in (
            ("auth", roles.auth, AuthRules),
            ("fees", roles.fees, FeeLedger),
            ("validators", roles.validators, ValidatorSource),
        ):
            if name is None:
                continue
            if name not in self.modules:
                raise GenesisError(f"roles.{role}", f"no module {name} is listed: list it, or bind another")
            reason = missing(self.modules[name], protocol)
            if reason:
                raise GenesisError(f"roles.{role}", f"module {name} {reason} ({protocol.__name__} asks for it)")

    def _check_root(self) -> None:
        """Only the module that the genesis names may run calls as Root, and only one that does so is named."""
        bound = self.genesis.roles.governance
        wanting = [name for name, module in self.modules.items() if wants_root(module)]
        if bound is not None and bound not in self.modules:
            raise GenesisError("roles.governance", f"no module {bound} is listed: list it, or bind another")
        if bound is not None and bound not in wanting:
            raise GenesisError("roles.governance", f"module {bound} runs no calls as Root: bind one that does, or none")
        for name in wanting:
            if name != bound:
                raise GenesisError(
                    "roles.governance", f"module {name} would run calls as Root: bind the role to it, or leave it out"
                )

    def environment(self) -> Environment:
        """Fresh instances over a context of their own, closed at first."""
        return Environment(self)

    def params_in_force(self, state: Overlay) -> RuntimeParams:
        """The runtime's own parameters in this state; while the genesis is being written, those it gives."""
        data = state.get(CORE, PARAMS_KEY)
        if data is None:
            return self.genesis.runtime
        known, params = self._known_params
        if known != data:
            params = codec(RuntimeParams).decode(data)
            self._known_params = data, params
        return params

    def config(self, entry: ModuleGenesis, where: str) -> Any:
        """A module's GenesisConfig, or None where it declares none. Raises GenesisError."""
        return _decode(where, self.modules[entry.name].metadata().genesis, entry.genesis)


class Environment:
    """Module instances, connected, over one context. faults: tracebacks of what broke under Root, for the log. params:
    the runtime's own, in force for the whole run; set by `open`."""

    __slots__ = ("auth", "composition", "context", "core", "faults", "fees", "modules", "params", "validators")

    def __init__(self, composition: Composition) -> None:
        self.composition = composition
        self.context = Context()
        self.modules: dict[str, Module] = {
            name: module.bind(self.context) for name, module in composition.modules.items()
        }
        for name, needs in composition.providers.items():
            for use, provider in needs.items():
                self.modules[name].connect(use, self.modules[provider])
        self.core = cast("Core", self.modules[CORE])
        self.core.connect("engine", composition.engine)
        self.core.connect("modules", self.modules)
        self.core.connect("root", composition.root(self))
        self.core.connect("frame", composition.frame)
        self.faults: list[str] = []
        roles = composition.genesis.roles
        self.auth = cast("AuthRules", self.modules[roles.auth])
        self.fees = cast("FeeLedger | None", self.modules[roles.fees] if roles.fees else None)
        self.validators = cast("ValidatorSource | None", self.modules[roles.validators] if roles.validators else None)
        self.params = composition.genesis.runtime

    def open(self, state: Overlay, block: BlockInfo, *, writable: bool = True) -> None:
        """Begin a run on this state. Its prices and bounds are those that the state has now, whatever the run sets."""
        self.context.open(state, block, writable=writable)
        self.params = self.composition.params_in_force(state)
        self.core.connect("in_force", self.params)


def wants_root(module: type[Module]) -> bool:
    """Whether the module declares that it uses RootCalls."""
    uses = module.metadata().uses.values()
    return any(RootCalls.run_as_root.__name__ in protocol_methods(each.protocol) for each in uses)


def _decode(where: str, declared: Any, data: bytes) -> Any:
    if declared is None:
        if data:
            raise GenesisError(where, "is given, and the module declares none: leave it out")
        return None
    try:
        return codec(declared).decode(data)
    except CodecError as error:
        raise GenesisError(where, f"{error}") from None


def module_genesis(
    module: type[Module],
    *,
    params: Mapping[str, Any] | None = None,
    genesis: Mapping[str, Any] | None = None,
    prefix: str = "arm",
) -> ModuleGenesis:
    """A module's entry in the genesis, from values as people write them (JSON or Python). Raises GenesisError."""
    metadata = module.metadata()
    return ModuleGenesis(
        Name(metadata.name),
        metadata.version,
        digest=UNPINNED,
        params=_encode(f"{metadata.name}.params", metadata.params, params, prefix),
        genesis=_encode(f"{metadata.name}.genesis", metadata.genesis, genesis, prefix),
    )


def runtime_params(values: Mapping[str, Any]) -> RuntimeParams:
    """The runtime's own parameters, from values as people write them. Raises GenesisError."""
    params: RuntimeParams = codec(RuntimeParams).decode(_encode(CORE, RuntimeParams, values, ""))
    return params


def _encode(where: str, declared: Any, values: Mapping[str, Any] | None, prefix: str) -> bytes:
    if declared is None:
        if values:
            raise GenesisError(where, "is given, and the module declares none: leave it out")
        return b""
    try:
        return codec(declared).encode(declared.model_validate(dict(values or {}), context={"prefix": prefix}))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = ".".join(str(part) for part in first["loc"])
        raise GenesisError(f"{where}.{path}" if path else where, first["msg"]) from None
    except (CodecError, DefinitionError) as error:
        raise GenesisError(where, str(error)) from None
