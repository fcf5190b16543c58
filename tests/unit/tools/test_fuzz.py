"""armillary fuzz: what it says of a module, of planted bugs and of a composed chain, and of wrong questions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chain_spec.files import render_spec
from chain_spec.presets import FoundingValidator, make_spec
from chain_spec.testing import sample_spec
from modules.accounts import Accounts
from modules.governance import Governance
from modules.tokens import Tokens
from runtime import AccountId, DatedGenesis
from runtime.execution.block import Executed
from runtime.testing import RuleBroken
from runtime.testing.attacking.watched import EXPORT
from tools.cli.app import run
from tools.fuzzing import pair as pairs
from tools.fuzzing import planted as planting
from tools.fuzzing.composed import fuzz_spec
from tools.fuzzing.pair import AGREE, Pair
from tools.fuzzing.standard import peer, validator_key
from tools.planted.bugs import FOUND_BY_ATTACK, DivisionByZero
from tools.planted.source import FOUND_BY_LINT

FUZZED = {"subject", "seed", "steps", "seconds", "steps_per_second", "calls", "events", "errors", "unreached", "failed"}


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A chain of the standard modules with four validators that no one here runs."""
    founders = [
        FoundingValidator(validator_key(number), AccountId(bytes([number + 40]) * 32), peer(number))
        for number in range(1, 5)
    ]
    file = tmp_path / "spec.json"
    params = {"governance": {"voting_blocks": 20, "delay_blocks": 2}}
    file.write_text(render_spec(make_spec("local", founders, {}, params=params, genesis_time_ms=1_700_000_000_000)))
    return file


def fuzz(*arguments: str) -> int:
    return run(["fuzz", *arguments])


def test_a_sound_module_is_told_in_tables_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "out.json"
    assert fuzz("tools.planted.vault:Vault", "--steps", "60", "--seed", "3", "--json", str(file)) == 0
    told = capsys.readouterr().out
    assert "vault.put" in told
    assert "nothing broke: 60 steps" in told
    found = json.loads(file.read_text())
    assert found.keys() == FUZZED
    assert (found["subject"], found["seed"], found["steps"], found["failed"]) == ("vault", 3, 60, None)
    assert found["steps_per_second"] > 0


def test_a_broken_module_is_told_with_a_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "out.json"
    assert fuzz("tools.planted.bugs:DivisionByZero", "--json", str(file)) == 1
    told = capsys.readouterr().out
    assert "ZeroDivisionError" in told
    assert "def test_no_undeclared_exception() -> None:" in told
    failed = json.loads(file.read_text())["failed"]
    assert failed["rule"] == "no undeclared exception"
    compile(failed["program"], "program", "exec")


def test_planted_bugs_are_found_and_a_missed_one_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planting, "FOUND_BY_ATTACK", {DivisionByZero: FOUND_BY_ATTACK[DivisionByZero]})
    file = tmp_path / "out.json"
    assert fuzz("--planted", "--json", str(file)) == 0
    found = json.loads(file.read_text())
    assert found["found"] == len(found["planted"]) == 1 + len(FOUND_BY_LINT)
    assert found["missed"] == []
    monkeypatch.setattr(planting, "check_file", lambda file: [])
    assert fuzz("--planted") == 1
    assert "NOT FOUND" in capsys.readouterr().out


def test_a_composed_chain_is_driven_over_reopening_and_a_new_beginning(spec: Path) -> None:
    fuzzed = fuzz_spec(spec, 120, 0)
    assert fuzzed.failed is None
    assert fuzzed.steps >= 120
    assert fuzzed.outcomes["oracle.infer"]["ok"] > 0
    assert fuzzed.events["oracle.Inferred"] > 0
    assert set(fuzzed.unreached).isdisjoint({"tokens.transfer never succeeded", "oracle.infer never succeeded"})
    assert any(line.endswith("was never raised") for line in fuzzed.unreached)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
def test_a_composed_chain_withstands_every_seed(spec: Path, seed: int) -> None:
    assert fuzz_spec(spec, 3_000, seed).failed is None


def test_one_seed_is_one_drive(spec: Path) -> None:
    first, second = (fuzz_spec(spec, 30, 5) for _ in range(2))
    assert (first.outcomes, first.events) == (second.outcomes, second.events)


