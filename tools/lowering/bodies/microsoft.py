"""What onnxruntime writes into a model that it has optimised: several nodes of the standard as one of its own.

Sources: onnxruntime's contrib operators (docs/ContribOperators.md of its repository). Its own operators under the
standard's name, and the standard's in opsets before theirs, are here too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from tools.lowering.bodies.body import Body

EPSILON: Final = 1e-12
CONV: Final = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")


def activated(body: Body, x: str, kind: str, numbers: list[float]) -> str:
    """x behind the activation that a fused node names, with its numbers in the standard's order."""
    names = {
        "LeakyRelu": ("alpha",), "HardSigmoid": ("alpha", "beta"), "Elu": ("alpha",), "Selu": ("alpha", "gamma"),
        "ThresholdedRelu": ("alpha",), "Relu": (), "Sigmoid": (), "Tanh": (), "Softplus": (), "Softsign": (),
    }  # fmt: skip
    if not kind:
        return x
    if kind == "Clip" and len(numbers) == 2:
        return body.make("Clip", x, *(body.real(number) for number in numbers))
    if kind == "HardSwish":
        return body.make("Mul", x, body.make("HardSigmoid", x, alpha=1 / 6, beta=0.5))
    if kind not in names or len(numbers) > len(names[kind]):
        raise body.refuse(f"its activation {kind!r} with {len(numbers)} numbers is unknown here")
    given: dict[str, Any] = dict(zip(names[kind], numbers, strict=False))
    return body.make(kind, x, **given)


def _fused_conv(body: Body) -> None:
    operands = [body.given(0), body.given(1), *([body.given(2)] if body.has(2) else [])]
    found = body.make("Conv", *operands, **body.passed(*CONV))
    if body.has(3):
        found = body.make("Add", found, body.given(3))
    numbers = body.passed("activation_params").get("activation_params", [])
    body.finish(0, activated(body, found, body.text("activation", ""), list(numbers)))


def _fused_gemm(body: Body) -> None:
    operands = [body.given(place) for place in range(3) if body.has(place)]
    found = body.make("Gemm", *operands, **body.passed("alpha", "beta", "transA", "transB"))
    names = ("activation_alpha", "activation_beta", "activation_gamma")
    numbers = list(body.passed(*names).values())
    body.finish(0, activated(body, found, body.text("activation", ""), numbers))


def _fused_matmul(body: Body) -> None:
    sides = []
    for place, name in enumerate(("A", "B")):
        if body.integer(f"transBatch{name}", 0):
            raise body.refuse(f"transBatch{name} is not supported")
        side = body.given(place)
        if body.integer(f"trans{name}", 0):
            rank = len(body.shape(place))
            if rank > 1:
                side = body.make("Transpose", side, perm=[*range(rank - 2), rank - 1, rank - 2])
        sides.append(side)
    found = body.make("MatMul", *sides)
    alpha = body.number("alpha", 1.0)
    body.finish(0, found if alpha == 1 else body.make("Mul", found, body.real(alpha)))


# ---- activations


def gelu(body: Body, x: str) -> str:
    """x * (1 + erf(x / sqrt(2))) / 2."""
    erf = body.make("Erf", body.make("Div", x, body.real(float(np.sqrt(2)))))
    both = body.make("Mul", x, body.make("Add", erf, body.real(1.0)))
    return body.make("Mul", both, body.real(0.5))


def _fast_gelu(body: Body) -> None:
    x = body.make("Add", body.given(0), body.given(1)) if body.has(1) else body.given(0)
    cube = body.make("Mul", body.make("Mul", x, x), x)
    inner = body.make("Add", x, body.make("Mul", cube, body.real(0.044715)))
    tanh = body.make("Tanh", body.make("Mul", inner, body.real(float(np.sqrt(2 / np.pi)))))
    both = body.make("Mul", x, body.make("Add", tanh, body.real(1.0)))
    body.finish(0, body.make("Mul", both, body.real(0.5)))


def _quick_gelu(body: Body) -> None:
    x = body.given(0)
    sigmoid = body.make("Sigmoid", body.make("Mul", x, body.real(body.number("alpha", 1.702))))
    body.finish(0, body.make("Mul", x, sigmoid))


# ---- normalisations


def normalised(body: Body, x: str, scale: str, shift: str, epsilon: float, *, centred: bool = True) -> str:
    """x over its last dimension; `shift`: "" for none."""
    if centred:
        x = body.make("Sub", x, body.mean(x))
    spread = body.make("Add", body.mean(body.make("Mul", x, x)), body.real(epsilon))
    found = body.make("Mul", body.make("Div", x, body.make("Sqrt", spread)), scale)
    return body.make("Add", found, shift) if shift else found


def _layer_norm(*, centred: bool) -> Callable[[Body], None]:
    def write(body: Body) -> None:
        axis = body.integer("axis", -1)
        if axis != -1 and axis != len(body.shape(0)) - 1:
            raise body.refuse("an axis before the last is not supported")
        shift = body.given(2) if body.has(2) else ""
        epsilon = body.number("epsilon", 1e-5)
        body.finish(0, normalised(body, body.given(0), body.given(1), shift, epsilon, centred=centred))

    return write


