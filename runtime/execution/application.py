"""Application: genesis, modules and a store as one state machine. What a node, a Chain and the tools drive.

execute, propose, check, simulate and query change nothing; commit applies what execute or propose returned. Each works
in an environment of its own, so any thread may call it; commit is for one thread at a time.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from runtime.codec import codec
from runtime.errors import CallerError
from runtime.execution.block import (
    BlockInputs,
    Dropped,
    Executed,
    compose_block,
    execute_block,
    try_alone,
    validators_refused,
)
from runtime.execution.composition import Composition, Environment
from runtime.execution.core import NAME as CORE
from runtime.execution.core import BlockStamp, ModelEngine, NoEngine, ParamOutOfRange
from runtime.execution.dispatch import LET_THROUGH, contained, explain
from runtime.execution.errors import ExecutionFault, GenesisError, InvalidTransaction, InvariantBroken
from runtime.execution.executor import Outcome, admit, check_calls, roles_contained
from runtime.execution.genesis import ChainGenesis
from runtime.execution.params import RuntimeParams
from runtime.execution.planning import plan_runs
from runtime.execution.root import RootDispatcher
from runtime.execution.transaction import Prepared, prepare_transaction
from runtime.module import BlockInfo, CallError, Map, Module, ModuleMetadata, QueryInfo, ValidatorPower
from runtime.module.gas import QUERY_GAS_MAX
from runtime.module.params import PARAMS, PARAMS_KEY
from runtime.state import HEIGHT_EMPTY, HeightUnavailable, Overlay, PreparedState, Reader, StateProof, Store
from runtime.types import AccountId, Hash, Struct

PREPARED_CACHE_BYTES_MAX = 64 * 1024 * 1024
T = TypeVar("T")


class UnknownQuery(CallerError):
    """No such module or query. The sentence lists what there is."""


class QueryFailed(CallerError):
    """A query raised. error: what; it is the caller's unless it is a ModuleFault."""

    def __init__(self, name: str, error: CallError) -> None:
        self.error = error
        super().__init__(f"{name}: {explain(error)}")


@dataclass(frozen=True, slots=True)
class CheckedTransaction:
    """A transaction that may wait for a block. next_nonce: the account's; a higher nonce waits for those before it.
    fee: what its whole gas limit costs, without the tip; base units."""

    hash: Hash
    data: bytes
    sender: AccountId
    nonce: int
    next_nonce: int
    gas_limit: int
    fee: int
    tip: int
    last_valid_height: int


@dataclass(frozen=True, slots=True)
class ProvenValue:
    """A stored value and its proof under the state root of `height`. value: canonical bytes; None: absent."""

    module: str
    key: bytes
    value: bytes | None
    height: int
    state_root: Hash
    proof: StateProof


