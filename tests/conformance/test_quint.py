"""The Quint model of Tendermint (circlefin/malachite): every transition of every trace, at each of our three layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runtime.testing.itf import load_json, load_states
from runtime.testing.quint import TraceMismatch, check_consensus, check_votekeeper
from runtime.testing.quint_driver import check_driver_layers, check_driver_nodes


def _load(vectors: Path, kind: str, stem: str) -> list[dict[str, Any]]:
    return load_states(vectors / "quint" / kind / f"{stem}.itf.json.gz")


def _actions(vectors: Path, stem: str) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = load_json(vectors / "quint/driver" / f"{stem}.actions.json.gz")
    return loaded


def test_vote_keeper_gives_the_models_outputs_and_books(vectors: Path, votekeeper_trace: str) -> None:
    states = _load(vectors, "votekeeper", votekeeper_trace)
    assert check_votekeeper(states) == len(states) - 1 > 0


def test_round_machine_makes_the_models_transitions(vectors: Path, consensus_trace: str) -> None:
    states = _load(vectors, "consensus", consensus_trace)
    assert check_consensus(states) == len(states) - 1 > 0


def test_both_layers_hold_at_every_step_of_a_driver_trace(vectors: Path, driver_trace: str) -> None:
    actions = _actions(vectors, driver_trace)
    steps = sum(action["action"] == "step" for action in actions)
    assert check_driver_layers(_load(vectors, "driver", driver_trace), actions) == steps > 0


def test_whole_driver_sends_and_decides_as_the_models_nodes(vectors: Path, driver_trace: str) -> None:
    compared = check_driver_nodes(_load(vectors, "driver", driver_trace), _actions(vectors, driver_trace))
    assert compared >= 4, "the nodes were quiescent too rarely for the comparison to mean anything"


def test_every_trace_of_the_index_is_run(vectors: Path, index: dict[str, Any]) -> None:
    for kind in ("votekeeper", "consensus", "driver"):
        listed = {name.rpartition("/")[2] for name in index if name.startswith(f"quint/{kind}/")}
        assert listed == {path.name for path in (vectors / "quint" / kind).iterdir()}
        assert any(name.endswith(".itf.json.gz") for name in listed)


def test_a_changed_trace_is_noticed(vectors: Path) -> None:
    """The checks can fail: one output exchanged for another in each kind of trace."""
    votes = _load(vectors, "votekeeper", "votekeeperTest__polkaNilTest")
    votes[-1]["lastEmitted"] = votes[1]["lastEmitted"]
    with pytest.raises(TraceMismatch, match="output"):
        check_votekeeper(votes)
    rounds = _load(vectors, "consensus", "consensusTest__DecideNonProposerTest")
    rounds[-1]["state"]["lockedRound"] += 1
    with pytest.raises(TraceMismatch, match="state"):
        check_consensus(rounds)
    stem = "line28Test__line28Test"
    actions = [action for action in _actions(vectors, stem) if action.get("input", {}).get("tag") != "TimeoutDInput"]
    with pytest.raises(TraceMismatch):
        check_driver_nodes(_load(vectors, "driver", stem), actions)
