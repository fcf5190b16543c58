"""op -> what becomes of it when its computed operands get N in front."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tools.lowering.unbatched import axes, indexing, layout, pictures, products
from tools.lowering.unbatched.rows import Rule

_POINTWISE: Final = (
    "Abs", "Add", "And", "Binarizer", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Cast",
    "CastLike", "Ceil", "Celu", "Clip", "Div", "Dropout", "Elu", "Equal", "Erf", "Exp", "Floor", "Gelu", "Greater",
    "GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Less", "LessOrEqual", "Log", "Max",
    "Mean", "Min", "Mish", "Mod", "Mul", "Neg", "Not", "Or", "PRelu", "Pow", "Reciprocal", "Relu", "Round", "Selu",
    "Shrink", "Sigmoid", "Sign", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Swish", "Tanh", "ThresholdedRelu",
    "Where", "Xor", "LabelEncoder", "Trilu", "Det", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Cos",
    "Cosh", "Sin", "Sinh", "Tan", "IsInf", "IsNaN",
)  # fmt: skip
_REDUCTIONS: Final = (
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
    "ReduceSum", "ReduceSumSquare",
)  # fmt: skip
_OF_PICTURES: Final = (
    "AveragePool", "BatchNormalization", "Conv", "ConvInteger", "ConvTranspose", "DepthToSpace",
    "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "GroupNormalization", "InstanceNormalization", "LRN",
    "LinearClassifier", "LinearRegressor", "LpPool", "MaxPool", "Normalizer", "QLinearConv", "SVMClassifier",
    "SVMRegressor", "Scaler", "SpaceToDepth", "TreeEnsembleClassifier", "TreeEnsembleRegressor",
    "ArrayFeatureExtractor", "FeatureVectorizer", "Imputer",
)  # fmt: skip

RULES: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(_POINTWISE, axes.pointwise),
    **dict.fromkeys(("ArgMax", "ArgMin", "Split"), axes.along(0)),
    **dict.fromkeys(
        ("Hardmax", "LayerNormalization", "LogSoftmax", "LpNormalization", "RMSNormalization", "Softmax", "TopK"),
        axes.along(-1),
    ),
    **dict.fromkeys(("GatherElements", "Scatter", "ScatterElements"), indexing.elements),
    **dict.fromkeys(("CumSum", "CumProd"), axes.axis_input),
    **dict.fromkeys(_REDUCTIONS, axes.reduced),
    **dict.fromkeys(_OF_PICTURES, pictures.per_picture),
    "Attention": axes.same,
    "Compress": indexing.compress,
    "Concat": layout.concat,
    "Einsum": products.einsum,
    "DequantizeLinear": axes.quantized,
    "DynamicQuantizeLinear": axes.same,
    "GRU": axes.same,
    "MatMulInteger": axes.same,
    "QLinearMatMul": axes.same,
    "QuantizeLinear": axes.quantized,
    "LSTM": axes.same,
    "RNN": axes.same,
    "Expand": layout.expand,
    "Flatten": layout.flatten,
    "Gather": indexing.gather,
    "GatherND": indexing.gather_nd,
    "Gemm": products.gemm,
    "MatMul": products.matmul,
    "MeanVarianceNormalization": axes.normalized_axes,
    "OneHot": indexing.one_hot,
    "OneHotEncoder": axes.same,
    "Pad": layout.pad,
    "Reshape": layout.reshape,
    "Resize": pictures.resize,
    "ReverseSequence": axes.sequences,
    "RotaryEmbedding": axes.same,
    "ScatterND": indexing.scatter_nd,
    "Slice": indexing.slice_,
    "Squeeze": layout.squeeze,
    "Tile": layout.tile,
    "Transpose": layout.transpose,
    "Unsqueeze": layout.unsqueeze,
    "Upsample": pictures.resize,
}
