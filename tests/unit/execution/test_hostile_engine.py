"""Inference inside blocks: what an engine remembers, holds or lacks changes no bit of a block; where it cannot run what
was proven, the node stops rather than write a receipt that others do not have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from runtime import Call, Hash
from runtime.errors import OurError
from runtime.execution import BlockInputs, Chain, Executed, ExecutionFault
from runtime.execution.inference_port import EnginePort
from runtime.inference import Engine, InvalidInput
from runtime.state import BlobMissing


def execute(chain: Chain, *calls: Call, engine: Engine) -> Executed:
    """A block with the calls, on a chain whose engine is this one for the moment."""
    port = chain.application.composition.engine
    assert isinstance(port, EnginePort)
    kept = port.engine
    port.engine = engine
    try:
        data = chain.transaction(*calls, signer=chain.account("alice"), gas_limit=40_000_000)
        return chain.application.execute(BlockInputs(chain.height + 1, chain.time_ms + 1_000, (data,)))
    finally:
        port.engine = kept


def test_what_an_engine_remembers_changes_nothing(whole: Chain, good_calls: dict[str, Call]) -> None:
    """Fresh, warm, without memory for any model, with threads: one block."""
    infer, warm = good_calls["infer"], Engine()
    engines = [Engine(), warm, warm, Engine(memory_bytes=0), Engine(threads=4)]
    found = {
        (made.state_root, made.receipts_root) for made in (execute(whole, infer, infer, engine=e) for e in engines)
    }
    assert len(found) == 1


def test_a_refused_run_leaves_an_engine_as_it_was(whole: Chain, good_calls: dict[str, Call]) -> None:
    engine = Engine()
    info = whole.application.composition.targets["oracle.infer"].info
    inputs = info.codec.decode(good_calls["infer"].arguments).inputs
    model = info.codec.decode(good_calls["infer"].arguments).model
    (tensor,) = inputs
    far = type(tensor)(tensor.name, tensor.shape, (101).to_bytes(8, "little") * (len(tensor.data) // 8))
    refused = info.method.build(model=model, inputs=(far,))
    fresh = execute(whole, refused, engine=engine)
    assert execute(whole, refused, engine=engine).leaves == fresh.leaves
    assert fresh.receipts[0].error is not None
    assert fresh.receipts[0].error.name == "InputRefused"
    assert execute(whole, good_calls["infer"], engine=engine).receipts[0].is_ok


class Broken(Engine):
    """Fails as a library or a machine does."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def run_by_hash(self, identity: Hash, fetch: Callable[[], bytes], inputs: Mapping[str, Any]) -> dict[str, Any]:
        raise self.error

    def run_many_by_hash(
        self, identity: Hash, fetch: Callable[[], bytes], batch: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any] | None]:
        if isinstance(self.error, InvalidInput):
            return [None for _ in batch]
        raise self.error


@pytest.mark.parametrize(
    "error", [RuntimeError("bad allocation"), ValueError("fetched bytes of another hash"), KeyError("o0")], ids=repr
)
def test_a_failing_engine_stops_the_node(whole: Chain, good_calls: dict[str, Call], error: Exception) -> None:
    with pytest.raises(ExecutionFault, match="does not run here"):
        execute(whole, good_calls["infer"], engine=Broken(error))


def test_an_engine_without_memory_stops_the_node(whole: Chain, good_calls: dict[str, Call]) -> None:
    with pytest.raises(MemoryError):
        execute(whole, good_calls["infer"], engine=Broken(MemoryError()))


def test_a_node_without_the_models_bytes_stops(
    make_whole: Callable[..., Chain], calls_of: Callable[[Chain], dict[str, Call]]
) -> None:
    """As one that took over the state and not the chunks. It may still run what it has loaded."""
    chain = make_whole()
    call = calls_of(chain)["infer"]
    loaded = Engine()
    before = execute(chain, call, engine=loaded)
    chain.application.store.blobs.remove(chain.application.live_chunks())
    with pytest.raises(BlobMissing) as missing:
        execute(chain, call, engine=Engine())
    assert isinstance(missing.value, OurError)
    assert execute(chain, call, engine=loaded).leaves == before.leaves


def test_inputs_that_do_not_fit_are_the_callers(whole: Chain, good_calls: dict[str, Call]) -> None:
    made = execute(whole, good_calls["infer"], engine=Broken(InvalidInput("x", "no")))
    error = made.receipts[0].error
    assert error is not None
    assert (error.module, error.name) == ("runtime", "InputRefused")
