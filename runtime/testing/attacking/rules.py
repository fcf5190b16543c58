"""The rules that hold for every module, whatever it is for: what is checked after each step of an attack.

Lives here: one small function a rule, each saying in words what broke. Must not: run anything (watched.py does).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from runtime.codec import codec, key_codec
from runtime.errors import CodecError
from runtime.execution.application import Application
from runtime.execution.core import NAME as CORE
from runtime.execution.core import HookFailed
from runtime.execution.dispatch import explain, traceback_of
from runtime.execution.receipts import Receipt
from runtime.module import BadValue, CallError, EventRecord, ModuleFault, ModuleMetadata, OutOfGas, QueryWrites
from runtime.module.params import PARAMS_KEY
from runtime.testing.attacking.observed import LINE_GAS, Changes, Seen
from runtime.testing.attacking.writing import Writing

RULES: Final = (
    "a failed call changes nothing but the fee",
    "a change has an event",
    "an event has a change",
    "gas covers the work",
    "no undeclared exception",
    "values fit their types",
    "storage round-trips",
    "hooks never fail",
    "queries are pure",
    "execution is a pure function",
    "a dry run tells what happens",
    "export and import are inverse",
    "every process has the same state",
    "the model agrees",
)
"""All of them, as docs/testing.md tells them; besides, invariants and the author's own."""
GAS: Final = "gas covers the work"
_BUGS: Final = (ModuleFault, BadValue, QueryWrites)


class RuleBroken(AssertionError):
    """A rule does not hold. rule: its name; detail: what was found; changes: of the state, in words; heading: what
    they are."""

    def __init__(
        self, rule: str, detail: str, changes: tuple[str, ...] = (), heading: str = "what the step changed"
    ) -> None:
        self.rule, self.detail, self.changes = rule, detail, changes
        shown = "".join(f"\n    {change}" for change in changes)
        super().__init__(f"{rule}: {detail}" + (f"\n  {heading}:{shown}" if shown else ""))


@dataclass(frozen=True, slots=True)
class Subject:
    """What is attacked, and how the chain around it is composed."""

    application: Application
    modules: frozenset[str]
    silent: frozenset[str]

    @property
    def metadata(self) -> Mapping[str, ModuleMetadata]:
        """Of every module of the chain."""
        return self.application.metadata

    @property
    def keepers(self) -> frozenset[str]:
        """Modules that every transaction touches: nonces and fees."""
        roles = self.application.genesis.roles
        return frozenset(name for name in (roles.auth, roles.fees, CORE) if name is not None)

    def told(self, changes: Changes) -> Changes:
        """Without nonces, which every transaction counts, where nobody attacks who keeps them."""
        kept = self.application.genesis.roles.auth
        return {name: table for name, table in changes.items() if name != kept or name in self.modules}


def check_transaction(subject: Subject, seen: Seen, calls: tuple[str, ...]) -> None:
    """The rules for one transaction or Root call. calls: their full names. Raises RuleBroken."""
    changes = tuple(describe(subject.metadata, seen.before, subject.told(seen.changes)))
    for rule, detail in (
        *_undeclared(subject, seen),
        *_failed(seen),
        *_gas(seen),
        *_events(subject, seen, calls),
        *_round_trips(subject.metadata, seen.changes),
    ):
        raise RuleBroken(rule, detail, changes)


def _error_of(seen: Seen) -> tuple[str, str, str] | None:
    """Module, name and sentence of what failed."""
    if seen.error is not None:
        return "", type(seen.error).__name__, _sentence(explain(seen.error), traceback_of(seen.error))
    if seen.outcome is not None and seen.outcome.receipt.error is not None:
        error = seen.outcome.receipt.error
        return error.module, error.name, _sentence(seen.outcome.explanation, seen.outcome.traceback)
    return None


def _sentence(explanation: str, traceback: str) -> str:
    """What broke: the exception and its place, instead of the whole way to it."""
    lines = traceback.strip().splitlines()
    if not lines:
        return explanation
    frames = [place for place, line in enumerate(lines) if line.lstrip().startswith("File ")]
    return "\n".join([lines[-1], *lines[frames[-1] : -1]] if frames else lines[-1:])


def _undeclared(subject: Subject, seen: Seen) -> Iterator[tuple[str, str]]:
    found = _error_of(seen)
    if found is None:
        return
    module, name, sentence = found
    if name == ModuleFault.__name__:
        yield "no undeclared exception", sentence
    if name == BadValue.__name__:
        yield "values fit their types", sentence
    declared = subject.metadata[module].errors if module in subject.metadata else {}
    if module and name not in declared and module in subject.modules:
        yield "no undeclared exception", f"{module} raises {name}, which none of the modules declares"


def _failed(seen: Seen) -> Iterator[tuple[str, str]]:
    """A failed transaction leaves nonce and fee, which are written off the meter, and nothing else."""
    if seen.outcome is None or seen.outcome.receipt.error is None:
        return
    left = {module for module, table in seen.changes.items() for key in table if (module, key) not in seen.work.kept}
    if left:
        names = ", ".join(sorted(left))
        yield "a failed call changes nothing but the fee", f"the call failed, and the state of {names} changed"


