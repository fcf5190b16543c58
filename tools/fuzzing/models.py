"""Small models that traffic uploads and asks: each with its hash, its bytes and the calls' arguments.

Lives here: models. Must not: choose calls.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import numpy as np

from modules.registry.protocol import Card, Price
from runtime import Hash, Tensor
from runtime.inference import TensorSpec, encode_graph, from_arrays, model_hash
from runtime.inference.graph import Gemm, Relu
from runtime.state import chunk_hash, split_chunks
from runtime.testing.graphs import wrap

COUNT: Final = 4
ROWS_MAX: Final = 4


@dataclass(frozen=True)
class SmallModel:
    """A verified graph of two numbers from -100 to 100. nodes: of its graph."""

    name: Hash
    data: bytes
    nodes: int


@functools.cache
def small_models() -> tuple[SmallModel, ...]:
    """COUNT of them: y = max(x0 + x1, 0), and the like."""
    return tuple(_made(scale) for scale in range(1, COUNT + 1))


def _made(scale: int) -> SmallModel:
    spec = TensorSpec("x", (2,), 0, -100, 100)
    data = encode_graph(wrap([spec], [np.full((1, 2), scale, np.int64)], [Gemm(0, 0, None, None), Relu(1)], (1,)))
    return SmallModel(model_hash(data), data, 2)


def card(denom: str, amount: int, *parents: Hash) -> Card:
    """What an owner says of a model."""
    return Card("small", "1", "CC0-1.0", parents, (), Price(denom=denom, amount=amount))


def upload(random: Random, model: SmallModel, denom: str) -> dict[str, dict[str, Any]]:
    """The arguments of the registry's calls that bring the model, by call."""
    chunks = split_chunks(model.data)
    return {
        "begin_upload": {
            "model": model.name,
            "size_bytes": len(model.data),
            "chunks": tuple(map(chunk_hash, chunks)),
            "card": card(denom, random.randrange(3)),
        },
        "upload_chunk": {"model": model.name, "index": 0, "data": chunks[0]},
        "complete_upload": {"model": model.name, "nodes_max": model.nodes},
    }


def rows(random: Random) -> tuple[Tensor, ...]:
    """Input of one to ROWS_MAX rows, as `oracle.infer` takes it."""
    values = [[random.randrange(-100, 101) for _ in range(2)] for _ in range(random.randrange(1, ROWS_MAX + 1))]
    tensors = from_arrays({"x": np.array(values, np.int64)})
    return tuple(Tensor(each.name, each.shape, each.data) for each in tensors)
