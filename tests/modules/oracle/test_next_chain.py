"""Records of decisions on the chain that begins with an export."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from modules.accounts import Accounts
from modules.oracle import Oracle
from modules.oracle.module import WrongNumber
from modules.registry import Registry
from modules.tokens import Tokens
from runtime.execution import Chain, GenesisError
from runtime.execution.inference_port import EnginePort
from tools.fuzzing.models import rows, small_models
from tools.fuzzing.standard import options_of


@pytest.fixture
def chain(engine: EnginePort) -> Chain:
    """Two runs of one model."""
    options = options_of(Oracle)
    made = Chain(*options["also"], Oracle, genesis=options["genesis"], engine=engine)
    options["begin"](made)
    for seed in range(2):
        run = Oracle.infer.build(model=small_models()[0].name, inputs=rows(Random(seed)))
        assert made.submit(run, signer=made.account("bob")).is_ok, made.explanation
    return made


def test_decisions_are_kept_as_of_before_and_numbers_go_on(chain: Chain, continued: Callable[..., Chain]) -> None:
    again = continued(chain)
    for number in range(2):
        old, new = (each.query(Oracle.record, id=number) for each in (chain, again))
        assert old is not None
        assert new is not None
        assert (old.height > 0, new.height, new.outputs, new.caller) == (True, 0, old.outputs, old.caller)
        labels = [each.query(Oracle.labelled, id=number) for each in (chain, again)]
        assert labels[0] == labels[1]
    run = Oracle.infer.build(model=small_models()[0].name, inputs=rows(Random(2)))
    assert again.submit(run, signer=again.account("alice")).is_ok, again.explanation
    assert again.query(Oracle.count) == 3
    assert again.query(Oracle.of_caller, caller=again.account("bob").id, after=None, limit=9) == (0, 1)


def test_invalid_genesis_with_a_gap_in_the_numbers(chain: Chain) -> None:
    last = chain.query(Oracle.record, id=1)
    with pytest.raises(GenesisError, match=WrongNumber.__name__):
        Chain(Accounts, Tokens, Registry, Oracle, genesis={"oracle": {"records": (last,)}})
