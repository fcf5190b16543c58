from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from modules.accounts import Accounts
from modules.accounts.protocol import ManyKeys, OneKey
from modules.oracle import Oracle
from modules.registry import Registry
from modules.registry.protocol import Card, Price
from modules.tokens import Tokens
from modules.tokens.protocol import Metadata
from modules.validators import Validators
from modules.validators.module import GenesisValidator
from runtime import Call, PublicKey, Tensor
from runtime.execution import Chain, FeeParams
from runtime.execution.inference_port import EnginePort
from runtime.inference import TensorSpec, encode_graph, from_arrays, model_hash
from runtime.inference.graph import Gemm
from runtime.state import chunk_hash
from runtime.testing.bank import bank_chain
from runtime.testing.graphs import wrap
from tools.registration import registration_calls

ARM, GOLD = "arm", "gold"
FUNDS = 10**15
PEER = "12D3KooW" + "A" * 44
NO_MODEL = b"these bytes are no model"


@pytest.fixture
def chain() -> Chain:
    """A chain with Bank and fees; alice, bob and dora hold MONEY each, carol nothing."""
    return bank_chain()


def small_model() -> bytes:
    """y = 3 x0 - 2 x1, of two numbers from -100 to 100."""
    spec = TensorSpec("x", (2,), 0, -100, 100)
    return encode_graph(wrap([spec], [np.array([[3, -2]], np.int64)], [Gemm(0, 0, None, None)], (1,)))


def whole_chain(fees: FeeParams | None = None, collector: str | None = "carol", funds: int = FUNDS) -> Chain:
    """Every module of the house, with fees; alice, bob and dora hold `funds` arm each, alice mints gold.

    alice has a model registered, an upload of bytes that are no model, complete, and one whose chunk is missing.
    """
    named = Chain().account
    people = [named(name).id for name in ("alice", "bob", "dora")]
    validator = GenesisValidator(PublicKey(named("carol").key.public_key), named("bob").id, power=5, peer=PEER)
    made = Chain(
        Accounts,
        Tokens,
        Registry,
        Oracle,
        Validators,
        genesis={
            "tokens": {
                "balances": {person: {ARM: funds, GOLD: 1_000} for person in people},
                "issuers": {GOLD: people[0]},
                "allowances": {people[1]: {people[0]: {ARM: 100}}},
            },
            "validators": {"validators": (validator,)},
        },
        params={"tokens": {"fee_collector": None if collector is None else named(collector).id}},
        fees=fees or FeeParams(units=1, per_gas=1_000),
        engine=EnginePort(),
    )
    card = Card(title="", version="", licence="", parents=(), remarks=(), price=Price(denom=GOLD, amount=7))
    begun = model_hash(NO_MODEL)
    missing = model_hash(b"missing")
    setup = [call for _, call in registration_calls(small_model(), card)]
    for model, data in ((begun, NO_MODEL), (missing, b"missing")):
        setup.append(
            Registry.begin_upload.build(model=model, size_bytes=len(data), chunks=(chunk_hash(data),), card=card)
        )
    setup.append(Registry.upload_chunk.build(model=begun, index=0, data=NO_MODEL))
    for call in setup:
        assert made.submit(call, signer=made.account("alice")).is_ok, made.explanation
    return made


def rows(*values: tuple[int, int]) -> tuple[Tensor, ...]:
    """Input of the small model."""
    found = from_arrays({"x": np.array(values, np.int64)})
    return tuple(Tensor(each.name, each.shape, each.data) for each in found)


def calls_on(chain: Chain) -> dict[str, Call]:
    """One call of each kind that succeeds for alice on a fresh `whole_chain`, by a name for people."""
    alice, bob = chain.account("alice").id, chain.account("bob").id
    key = PublicKey(chain.account("dora").key.public_key)
    card = Card(title="t", version="", licence="", parents=(), remarks=(), price=Price(denom=ARM, amount=0))
    return {
        "transfer": Tokens.transfer.build(to=bob, denom=ARM, amount=5),
        "transfer to oneself": Tokens.transfer.build(to=alice, denom=ARM, amount=5),
        "mint": Tokens.mint.build(to=bob, denom=GOLD, amount=9),
        "burn": Tokens.burn.build(holder=alice, denom=GOLD, amount=3),
        "set issuer": Tokens.set_issuer.build(denom=GOLD, issuer=bob),
        "set minimum": Tokens.set_minimum.build(denom=GOLD, minimum=0),
        "set metadata": Tokens.set_metadata.build(
            denom=GOLD, metadata=Metadata(name="Gold", symbol="GLD", exponent=3, description="")
        ),
        "approve": Tokens.approve.build(spender=bob, denom=ARM, amount=5, expected=None),
        "transfer from": Tokens.transfer_from.build(owner=bob, to=alice, denom=ARM, amount=5),
        "rotate": Accounts.rotate.build(rule=OneKey(key)),
        "rotate to many": Accounts.rotate.build(rule=ManyKeys(1, (key,))),
        "begin upload": Registry.begin_upload.build(
            model=model_hash(b"new"), size_bytes=3, chunks=(chunk_hash(b"new"),), card=card
        ),
        "upload chunk": Registry.upload_chunk.build(model=model_hash(b"missing"), index=0, data=b"missing"),
        "cancel upload": Registry.cancel_upload.build(model=model_hash(b"missing")),
        "infer": Oracle.infer.build(model=model_hash(small_model()), inputs=rows((1, 2), (3, 4))),
    }


@pytest.fixture(scope="session")
def whole() -> Chain:
    """`whole_chain`, for tests that commit nothing."""
    return whole_chain()


@pytest.fixture(scope="session")
def good_calls(whole: Chain) -> dict[str, Call]:
    """One call of each kind, by a name for people, that succeeds for alice on it."""
    return calls_on(whole)


@pytest.fixture
def make_whole() -> Callable[..., Chain]:
    """`whole_chain` itself, for tests that commit."""
    return whole_chain


@pytest.fixture(name="calls_of")
def calls_of_fixture() -> Callable[[Chain], dict[str, Call]]:
    """The same calls for another such chain."""
    return calls_on