def _gas(seen: Seen) -> Iterator[tuple[str, str]]:
    """What was charged pays for what was counted beside the meter, and is never above the limit."""
    if seen.outcome is None or seen.prepared is None:
        return
    receipt, work = seen.outcome.receipt, seen.work
    used, limit = receipt.gas_used, seen.prepared.body.gas_limit
    if used > limit:
        yield GAS, f"{used} gas was used, and the limit of the transaction is {limit}"
    if work.lines * LINE_GAS > used:
        yield (
            GAS,
            f"{work.lines} lines of Python ran for {used} gas, which pays for {used // LINE_GAS}: charge for work that "
            "grows with the input, self.charge(...), before doing it",
        )
    if receipt.error is not None and receipt.error.name == OutOfGas.__name__:
        return  # the last thing was begun and not paid, and that is why it failed
    paid = used - seen.prepared.fixed_gas
    if work.least_gas > paid:
        yield (
            GAS,
            f"the calls were charged {paid} gas; {work.operations} storage operations, {work.hashed} bytes hashed and "
            f"{work.runs} runs of models cost {work.least_gas} at least: charge for them, self.charge(...), before",
        )


def _events(subject: Subject, seen: Seen, calls: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """A call that changes its module says so, and one that says so has changed something."""
    if _error_of(seen) is not None:
        return
    for module in sorted({name.partition(".")[0] for name in calls} & subject.modules):
        own = [name for name in calls if name.startswith(f"{module}.")]
        if all(name in subject.silent for name in own):
            continue
        said = [event for event in seen.events if event.module == module]
        changed = seen.changes.get(module, {}) if module != subject.application.genesis.roles.auth else {}
        if changed and not said:
            yield "a change has an event", f"{', '.join(own)} changed the state of {module} and emitted nothing"
        wrote = {name for name, count in seen.work.written.items() if count and name not in subject.keepers - {module}}
        if said and not wrote and module not in subject.keepers:
            names = ", ".join(sorted({event.name for event in said}))
            yield "an event has a change", f"{', '.join(own)} emitted {names} and wrote nothing"


def _round_trips(metadata: Mapping[str, ModuleMetadata], changes: Changes) -> Iterator[tuple[str, str]]:
    for module, table in changes.items():
        for key, value in table.items():
            reason = _misfit(metadata[module], key, value)
            if reason:
                yield "storage round-trips", f"{module}: {reason}"


def _misfit(metadata: ModuleMetadata, key: bytes, value: bytes | None) -> str:
    name = key.partition(b"\x00")[0].decode("ascii", "replace")
    info = metadata.storage.get(name)
    if info is None:
        return "" if key == PARAMS_KEY else f"no storage is declared for the key {key.hex()}"
    try:
        if info.key is not None:
            keys = key_codec(info.key)
            rest = key[len(name) + 1 :]
            if keys.encode(keys.decode(rest)) != rest:
                return f"{name}: the key {rest.hex()} has another encoding"
        if value is not None and codec(info.value).encode(codec(info.value).decode(value)) != value:
            return f"{name}: the value {value.hex()} has another encoding"
    except CodecError as error:
        return f"{name}: {error}"
    return ""


def check_hooks(events: Iterable[EventRecord], faults: tuple[str, ...]) -> None:
    """No hook fails, ever. Raises RuleBroken."""
    for event in events:
        if (event.module, event.name) == (CORE, HookFailed.__name__):
            failed = codec(HookFailed).decode(event.data)
            raise RuleBroken(
                "hooks never fail",
                f"{failed.module}.{failed.hook} was rolled back: {failed.error}"
                + "".join(f"\n{_sentence('', fault)}" for fault in faults),
            )


def check_answer(name: str, error: CallError | None) -> None:
    """A query answers or refuses in its own words. Raises RuleBroken."""
    if isinstance(error, QueryWrites):
        raise RuleBroken("queries are pure", f"{name} writes")
    if isinstance(error, _BUGS):
        raise RuleBroken("no undeclared exception", f"{name}: {_sentence(explain(error), traceback_of(error))}")


def check_dry_run(dry: Receipt, real: Receipt) -> None:
    """Raises RuleBroken where a dry run told something else than what then happened."""
    if dry != real:
        raise RuleBroken("a dry run tells what happens", f"it said {dry}, and then it was {real}")


def describe(metadata: Mapping[str, ModuleMetadata], before: Changes, after: Changes) -> Iterator[str]:
    """Changes in words: "tokens.balances[(alice.id, 'arm')]: 5 -> 4"."""
    for module, table in sorted(after.items()):
        for key, value in sorted(table.items()):
            name, shown, kind = _decoded_key(metadata[module], key)
            old, new = (_decoded(kind, data) for data in (before[module][key], value))
            yield f"{module}.{name}{shown}: {old} -> {new}"


def _decoded_key(metadata: ModuleMetadata, key: bytes) -> tuple[str, str, Any]:
    name = key.partition(b"\x00")[0].decode("ascii", "replace")
    info = metadata.storage.get(name)
    if info is None:
        return name, "", metadata.params if key == PARAMS_KEY else None
    if info.key is None:
        return name, "", info.value
    try:
        return name, f"[{Writing().value(key_codec(info.key).decode(key[len(name) + 1 :]))}]", info.value
    except CodecError:
        return name, f"[{key[len(name) + 1 :].hex()}]", info.value


def _decoded(kind: Any, data: bytes | None) -> str:
    if data is None:
        return "nothing"
    try:
        return Writing().value(codec(kind).decode(data)) if kind is not None else data.hex()
    except CodecError:
        return data.hex()
