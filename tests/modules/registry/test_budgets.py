"""No model is registered of which one row is more than a block has: neither gas nor memory. What models of one block
hold together stays within what the engine may hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from modules.registry import Registry
from runtime import Call, Hash
from runtime.codec import codec
from runtime.execution.core import Core, ModelTooLarge, ModelTooSlow
from runtime.execution.inference_port import EnginePort
from runtime.execution.params import RuntimeParams
from runtime.inference import Engine, TensorSpec, encode_graph, interpret, model_hash, verify
from runtime.inference.graph import Gemm, Softmax
from runtime.testing.graphs import wrap
from tools.registration import registration_calls

WIDTH, LAYERS = 1 << 18, 32


def slow() -> bytes:
    """A few hundred bytes, half a second on the reference machine: Softmax after Softmax of a wide row."""
    spec = TensorSpec("x", (WIDTH,), 0, 0, 9)
    nodes = [Softmax(number, 0, 0, 16) for number in range(LAYERS)]
    return encode_graph(wrap([spec], [], nodes, (WIDTH,)))


def roomy(number: int) -> bytes:
    """Two thousand numbers out of two; all of them differ."""
    weights = np.arange(4000, dtype=np.int64).reshape(2000, 2) % 97 + number
    return encode_graph(wrap([TensorSpec("x", (2,), 0, -100, 100)], [weights], [Gemm(0, 0, None, None)], (2000,)))


def change(world: Any, **fields: int) -> RuntimeParams:
    """The chain's bounds, changed by the chain itself."""
    wanted = world.chain.application.params().model_copy(update=fields)
    data = codec(RuntimeParams).encode(wanted)
    world.chain.root(Core.set_params.build(module="runtime", params=data))
    return wanted


def refusal(world: Any, model: bytes) -> Any:
    calls = [call for _, call in registration_calls(model, world.card())]
    return world.chain.error(world.chain.submit(*calls, signer=world.account("alice")))


def row_gas(model: bytes, params: RuntimeParams) -> int:
    return params.inference_gas(verify(model).cost.gas(1))


@pytest.mark.parametrize("percent", [50, 100, 700])
def test_invalid_model_of_which_one_row_takes_more_gas_than_a_block_has(world: Any, percent: int) -> None:
    model, hooks = slow(), world.chain.application.composition.hook_gas
    needed = row_gas(model, change(world, inference_gas_percent=percent))
    change(world, block_gas_max=needed - 1 + hooks)
    assert refusal(world, model) == ModelTooSlow(gas=needed, limit=needed - 1)
    assert world.chain.query(Registry.model, model=model_hash(model)) is None
    change(world, block_gas_max=needed + hooks)
    assert world.register(model) == model_hash(model)


def test_invalid_model_of_which_one_row_takes_more_memory_than_the_chain_allows(world: Any) -> None:
    model = slow()
    needed = verify(model).cost.memory_bytes
    change(world, model_memory_bytes_max=needed - 1)
    assert refusal(world, model) == ModelTooLarge(memory_bytes=needed, limit=needed - 1)
    change(world, model_memory_bytes_max=needed)
    assert world.register(model) == model_hash(model)


def test_the_refusals_name_the_parameters_that_they_come_from() -> None:
    """In the documentation of the errors, which the command line prints beside their fields."""
    assert "model_memory_bytes_max" in str(ModelTooLarge.__doc__)
    assert "block_gas_max" in str(ModelTooSlow.__doc__)
    assert "inference_gas_percent" in str(ModelTooSlow.__doc__)


@pytest.mark.parametrize("room", [1, 2, 5])
def test_models_of_one_block_stay_within_what_the_engine_may_hold_and_none_changes_a_bit(
    world_of: Any, room: int
) -> None:
    """Room for `room` of six models, each asked twice in one block, in two orders: dropped ones come back."""
    models = [roomy(number) for number in range(6)]
    each = verify(models[0]).cost.memory_bytes
    engine = Watched(memory_bytes=room * each + each // 2)
    world = world_of(EnginePort(engine))
    hashes = [world.register(model) for model in models]
    calls: list[Call] = [world.infer(model) for model in (*hashes, *reversed(hashes))]
    people = ("alice", "bob", "carol")
    block = world.chain.block(
        [
            world.chain.transaction(*calls[place::3], signer=world.account(who), gas_limit=400_000_000)
            for place, who in enumerate(people)
        ]
    )
    assert all(receipt.is_ok for receipt in block.receipts)
    assert engine.most <= room * each + each // 2
    assert set(engine.ran) == set(hashes)
    inputs = {"x": np.array([[1, 2]], np.int64)}
    assert all(np.array_equal(engine.run(m, inputs)["y"], interpret(m, inputs)["y"]) for m in models)


class Watched(Engine):
    """Notes what it holds after each run, and which models ran."""

    def __init__(self, *, memory_bytes: int) -> None:
        super().__init__(memory_bytes=memory_bytes)
        self.most, self.ran = 0, list[Hash]()

    def _evict(self, keep: Hash) -> None:
        super()._evict(keep)
        self.most = max(self.most, sum(loaded.bytes_held for loaded in self._loaded.values()))
        self.ran.append(keep)
