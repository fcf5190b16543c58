"""Registry: parameters that would leave nobody able to register a model are refused, in a genesis and by a change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from modules.registry import Registry
from modules.registry.catalogue import AMOUNT_MAX, BLOCKS_MAX, MODEL_BYTES_MAX
from modules.registry.errors import ParamOutOfRange, UnknownDepositDenom
from modules.tokens import Tokens
from runtime.execution import GenesisError


def test_a_change_of_deposits_is_for_what_comes_later(world: Any) -> None:
    name = world.register(world.tiny())
    world.set_params(deposit_denom="gold", deposit_base=5, deposit_per_byte=0)
    other = world.register(world.tiny(1))
    assert (world.view(other).record.deposit, world.view(other).record.deposit_denom) == (5, "gold")
    before = world.funds("alice"), world.funds("alice", "gold")
    for each in (name, other):
        world.send(Registry.retire.build(model=each), "alice")
    assert world.funds("alice") == before[0] + 1000 + len(world.tiny())
    assert world.funds("alice", "gold") == before[1] + 5


def test_the_largest_deposits_are_possible(make_world: Callable[..., Any]) -> None:
    per_byte = (AMOUNT_MAX - 1000) // MODEL_BYTES_MAX
    world = make_world(deposit_per_byte=per_byte)
    assert world.set_params(deposit_base=AMOUNT_MAX, deposit_per_byte=0)


@pytest.mark.parametrize(
    ("changes", "param", "low", "high"),
    [
        ({"upload_blocks": 0}, "upload_blocks", 1, BLOCKS_MAX),
        ({"upload_blocks": BLOCKS_MAX + 1}, "upload_blocks", 1, BLOCKS_MAX),
        ({"price_notice_blocks": BLOCKS_MAX + 1}, "price_notice_blocks", 0, BLOCKS_MAX),
        ({"model_bytes_max": 0}, "model_bytes_max", 1, MODEL_BYTES_MAX),
        ({"model_bytes_max": MODEL_BYTES_MAX + 1}, "model_bytes_max", 1, MODEL_BYTES_MAX),
        ({"deposit_base": AMOUNT_MAX}, "deposit_per_byte", 0, 0),
        ({"deposit_per_byte": 1 << 127}, "deposit_per_byte", 0, (AMOUNT_MAX - 1000) // MODEL_BYTES_MAX),
    ],
)
def test_invalid_parameters(
    world: Any, make_world: Callable[..., Any], changes: dict[str, int], param: str, low: int, high: int
) -> None:
    with pytest.raises(ParamOutOfRange) as caught:
        world.set_params(**changes)
    assert caught.value == ParamOutOfRange(param=param, low=low, high=high)
    with pytest.raises(GenesisError, match=f"ParamOutOfRange.*{param}"):
        make_world(**changes)


def test_invalid_denomination_of_deposits(world: Any, make_world: Callable[..., Any]) -> None:
    with pytest.raises(UnknownDepositDenom, match="tin"):
        world.set_params(deposit_denom="tin")
    with pytest.raises(GenesisError, match=r"UnknownDepositDenom.*tin"):
        make_world(deposit_denom="tin")
    world.chain.root(Tokens.create_denom.build(denom="tin", issuer=None))
    world.set_params(deposit_denom="tin")
