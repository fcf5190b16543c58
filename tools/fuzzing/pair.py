"""Two nodes' state machines on one chain that share nothing but its blocks: one in memory, one on disk. After a restart
from an export a third goes on with the chain that was exported.

Lives here: blocks, and that all come to the same. Must not: choose traffic (composed.py).
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

from chain_spec.ceremony import add_balance
from chain_spec.export import export_chain, unexportable
from chain_spec.files import read_spec
from chain_spec.resolve import resolve
from chain_spec.types import ChainSpec
from modules.tokens import Tokens
from runtime.bech32m import encode_address
from runtime.codec import codec
from runtime.execution import Application, Chain
from runtime.execution.block import BlockInputs, BlockRun, Executed
from runtime.execution.chain import GAS_LIMIT
from runtime.execution.core import NAME as CORE
from runtime.execution.core import Core
from runtime.execution.dispatch import dispatch
from runtime.execution.errors import GenesisError, InvariantBroken
from runtime.execution.genesis import ChainGenesis
from runtime.execution.inference_port import EnginePort
from runtime.execution.params import RuntimeParams
from runtime.execution.receipts import Receipt
from runtime.execution.transaction import build_transaction, encode_transaction
from runtime.module import Call, Offence, Root
from runtime.state import MemoryStore, Store
from runtime.state.disk import DiskStore
from runtime.testing import RuleBroken
from runtime.testing.attacking.rules import check_hooks, describe
from runtime.testing.attacking.watched import EXPORT
from runtime.testing.attacking.writing import NAMES
from runtime.types import AccountId, Denom, Name, PublicKey

FUNDS = 10**15
STEP_MS = 1_000
AGREE = "two nodes agree"
COMPARED_EVERY_BLOCKS = 8
_BUGS = ("ModuleFault", "BadValue")


class Other:
    """The chain from which this one's state was exported, at `height`: it gets the same transactions, signed for it.
    twins: by this chain's."""

    def __init__(self, application: Application, height: int) -> None:
        self.application, self.height = application, height
        self.twins: dict[bytes, bytes] = {}

    def follow(self, executed: Executed, evidence: tuple[Offence, ...]) -> None:
        """The same block. Raises RuleBroken where a transaction ends in another way."""
        transactions = tuple(self.twins[data] for data in executed.transactions)
        accused = tuple(Offence(each.public_key, each.height + self.height) for each in evidence)
        inputs = BlockInputs(executed.height + self.height, executed.time_ms, transactions, evidence=accused)
        made = self.application.execute(inputs)
        for mine, theirs in zip(executed.receipts, made.receipts, strict=True):
            if _end(mine) != _end(theirs):
                raise RuleBroken(EXPORT, f"a transaction ended {_end(mine)}; on the exported chain {_end(theirs)}")
        self.application.commit(made)
        self.twins.clear()


