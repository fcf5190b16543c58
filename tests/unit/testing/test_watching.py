"""Rules that no module can break by itself, for the runtime sees to them: each breaks where the runtime is at fault."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from modules.oracle import Oracle
from runtime import Module, Tensor
from runtime.execution import Chain
from runtime.execution.params import RuntimeParams
from runtime.module.context import Context
from runtime.state import Overlay
from runtime.testing import RuleBroken, Watched
from runtime.testing.attacking.observed import CountedEngine
from runtime.testing.attacking.world import closure
from runtime.testing.bank import Bank
from tools.fuzzing.models import rows, small_models
from tools.fuzzing.standard import options_of
from tools.planted.vault import Vault


def bank_that_fails(chain: Watched) -> None:
    chain.submit(Bank.write_then.build(what="error"), signer=chain.account("alice"))


def vault_put(chain: Watched) -> None:
    chain.submit(Vault.put.build(amount=5), signer=chain.account("alice"))


def keep_what_is_undone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Overlay, "rollback", Overlay.commit)


def write_other_bytes(patch: pytest.MonkeyPatch) -> None:
    honest = Context.write

    def write(self: Context, module: str, key: bytes, value: bytes) -> None:
        honest(self, module, key, b"\xcc" + value if module == "vault" else value)  # 5 in two bytes

    patch.setattr(Context, "write", write)


def write_for_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Context, "write", lambda self, module, key, value: self.state.set(module, key, value))


def use_more_than_the_limit(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Context, "gas_used", property(lambda self: self.gas_limit + 1))


@pytest.mark.parametrize(
    ("module", "do", "break_it", "rule"),
    [
        (Bank, bank_that_fails, keep_what_is_undone, "a failed call changes nothing but the fee"),
        (Vault, vault_put, write_other_bytes, "storage round-trips"),
        (Vault, vault_put, write_for_nothing, "gas covers the work"),
        (Vault, vault_put, use_more_than_the_limit, "gas covers the work"),
    ],
)
def test_invalid_runtimes_are_told_by_their_rule(
    module: type[Module],
    do: Callable[[Chain], None],
    break_it: Callable[[pytest.MonkeyPatch], None],
    rule: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chain = Watched(module)
    do(chain)
    break_it(monkeypatch)
    with pytest.raises(RuleBroken) as broken:
        do(chain)
    assert broken.value.rule == rule, str(broken.value)


def test_a_run_of_a_model_is_counted_and_must_be_paid(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    honest = CountedEngine.run

    def run(self: CountedEngine, *arguments: Any) -> tuple[Tensor, ...]:
        made = honest(self, *arguments)
        counted.append(self.work.inference_gas)
        return made

    monkeypatch.setattr(CountedEngine, "run", run)
    options = options_of(Oracle)
    chain = Watched(
        *closure((Oracle,), options["also"]),
        attacked=(Oracle,),
        **{name: options[name] for name in ("genesis", "engine", "begin")},
    )
    infer = Oracle.infer.build(model=small_models()[0].name, inputs=rows(Random(1)))
    assert chain.submit(infer, signer=chain.account("bob")).is_ok
    assert counted[0] > 0
    price = RuntimeParams.inference_gas
    monkeypatch.setattr("runtime.execution.core.Core._in_force", property(lambda self: _Free()))
    with pytest.raises(RuleBroken, match="1 runs of models cost"):
        chain.submit(infer, signer=chain.account("bob"))
    assert RuntimeParams.inference_gas is price


class _Free:
    """Parameters that make runs cost nothing."""

    model_memory_bytes_max = 1 << 40

    def inference_gas(self, cost: int) -> int:
        return 0
