"""What the registry's tests share: small models, a chain of people, and how a model comes onto it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from modules.accounts import Accounts
from modules.oracle import Oracle
from modules.registry import Registry
from modules.registry.protocol import Card, Price
from modules.tokens import Tokens
from runtime import Call, Hash, Module, Tensor
from runtime.codec import codec
from runtime.execution import Chain
from runtime.execution.core import Core
from runtime.execution.inference_port import EnginePort
from runtime.inference import TensorSpec, encode_graph, from_arrays, model_hash
from runtime.inference.graph import Gemm, Relu
from runtime.testing.graphs import wrap
from tools.registration import registration_calls

ARM, GOLD = "arm", "gold"
FUNDS = 10**9


class World:
    """A chain with registry and oracle on which alice, bob and carol hold FUNDS arm and gold each."""

    def __init__(self, engine: EnginePort, more: tuple[type[Module], ...] = (), **params: Any) -> None:
        people = [Chain().account(name).id for name in ("alice", "bob", "carol")]
        genesis = {"tokens": {"balances": {person: {ARM: FUNDS, GOLD: FUNDS} for person in people}}}
        self.params = params
        self.chain = Chain(
            *(Accounts, Tokens, Registry, Oracle, *more), genesis=genesis, params={"registry": params}, engine=engine
        )

    @staticmethod
    def tiny(bias: int = 0) -> bytes:
        """y = max(x0 + x1 + bias, 0) of two numbers from -100 to 100."""
        weights, offset = np.ones((1, 2), np.int64), np.array([bias], np.int64)
        spec = TensorSpec("x", (2,), 0, -100, 100)
        return encode_graph(wrap([spec], [weights, offset], [Gemm(0, 0, 1, None), Relu(1)], (1,)))

    @staticmethod
    def large() -> bytes:
        """Two chunks of weights."""
        weights = np.arange(1000 * 300, dtype=np.int64).reshape(1000, 300) % 251 - 125
        spec = TensorSpec("x", (300,), 0, -100, 100)
        return encode_graph(wrap([spec], [weights], [Gemm(0, 0, None, None)], (1000,)))

    @staticmethod
    def card(*parents: Hash, amount: int = 7, denom: str = ARM) -> Card:
        price = Price(denom=denom, amount=amount)
        return Card(title="m", version="1", licence="MIT", parents=parents, remarks=(), price=price)

    def account(self, who: str) -> Any:
        return self.chain.account(who)

    def send(self, call: Call, who: str) -> Any:
        """The receipt of a call that must succeed."""
        receipt = self.chain.submit(call, signer=self.account(who))
        assert receipt.is_ok, self.chain.explanation
        return receipt

    def register(self, model: bytes, who: str = "alice", card: Card | None = None) -> Hash:
        made = [call for _, call in registration_calls(model, self.card() if card is None else card)]
        receipt = self.chain.submit(*made, signer=self.account(who))
        assert receipt.is_ok, self.chain.explanation
        return model_hash(model)

    def infer(self, model: Hash, rows: int = 1) -> Call:
        tensors = from_arrays({"x": np.array([[1, 2]] * rows, np.int64)})
        return Oracle.infer.build(model=model, inputs=tuple(Tensor(t.name, t.shape, t.data) for t in tensors))

    def set_params(self, **params: Any) -> Any:
        """Events of the change, made by the chain itself."""
        self.params = self.params | params
        new = codec(Registry.Params).encode(Registry.Params(**self.params))
        return self.chain.root(Core.set_params.build(module="registry", params=new))

    def view(self, model: Hash) -> Any:
        found = self.chain.query(Registry.model, model=model)
        assert found is not None
        return found

    def funds(self, who: str, denom: str = ARM) -> int:
        return self.chain.query(Tokens.balance_of, account=self.account(who).id, denom=denom)

    def end_events(self) -> list[Any]:
        """What the hooks of the last block said."""
        assert self.chain.last is not None
        return [self.chain.decode_event(event) for event in self.chain.last.block_receipt.end_events]


@pytest.fixture
def make_world(engine: EnginePort) -> Callable[..., World]:
    """Worlds, with parameters of the registry, and with more modules."""
    return lambda **params: World(engine, **params)


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """A World where a higher price is announced three blocks ahead."""
    return make_world(price_notice_blocks=3)


@pytest.fixture
def world_of() -> Callable[[EnginePort], World]:
    """Worlds whose models run in this engine."""
    return World
