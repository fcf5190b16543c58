"""Mistakes of authors and callers that mypy --strict must find: each line says the error it must give."""

from modules.oracle import Oracle
from modules.tokens import Tokens
from modules.tokens.protocol import Ledger
from runtime import (
    U64,
    AccountId,
    Event,
    Hash,
    InferenceRequest,
    Item,
    Map,
    Module,
    ModuleParams,
    Root,
    Signed,
    Uses,
    call,
    query,
)
from runtime.execution import Chain


class Bumped(Event):
    by: U64


class Counter(Module):
    """Counts."""

    name = "counter"
    value: Item[U64] = Item(default=0)
    seen: Map[AccountId, U64] = Map(default=0)
    ledger: Uses[Ledger]

    class Params(ModuleParams):
        step: U64 = 1

    @call(gas=1)
    def bump(self, origin: Signed, *, by: U64) -> None:
        """Bump."""
        self.value = "1"  # error: [assignment]
        self.value += "1"  # error: [operator]
        self.seen[by] = 1  # error: [index]
        self.seen[origin.account] = b""  # error: [assignment]
        self.valeu += 1  # error: [attr-defined]
        self.emit(Bumped(by="1"))  # error: [arg-type]
        self.emit(by)  # error: [arg-type]
        self.ledger.move(origin.account, origin.account, 5, 1)  # error: [arg-type]
        self.ledger.mint(origin.account)  # error: [attr-defined]
        self.value = self.params.stop  # error: [attr-defined]

    def _runs(self, *, model: Hash) -> tuple[InferenceRequest, ...]:
        return ()

    @call(gas=1, infers=_runs)  # error: [arg-type]
    def judge(self, origin: Signed, *, model: Hash, by: U64) -> None:
        """Judge."""

    def _hashes(self, *, model: Hash) -> tuple[Hash, ...]:
        return (model,)

    @call(gas=1, infers=_hashes)  # error: [arg-type]
    def judge_again(self, origin: Signed, *, model: Hash) -> None:
        """Judge again."""

    @call(gas=1)
    def reset(self, origin: Root) -> None:
        """Reset."""
        self.value = origin.account  # error: [attr-defined]

    @query
    def total(self) -> U64:
        """Total."""
        return None  # error: [return-value]


chain, alice = Chain(Counter), Chain().account("alice")
Counter.bump.build(by="1")  # error: [arg-type]
Counter.bump.build(step=1)  # error: [call-arg]
Counter.bump.build()  # error: [call-arg]
Tokens.transfer.build(to=alice.id, denom=5, amount=1)  # error: [arg-type]
Tokens.transfer.build(to=Hash(bytes(32)), denom="arm", amount=1)  # error: [arg-type]
Oracle.infer.build(model=alice.id, inputs=())  # error: [arg-type]
chain.query(Tokens.balance_of, account=alice.id)  # error: [call-arg]
chain.query(Tokens.transfer, to=alice.id)  # error: [arg-type]
text: str = chain.query(Counter.total)  # error: [assignment]
