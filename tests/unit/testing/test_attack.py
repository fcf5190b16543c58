"""attack(): what it finds, what it says of it, and that it finds nothing where nothing is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runtime import Call, Module
from runtime.errors import UsageError
from runtime.execution import Chain
from runtime.testing import AttackFailed, RuleBroken, Watched, attack
from tools.planted.bugs import FOUND_BY_ATTACK, LostUpdate, Planted, UncheckedUnderflow
from tools.planted.model import VaultModel
from tools.planted.vault import TooFew, Vault


def failure(*modules: type[Module], **options: Any) -> AttackFailed:
    with pytest.raises(AttackFailed) as failed:
        attack(*modules, **options)
    return failed.value


def run_program(program: str) -> None:
    """Pastes the program into a file of its own, so to speak, and runs its test."""
    names: dict[str, Any] = {}
    exec(program, names)
    next(value for name, value in names.items() if name.startswith("test_"))()


@pytest.mark.parametrize(("module", "planted"), FOUND_BY_ATTACK.items(), ids=lambda each: getattr(each, "__name__", ""))
def test_a_planted_bug_is_found_by_its_rule_and_its_program_fails_alike(module: type[Module], planted: Planted) -> None:
    found = failure(module, **planted.options)
    assert found.rule == planted.rule, str(found)
    assert len(found.steps) <= 4, found.program
    if planted.rule == "every process has the same state":
        assert "assert chain.application.state_root.hex() == root" in found.program
        return
    with pytest.raises(RuleBroken) as broken:
        run_program(found.program)
    assert broken.value.rule == planted.rule


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.soak)])
def test_nothing_is_found_in_a_sound_module_and_all_of_it_is_reached(seed: int) -> None:
    report = attack(Vault, steps=1_000, seed=seed)
    assert report.steps == 1_000
    assert report.unreached == ()


def test_one_seed_is_one_attack() -> None:
    reports = [attack(Vault, steps=60, seed=7, processes=0) for _ in range(2)]
    assert reports[0] == reports[1]
    assert attack(Vault, steps=60, seed=8, processes=0) != reports[0]


DIGEST = """
import {first}
import json
from runtime.testing import attack
from tools.planted.vault import Vault
report = attack(Vault, steps=100, seed=7, processes=0)
print(json.dumps([report.outcomes, report.events, report.unreached], sort_keys=True))
"""


def test_one_seed_is_one_attack_whatever_else_a_process_has_loaded(tmp_path: Path) -> None:
    """Hypothesis takes texts and numbers from the constants of loaded sources; an attack must not."""
    words = "\n".join(f"TEXT_{number} = {'xyzw'[number % 4] * (number % 9 + 1)!r}" for number in range(400))
    (tmp_path / "loaded_besides.py").write_text(f"import modules.tokens, tools.fuzzing.standard\n{words}\n")
    told = []
    for first, seed in (("sys", "1"), ("loaded_besides", "2")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(tmp_path)}
        command = [sys.executable, "-c", DIGEST.format(first=first)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        told.append(json.loads(done.stdout))
    assert told[0] == told[1]
    here = attack(Vault, steps=100, seed=7, processes=0)
    assert json.loads(json.dumps([here.outcomes, here.events, here.unreached])) == told[0]


def test_a_report_says_what_changed_in_words() -> None:
    said = str(failure(LostUpdate))
    assert "invariant vault.held_sums_to_the_total" in said
    assert "vault.held[" in said
    assert ".id]: " in said
    assert "def test_invariant_vault_held_sums_to_the_total() -> None:" in said


def at_most_a_thousand(chain: Chain) -> None:
    assert chain.query(Vault.held_by, account=chain.account("alice").id) <= 1_000, "alice is too rich"


def test_an_authors_rule_is_checked_and_stands_in_the_program() -> None:
    found = failure(Vault, rules=(at_most_a_thousand,))
    assert found.rule == "at_most_a_thousand"
    assert "rules=(at_most_a_thousand,)" in found.program
    assert "alice is too rich" in str(found)


class Generous(VaultModel):
    """The vault as a dict, in which sending to oneself doubles."""

    def send(self, signer: bytes, *, to: bytes, amount: int) -> bool:
        before = self.held.get(to, 0)
        is_ok = super().send(signer, to=to, amount=amount)
        self.held[to] = before + amount if is_ok else before
        return is_ok


def test_a_model_that_differs_is_told() -> None:
    assert failure(Vault, genesis={"vault": {}}, model=Generous).rule == "the model agrees"


def test_a_model_that_mirrors_the_module_agrees() -> None:
    attack(Vault, steps=200, processes=0, genesis={"vault": {}}, model=VaultModel)


def test_weights_choose_calls() -> None:
    weights = {"vault.put": 50, "open_ticket": 0, "close_ticket": 0}
    report = attack(Vault, steps=100, weights=weights, processes=0)
    counts = {name: outcomes.total() for name, outcomes in report.outcomes.items()}
    assert counts["vault.put"] > 50
    assert "vault.open_ticket never succeeded" in report.unreached


@pytest.mark.parametrize(
    ("options", "reason"), [({"steps": 0}, "at least one"), ({"weights": {"nothing": 1}}, "no call is named nothing")]
)
def test_invalid_options_are_named(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        attack(Vault, **options)


def test_a_watched_chain_is_a_chain() -> None:
    chain = Watched(Vault)
    alice, bob = chain.account("alice"), chain.account("bob")
    assert chain.submit(Vault.put.build(amount=5), signer=alice).is_ok
    receipt = chain.submit(Vault.send.build(to=bob.id, amount=9), signer=alice)
    error = chain.error(receipt)
    assert isinstance(error, TooFew)
    chain.check_export()
    broken = Watched(UncheckedUnderflow)
    call: Call = UncheckedUnderflow.send.build(to=bob.id, amount=1)
    with pytest.raises(RuleBroken, match="values fit their types"):
        broken.submit(call, signer=alice)
