"""The shipped modules are attacked from their types, with nothing told but what no type can tell."""

from __future__ import annotations

import pytest

from modules.accounts import Accounts
from modules.governance import Governance
from modules.oracle import Oracle
from modules.registry import Registry
from modules.tokens import Tokens
from modules.validators import Validators
from runtime import Module
from runtime.testing import attack
from tools.fuzzing.standard import options_of

STEPS = {Accounts: 200, Tokens: 1_000, Registry: 800, Oracle: 150, Validators: 600, Governance: 800}
UNREACHABLE = {
    "registry.DepositLost was never emitted": "the chain itself would have to burn what the module's account holds",
    "governance.DepositLost was never emitted": "the same",
}


@pytest.mark.parametrize("module", STEPS, ids=lambda module: module.name)
def test_a_shipped_module_withstands_and_all_of_it_is_reached(module: type[Module]) -> None:
    """One other process plays it again; under soak two, as by default."""
    report = attack(module, steps=STEPS[module], processes=1, **options_of(module))
    assert set(report.unreached) <= UNREACHABLE.keys()


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("module", STEPS, ids=lambda module: module.name)
def test_a_shipped_module_withstands_every_seed(module: type[Module], seed: int) -> None:
    attack(module, steps=2_000, seed=seed, **options_of(module))
