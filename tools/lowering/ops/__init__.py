"""The table of operators that have an exact form, one function each: (node, builder) -> None.

A handler checks what its op allows, reads its operands' shapes, grids and intervals from the builder, emits graph
nodes and binds the result. It refuses through `node.refuse`. To support another operator, write such a function and
name it here; nothing else knows the operators.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tools.lowering.builder import Builder
from tools.lowering.ops import activations, classes, elementwise, layout, linear, normalize, pool
from tools.lowering.source import Node

Handler = Callable[[Node, Builder], None]

HANDLERS: Final[dict[str, Handler]] = {
    "Add": elementwise.add,
    "ArgMax": classes.arg_max,
    "ArrayFeatureExtractor": classes.array_feature_extractor,
    "BatchNormalization": elementwise.batch_norm,
    "Cast": layout.cast,
    "Clip": activations.clip,
    "Concat": layout.concat,
    "Conv": linear.conv,
    "Div": elementwise.div,
    "Flatten": layout.flatten,
    "Gemm": linear.gemm,
    "Identity": layout.identity,
    "LabelEncoder": classes.label_encoder,
    "LinearClassifier": linear.linear_classifier,
    "LinearRegressor": linear.linear_regressor,
    "MatMul": linear.matmul,
    "MaxPool": pool.max_pool,
    "Mul": elementwise.mul,
    "Neg": elementwise.neg,
    "Normalizer": normalize.normalizer,
    "ReduceSum": normalize.reduce_sum,
    "Relu": activations.relu,
    "Reshape": layout.reshape,
    "Scaler": elementwise.scaler,
    "Sigmoid": activations.sigmoid,
    "Slice": layout.slice_,
    "Softmax": activations.softmax,
    "Squeeze": layout.squeeze,
    "Sub": elementwise.sub,
    "Tanh": activations.tanh,
    "Transpose": layout.transpose,
    "Unsqueeze": layout.unsqueeze,
    "ZipMap": classes.zip_map,
}
