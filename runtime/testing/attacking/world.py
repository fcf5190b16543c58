"""The chain around what is attacked: the modules that it uses, and how they begin.

Lives here: finding providers, the genesis. Must not: choose steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any

from runtime.errors import UsageError
from runtime.execution import Chain
from runtime.execution.core import Core, ModelEngine
from runtime.module import Module
from runtime.module.uses import Uses, missing
from runtime.testing.attacking.watched import Rule, Watched

GROUP = "armillary.modules"


@dataclass(frozen=True)
class World:
    """What an attack needs to make its chain again and again. attacked: first; modules: with all that they use, what is
    used before what uses it."""

    attacked: tuple[type[Module], ...]
    modules: tuple[type[Module], ...]
    genesis: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    engine: ModelEngine | None = None
    rules: Sequence[Rule] = ()
    model: Any = None
    silent: Sequence[str] = ()
    forgets: Sequence[str] = ()
    begin: Rule | None = None

    def plain(self) -> Chain:
        """A fresh chain that nobody watches."""
        chain = Chain(*self.modules, genesis=self.genesis, params=self.params, engine=self.engine)
        if self.begin is not None:
            self.begin(chain)
        return chain

    def chain(self) -> Watched:
        """A fresh one under watch. `model` is a class, or makes an object."""
        return Watched(
            *self.modules,
            attacked=self.attacked,
            genesis=self.genesis,
            params=self.params,
            engine=self.engine,
            rules=self.rules,
            model=None if self.model is None else self.model(),
            silent=self.silent,
            forgets=self.forgets,
            begin=self.begin,
        )


def closure(attacked: Sequence[type[Module]], offered: Sequence[type[Module]]) -> tuple[type[Module], ...]:
    """The modules with everything that they use: of those offered first, else of those that installed packages offer.
    Raises UsageError where nothing offered provides what is used, or several do and none is named."""
    found: dict[str, type[Module]] = {}
    named = {module.name: module for module in (*attacked, *offered)}

    def add(module: type[Module]) -> None:
        if module.name in found:
            return
        found[module.name] = module  # a place of its own first: modules may use each other
        for uses in module.metadata().uses.values():
            if missing(Core, uses.protocol):
                add(_provider(uses, module, named))
        found[module.name] = found.pop(module.name)

    for module in (*offered, *attacked):
        add(module)
    return tuple(found.values())


def _provider(uses: Uses[Any], user: type[Module], named: Mapping[str, type[Module]]) -> type[Module]:
    wanted = f"{user.name}.{uses.name}: Uses[{uses.protocol.__name__}]"
    near = [module for module in named.values() if _provides(module, uses, user)]
    fitting = near or [module for module in _installed() if _provides(module, uses, user)]
    if len(fitting) != 1:
        names = ", ".join(module.name for module in fitting) or "no module at hand"
        raise UsageError(f"{wanted}: {names} provides it; say which, attack({user.__name__}, also=(...,))")
    return fitting[0]


def _provides(module: type[Module], uses: Uses[Any], user: type[Module]) -> bool:
    if module.name == user.name or (uses.provider is not None and module.name != uses.provider):
        return False
    return not missing(module, uses.protocol)


def _installed() -> list[type[Module]]:
    return [point.load() for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)]