def _skip_norm(*, centred: bool) -> Callable[[Body], None]:
    """input + skip + bias, normalised; the sum is the last output."""

    def write(body: Body) -> None:
        bias = 4 if centred else 3
        total = body.make("Add", body.given(0), body.given(1))
        if body.has(bias):
            total = body.make("Add", total, body.given(bias))
        shift = body.given(3) if centred and body.has(3) else ""
        epsilon = body.number("epsilon", EPSILON)
        body.finish(0, normalised(body, total, body.given(2), shift, epsilon, centred=centred))
        body.finish(3, total)

    return write


def _embed_norm(body: Body) -> None:
    """Embeddings of words, places and segments, added and normalised. The second output, what is masked, is the number
    of tokens that are not."""
    ids = body.given(0)
    total = body.make("Gather", body.given(2), ids, axis=0)
    if body.has(8):
        places = body.make("Gather", body.given(3), body.given(8), axis=0)
    else:
        places = body.part(body.given(3), 0, 0, body.size(0, 1))
    total = body.make("Add", total, places)
    if body.has(1):
        total = body.make("Add", total, body.make("Gather", body.given(4), body.given(1), axis=0))
    body.finish(0, normalised(body, total, body.given(5), body.given(6), body.number("epsilon", EPSILON)))
    if body.has(7) and len(body.node.output) > 1 and body.node.output[1]:
        axes = body.store(np.array([1], np.int64))
        body.finish(1, body.make("ReduceSum", body.given(7), axes, keepdims=0))
    body.finish(2, total)


# ---- attention


def _attention(body: Body) -> None:
    """Of one input and its packed weights; a mask of 0 and 1 [N, S], or how many tokens count [N]."""
    heads = body.integer("num_heads", 0)
    if body.has(4) or body.has(5) or heads < 1 or "qkv_hidden_sizes" in body.attributes:
        raise body.refuse("past states, attention biases and sizes of q, k and v are not supported")
    width = body.size(1, 1) // 3
    if width % heads or body.integer("do_rotary", 0):
        raise body.refuse(f"{heads} heads of {width} in all are not supported")
    packed = body.make("MatMul", body.given(0), body.given(1))
    if body.has(2):
        packed = body.make("Add", packed, body.given(2))
    q, k, v = (_heads(body, body.part(packed, 2, place * width, (place + 1) * width), heads) for place in range(3))
    scale = body.number("scale", 0.0) or float(1 / np.sqrt(width // heads))
    scores = body.make("MatMul", q, body.make("Transpose", k, perm=[0, 1, 3, 2]))
    scores = body.make("Mul", scores, body.real(scale))
    hidden = body.real(body.number("mask_filter_value", -10000.0))
    if body.has(3):
        scores = body.make("Add", scores, body.make("Mul", _outside(body), hidden))
    if body.integer("unidirectional", 0):
        count = body.size(0, 1)
        scores = body.make(
            "Add", scores, body.make("Mul", body.real(np.triu(np.ones((1, 1, count, count)), 1)), hidden)
        )
    read = body.make("MatMul", body.make("Softmax", scores, axis=-1), v)
    body.finish(0, body.reshaped(body.make("Transpose", read, perm=[0, 2, 1, 3]), 0, 0, width))


def _heads(body: Body, x: str, heads: int) -> str:
    return body.make("Transpose", body.reshaped(x, 0, 0, heads, -1), perm=[0, 2, 1, 3])


def _outside(body: Body) -> str:
    """1 where a token is masked, else 0, [N, 1, 1, S]."""
    mask, rank = body.given(3), len(body.shape(3))
    kind = body.around.kind(body.given(0)) or 1
    if rank == 2:
        shown = body.make("Cast", mask, to=kind)
        return body.reshaped(body.make("Sub", body.real(1.0), shown), 0, 1, 1, -1)
    if rank != 1:
        raise body.refuse(f"a mask of {rank} dimensions is not supported")
    places = body.real(np.arange(body.size(0, 1)).reshape(1, 1, 1, -1))
    lengths = body.reshaped(body.make("Cast", mask, to=kind), 0, 1, 1, 1)
    return body.make("Cast", body.make("GreaterOrEqual", places, lengths), to=kind)


BODIES: Final[Mapping[str, Callable[[Body], None]]] = {
    "Attention": _attention,
    "BiasGelu": lambda body: body.finish(0, gelu(body, body.make("Add", body.given(0), body.given(1)))),
    "EmbedLayerNormalization": _embed_norm,
    "FastGelu": _fast_gelu,
    "FusedConv": _fused_conv,
    "FusedGemm": _fused_gemm,
    "FusedMatMul": _fused_matmul,
    "Gelu": lambda body: body.finish(0, gelu(body, body.given(0))),
    "QuickGelu": _quick_gelu,
    "SkipLayerNormalization": _skip_norm(centred=True),
    "SkipSimplifiedLayerNormalization": _skip_norm(centred=False),
    "TransposeMatMul": _fused_matmul,
}
IN_THE_STANDARDS_NAME: Final[Mapping[str, Callable[[Body], None]]] = {
    "SimplifiedLayerNormalization": _layer_norm(centred=False),
}
LAYER_NORM: Final = _layer_norm(centred=True)
"""LayerNormalization in opsets before 17, which onnxruntime writes all the same."""
