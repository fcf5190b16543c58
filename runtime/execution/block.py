"""One block: begin_block hooks, transactions, end_block hooks, validator updates, roots. Pure of headers.

Lives here: the order of a block, for executing one that was proposed and for composing one from candidates: the same
code, so a proposer's block executes to what it saw. Must not: commit (compose.py), or know consensus.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from runtime.codec import codec
from runtime.errors import CodecError
from runtime.execution.composition import Environment
from runtime.execution.core import BlockStamp, HookFailed, ValidatorsRefused
from runtime.execution.dispatch import LET_THROUGH, contained, explain, traceback_of
from runtime.execution.errors import InvalidBlock, InvalidTransaction, Rule
from runtime.execution.executor import Outcome, run_transaction
from runtime.execution.planning import BatchingEngine, plan_runs
from runtime.execution.receipts import BlockReceipt, Receipt, receipt_leaves, receipts_root
from runtime.execution.transaction import Prepared
from runtime.limits import VALIDATORS_MAX, VOTING_POWER_TOTAL_MAX
from runtime.module import NOBODY, BlockInfo, EventRecord, Offence, OutOfGas, ValidatorPower
from runtime.module.context import UNLIMITED
from runtime.module.roles import ValidatorPowers
from runtime.state import Overlay, PreparedState, Store
from runtime.types import Hash, Name, PublicKey

Prepare = Callable[[bytes], Prepared]


@dataclass(frozen=True, slots=True)
class BlockInputs:
    """Everything that execution takes from a block. time_ms: milliseconds since 1970. last_signers: whose precommits
    the certificate of the block before holds."""

    height: int
    time_ms: int
    transactions: tuple[bytes, ...] = ()
    proposer: PublicKey = NOBODY
    evidence: tuple[Offence, ...] = ()
    last_signers: tuple[PublicKey, ...] = ()

    @property
    def info(self) -> BlockInfo:
        """What modules see of it."""
        return BlockInfo(self.height, self.time_ms, self.proposer, self.evidence, self.last_signers)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A candidate that a proposed block left out. is_invalid: it can be forgotten; else it may fit later."""

    data: bytes
    rule: Rule
    reason: str

    @property
    def is_invalid(self) -> bool:
        """Whether no later block will take it either, as things stand."""
        return self.rule not in (Rule.BLOCK_GAS, Rule.BLOCK_BYTES, Rule.NONCE_HIGH, Rule.FUNDS)


@dataclass(frozen=True, slots=True)
class Executed:
    """What a block does; not yet committed. validator_updates act two heights later. leaves: under receipts_root, the
    transactions' in order, the block's last. explanations: for people and logs, under no root, one a transaction.
    faults: tracebacks of module code that broke, for the log."""

    height: int
    time_ms: int
    transactions: tuple[bytes, ...]
    state_root: Hash
    module_roots: Mapping[str, Hash]
    receipts_root: Hash
    receipts: tuple[Receipt, ...]
    block_receipt: BlockReceipt
    leaves: tuple[bytes, ...]
    explanations: tuple[str, ...]
    faults: tuple[str, ...]
    prepared: PreparedState = field(repr=False)
    blobs: tuple[bytes, ...] = field(repr=False)

    @property
    def validator_updates(self) -> tuple[ValidatorPower, ...]:
        """Changes of the validator set; power 0 removes."""
        return self.block_receipt.validator_updates

    @property
    def gas_used(self) -> int:
        """By transactions and hooks."""
        return self.block_receipt.gas_used

    @property
    def events(self) -> tuple[EventRecord, ...]:
        """All events in order: of begin_block hooks, transactions, end_block hooks."""
        middle = (event for receipt in self.receipts for event in receipt.events)
        return (*self.block_receipt.begin_events, *middle, *self.block_receipt.end_events)


