from __future__ import annotations

import pytest

from runtime.execution import Chain
from runtime.testing.bank import bank_chain


@pytest.fixture
def chain() -> Chain:
    """A chain with Bank and fees; alice, bob and dora hold MONEY each, carol nothing."""
    return bank_chain()
