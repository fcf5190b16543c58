"""A sentence-embedding transformer as sentence-transformers exports it: tokens and an attention mask in, one vector of
length 1 out, averaged over the tokens that the mask leaves. Weights are random, of the sizes that trained ones have.

The model of MiniLM's size (6 layers of 384, 12 heads, 32 tokens of a vocabulary of 30,522) is soak's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from runtime.inference import Engine
from tools.lowering import Lowered, check_error, lower

COSINE_MIN = 0.9999
MASKED = float(np.finfo(np.float32).min)
"""What an exported mask adds to the scores of hidden tokens."""


@dataclass(frozen=True)
class Size:
    """Of a transformer; `opset` 17 has LayerNormalization, 14 spells it out."""

    layers: int
    width: int
    heads: int
    tokens: int
    words: int
    opset: int


SMALL = Size(layers=2, width=96, heads=4, tokens=12, words=400, opset=14)
MINILM = Size(layers=6, width=384, heads=12, tokens=32, words=30_522, opset=17)


class Export:
    """The file in the making: each method adds nodes and names what they make."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self.random = np.random.default_rng(11)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name, **attributes))
        return name

    def hold(self, values: Any, dtype: type = np.float32) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def normal(self, *shape: int, mean: float = 0.0, spread: float = 0.04) -> str:
        return self.hold(mean + spread * self.random.standard_normal(shape))

    def whole(self, *numbers: int) -> str:
        return self.hold(numbers, np.int64)

    def dense(self, x: str, outputs: int, inputs: int) -> str:
        return self.add("Add", self.normal(outputs), self.add("MatMul", x, self.normal(inputs, outputs)))

    def layer_norm(self, x: str) -> str:
        gain, bias = self.normal(self.size.width, mean=1.0, spread=0.1), self.normal(self.size.width, spread=0.1)
        if self.size.opset >= 17:
            return self.add("LayerNormalization", x, gain, bias, axis=-1, epsilon=1e-12)
        centred = self.add("Sub", x, self.add("ReduceMean", x, axes=[-1]))
        variance = self.add("ReduceMean", self.add("Pow", centred, self.hold(2.0)), axes=[-1])
        spread = self.add("Sqrt", self.add("Add", variance, self.hold(1e-12)))
        return self.add("Add", self.add("Mul", self.add("Div", centred, spread), gain), bias)

    def dimension(self, x: str, place: int) -> str:
        found = self.add("Gather", self.add("Shape", x), self.hold(place, np.int64), axis=0)
        return self.add("Unsqueeze", found, self.whole(0))

    def heads(self, x: str) -> str:
        each = self.size.width // self.size.heads
        sizes = self.dimension(x, 0), self.dimension(x, 1), self.whole(self.size.heads), self.whole(each)
        return self.add("Reshape", x, self.add("Concat", *sizes, axis=0))

    def attention(self, x: str, hidden: str) -> str:
        width = self.size.width
        query, key, value = (self.heads(self.dense(x, width, width)) for _ in range(3))
        query, value = (self.add("Transpose", each, perm=[0, 2, 1, 3]) for each in (query, value))
        scores = self.add("MatMul", query, self.add("Transpose", key, perm=[0, 2, 3, 1]))
        scores = self.add("Div", scores, self.hold((width // self.size.heads) ** 0.5))
        shares = self.add("Softmax", self.add("Add", scores, hidden), axis=-1)
        mixed = self.add("Transpose", self.add("MatMul", shares, value), perm=[0, 2, 1, 3])
        sizes = self.dimension(mixed, 0), self.dimension(mixed, 1), self.whole(width)
        return self.dense(self.add("Reshape", mixed, self.add("Concat", *sizes, axis=0)), width, width)

    def gelu(self, x: str) -> str:
        bell = self.add("Erf", self.add("Div", x, self.hold(2**0.5)))
        return self.add("Mul", self.add("Mul", x, self.add("Add", bell, self.hold(1.0))), self.hold(0.5))

    def block(self, x: str, hidden: str) -> str:
        width = self.size.width
        x = self.layer_norm(self.add("Add", self.attention(x, hidden), x))
        return self.layer_norm(
            self.add("Add", self.dense(self.gelu(self.dense(x, 4 * width, width)), width, 4 * width), x)
        )

    def embeddings(self) -> str:
        words = self.add("Gather", self.normal(self.size.words, self.size.width), "input_ids")
        kinds = self.add("Gather", self.normal(2, self.size.width), "token_type_ids")
        ends = self.whole(0), self.dimension("input_ids", 1), self.whole(1), self.whole(1)
        places = self.add("Slice", self.whole_rows(512), *ends)
        placed = self.add("Gather", self.normal(512, self.size.width, spread=0.02), places)
        return self.layer_norm(self.add("Add", self.add("Add", words, kinds), placed))

    def whole_rows(self, count: int) -> str:
        return self.hold(np.arange(count)[np.newaxis], np.int64)

    def hidden(self) -> str:
        mask = self.add("Unsqueeze", self.add("Unsqueeze", "attention_mask", self.whole(1)), self.whole(2))
        mask = self.add("Cast", mask, to=TensorProto.FLOAT)
        return self.add("Mul", self.add("Sub", self.hold(1.0), mask), self.hold(MASKED))

    def pooled(self, x: str) -> str:
        mask = self.add("Unsqueeze", "attention_mask", self.whole(-1))
        mask = self.add("Cast", self.add("Expand", mask, self.add("Shape", x)), to=TensorProto.FLOAT)
        total = self.add("ReduceSum", self.add("Mul", x, mask), self.whole(1), keepdims=0)
        count = self.add("Clip", self.add("ReduceSum", mask, self.whole(1), keepdims=0), self.hold(1e-9))
        return self.add("Div", total, count)

    def model(self) -> bytes:
        x, hidden = self.embeddings(), self.hidden()
        for _ in range(self.size.layers):
            x = self.block(x, hidden)
        mean = self.pooled(x)
        length = self.add("Clip", self.add("ReduceL2", mean, axes=[1], keepdims=1), self.hold(1e-12))
        self.nodes.append(
            helper.make_node("Div", [mean, self.add("Expand", length, self.add("Shape", mean))], ["sentence_embedding"])
        )
        names = ("input_ids", "attention_mask", "token_type_ids")
        inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in names]
        shape = ["batch", self.size.width]
        outputs = [helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, shape)]
        graph = helper.make_graph(self.nodes, "sentence", inputs, outputs, self.constants)
        opsets = [helper.make_opsetid("", self.size.opset)]
        return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def texts(size: Size, count: int, seed: int) -> dict[str, np.ndarray]:
    """Random words; texts of any length from 3 tokens on, the rest is hidden."""
    random = np.random.default_rng(seed)
    lengths = random.integers(3, size.tokens, count, endpoint=True)
    mask = (np.arange(size.tokens) < lengths[:, np.newaxis]).astype(np.int64)
    ids = random.integers(0, size.words, (count, size.tokens)) * mask
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def float_embeddings(model: bytes, rows: dict[str, np.ndarray]) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, rows)[0], np.float64)