class BlockRun:
    """A block while it runs: one environment, one overlay."""

    def __init__(self, environment: Environment, store: Store, inputs: BlockInputs) -> None:
        self.environment = environment
        self.store = store
        self.inputs = inputs
        self.overlay = Overlay(store, store.blobs)
        self.outcomes: list[Outcome] = []
        self.taken: list[bytes] = []
        self.faults = environment.faults
        self.bytes = 0
        environment.open(self.overlay, inputs.info)
        params = environment.params
        self.bytes_max, self.count_max = params.block_bytes_max, params.block_transactions_max
        self.gas_left = self.gas_max = params.block_gas_max - environment.composition.hook_gas
        self.hook_gas_used = self.hook_event_bytes = 0
        self.begin_events = self._hooks("begin_block")

    def foresee(self, transactions: Iterable[Prepared]) -> None:
        """Asks the transactions' calls which models they will run, so that those runs are made together."""
        composition = self.environment.composition
        if not composition.declares_runs:
            return
        asked = composition.environment()
        asked.open(Overlay(self.store, self.store.blobs), self.inputs.info, writable=False)
        plan = plan_runs(asked, transactions, gas_max=self.gas_max)
        asked.context.close()
        self.faults.extend(plan.faults)
        self.environment.core.connect("engine", BatchingEngine(composition.engine, plan.batches))

    def take(self, prepared: Prepared) -> None:
        """Executes the next transaction. Raises InvalidTransaction, and is as before then."""
        if self.gas_left < prepared.body.gas_limit <= self.gas_max:
            raise InvalidTransaction(
                Rule.BLOCK_GAS, f"the gas limit is {prepared.body.gas_limit}, the block has {self.gas_left} left"
            )
        left = self.bytes_max - self.bytes
        if left < len(prepared.data) <= self.bytes_max or len(self.outcomes) >= self.count_max:
            raise InvalidTransaction(
                Rule.BLOCK_BYTES,
                f"{len(prepared.data)} bytes, the block has {left} left, {self.count_max - len(self.outcomes)} places",
            )
        outcome = run_transaction(self.environment, prepared)
        self.outcomes.append(outcome)
        self.taken.append(prepared.data)
        self.bytes += len(prepared.data)
        self.gas_left -= outcome.receipt.gas_used

    def finish(self) -> Executed:
        """End hooks, validator updates, roots. The context is closed after it."""
        inputs, environment = self.inputs, self.environment
        end_events = self._hooks("end_block")
        environment.context.set_gas(UNLIMITED)
        environment.core.stamp = BlockStamp(inputs.height, inputs.time_ms)
        updates, refused = self._validator_updates()
        environment.context.close()
        receipts = tuple(outcome.receipt for outcome in self.outcomes)
        gas_used = self.hook_gas_used + sum(receipt.gas_used for receipt in receipts)
        block = BlockReceipt(inputs.height, gas_used, self.begin_events, end_events + refused, updates)
        leaves = tuple(receipt_leaves(receipts, block))
        prepared = self.store.prepare(inputs.height, self.overlay.changes())
        return Executed(
            height=inputs.height,
            time_ms=inputs.time_ms,
            transactions=tuple(self.taken),
            state_root=prepared.root,
            module_roots=prepared.module_roots,
            receipts_root=receipts_root(leaves),
            receipts=receipts,
            block_receipt=block,
            leaves=leaves,
            explanations=tuple(outcome.explanation for outcome in self.outcomes),
            faults=(*self.faults, *(outcome.traceback for outcome in self.outcomes if outcome.traceback)),
            prepared=prepared,
            blobs=tuple(self.overlay.blobs().values()),
        )

    def _hooks(self, hook: str) -> tuple[EventRecord, ...]:
        """With room for events of their own: transactions that fill theirs keep no hook from its work."""
        events: list[EventRecord] = []
        context = self.environment.context
        context.drop_events()
        of_transactions, context.event_bytes = context.event_bytes, self.hook_event_bytes
        for name, module in self.environment.modules.items():
            gas = module.metadata().hooks.get(hook)
            if gas is not None:
                events += self._hook(name, hook, gas)
        self.hook_event_bytes, context.event_bytes = context.event_bytes, of_transactions
        return tuple(events)

    def _hook(self, name: str, hook: str, gas: int) -> tuple[EventRecord, ...]:
        context = self.environment.context
        context.set_gas(gas)
        try:
            with context.checkpoint():
                getattr(self.environment.modules[name], hook)()
                if context.is_exhausted:
                    raise OutOfGas(gas_limit=gas)
        except LET_THROUGH:
            raise
        except BaseException as error:  # noqa: BLE001 # the boundary to module code: a hook never halts the chain
            found = contained(error, name, hook)
            self.faults.append(f"{name}.{hook}: {explain(found)}\n{traceback_of(found)}".rstrip())
            self.hook_gas_used += context.gas_used
            context.set_gas(UNLIMITED)
            context.drop_events()
            owner = self.environment.composition.error_owners.get(type(found), name)
            self.environment.core.emit(HookFailed(Name(name), hook, f"{owner}.{type(found).__name__}"[:128]))
            return context.take_events()
        self.hook_gas_used += context.gas_used
        return context.take_events()

    def _validator_updates(self) -> tuple[tuple[ValidatorPower, ...], tuple[EventRecord, ...]]:
        environment, source = self.environment, self.environment.validators
        role = environment.composition.genesis.roles.validators
        if source is None or role not in self.overlay.changes():
            return (), ()
        before = environment.core.effective_validators
        try:
            after = source.validators()
            reason = validators_refused(after)
        except LET_THROUGH:
            raise
        except BaseException as error:  # noqa: BLE001 # the boundary to module code, as in hooks
            after, reason = (), type(error).__name__
        if reason:
            environment.context.drop_events()
            environment.core.emit(ValidatorsRefused(reason[:128]))
            return (), environment.context.take_events()
        updates = validator_updates(before, after)
        if updates:
            environment.core.effective_validators = tuple(sorted(after, key=lambda each: each.public_key))
        return updates, ()


