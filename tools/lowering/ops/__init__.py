"""The table of operators that have an exact form, one function each: (node, builder) -> None.

A handler checks what its op allows, reads its operands' shapes, grids and intervals from the builder, emits graph
nodes and binds the result. It refuses through `node.refuse`. To support another operator, write such a function and
name it here; nothing else knows the operators.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tools.lowering.builder import Builder
from tools.lowering.ops import (
    activations,
    classes,
    elementwise,
    layout,
    linear,
    normalize,
    norms,
    pieces,
    piecewise,
    pool,
    powers,
    reduce,
    transposed,
    trees,
)
from tools.lowering.source import Node

Handler = Callable[[Node, Builder], None]

HANDLERS: Final[dict[str, Handler]] = {
    "Abs": piecewise.abs_,
    "Add": elementwise.add,
    "ArgMax": classes.arg_max,
    "ArgMin": classes.arg_min,
    "ArrayFeatureExtractor": classes.array_feature_extractor,
    "AveragePool": pool.average_pool,
    "BatchNormalization": elementwise.batch_norm,
    "Cast": layout.cast,
    "Clip": activations.clip,
    "Concat": layout.concat,
    "Conv": linear.conv,
    "ConvTranspose": transposed.conv_transpose,
    "DepthToSpace": pieces.depth_to_space,
    "Div": elementwise.div,
    "Dropout": layout.identity,
    "Expand": pieces.expand,
    "Flatten": layout.flatten,
    "Gemm": linear.gemm,
    "GlobalAveragePool": reduce.global_pool(reduce.averaged),
    "GlobalMaxPool": reduce.global_pool(reduce.largest),
    "GroupNormalization": norms.group_norm,
    "HardSigmoid": piecewise.hard_sigmoid,
    "HardSwish": piecewise.hard_swish,
    "Identity": layout.identity,
    "InstanceNormalization": norms.instance_norm,
    "LRN": norms.lrn,
    "LabelEncoder": classes.label_encoder,
    "LayerNormalization": norms.layer_norm,
    "LeakyRelu": piecewise.leaky_relu,
    "LinearClassifier": linear.linear_classifier,
    "LinearRegressor": linear.linear_regressor,
    "LpNormalization": norms.lp_norm,
    "MatMul": linear.matmul,
    "Max": piecewise.max_,
    "MaxPool": pool.max_pool,
    "Mean": piecewise.mean,
    "Min": piecewise.min_,
    "Mul": elementwise.mul,
    "Neg": elementwise.neg,
    "Normalizer": normalize.normalizer,
    "PRelu": piecewise.prelu,
    "Pad": pieces.pad,
    "Pow": powers.power,
    "RMSNormalization": norms.rms_norm,
    "Reciprocal": powers.reciprocal,
    "ReduceL1": reduce.reduction(reduce.magnitudes),
    "ReduceL2": reduce.reduction(reduce.length),
    "ReduceMax": reduce.reduction(reduce.largest),
    "ReduceMean": reduce.reduction(reduce.averaged),
    "ReduceMin": reduce.reduction(reduce.least),
    "ReduceSum": reduce.reduction(reduce.summed),
    "ReduceSumSquare": reduce.reduction(reduce.squares),
    "Relu": activations.relu,
    "Reshape": layout.reshape,
    "Scaler": elementwise.scaler,
    "Sigmoid": activations.sigmoid,
    "Sign": piecewise.sign,
    "Slice": layout.slice_,
    "Softmax": activations.softmax,
    "SpaceToDepth": pieces.space_to_depth,
    "Split": pieces.split,
    "Sqrt": powers.sqrt,
    "Squeeze": layout.squeeze,
    "Sub": elementwise.sub,
    "Sum": piecewise.sum_,
    "Tanh": activations.tanh,
    "Tile": pieces.tile,
    "Transpose": layout.transpose,
    "TreeEnsembleClassifier": trees.tree_classifier,
    "TreeEnsembleRegressor": trees.tree_regressor,
    "Unsqueeze": layout.unsqueeze,
    "ZipMap": classes.zip_map,
}
