"""Whether the sources that are installed are those that a spec pins.

Lives here: the judgement. Must not: compute digests (plugins.py), decide what follows from it: a node does not sign.
"""

from __future__ import annotations

from chain_spec import plugins
from chain_spec.errors import Problem
from chain_spec.resolve import ResolvedChain
from chain_spec.types import ChainSpec
from runtime.errors import CallerError
from runtime.module import Module
from runtime.types import Hash


class OtherSources(CallerError):
    """Sources that are installed are not those that the spec pins: the chain is right, this machine is not."""


def other_sources(spec: ChainSpec, chain: ResolvedChain) -> list[Problem]:
    """A problem for each module that is pinned to other sources than those that are installed, or loaded."""
    return [
        Problem(f"$.modules[{place}].digest", f"module {chosen.name}: {reason}")
        for place, (chosen, module) in enumerate(zip(spec.modules, chain.modules, strict=True))
        if chosen.digest is not None and (reason := _other(chosen.digest, module))
    ]


def check_sources(spec: ChainSpec, chain: ResolvedChain) -> None:
    """Raises OtherSources with every module that is pinned to other sources."""
    found = other_sources(spec, chain)
    if found:
        raise OtherSources("\n".join(str(each) for each in found))


def _other(pinned: Hash, module: type[Module]) -> str | None:
    found, outdated = plugins.digest(module), plugins.outdated(module)
    if found != pinned:
        return (
            f"the spec pins sources {pinned.hex()}, installed are {found.hex()}; install the former, or pin the latter"
        )
    return None if outdated is None else f"Python runs other bytecode than of {outdated}: remove the __pycache__ there"
