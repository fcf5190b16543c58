"""Watched: a Chain that checks every rule of rules.py after each thing that is done with it.

    chain = Watched(Counter)
    chain.submit(Counter.bump.build(step=3), signer=chain.account("alice"))   # raises RuleBroken where a rule breaks

What an attack drives, and what the programs that it prints are made of. Lives here: when each rule is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec.structs import replace

from runtime.errors import CodecError
from runtime.execution import Chain
from runtime.execution.application import Application, QueryFailed
from runtime.execution.block import BlockInputs, BlockRun, Executed
from runtime.execution.chain import Account
from runtime.execution.core import NAME as CORE
from runtime.execution.errors import GenesisError, InvariantBroken
from runtime.execution.receipts import Receipt
from runtime.module import Call, CallError, EventRecord, Module, Offence, QueryMethod
from runtime.module.params import PARAMS_KEY
from runtime.state import MemoryStore
from runtime.testing.attacking.observed import EndlessWork, Files, Seen, root_calls, transactions, watched_block
from runtime.testing.attacking.rules import (
    RuleBroken,
    Subject,
    check_answer,
    check_dry_run,
    check_hooks,
    check_transaction,
    describe,
)
from runtime.types import PublicKey

Rule = Callable[[Chain], None]
SEPARATOR: Final = b"\x00"
EXPORT: Final = "export and import are inverse"


class Watched(Chain):
    """A Chain under watch. attacked: the modules whose own behaviour is judged, all by default. rules: further ones,
    functions of the chain that raise AssertionError, called after each block. model: an object with a method for each
    call that it mirrors, of signer and arguments, that says whether the call succeeds, and `check(chain)`. silent: full
    names of calls that change state without an event, by intent. forgets: full names of storage items that an export
    does not keep, by intent. begin: does what comes before everything else."""

    def __init__(
        self,
        *modules: type[Module],
        attacked: Sequence[type[Module]] = (),
        rules: Sequence[Rule] = (),
        model: Any = None,
        silent: Sequence[str] = (),
        forgets: Sequence[str] = (),
        begin: Rule | None = None,
        **options: Any,
    ) -> None:
        subjects = tuple(attacked or modules)
        self._files = Files(subjects)
        self._rules, self._model, self._forgets = tuple(rules), model, tuple(forgets)
        self.last_events: tuple[EventRecord, ...] = ()
        try:
            super().__init__(*modules, **options)
        except InvariantBroken as broken:
            raise _invariant(broken) from None
        self.subject = Subject(self.application, frozenset(each.name for each in subjects), frozenset(silent))
        if begin is not None:
            begin(self)

    # --- what is done

    def submit(self, *calls: Call, signer: Account, **options: Any) -> Receipt:
        """As Chain, and the dry run must have told so before."""
        data = self.transaction(*calls, signer=signer, **options)
        self.application.check(data)
        executed, seen = self._observed(
            lambda run: transactions(run, self._inputs((data,)), self.application.prepare), (data,)
        )
        dry = self.application.simulate(data, time_ms=executed.time_ms).receipt
        again = self.application.execute(self._inputs((data,)))
        _check_same(executed, again)
        check_dry_run(dry, executed.receipts[0])
        self._settle(executed, seen, tuple(call.name for call in calls))
        self._ask_model(calls, signer, executed.receipts[0].is_ok)
        return executed.receipts[0]

    def block(
        self,
        transactions: Sequence[bytes] = (),
        *,
        time_ms: int | None = None,
        proposer: PublicKey | None = None,
        evidence: Sequence[Offence] = (),
        last_signers: Sequence[PublicKey] = (),
    ) -> Executed:
        """As Chain."""
        options: dict[str, Any] = {"time_ms": time_ms, "evidence": evidence, "last_signers": last_signers}
        if proposer is not None:
            options["proposer"] = proposer
        try:
            executed = super().block(transactions, **options)
        except InvariantBroken as broken:
            raise _invariant(broken) from None
        self.last_events = executed.events
        check_hooks(executed.events, executed.faults)
        self._after()
        return executed

    def root(self, *calls: Call) -> tuple[EventRecord, ...]:
        """As Chain. A call that fails leaves no block."""
        executed, seen = self._observed(lambda run: root_calls(run, calls), ())
        failed = next((each.error for each in seen if each.error is not None), None)
        for each, call in zip(seen, calls, strict=True):
            check_transaction(self.subject, each, (call.name,))
        if failed is not None:
            raise failed
        again, _ = self._observed(lambda run: root_calls(run, calls), ())
        _check_same(executed, again)
        events = tuple(event for each in seen for event in each.events)
        self._settle(executed, (), (), events)
        return events

    def query(self, query: QueryMethod[..., Any], *args: Any, **kwargs: Any) -> Any:
        """As Chain, asked twice."""
        answers = []
        for _ in range(2):
            try:
                answers.append(super().query(query, *args, **kwargs))
            except QueryFailed as failed:
                check_answer(query.full_name, failed.error)
                raise
        if answers[0] != answers[1]:
            raise RuleBroken("queries are pure", f"{query.full_name} answered {answers[0]!r}, then {answers[1]!r}")
        return answers[0]

    def check_export(self) -> None:
        """The genesis that each attacked module exports makes its state, to the bit. Modules without one are left."""
        for name in sorted(self.subject.modules):
            module = self.application.composition.modules[name]
            if module.export_genesis is Module.export_genesis or self.last is None:
                continue
            there = self._imported(name)
            if there.module_roots().get(name) != self.last.module_roots.get(name):
                mine, other = (dict(store.iterate(name)) for store in (self.application.store, there))
                keys = sorted(key for key in mine | other if mine.get(key) != other.get(key))
                keys = [key for key in keys if f"{name}.{key.partition(SEPARATOR)[0].decode()}" not in self._forgets]
                if not keys:
                    continue
                before, after = ({name: {key: table.get(key) for key in keys}} for table in (mine, other))
                raise RuleBroken(
                    EXPORT,
                    f"a chain that begins with what {name} exports has other state",
                    tuple(describe(self.application.metadata, before, after)),
                    "here -> on the chain that begins with it",
                )

    def _imported(self, name: str) -> MemoryStore:
        """The state of a chain that begins with what the module exports."""
        application = self.application
        try:
            exported = application.export_genesis(name)
        except (CallError, CodecError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise RuleBroken(EXPORT, f"{name} cannot be exported: {type(error).__name__}: {error}") from error
        params = application.store.get(name, PARAMS_KEY) or b""
        entries = tuple(
            replace(entry, genesis=exported, params=params) if entry.name == name else entry
            for entry in application.genesis.modules
        )
        modules = [module for each, module in application.composition.modules.items() if each != CORE]
        copy = Application(
            replace(application.genesis, modules=entries), modules, MemoryStore(), engine=application.composition.engine
        )
        store = MemoryStore()
        try:
            store.commit(copy.genesis_state())
        except GenesisError as error:
            raise RuleBroken(EXPORT, f"{name} refuses what it exports: {error}") from error
        return store

    # --- when rules are checked

    def _inputs(self, data: tuple[bytes, ...]) -> BlockInputs:
        return BlockInputs(self.height + 1, self.time_ms + 1_000, data)

    def _observed(self, steps: Callable[[BlockRun], Any], data: tuple[bytes, ...]) -> tuple[Executed, list[Seen]]:
        inputs = self._inputs(data)
        application = self.application
        try:
            return watched_block(
                lambda: BlockRun(application.composition.environment(), application.store, inputs), steps, self._files
            )
        except EndlessWork as endless:
            raise RuleBroken("gas covers the work", str(endless)) from None

    def _settle(
        self, executed: Executed, seen: Sequence[Seen], calls: tuple[str, ...], more: tuple[EventRecord, ...] = ()
    ) -> None:
        self.last_events = (*executed.events, *more)
        for each in seen:
            check_transaction(self.subject, each, calls)
        check_hooks(executed.events, executed.faults)
        self.time_ms = executed.time_ms
        try:
            self._apply(executed)
        except InvariantBroken as broken:
            known, told = self.application.metadata, self.subject.told
            changes = [line for each in seen for line in describe(known, each.before, told(each.changes))]
            raise _invariant(broken, changes) from None
        self._after()

    def _after(self) -> None:
        for rule in self._rules:
            try:
                rule(self)
            except AssertionError as broken:
                name = getattr(rule, "__name__", repr(rule))
                raise RuleBroken(name, str(broken) or f"{name} does not hold") from broken

    def _ask_model(self, calls: Sequence[Call], signer: Account, is_ok: bool) -> None:
        """Of several calls in one transaction, the model hears only where all of them succeeded."""
        if self._model is None or (len(calls) > 1 and not is_ok):
            return
        for call in calls:
            name = call.name.partition(".")[2]
            mirrored = getattr(self._model, name, None)
            if mirrored is not None and call.name.partition(".")[0] in self.subject.modules:
                info = self.application.composition.targets[call.name].info
                expected = mirrored(signer.id, **info.method.keywords(info.codec.decode(call.arguments)))
                if expected is not is_ok:
                    raise RuleBroken("the model agrees", f"{name} {_went(is_ok)}, in the model it {_went(expected)}")
        try:
            self._model.check(self)
        except AssertionError as broken:
            raise RuleBroken("the model agrees", str(broken) or "the model has other state") from broken


def _went(is_ok: bool) -> str:
    return "succeeds" if is_ok else "fails"


def _check_same(one: Executed, other: Executed) -> None:
    if (one.state_root, one.leaves) != (other.state_root, other.leaves):
        raise RuleBroken("execution is a pure function", "the same block came out in two ways, one after the other")


def _invariant(broken: InvariantBroken, changes: Sequence[str] = ()) -> RuleBroken:
    reason = broken.reason.removeprefix("AssertionError: ")
    return RuleBroken(f"invariant {broken.module}.{broken.invariant}", reason, tuple(changes))
