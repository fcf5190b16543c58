"""What the modules' tests share: people, and the statement that a call fails with exactly this error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from runtime import Call, CallError
from runtime.execution import Chain

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
