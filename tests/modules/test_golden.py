"""The shipped modules keep their form: calls that are signed, state that is stored, events that are read."""

from __future__ import annotations

import pytest

from chain_spec import plugins
from chain_spec.presets import STANDARD_MODULES
from runtime.testing.plugin import Golden


@pytest.mark.parametrize("name", STANDARD_MODULES)
def test_a_shipped_module_keeps_its_form(golden: Golden, name: str) -> None:
    golden(plugins.load(name))
