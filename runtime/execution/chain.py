"""Chain: a whole chain in one process, without network or disk, for tests and experiments.

    chain = Chain(Counter)
    alice = chain.account("alice")
    assert chain.submit(Counter.bump.build(step=3), signer=alice).is_ok
    assert chain.query(Counter.value) == 3

Every block is executed twice and must come out the same, and every invariant is checked after it. Without a module for
the role `auth`, accounts are plain keys with nonces (BareAccounts); without one for `fees`, gas is free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from runtime.codec import codec
from runtime.crypto import SigningKey, hash_bytes
from runtime.errors import UsageError
from runtime.execution.application import Application
from runtime.execution.block import BlockInputs, BlockRun, Executed
from runtime.execution.composition import module_genesis, runtime_params, wants_root
from runtime.execution.core import NAME as CORE
from runtime.execution.core import ModelEngine
from runtime.execution.dispatch import dispatch
from runtime.execution.executor import Outcome
from runtime.execution.genesis import (
    DEFAULT_CONSENSUS,
    GENESIS_VERSION,
    ChainGenesis,
    ConsensusParams,
    Roles,
)
from runtime.execution.params import FeeParams
from runtime.execution.receipts import Receipt
from runtime.execution.transaction import build_transaction, encode_transaction
from runtime.module import (
    NOBODY,
    Auth,
    AuthRules,
    Call,
    CallError,
    EventRecord,
    FeeLedger,
    Map,
    Module,
    Offence,
    QueryMethod,
    Root,
    ValidatorSource,
    account_of,
    query,
)
from runtime.module.uses import missing
from runtime.state import MemoryStore, Store
from runtime.types import U64, AccountId, Name, PublicKey

P = ParamSpec("P")
R = TypeVar("R")
TIME_MS = 1_700_000_000_000
BLOCK_INTERVAL_MS = 1_000
GAS_LIMIT = 200_000_000
FREE_GAS = FeeParams(units=0, per_gas=1)


class BareAccounts(Module):
    """Accounts that are their key: a nonce each, nothing to rotate."""

    name = "accounts"
    nonces: Map[AccountId, U64] = Map(default=0)

    def nonce(self, account: AccountId) -> int:
        """As AuthRules."""
        return self.nonces[account]

    def advance_nonce(self, account: AccountId) -> None:
        """As AuthRules."""
        self.nonces[account] += 1

    def admits(self, account: AccountId, auth: Auth) -> bool:
        """As AuthRules."""
        return account_of(auth) == account

    @query
    def nonce_of(self, *, account: AccountId) -> U64:
        """The nonce that the account's next transaction carries."""
        return self.nonces[account]


@dataclass(frozen=True)
class Account:
    """A key and its account, made from a name: the same in every test."""

    name: str
    key: SigningKey

    @property
    def id(self) -> AccountId:
        """The account's id."""
        return AccountId(self.key.public_key)