class Pair:
    """Two state machines of one spec, in which the people of `runtime.testing` have funds and answer for the first
    validators. folder: for the one on disk; empty. They propose in turn."""

    def __init__(self, spec: Path, folder: Path) -> None:
        resolved = resolve(_with_people(read_spec(spec)))
        self.modules, self._folder, self._generation = resolved.modules, folder, 0
        self._other: Other | None = None
        self._begin(resolved.genesis)

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._disk.close()

    def _begin(self, genesis: ChainGenesis) -> None:
        self.time_ms = genesis.time_ms
        self.pending: dict[str, int] = {}
        self.first = Application(genesis, self.modules, MemoryStore(), engine=EnginePort())
        self.first.start()
        self._open(genesis)

    def _open(self, genesis: ChainGenesis) -> None:
        self._disk = DiskStore(self._folder / str(self._generation))
        self.second = Application(genesis, self.modules, self._disk, engine=EnginePort())
        self.second.start()

    def transaction(self, *calls: Call, signer: str) -> bytes:
        """Signed, with the nonce behind those of the signer that wait already."""
        account = Chain.account_named(signer)
        nonce = self.first.next_nonce(account.id) + self.pending.get(signer, 0)
        gas_limit = min(GAS_LIMIT, self.first.params().block_gas_max // 4)

        def signed(application: Application) -> bytes:
            made = build_transaction(
                calls,
                genesis_hash=application.genesis_hash,
                key=account.key,
                nonce=nonce,
                gas_limit=gas_limit,
                max_fee=application.params().fees.fee(gas_limit),
            )
            return encode_transaction(made)

        data = signed(self.first)
        self.first.check(data)
        if self._other is not None:
            self._other.twins[data] = signed(self._other.application)
        self.pending[signer] = self.pending.get(signer, 0) + 1
        return data

    def block(self, *transactions: bytes, step_ms: int = STEP_MS, accused: PublicKey | None = None) -> Executed:
        """One block; those of the transactions that fit. Raises RuleBroken."""
        proposer, other = (self.first, self.second) if self.first.height % 2 else (self.second, self.first)
        height = self.first.height + 1
        evidence = () if accused is None or height == 1 else (Offence(accused, height - 1),)
        inputs = BlockInputs(height, self.time_ms + step_ms, (), evidence=evidence)
        proposed, _ = proposer.propose(inputs, transactions)
        executed = other.execute(BlockInputs(height, self.time_ms + step_ms, proposed.transactions, evidence=evidence))
        if (proposed.state_root, proposed.leaves) != (executed.state_root, executed.leaves):
            raise RuleBroken(AGREE, self._difference(proposed, executed))
        check_hooks(executed.events, executed.faults)
        for receipt, told in zip(executed.receipts, executed.explanations, strict=True):
            if receipt.error is not None and receipt.error.name in _BUGS:
                raise RuleBroken("no undeclared exception", told)
        proposer.commit(proposed)
        other.commit(executed)
        self.time_ms, self.pending = executed.time_ms, {}
        self._check_invariants()
        if self._other is not None:
            self._other.follow(executed, evidence)
            if height % COMPARED_EVERY_BLOCKS == 0:
                self.check_same()
        return executed

    def reopen(self) -> None:
        """The one on disk ends and comes back, its caches cold."""
        genesis, root = self.second.genesis, self.second.state_root
        self._disk.close()
        self._open(genesis)
        if self.second.state_root != root:
            raise RuleBroken(AGREE, "the node on disk came back with another state root")

    def restart(self) -> tuple[str, ...]:
        """A new chain begins with the export of this one; modules that cannot be exported begin as this chain's did,
        and their names are returned. Where there are none, this chain goes on beside it with the same transactions, and
        both must come to the same state."""
        lost = tuple(unexportable(self.first))
        self._same_fees()
        before, height = self.first, self.first.height
        self.check_same()
        genesis = export_chain(before, afresh=lost)
        self._disk.close()
        self._generation += 1
        try:
            self._begin(genesis)
        except GenesisError as error:
            raise RuleBroken(EXPORT, f"a chain cannot begin with what this one exports: {error}") from error
        self._check_invariants()
        self._other = None if lost else Other(before, height)
        self.check_same()
        return lost

    def check_same(self) -> None:
        """What a chain exports makes its state again, height for height; and what the exported chain has become since
        is what this one has become, with the heights of this one."""
        if unexportable(self.first):
            return
        self._check_export(self.first, self.first, 0)
        if self._other is not None:
            self._check_export(self._other.application, self._other.application, 0)
            self._check_export(self._other.application, self.first, self._other.height)

    def _check_export(self, exported: Application, same: Application, height: int) -> None:
        """Whether a chain that begins with the export has the state of `same`. height: which is the 0 of `same`."""
        genesis = export_chain(exported, heights_from=height)
        copy = Application(genesis, self.modules, MemoryStore(), engine=EnginePort())
        copy.start()
        for name in copy.composition.modules:
            there, here = (comparable(name, each.store) for each in (same, copy))
            if there != here:
                keys = sorted(key for key in there | here if there.get(key) != here.get(key))
                before, after = ({name: {key: table.get(key) for key in keys}} for table in (there, here))
                told = tuple(describe(same.metadata, before, after))
                reason = f"a chain that begins with the export of height {exported.height} has other state of {name}"
                raise RuleBroken(EXPORT, reason, told, "should be -> is")

    def _same_fees(self) -> None:
        """From here on each transaction costs one unit: gas counts the bytes of heights, which differ from here on."""
        if self.first.genesis.roles.fees is None:
            return
        params = self.first.params().model_copy(update={"fee_units": 1, "fee_per_gas": (1 << 64) - 1})
        call = Core.set_params.build(module=Name(CORE), params=codec(RuntimeParams).encode(params))
        self.time_ms += STEP_MS
        for application in (self.first, self.second):
            inputs = BlockInputs(application.height + 1, self.time_ms)
            run = BlockRun(application.composition.environment(), application.store, inputs)
            dispatch(run.environment, Root(), call)
            application.commit(run.finish())

    def _check_invariants(self) -> None:
        try:
            self.first.check_invariants()
        except InvariantBroken as broken:
            raise RuleBroken(f"invariant {broken.module}.{broken.invariant}", broken.reason) from None

    def _difference(self, proposed: Executed, executed: Executed) -> str:
        modules = [name for name, root in proposed.module_roots.items() if executed.module_roots.get(name) != root]
        where = f"the state of {', '.join(modules)}" if modules else "receipts alone"
        return f"block {proposed.height} came out differently where it was proposed and where it was executed: {where}"


def _with_people(spec: ChainSpec) -> ChainSpec:
    """The spec with funds for the people who sign, in whose names the first validators are run."""
    people = [AccountId(person) for person in NAMES]
    names = [entry.name for entry in spec.modules]
    if Tokens.name in names:
        entry = spec.modules[names.index(Tokens.name)]
        denom = Denom(entry.params.get("fee_denom", "arm"))
        for person in people:
            if denom not in entry.genesis.get("balances", {}).get(encode_address(person, spec.address_prefix), {}):
                spec = add_balance(spec, person, denom, FUNDS)
    if spec.roles.validators not in names:
        return spec
    modules = list(spec.modules)
    place = names.index(spec.roles.validators)
    genesis: dict[str, Any] = dict(modules[place].genesis)
    listed = [dict(each) for each in genesis.get("validators", [])]
    for validator, person in zip(listed, people, strict=False):
        validator["operator"] = encode_address(person, spec.address_prefix)
    modules[place] = modules[place].model_copy(update={"genesis": genesis | {"validators": listed}})
    return spec.model_copy(update={"modules": modules})


def comparable(name: str, store: Store) -> dict[bytes, bytes]:
    """A module's state, without what says which chain it is and how high."""
    own = {Core.genesis_hash.prefix, Core.stamp.prefix} if name == CORE else set()
    return {key: value for key, value in store.iterate(name) if key not in own}


def _end(receipt: Receipt) -> str:
    return "well" if receipt.error is None else f"with {receipt.error.module or CORE}.{receipt.error.name}"