def test_two_nodes_that_differ_are_told_with_a_short_program(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Pair.block

    class OneSided(Pair):
        """Differs, as though, once somebody approves."""

        def block(self, *transactions: bytes, **options: Any) -> Executed:
            executed = honest(self, *transactions, **options)
            for event in executed.events:
                if event.name == "Approved":
                    raise RuleBroken(AGREE, "as though")
            return executed

    monkeypatch.setattr("tools.fuzzing.composed.Pair", OneSided)
    failed = fuzz_spec(spec, 300, 0).failed
    assert failed is not None
    assert failed["rule"] == AGREE
    assert failed["program"].count("chain.block(") == 1
    assert failed["program"].count("chain.transaction(") == 1
    compile(failed["program"], "program", "exec")


def test_a_spec_in_which_people_have_funds_already_is_driven(tmp_path: Path) -> None:
    file = tmp_path / "spec.json"
    file.write_text(render_spec(sample_spec()))
    fuzzed = fuzz_spec(file, 10, 0)
    assert (fuzzed.failed, fuzzed.steps >= 10) == (None, True)


def test_a_program_of_a_composed_chain_runs(spec: Path, tmp_path: Path) -> None:
    from runtime.execution import Chain

    with Pair(spec, tmp_path / "state") as chain:
        bob = Chain.account_named("bob")
        executed = chain.block(
            chain.transaction(Tokens.transfer.build(to=bob.id, denom="arm", amount=1), signer="alice"),
            chain.transaction(Tokens.transfer.build(to=bob.id, denom="arm", amount=2), signer="alice"),
        )
        assert [receipt.error for receipt in executed.receipts] == [None, None]
        chain.reopen()
        assert chain.restart() == ()
        chain.block()
        assert chain.first.query("tokens", "balance_of", {"account": bob.id, "denom": "arm"}) == pairs.FUNDS + 3


def test_an_export_that_forgets_is_told_at_the_restart(
    spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Accounts.export_genesis
    monkeypatch.setattr(Accounts, "export_genesis", lambda self: whole(self).model_copy(update={"nonces": {}}))
    with Pair(spec, tmp_path / "state") as chain:
        chain.block(chain.transaction(Tokens.set_issuer.build(denom="arm", issuer=None), signer="alice"))
        with pytest.raises(RuleBroken, match=r"of height 2 has other state of accounts") as caught:
            chain.restart()
        assert caught.value.rule == EXPORT


def test_an_export_that_lets_another_future_begin_is_told_once_it_comes(
    spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As though heights were not lowered: a vote would end later on the new chain."""
    with Pair(spec, tmp_path / "state") as chain:
        proposed = Governance.propose.build(title="t", text="", calls=(), enact_at=None)
        assert chain.block(chain.transaction(proposed, signer="alice")).receipts[0].is_ok
        blocks(chain, 10)
        monkeypatch.setattr(DatedGenesis, "at", lambda self, height: height)
        chain.restart()
        with pytest.raises(RuleBroken, match=r"the export of height 28 has other state"):
            blocks(chain, 2 * pairs.COMPARED_EVERY_BLOCKS)


def blocks(chain: Pair, count: int) -> None:
    for _ in range(count):
        chain.block()


def test_a_node_that_comes_to_another_state_is_told(spec: Path, tmp_path: Path) -> None:
    with Pair(spec, tmp_path / "state") as chain:
        execute = chain.first.execute
        chain.first.execute = lambda inputs: execute(replace(inputs, time_ms=inputs.time_ms + 1))  # type: ignore[method-assign] # a node that errs
        with pytest.raises(RuleBroken, match=r"block 1 came out differently .* the state of runtime"):
            chain.block()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name one thing to attack"),
        (("tokens", "--planted"), "name one thing to attack"),
        (("nothing",), "nothing"),
        (("tools.planted.vault:Nobody",), "Nobody"),
        (("tools.planted.vault:EVERYTHING",), "is no module"),
        (("--planted", "--steps", "5"), "leave out --steps"),
        (("tokens", "--json", "/nowhere/at/all.json"), "there is no folder"),
        (("--spec", "/nowhere/spec.json"), "/nowhere/spec.json"),
    ],
)
def test_invalid_questions_are_answered_in_a_line(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fuzz(*arguments) in (1, 2)
    assert said in capsys.readouterr().err
