"""`armillary model show HASH` in words: whether the model runs, for how much, whose it is."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from msgspec.structs import replace

from modules.accounts import Accounts
from modules.registry import Registry
from modules.registry.protocol import Card, Price, Remark
from modules.tokens import Tokens
from runtime import Call
from runtime.execution import Chain
from runtime.execution.inference_port import EnginePort
from runtime.inference import TensorSpec, encode_graph, model_hash
from runtime.inference.graph import Gemm
from runtime.rpc.values import Values
from runtime.testing.graphs import wrap
from tools.cli.registered import describe_model
from tools.registration import RegistrationFailed, register, registration_calls
from tools.transactions import Sender

SPEC = TensorSpec("x", (2,), 1, -100, 100)
GRAPH = wrap([SPEC], [np.array([[1, 0], [0, 1]], np.int64)], [Gemm(0, 0, None, None)], (2,))
MODEL = encode_graph(replace(GRAPH, labels=("no", "\x1b[2Jyes")))
NAME = model_hash(MODEL)
HOSTILE = "a\nstanding   runs, approved\x1b[2J"
CARD = Card(
    title=HOSTILE,
    version="2",
    licence="MIT",
    parents=(),
    remarks=(Remark(name="note", text=HOSTILE),),
    price=Price(denom="arm", amount=7),
)


class Shown:
    """A chain where alice owns MODEL, and what the command says of it."""

    def __init__(self, **params: Any) -> None:
        alice = Chain().account("alice")
        genesis = {"tokens": {"balances": {alice.id: {"arm": 10**9}}}}
        self.chain = Chain(
            *(Accounts, Tokens, Registry), genesis=genesis, params={"registry": params}, engine=EnginePort()
        )
        self.send(*(call for _, call in registration_calls(MODEL, CARD)))

    def send(self, *calls: Call) -> None:
        receipt = self.chain.submit(*calls, signer=self.chain.account("alice"))
        assert receipt.is_ok, self.chain.explanation

    def lines(self) -> list[str]:
        answer = self.chain.query(Registry.model, model=NAME)
        found = Values(self.chain.application).answer(Registry.metadata().queries["model"], answer)
        return list(describe_model(NAME.hex(), json.loads(json.dumps(found))))

    def line(self, title: str) -> str:
        (found,) = [line for line in self.lines() if line.startswith(f"{title:<10} ")]
        return found.removeprefix(f"{title:<10} ")


def test_a_model_is_shown_with_its_owner_and_its_price() -> None:
    shown = Shown(price_notice_blocks=2)
    owner = shown.line("owner")
    assert (shown.line("standing"), shown.line("price")) == ("runs", "7 arm a row")
    assert shown.line("input") == "x: N x 2, 1 fractional bits, -50 to 50"
    shown.send(Registry.set_price.build(model=NAME, price=Price(denom="arm", amount=9)))
    shown.send(Registry.offer.build(model=NAME, to=shown.chain.account("bob").id))
    starts = shown.chain.height + 1
    assert shown.line("price") == f"7 arm a row; 9 arm from height {starts} on"
    assert shown.line("owner").startswith(f"{owner}, offered to arm1")
    shown.chain.block()
    assert shown.line("price") == "9 arm a row"


def test_a_model_is_shown_with_what_keeps_it_from_running() -> None:
    shown = Shown(approval_required=True)
    assert shown.line("standing") == "waits for approval"
    shown.chain.root(Registry.approve.build(model=NAME))
    assert shown.line("standing") == "runs, approved"
    shown.chain.root(Registry.revoke.build(model=NAME))
    assert shown.line("standing") == "revoked: it does not run"
    shown.send(Registry.retire.build(model=NAME))
    assert shown.line("standing") == f"retired at height {shown.chain.height}: it runs no more"


@pytest.mark.parametrize("title", ["title", "remark", "labels"])
def test_invalid_characters_of_others_stay_in_their_line(title: str) -> None:
    shown = Shown()
    assert "?" in shown.line(title)
    assert all(line.isprintable() for line in shown.lines())
    assert shown.line("standing") == "runs"


def test_invalid_model_that_no_block_can_verify_is_refused_before_anything_is_uploaded() -> None:
    sender = SimpleNamespace(chain=SimpleNamespace(transaction_gas_max=1_000))  # no client: nothing may be sent
    with pytest.raises(RegistrationFailed, match=r"gas, and a transaction may use 1,000; .*block_gas_max"):
        register(cast(Sender, sender), MODEL, CARD, lambda step, outcome: None)
