"""A chain spec as a JSON document, fresh for each test that changes it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from chain_spec import FoundingValidator, make_spec, render_spec
from runtime.crypto import SigningKey
from runtime.network.identity import NetworkKey
from runtime.types import AccountId


@pytest.fixture(scope="session")
def document() -> Callable[[], dict[str, Any]]:
    """Makes the same spec each time: four validators, whose operators hold a million each."""
    keys = [SigningKey.from_seed(bytes([number]) * 32) for number in range(1, 5)]
    founders = [FoundingValidator(k.public_key, AccountId(k.public_key), NetworkKey(k.seed).peer_id) for k in keys]
    held = {AccountId(key.public_key): 1_000_000 for key in keys}
    made = json.loads(render_spec(make_spec("testing", founders, held, genesis_time_ms=1_700_000_000_000)))
    return lambda: copy.deepcopy(made)
