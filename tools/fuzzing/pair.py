"""Two nodes' state machines on one chain that share nothing but its blocks: one in memory, one on disk.

Lives here: blocks, and that both come to the same. Must not: choose traffic (composed.py).
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

from msgspec.structs import replace

from chain_spec.ceremony import add_balance
from chain_spec.files import read_spec
from chain_spec.resolve import resolve
from chain_spec.types import ChainSpec
from modules.tokens import Tokens
from runtime.bech32m import encode_address
from runtime.codec import codec
from runtime.execution import Application, Chain
from runtime.execution.block import BlockInputs, Executed
from runtime.execution.chain import GAS_LIMIT
from runtime.execution.errors import GenesisError, InvariantBroken
from runtime.execution.genesis import ChainGenesis
from runtime.execution.inference_port import EnginePort
from runtime.execution.params import RuntimeParams
from runtime.execution.transaction import build_transaction, encode_transaction
from runtime.module import Call, Module, Offence
from runtime.module.params import PARAMS_KEY
from runtime.state import MemoryStore
from runtime.state.disk import DiskStore
from runtime.testing import RuleBroken
from runtime.testing.attacking.rules import check_hooks
from runtime.testing.attacking.watched import EXPORT
from runtime.testing.attacking.writing import NAMES
from runtime.types import AccountId, Denom, PublicKey

FUNDS = 10**15
STEP_MS = 1_000
AGREE = "two nodes agree"
_BUGS = ("ModuleFault", "BadValue")


class Pair:
    """Two state machines of one spec, in which the people of `runtime.testing` have funds and answer for the first
    validators. folder: for the one on disk; empty. They propose in turn."""

    def __init__(self, spec: Path, folder: Path) -> None:
        resolved = resolve(_with_people(read_spec(spec)))
        self.modules, self._folder, self._generation = resolved.modules, folder, 0
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
        made = build_transaction(
            calls,
            genesis_hash=self.first.genesis_hash,
            key=account.key,
            nonce=nonce,
            gas_limit=gas_limit,
            max_fee=self.first.params().fees.fee(gas_limit),
        )
        data = encode_transaction(made)
        self.first.check(data)
        self.pending[signer] = self.pending.get(signer, 0) + 1
        return data

    def block(self, *transactions: bytes, step_ms: int = STEP_MS, accused: PublicKey | None = None) -> Executed:
        """One block; those of the transactions that fit. Raises RuleBroken."""
        proposer, other = (self.first, self.second) if self.first.height % 2 else (self.second, self.first)
        height = self.first.height + 1
        evidence = () if accused is None else (Offence(accused, height - 1),)
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
        return executed

    def reopen(self) -> None:
        """The one on disk ends and comes back, its caches cold."""
        genesis, root = self.second.genesis, self.second.state_root
        self._disk.close()
        self._open(genesis)
        if self.second.state_root != root:
            raise RuleBroken(AGREE, "the node on disk came back with another state root")

    def restart(self) -> tuple[str, ...]:
        """A new chain begins with what the modules export; those that cannot begin as this chain's did. Returns the
        names of those that have lost their state so. What a module exports must make it export the same again."""
        exported, lost = {}, []
        for module in self.modules:
            if module.export_genesis is Module.export_genesis:
                lost += [module.name] if module.metadata().storage else []
            else:
                exported[module.name] = self.first.export_genesis(module.name)
        entries = tuple(
            replace(
                entry,
                genesis=exported.get(entry.name, entry.genesis),
                params=self.first.store.get(entry.name, PARAMS_KEY) or entry.params,
            )
            for entry in self.first.genesis.modules
        )
        runtime = codec(RuntimeParams).decode(self.first.store.get("runtime", PARAMS_KEY) or b"")
        genesis = replace(self.first.genesis, modules=entries, runtime=runtime, time_ms=self.time_ms)
        self._disk.close()
        self._generation += 1
        try:
            self._begin(genesis)
        except GenesisError as error:
            raise RuleBroken(EXPORT, f"a chain cannot begin with what this one exports: {error}") from error
        self._check_invariants()
        for name, data in exported.items():
            if self.first.export_genesis(name) != data:
                raise RuleBroken(EXPORT, f"{name} exports something else after it began with what it exported")
        return tuple(lost)

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