def embeddings(lowered: Lowered, rows: dict[str, np.ndarray]) -> np.ndarray:
    found = lowered.dequantize(Engine().run(lowered.model, lowered.quantize(rows)))
    return np.asarray(found["sentence_embedding"], np.float64)


def check(size: Size, calibrated: int, unseen: int) -> None:
    """Embeddings of texts that calibration has not seen point where the float model's do."""
    model = Export(size).model()
    shapes = dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), (None, size.tokens))
    words = texts(size, calibrated, 1)
    words["input_ids"][0, :2] = 0, size.words - 1  # the ends of the vocabulary
    lowered = lower(model, shapes=shapes, calibration=words)
    check_error(lowered.report, 0.01)
    rows = texts(size, unseen, 2)
    expected, found = float_embeddings(model, rows), embeddings(lowered, rows)
    assert found.shape == (unseen, size.width)
    assert np.abs(np.linalg.norm(expected, axis=1) - 1).max() < 1e-5
    lengths = np.linalg.norm(found, axis=1)
    assert np.abs(lengths - 1).max() < 1e-3
    assert ((expected * found).sum(1) / lengths).min() >= COSINE_MIN
    assert np.abs(expected[0] - expected[1]).max() > 1e-3, "texts that all mean the same show nothing"


def test_a_small_sentence_embedding_points_where_the_float_model_does() -> None:
    check(SMALL, calibrated=24, unseen=24)


def test_hidden_tokens_change_no_bit_of_an_embedding() -> None:
    model = Export(SMALL).model()
    shapes = dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), (None, SMALL.tokens))
    rows = texts(SMALL, 16, 3)
    lowered = lower(model, shapes=shapes, calibration=rows)
    others = {**rows, "input_ids": np.where(rows["attention_mask"] == 1, rows["input_ids"], rows["input_ids"].max())}
    assert np.array_equal(embeddings(lowered, rows), embeddings(lowered, others))


@pytest.mark.soak
def test_a_sentence_embedding_of_minilms_size_points_where_the_float_model_does() -> None:
    check(MINILM, calibrated=48, unseen=24)
