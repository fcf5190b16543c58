"""What the tests of tokens share: one small chain."""

from __future__ import annotations

import pytest

from modules.accounts import Accounts
from modules.tokens import Tokens
from runtime.execution import Chain


@pytest.fixture
def market() -> Chain:
    """No fees. alice holds 1000 gold, of which bob is the issuer; gold is shown as GLD with 3 decimals; minimum 10."""
    name = Chain().account
    alice, bob = name("alice").id, name("bob").id
    genesis = {
        "balances": {alice: {"gold": 1000}},
        "issuers": {"gold": bob},
        "minimums": {"gold": 10},
        "metadata": {"gold": {"name": "Gold", "symbol": "GLD", "exponent": 3, "description": "shiny"}},
    }
    return Chain(Accounts, Tokens, genesis={"tokens": genesis})