class Chain:
    """A chain of these modules, in this order of hooks.

    genesis, params: by module name, as people write them; those of `runtime` are prices and bounds of blocks. fees: the
    price of gas. Roles are bound to the modules that fit them.
    """

    def __init__(
        self,
        *modules: type[Module],
        genesis: Mapping[str, Mapping[str, Any]] | None = None,
        params: Mapping[str, Mapping[str, Any]] | None = None,
        fees: FeeParams = FREE_GAS,
        consensus: ConsensusParams = DEFAULT_CONSENSUS,
        time_ms: int = TIME_MS,
        name: str = "local",
        store: Store | None = None,
        engine: ModelEngine | None = None,
    ) -> None:
        made, composed = chain_genesis(
            modules, genesis=genesis, params=params, fees=fees, consensus=consensus, time_ms=time_ms, name=name
        )
        self.application = Application(made, composed, store or MemoryStore(), engine=engine)
        self.application.start()
        self.application.check_invariants()
        self.time_ms = time_ms
        self.last: Executed | None = None
        self.explanation = ""

    # --- accounts and transactions

    @property
    def height(self) -> int:
        """Of the last block; 0 is the genesis."""
        return self.application.height

    @staticmethod
    def account_named(name: str) -> Account:
        """The account of this name, on every chain: always the same key."""
        return Account(name, SigningKey.from_seed(hash_bytes("armillary/test-account", name.encode())))

    def account(self, name: str) -> Account:
        """The account of this name."""
        return self.account_named(name)

    def transaction(self, *calls: Call, signer: Account, **options: Any) -> bytes:
        """A signed transaction's bytes, with the signer's next nonce; options: those of build_transaction."""
        return sign_calls(self.application, calls, signer, **options)

    def nonce(self, account: AccountId) -> int:
        """The nonce of the account's next transaction."""
        return self.application.next_nonce(account)

    def submit(self, *calls: Call, signer: Account, **options: Any) -> Receipt:
        """One transaction in a block of its own. Raises InvalidTransaction, as a node's mempool would."""
        data = self.transaction(*calls, signer=signer, **options)
        self.application.check(data)
        return self.block([data]).receipts[0]

    def simulate(self, *calls: Call, signer: Account, **options: Any) -> Outcome:
        """What the transaction would do; nothing is kept."""
        return self.application.simulate(self.transaction(*calls, signer=signer, **options))

    # --- blocks

    def block(
        self,
        transactions: Sequence[bytes] = (),
        *,
        time_ms: int | None = None,
        proposer: PublicKey = NOBODY,
        evidence: Sequence[Offence] = (),
        last_signers: Sequence[PublicKey] = (),
    ) -> Executed:
        """Executes and commits a block. Raises InvalidBlock, and nothing has happened then."""
        at = self.time_ms + BLOCK_INTERVAL_MS if time_ms is None else time_ms
        inputs = BlockInputs(self.height + 1, at, tuple(transactions), proposer, tuple(evidence), tuple(last_signers))
        executed, again = self.application.execute(inputs), self.application.execute(inputs)
        assert (executed.state_root, executed.leaves) == (again.state_root, again.leaves), (
            "execution is not a pure function"
        )
        self.time_ms = at
        return self._apply(executed)

    def blocks(self, count: int) -> None:
        """So many empty blocks."""
        for _ in range(count):
            self.block()

    def root(self, *calls: Call) -> tuple[EventRecord, ...]:
        """Runs the calls with the Root origin in a block of their own; returns their events. Raises the CallError of
        the first that fails; then no block was made."""
        time_ms = self.time_ms + BLOCK_INTERVAL_MS
        environment = self.application.composition.environment()
        run = BlockRun(environment, self.application.store, BlockInputs(self.height + 1, time_ms))
        for call in calls:
            dispatch(environment, Root(), call)
        events = environment.context.take_events()
        self.time_ms = time_ms
        self._apply(run.finish())
        return events

    def _apply(self, executed: Executed) -> Executed:
        self.application.commit(executed)
        self.last = executed
        self.explanation = next((each for each in executed.explanations if each), "")
        self.application.check_invariants()
        return executed

    # --- reading

    def query(self, query: QueryMethod[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The answer of a query: chain.query(Tokens.balance_of, account=alice.id, denom="arm")."""
        return self.query_at(self.height, query, *args, **kwargs)

    def query_at(self, height: int, query: QueryMethod[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The same at an earlier height."""
        module, _, name = query.full_name.partition(".")
        answer: R = self.application.query(module, name, kwargs, height=height)
        return answer

    def events(self, receipt: Receipt) -> tuple[Any, ...]:
        """A receipt's events as the modules' records."""
        return tuple(self.decode_event(event) for event in receipt.events)

    def decode_event(self, event: EventRecord) -> Any:
        """An event's record."""
        return self.application.metadata[event.module].events[event.name].codec.decode(event.data)

    def error(self, receipt: Receipt) -> CallError | None:
        """A failed receipt's error, as it was raised; None where the calls succeeded."""
        if receipt.error is None:
            return None
        return decode_error(self.application, receipt)


def sign_calls(application: Application, calls: Sequence[Call], signer: Account, **options: Any) -> bytes:
    """A signed transaction's bytes for this chain. options: those of build_transaction, and payer, an account; by
    default the signer's next nonce, GAS_LIMIT, and the fee that it may cost."""
    if "nonce" not in options:
        options["nonce"] = application.next_nonce(signer.id)
    options.setdefault("gas_limit", GAS_LIMIT)
    options.setdefault("max_fee", application.params().fees.fee(options["gas_limit"]) + options.get("tip", 0))
    payer = options.pop("payer", None)
    if payer is not None:
        options |= {"fee_payer": payer.id, "fee_payer_key": payer.key}
    made = build_transaction(calls, genesis_hash=application.genesis_hash, key=signer.key, **options)
    return encode_transaction(made)


def chain_genesis(
    modules: Sequence[type[Module]],
    *,
    genesis: Mapping[str, Mapping[str, Any]] | None = None,
    params: Mapping[str, Mapping[str, Any]] | None = None,
    fees: FeeParams = FREE_GAS,
    consensus: ConsensusParams = DEFAULT_CONSENSUS,
    time_ms: int = TIME_MS,
    name: str = "local",
) -> tuple[ChainGenesis, tuple[type[Module], ...]]:
    """The genesis of a chain of these modules, each role bound to the one that fits it, and what is composed: with
    BareAccounts where none keeps accounts. Raises UsageError, GenesisError."""
    auth = _fitting(modules, AuthRules)
    composed: tuple[type[Module], ...] = tuple(modules) if auth else (BareAccounts, *modules)
    known = {CORE, *(module.name for module in composed)}
    for given in (*(genesis or {}), *(params or {})):
        if given not in known:
            raise UsageError(
                f"a genesis or params for module {given}, which is not in this chain: {', '.join(sorted(known))}"
            )
    entries = tuple(
        module_genesis(module, params=(params or {}).get(module.name), genesis=(genesis or {}).get(module.name))
        for module in composed
    )
    validators, fee_module = _fitting(modules, ValidatorSource), _fitting(modules, FeeLedger)
    roles = Roles(
        auth=Name(auth or BareAccounts.name),
        fees=Name(fee_module) if fee_module else None,
        validators=Name(validators) if validators else None,
        governance=next((Name(module.name) for module in modules if wants_root(module)), None),
    )
    price = {"fee_units": fees.units, "fee_per_gas": fees.per_gas}
    runtime = runtime_params(price | dict((params or {}).get(CORE, {})))
    made = ChainGenesis(GENESIS_VERSION, Name(name), "arm", time_ms, entries, consensus, runtime, roles)
    return made, composed


def decode_error(application: Application, receipt: Receipt) -> CallError | None:
    """The error of a failed receipt, or None where its module declares none of this name."""
    record = receipt.error
    info = application.metadata[record.module].errors.get(record.name) if record else None
    if record is None or info is None:
        return None
    fields = codec(info.record).decode(record.data)
    return info.error(**{name: getattr(fields, name) for name in info.record.__struct_fields__})


def _fitting(modules: Sequence[type[Module]], protocol: Any) -> str | None:
    fitting = [module.name for module in modules if not missing(module, protocol)]
    if len(fitting) > 1:
        raise UsageError(f"{', '.join(fitting)} all fit {protocol.__name__}: a chain has one of them")
    return fitting[0] if fitting else None