def execute_block(environment: Environment, store: Store, inputs: BlockInputs, prepare: Prepare) -> Executed:
    """A proposed block. Raises InvalidBlock naming the first transaction that may not be in it."""
    run = BlockRun(environment, store, inputs)
    run.foresee(_prepared(inputs.transactions, prepare))
    for index, data in enumerate(inputs.transactions):
        try:
            run.take(prepare(data))
        except InvalidTransaction as error:
            raise InvalidBlock(error.rule, inputs.height, index, error.reason) from None
    return run.finish()


def compose_block(
    environment: Environment, store: Store, inputs: BlockInputs, candidates: Iterable[bytes], prepare: Prepare
) -> tuple[Executed, tuple[Dropped, ...]]:
    """A block of those candidates that are valid one after another and fit, in their order; and those left out."""
    run, dropped, candidates = BlockRun(environment, store, inputs), [], tuple(candidates)
    run.foresee(_prepared(candidates, prepare))
    for data in candidates:
        try:
            run.take(prepare(data))
        except InvalidTransaction as error:
            dropped.append(Dropped(data, error.rule, error.reason))
    return run.finish(), tuple(dropped)


def try_alone(environment: Environment, store: Store, inputs: BlockInputs, prepared: Prepared) -> Outcome:
    """What the transaction does as the only one of a block that is not finished. Raises InvalidTransaction."""
    run = BlockRun(environment, store, inputs)
    try:
        run.take(prepared)
    finally:
        environment.context.close()
    return run.outcomes[0]


def _prepared(transactions: Iterable[bytes], prepare: Prepare) -> Iterator[Prepared]:
    for data in transactions:
        with suppress(InvalidTransaction):
            yield prepare(data)


def validators_refused(validators: Sequence[ValidatorPower]) -> str:
    """Why this cannot be a validator set; "" where it can."""
    try:
        codec(ValidatorPowers).encode(tuple(validators[:VALIDATORS_MAX]))
    except CodecError:
        return "a validator is not a ValidatorPower"
    if not 0 < len(validators) <= VALIDATORS_MAX:
        return f"{len(validators)} validators, 1 to {VALIDATORS_MAX} are allowed"
    if len({each.public_key for each in validators}) < len(validators):
        return "a validator is listed twice"
    if any(each.power <= 0 for each in validators):
        return "a validator has no power"
    if sum(each.power for each in validators) > VOTING_POWER_TOTAL_MAX:
        return f"the total voting power is above {VOTING_POWER_TOTAL_MAX}"
    return ""


def validator_updates(before: Sequence[ValidatorPower], after: Sequence[ValidatorPower]) -> tuple[ValidatorPower, ...]:
    """What leads from one set to the other, by public key; power 0 removes."""
    old = {each.public_key: each.power for each in before}
    new = {each.public_key: each.power for each in after}
    changed = (key for key in sorted(old | new) if old.get(key, 0) != new.get(key, 0))
    return tuple(ValidatorPower(key, new.get(key, 0)) for key in changed)
