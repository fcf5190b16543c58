"""What an attack does, as data: each step can be done again, and written down as a line of Python.

Lives here: the steps, doing them, their source. Must not: choose them (machine.py) or shorten a list (shrink.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runtime.errors import CodecError
from runtime.execution import Chain
from runtime.execution.application import QueryFailed
from runtime.execution.errors import InvalidBlock, InvalidTransaction
from runtime.module import CallError, CallMethod, Module, Offence
from runtime.testing.attacking.watched import Watched
from runtime.testing.attacking.writing import Writing
from runtime.types import PublicKey


@dataclass(frozen=True, slots=True)
class Made:
    """A call or a query with its arguments."""

    module: type[Module]
    name: str
    arguments: Mapping[str, Any]

    @property
    def verb(self) -> Any:
        """The method as its class has it."""
        return getattr(self.module, self.name)


@dataclass(frozen=True, slots=True)
class Submit:
    """A transaction of one or several calls, in a block of its own."""

    signer: str
    calls: tuple[Made, ...]


@dataclass(frozen=True, slots=True)
class AsRoot:
    """A call as the chain itself."""

    call: Made


@dataclass(frozen=True, slots=True)
class Wait:
    """So many blocks without transactions, each so much later than the one before."""

    blocks: int
    step_ms: int


@dataclass(frozen=True, slots=True)
class Accuse:
    """A block with the evidence that a validator equivocated."""

    public_key: PublicKey
    height: int


@dataclass(frozen=True, slots=True)
class Ask:
    """A query."""

    query: Made


@dataclass(frozen=True, slots=True)
class Export:
    """Export, import, compare."""


Step = Submit | AsRoot | Wait | Accuse | Ask | Export


def perform(chain: Chain, step: Step) -> str:
    """Does it. Returns "ok", or the name of the error that it ended with. Raises RuleBroken."""
    try:
        match step:
            case Submit():
                calls = [_built(made) for made in step.calls]
                receipt = chain.submit(*calls, signer=chain.account(step.signer))
                return "ok" if receipt.error is None else f"{receipt.error.module}.{receipt.error.name}"
            case AsRoot():
                chain.root(_built(step.call))
            case Wait():
                for _ in range(step.blocks):
                    chain.block(time_ms=chain.time_ms + step.step_ms)
            case Accuse():
                chain.block(evidence=(Offence(step.public_key, step.height),))
            case Ask():
                chain.query(step.query.verb, **step.query.arguments)
            case Export() if isinstance(chain, Watched):
                chain.check_export()
    except (InvalidTransaction, InvalidBlock) as refused:
        return f"refused: {refused.rule}"
    except (CallError, QueryFailed, CodecError) as failed:
        return type(failed).__name__
    return "ok"


def _built(made: Made) -> Any:
    verb: CallMethod[Any, ...] = made.verb
    return verb.build(**made.arguments)


class Source(Writing):
    """Steps as the lines of a test, with the imports and people that they need."""

    def line(self, step: Step) -> str:
        """One statement."""
        match step:
            case Submit():
                self.used.add(step.signer)
                return f"chain.submit({', '.join(map(self.call, step.calls))}, signer={step.signer})"
            case AsRoot():
                return f"chain.root({self.call(step.call)})"
            case Wait(step_ms=1_000):
                return f"chain.blocks({step.blocks})"
            case Wait():
                later = f"chain.block(time_ms=chain.time_ms + {step.step_ms})"
                return later if step.blocks == 1 else f"for _ in range({step.blocks}): {later}"
            case Accuse():
                self.imports.add((Offence.__module__, Offence.__name__))
                return f"chain.block(evidence=(Offence({step.public_key!r}, {step.height}),))"
            case Ask():
                return f"chain.query({self._verb(step.query)}{self._arguments(step.query, ', ')})"
            case Export():
                return "chain.check_export()"

    def call(self, made: Made) -> str:
        """A built call."""
        return f"{self._verb(made)}.build({self._arguments(made, '')})"

    def _verb(self, made: Made) -> str:
        return f"{self.name(made.module)}.{made.name}"

    def _arguments(self, made: Made, before: str) -> str:
        shown = ", ".join(f"{name}={self.value(value)}" for name, value in made.arguments.items())
        return before + shown if shown else ""
