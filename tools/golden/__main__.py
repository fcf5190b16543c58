"""What golden graphs give for given inputs: `python -m tools.golden` prints it as JSON, for comparing machines.

The graphs in graphs/ were lowered from the models of tools.bench.models in small sizes, or drawn at random for one op
each (`make`). One that was made once is never made anew: its bytes, and what they give, are what chains hold.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from runtime.inference import Engine, Graph, TensorSpec, encode_graph, from_arrays, model_hash, tensors_hash, verify
from runtime.inference import graph as ops
from runtime.inference.constants import pack
from runtime.inference.graph import GRAPH_VERSION, Node, Output
from runtime.inference.limbs import WEIGHT_MAX
from runtime.inference.limits import DOUBLE_EXACT_MAX
from runtime.inference.verifier import RULES
from runtime.types import ZERO_HASH

ROWS = 9
DRAWN = 12
BYTES_MAX = 4000
FOLDER = Path(__file__).parent / "graphs"
RECORD = FOLDER / "recorded.json"
STEP = 2_654_435_761  # Knuth, The Art of Computer Programming, volume 3, section 6.4: spreads over any interval


def inputs_of(model: bytes) -> dict[str, Any]:
    """Integers over the whole of each input's interval, the same on every machine."""
    found = {}
    for spec in verify(model).inputs:
        count = ROWS * int(np.prod(spec.shape))
        span = spec.high - spec.low + 1
        values = [spec.low + (number * STEP + number // 7) % span for number in range(count)]
        found[spec.name] = np.array(values, np.int64).reshape(ROWS, *spec.shape)
    return found


def outputs_hash(outputs: Mapping[str, Any]) -> str:
    """Of all outputs together, hex."""
    return tensors_hash(from_arrays(outputs)).hex()


def graphs() -> dict[str, bytes]:
    """The files, by name."""
    return {path.stem: path.read_bytes() for path in sorted(FOLDER.glob("*.graph"))}


def recorded() -> dict[str, dict[str, str]]:
    """What golden.json holds: by name, the hash of the graph and that of its outputs."""
    found: dict[str, dict[str, str]] = json.loads(RECORD.read_text())
    return found


def found_by(run: Callable[[bytes, Mapping[str, Any]], Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """The same as `recorded`, as it is here and now."""
    return {
        name: {"model": model_hash(model).hex(), "outputs": outputs_hash(run(model, inputs_of(model)))}
        for name, model in graphs().items()
    }


def by_bytes() -> dict[str, bytes]:
    """Products large enough to be computed by bytes: of one byte by weights of one limb, by two, and a Conv of two."""
    random = np.random.default_rng(1)

    def graph(node: Node, spec: TensorSpec, top: int, weights: tuple[int, ...], shape: tuple[int, ...]) -> bytes:
        drawn = random.integers(-top, top, weights, endpoint=True)
        drawn[0] = top * np.sign(drawn[0])
        output = Output(1, TensorSpec("y", shape, 0, -DOUBLE_EXACT_MAX, DOUBLE_EXACT_MAX))
        parts = (GRAPH_VERSION, "golden", ZERO_HASH, (), (spec,), (output,), (pack(drawn),), (node,))
        return encode_graph(Graph(*parts))

    gemm = ops.Gemm(0, 0, None, None)
    conv = ops.Conv(0, 0, None, None, (1, 1), (1, 1), (1, 1), (1, 1), 1, ops.ConvForm.DOUBLE)
    return {
        "limb": graph(gemm, TensorSpec("x", (60,), 0, 0, 255), 64, (49, 60), (49,)),
        "limbs": graph(gemm, TensorSpec("x", (100,), 0, -200, 55), WEIGHT_MAX, (70, 100), (70,)),
        "conv": graph(conv, TensorSpec("x", (28, 5, 5), 0, -32_768, 32_767), WEIGHT_MAX, (34, 28, 3, 3), (34, 5, 5)),
    }


def make() -> None:
    """Lowers those graphs that are not there yet, and records what is not recorded yet."""
    from hypothesis.strategies import SearchStrategy

    from runtime.testing.graphs import graphs as graphs_at_bounds
    from tools.bench import models
    from tools.lowering import lower

    small: dict[str, Callable[[], models.Golden]] = {
        "mlp": lambda: models.mlp(24, 16),
        "cnn": lambda: models.cnn(8, 4),
        "resnet18": lambda: models.resnet18(16, 2),
        "transformer": lambda: models.transformer(6, 16, 2),
        "trees": lambda: models.trees(5, 4, 8),
        "lstm": lambda: models.lstm(5, 6, 8),
    }
    for name, golden in small.items():
        path = FOLDER / f"{name}.graph"
        if not path.exists():
            path.write_bytes(lower(golden().model, calibration={"x": golden().rows(64)}).model)
    for op in RULES:
        path = FOLDER / f"op_{op.__name__.lower()}.graph"
        if not path.exists():
            strategy: SearchStrategy[Graph] = graphs_at_bounds(only=op)
            drawn = [encode_graph(strategy.example()) for _ in range(DRAWN)]
            path.write_bytes(max((model for model in drawn if len(model) < BYTES_MAX), key=_variety))
    for name, model in by_bytes().items():
        path = FOLDER / f"bytes_{name}.graph"
        if not path.exists():
            path.write_bytes(model)
    before = recorded() if RECORD.exists() else {}
    RECORD.write_text(json.dumps(found_by(Engine().run) | before, indent=2) + "\n")


def _variety(model: bytes) -> int:
    """How many different integers it gives."""
    return len({int(value) for array in Engine().run(model, inputs_of(model)).values() for value in array.flat})


if __name__ == "__main__":
    if sys.argv[1:] == ["make"]:
        make()
    print(json.dumps(found_by(Engine().run)))