class Application:
    """One chain's state machine over one store. `start` it before use."""

    def __init__(
        self, genesis: ChainGenesis, modules: Sequence[type[Module]], store: Store, *, engine: ModelEngine | None = None
    ) -> None:
        self.genesis = genesis
        self.genesis_hash = genesis.hash
        self.composition = Composition(genesis, modules, engine or NoEngine(), RootDispatcher)
        self.store = store
        self._cache: OrderedDict[bytes, Prepared] = OrderedDict()
        self._cache_bytes = 0
        self._lock = threading.Lock()

    # --- the life of the chain

    @property
    def height(self) -> int:
        """Of the last committed block; 0 is the genesis, -1 before `start` on an empty store."""
        return self.store.height

    @property
    def state_root(self) -> Hash:
        """After the last committed block."""
        return self.store.root

    @property
    def metadata(self) -> Mapping[str, ModuleMetadata]:
        """What the modules declare, the runtime's own first."""
        return self.composition.metadata

    def start(self) -> None:
        """Writes the genesis into an empty store; checks that any other store is of this chain. Raises GenesisError."""
        if self.store.height == HEIGHT_EMPTY:
            prepared, overlay = self._genesis()
            self.store.commit(prepared, blobs=overlay.blobs().values())
        with self._reading() as run:
            found = run.environment.core.genesis_hash
        if found != self.genesis_hash:
            raise GenesisError(
                "hash", f"the store is of the chain {found.hex()}, not {self.genesis_hash.hex()}: use its own folder"
            )

    def genesis_state(self) -> PreparedState:
        """Height 0, computed and not written; its root is the genesis' state root. Raises GenesisError naming the
        place."""
        return self._genesis()[0]

    def _genesis(self) -> tuple[PreparedState, Overlay]:
        environment = self.composition.environment()
        overlay = Overlay(self.store, self.store.blobs)
        environment.open(overlay, BlockInfo(0, self.genesis.time_ms))
        environment.core.genesis_hash = self.genesis_hash
        environment.core.stamp = BlockStamp(0, self.genesis.time_ms)
        environment.context.write(CORE, PARAMS_KEY, codec(RuntimeParams).encode(self.genesis.runtime))
        try:
            environment.core.check_params()
        except ParamOutOfRange as error:
            found = getattr(self.genesis.runtime, error.param)
            reason = f"is {found}: on this chain it is {error.low} to {error.high}"
            raise GenesisError(f"{CORE}.{error.param}", reason) from None
        for entry in self.genesis.modules:
            if self.composition.metadata[entry.name].params is not None:
                environment.context.write(entry.name, PARAMS_KEY, entry.params)
        for place, entry in enumerate(self.genesis.modules):
            where = f"modules[{place}].genesis ({entry.name})"
            config = self.composition.config(entry, where)
            if config is not None:
                with _at_genesis(where):
                    environment.modules[entry.name].genesis(config)
            environment.context.drop_events()
        for place, entry in enumerate(self.genesis.modules):
            with _at_genesis(f"modules[{place}].params ({entry.name})"):
                environment.modules[entry.name].check_params()
        if environment.validators is not None:
            validators = environment.validators.validators()
            reason = validators_refused(validators)
            if reason:
                raise GenesisError(f"modules ({self.genesis.roles.validators})", reason)
            environment.core.effective_validators = tuple(sorted(validators, key=lambda each: each.public_key))
        environment.context.close()
        return self.store.prepare(0, overlay.changes()), overlay

    def execute(self, inputs: BlockInputs) -> Executed:
        """A proposed block on top of the committed state. Raises InvalidBlock naming the rule."""
        self._check_height(inputs.height)
        return _at_fixed_depth(lambda: execute_block(self.composition.environment(), self.store, inputs, self.prepare))

    def propose(self, inputs: BlockInputs, candidates: Iterable[bytes]) -> tuple[Executed, tuple[Dropped, ...]]:
        """A block of the candidates that are valid and fit, in their order, executed; and those left out.

        `inputs.transactions` must be empty; the block's are `executed.transactions`. Raises ExecutionFault where it is
        not, or the height is not the next one.
        """
        self._check_height(inputs.height)
        if inputs.transactions:
            raise ExecutionFault("propose chooses the transactions: pass them as candidates")
        return _at_fixed_depth(
            lambda: compose_block(self.composition.environment(), self.store, inputs, candidates, self.prepare)
        )

    def commit(self, executed: Executed, *, extra: Mapping[bytes, bytes | None] | None = None) -> None:
        """Makes it the state, atomically with the node's extra records. Raises StateError where it is on another."""
        self.store.commit(executed.prepared, blobs=executed.blobs, extra=extra)

    # --- transactions

    def prepare(self, data: bytes) -> Prepared:
        """The rules that need no state, signatures among them. Pure and cached: may be called ahead, in any thread."""
        with self._lock:
            known = self._cache.get(data)
        if known is not None:
            return known
        prepared = prepare_transaction(data, self.genesis_hash)
        with self._lock:
            if data not in self._cache:
                self._cache[data] = prepared
                self._cache_bytes += len(data)
            while self._cache_bytes > PREPARED_CACHE_BYTES_MAX:
                self._cache_bytes -= len(self._cache.popitem(last=False)[0])
        return prepared

    def check(self, data: bytes) -> CheckedTransaction:
        """Whether the mempool should take it: every rule against the committed state, the early ones too. Raises
        InvalidTransaction naming the rule."""
        prepared = self.prepare(data)
        with self._next_block() as run:
            next_nonce, _ = admit(run.environment, prepared, nonce_exact=False)
            check_calls(run.environment, prepared)
        body = prepared.body
        fee = run.environment.params.fees.fee(body.gas_limit) if run.environment.fees else 0
        return CheckedTransaction(
            prepared.hash,
            data,
            body.sender,
            body.nonce,
            next_nonce,
            body.gas_limit,
            fee,
            body.tip,
            body.last_valid_height,
        )

    def simulate(self, data: bytes, *, time_ms: int | None = None) -> Outcome:
        """What the transaction would do in the next block by itself, behind the hooks that begin it; nothing is kept.
        time_ms: of that block; None: that of the last one. Raises InvalidTransaction."""
        prepared = self.prepare(data)
        at = self._block(self.store, None).time_ms if time_ms is None else time_ms
        inputs = BlockInputs(self.store.height + 1, at)
        return _at_fixed_depth(lambda: try_alone(self.composition.environment(), self.store, inputs, prepared))

    def run_ahead(self, transactions: Iterable[bytes], *, gas_max: int) -> int:
        """Has the engine run what these transactions' calls say they will infer, before a block asks for it; the gas
        that it stands for, at most `gas_max`. Of use where the engine remembers. Raises what loading a model raises
        where its chunks are gone meanwhile."""
        if not self.composition.declares_runs:
            return 0
        block = BlockInfo(self.store.height + 1, self._block(self.store, None).time_ms)
        with self.reading(Overlay(self.store, self.store.blobs), block) as run:
            plan = plan_runs(run.environment, self._prepared(transactions), gas_max=gas_max)
            for model, batch in plan.batches.items():
                with suppress(CallError):  # forgotten or too large by now: the transaction will hear of it
                    run.environment.core.run_ahead(model, batch)
        return plan.gas

    def _prepared(self, transactions: Iterable[bytes]) -> Iterator[Prepared]:
        for data in transactions:
            with suppress(InvalidTransaction):
                yield self.prepare(data)

    # --- reading

    def query(self, module: str, name: str, arguments: Mapping[str, Any] | bytes, *, height: int | None = None) -> Any:
        """The answer of a query at a retained height (None: now). Arguments by name, or their record's canonical bytes.

        Raises UnknownQuery, CodecError, QueryFailed, HeightUnavailable.
        """
        info = self.query_info(module, name)
        record = self.query_record(info, arguments)
        with self._reading(height) as run:
            return self.answer(run.environment, info, record)

    def query_record(self, info: QueryInfo, arguments: Mapping[str, Any] | bytes) -> Struct:
        """A query's arguments as the record that its bytes are of. Raises CodecError."""
        if not isinstance(arguments, bytes):
            arguments = info.codec.encode(info.method.record(dict(arguments)))
        record: Struct = info.codec.decode(arguments)
        return record

    def answer(self, environment: Environment, info: QueryInfo, record: Struct) -> Any:
        """What the query answers in an environment that is open for reading. Raises QueryFailed, HeightUnavailable."""
        environment.context.set_gas(QUERY_GAS_MAX)
        module = info.full_name.partition(".")[0]
        try:
            answer = info.method.function(environment.modules[module], **info.method.keywords(record))
            info.result_codec.encode(answer)
        except (*LET_THROUGH, HeightUnavailable):
            raise
        except BaseException as error:
            raise QueryFailed(info.full_name, contained(error, module, info.full_name)) from error
        return answer

    def query_info(self, module: str, name: str) -> QueryInfo:
        """A query's metadata. Raises UnknownQuery."""
        metadata = self.composition.metadata.get(module)
        if metadata is None:
            raise UnknownQuery(f"no module {module}: this chain has {', '.join(self.composition.metadata)}")
        info = metadata.queries.get(name)
        if info is None:
            raise UnknownQuery(f"{module} has no query {name}: it has {', '.join(metadata.queries) or 'none'}")
        return info

    def prove(self, module: str, storage: str, key: Any = None, *, height: int | None = None) -> ProvenValue:
        """A stored value with its proof. storage: a declared name, or "params". key: None for an item. Raises
        UnknownQuery, BadValue, HeightUnavailable."""
        raw = self._storage_key(module, storage, key)
        at = self.store.height if height is None else height
        value = self.store.at(at).get(module, raw)
        return ProvenValue(module, raw, value, at, self.store.root_at(at), self.store.prove(module, raw, at))

    def _storage_key(self, module: str, storage: str, key: Any) -> bytes:
        metadata = self.composition.metadata.get(module)
        if metadata is not None and metadata.params is not None and storage == PARAMS:
            return PARAMS_KEY
        info = None if metadata is None else metadata.storage.get(storage)
        if info is None:
            raise UnknownQuery(f"no storage {module}.{storage} in this chain")
        return info.declared.storage_key(key) if isinstance(info.declared, Map) else info.declared.prefix

    def params(self, height: int | None = None) -> RuntimeParams:
        """The runtime's own parameters in force in the block after this height (None: the last)."""
        with self._reading(height) as run:
            return run.environment.params

    def next_nonce(self, account: AccountId) -> int:
        """The nonce that the account's next transaction must carry, in the committed state."""
        with self._reading() as run, roles_contained():
            return run.environment.auth.nonce(account)

    def validators(self, height: int | None = None) -> tuple[ValidatorPower, ...]:
        """The set that the updates up to this height lead to, by public key; it acts two heights later."""
        with self._reading(height) as run:
            return run.environment.core.effective_validators

    def live_chunks(self, among: Iterable[Hash] | None = None) -> frozenset[Hash]:
        """The blob chunks that the committed state refers to, of all or of some."""
        with self._reading() as run:
            chunks = run.environment.core.chunks
            return frozenset(chunks.keys(limit=1 << 62) if among is None else filter(chunks.__contains__, among))

    def check_invariants(self) -> None:
        """Runs every module's invariants on the committed state. Raises InvariantBroken with the first that fails."""
        with self._reading() as run:
            for name, module in run.environment.modules.items():
                for info in module.metadata().invariants.values():
                    try:
                        info.method.function(module)
                    except Exception as error:  # whatever an invariant raises says that it does not hold
                        raise InvariantBroken(
                            name, info.name, self.height, f"{type(error).__name__}: {error}"
                        ) from error

    def export_genesis(self, module: str) -> bytes:
        """The module's present state as its GenesisConfig's canonical bytes. Raises DefinitionError where it cannot."""
        with self._reading() as run:
            config = run.environment.modules[module].export_genesis()
        return codec(type(config)).encode(config)

    # --- environments

    def _check_height(self, height: int) -> None:
        if height != self.store.height + 1:
            raise ExecutionFault(f"block {height} cannot follow the committed height {self.store.height}")

    def _reading(self, height: int | None = None) -> _Run:
        base = self.store if height is None else self.store.at(height)
        return self.reading(Overlay(base, self.store.blobs), self._block(base, height))

    def reading(self, overlay: Overlay, block: BlockInfo) -> _Run:
        """An environment that reads this state as that of this block; open inside `with`."""
        return _Run(self.composition.environment(), overlay, block, is_writable=False)

    def block_at(self, height: int) -> BlockInfo:
        """Height and time of a block whose state is retained. Raises HeightUnavailable."""
        return self._block(self.store.at(height), height)

    def _block(self, base: Reader, height: int | None) -> BlockInfo:
        stamp = base.get(CORE, _STAMP_KEY)
        time_ms = self.genesis.time_ms if stamp is None else codec(BlockStamp).decode(stamp).time_ms
        return BlockInfo(self.store.height if height is None else height, time_ms)

    def _next_block(self) -> _Run:
        overlay = Overlay(self.store, self.store.blobs)
        block = BlockInfo(self.store.height + 1, self._block(self.store, None).time_ms)
        return _Run(self.composition.environment(), overlay, block, is_writable=True)


_STAMP_KEY = b"stamp\x00"


@contextmanager
def _at_genesis(where: str) -> Iterator[None]:
    """What module code raises over the genesis is the genesis' fault."""
    try:
        yield
    except LET_THROUGH:
        raise
    except Exception as error:
        raise GenesisError(where, f"{type(error).__name__}: {explain(error)}") from error


class _Run:
    """An environment that is open inside `with`."""

    def __init__(self, environment: Environment, overlay: Overlay, block: BlockInfo, *, is_writable: bool) -> None:
        self.environment = environment
        environment.open(overlay, block, writable=is_writable)

    def __enter__(self) -> _Run:
        return self

    def __exit__(self, *exception: object) -> None:
        self.environment.context.close()


def _at_fixed_depth(work: Callable[[], T]) -> T:
    """Runs `work` on a fresh stack: at what depth a module's recursion fails must not depend on the caller's depth."""
    results: list[T] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 # carried over to the caller's thread, whatever it is
            errors.append(error)

    thread = threading.Thread(target=body, name="execution")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
