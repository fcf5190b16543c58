"""Networks of real drivers against an adversary: agreement, validity and termination, over many seeds.

Each run checks itself (runtime.testing.consensus_simulator); the last tests plant faults to show that it would notice.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import runtime.consensus.driver as driver_module
from runtime.consensus import ValidatorSet
from runtime.consensus.round import RoundInput, RoundState, Transition, transition
from runtime.testing.consensus_simulator import SimulationConfig, SimulationFailed, simulate

SEEDS = 25
CALM = {"drop_before_gst": 0, "delay_ms_max_before_gst": 40, "crash_before_gst": 0, "duplicate": 0, "gst_ms": 0}
LOCKS_MATTER = {
    "faulty": frozenset({0}),
    "drop_before_gst": 100,
    "delay_ms_max_before_gst": 600,
    "crash_before_gst": 0,
    "gst_ms": 40_000,
    "resend_ms": 20_000,
}


@pytest.mark.parametrize(
    "network",
    [
        pytest.param({}, id="four correct"),
        pytest.param({"faulty": frozenset({0})}, id="one of four faulty"),
        pytest.param({"faulty": frozenset({3}), "crash_before_gst": 40, "drop_before_gst": 100}, id="crashes"),
        pytest.param({"powers": (1,) * 7, "faulty": frozenset({2, 5})}, id="two of seven faulty"),
        pytest.param({"powers": (5, 3, 3, 2, 2, 1, 1), "faulty": frozenset({0})}, id="the strongest faulty"),
        pytest.param({"faulty": frozenset({1}), "signatures": True}, id="signatures verified"),
        pytest.param(LOCKS_MATTER, id="locks and decisions apart"),
    ],
)
def test_correct_nodes_agree_and_decide(network: dict[str, Any]) -> None:
    accused = crashes = 0
    for seed in range(SEEDS):
        report = simulate(SimulationConfig(seed=seed, **network))
        assert set(report.decisions) >= {1, 2, 3}
        accused += len(report.equivocators)
        crashes += report.crashes
    assert bool(accused) == bool(network.get("faulty")), "the adversary did nothing, or someone was accused of nothing"
    assert bool(crashes) == (network.get("crash_before_gst", 5) > 0)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    powers=st.lists(st.integers(1, 20), min_size=1, max_size=7),
    drop=st.integers(0, 700),
    crash=st.integers(0, 60),
    slow_ms=st.integers(1, 2_000),
)
def test_any_network_agrees_while_less_than_a_third_is_faulty(
    seed: int, powers: list[int], drop: int, crash: int, slow_ms: int
) -> None:
    faulty: set[int] = set()
    for number in sorted(range(len(powers)), key=lambda place: (place * 7 + seed) % len(powers)):
        if 3 * sum(powers[place] for place in (*faulty, number)) < sum(powers):
            faulty.add(number)
    simulate(
        SimulationConfig(
            seed=seed,
            powers=tuple(powers),
            faulty=frozenset(faulty),
            heights=2,
            drop_before_gst=drop,
            crash_before_gst=crash,
            delay_ms_max_before_gst=slow_ms,
        )
    )


def test_a_calm_network_decides_every_height_in_round_0() -> None:
    report = simulate(SimulationConfig(seed=1, heights=20, **CALM))
    assert set(report.rounds.values()) == {0}
    assert report.finished_ms < 20 * 400, "a height takes three message delays and two executions"


def test_a_run_is_reproducible_to_the_last_event() -> None:
    config = SimulationConfig(seed=7, faulty=frozenset({0}))
    assert simulate(config) == simulate(config)
    assert simulate(config).digest != simulate(replace(config, seed=8)).digest


def _first_failure(**network: Any) -> str | None:
    for seed in range(400):
        try:
            simulate(SimulationConfig(seed=seed, **network))
        except SimulationFailed as failure:
            if failure.rule == "agreement":
                return failure.rule
    return None


def test_the_simulator_notices_that_half_faulty_is_too_much() -> None:
    assert _first_failure(faulty=frozenset({0, 1}), time_ms_max=20_000) == "agreement"


def test_the_simulator_notices_a_quorum_of_a_half(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ValidatorSet, "has_quorum", lambda self, power: 2 * power >= self.total_power)
    assert _first_failure(faulty=frozenset({0})) == "agreement"


def test_the_simulator_notices_a_forgotten_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(state: RoundState, event: RoundInput) -> Transition:
        return transition(replace(state, locked_round=-1, locked_value=None), event)

    monkeypatch.setattr(driver_module, "transition", forgetful)
    assert _first_failure(**LOCKS_MATTER) == "agreement"
