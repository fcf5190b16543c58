"""What the modules' tests share: people, and the statement that a call fails with exactly this error."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest

from chain_spec.export import export_chain, module_spec
from runtime import Call, CallError
from runtime.execution import Chain
from runtime.execution.core import Core
from runtime.execution.inference_port import EnginePort
from tools.demo.assets import read_asset
from tools.lowering import Lowered, lower

Fails = Callable[[Chain, Call, Any, CallError], None]


@pytest.fixture
def fails() -> Fails:
    """`fails(chain, call, signer, error)`: the call's receipt carries `error`, field by field, and the state is as it
    was but for nonce and fee."""

    def check(chain: Chain, call: Call, signer: Any, expected: CallError) -> None:
        before = roots(chain)
        receipt = chain.submit(call, signer=signer)
        error = chain.error(receipt)
        assert type(error) is type(expected), f"{error!r}: {chain.explanation}"
        assert error.args == expected.args
        assert roots(chain) == before

    return check


def roots(chain: Chain) -> dict[str, bytes]:
    """The roots of the modules that a failing call may not touch."""
    found = chain.application.store.module_roots()
    return {name: root for name, root in found.items() if name not in ("accounts", "runtime")}


@pytest.fixture
def continued() -> Callable[..., Chain]:
    """`continued(chain)`: a new chain that begins with what this one exports, heights anew. changes: by module, what
    changes what it exports, as JSON."""

    def begin(chain: Chain, **changes: Callable[[dict[str, Any]], None]) -> Chain:
        application = chain.application
        genesis, modules = export_chain(application), application.composition.modules
        specs = [module_spec(entry, modules[entry.name], "arm") for entry in genesis.modules]
        values = {each.name: each.genesis for each in specs}
        for name, change in changes.items():
            change(values[name])

        def read(model: Any, given: dict[str, Any]) -> dict[str, Any]:
            return (
                {} if model is None else dict(model.model_validate_json(json.dumps(given), context={"prefix": "arm"}))
            )

        declared = {each.name: modules[each.name].metadata() for each in specs}
        return Chain(
            *(module for name, module in modules.items() if name != Core.name),
            genesis={name: read(declared[name].genesis, given) for name, given in values.items()},
            params={each.name: read(declared[each.name].params, each.params) for each in specs}
            | {Core.name: dict(genesis.runtime)},
            time_ms=genesis.time_ms,
            engine=application.composition.engine,
        )

    return begin


@pytest.fixture(scope="session")
def engine() -> EnginePort:
    """One engine for all tests: what it remembers never shows."""
    return EnginePort()


@pytest.fixture(scope="session")
def digits() -> Lowered:
    """A small real model: scikit-learn's digits, lowered."""
    calibration = np.load(BytesIO(read_asset("digits_calibration.npz")), allow_pickle=False)
    return lower(read_asset("digits_mlp.onnx"), calibration=dict(calibration))


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """Images that the model was never trained on, as it takes them."""
    found: np.ndarray = np.load(BytesIO(read_asset("digits_heldout.npz")), allow_pickle=False)["images"]
    return found[:, None]
