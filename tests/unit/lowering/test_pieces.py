"""What moves, cuts, repeats and surrounds a row's elements is exact: the same numbers as onnxruntime's, elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tools.lowering import OpRefused, lower

EXAMPLES = settings(max_examples=30, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)
SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=3)
Call = Callable[..., Any]


def rows_of(seed: int, *shape: int) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((4, *shape)) * 3).astype(np.float32)


@EXAMPLES
@given(
    seed=SEEDS,
    shape=SHAPES,
    data=st.data(),
    opset=st.sampled_from([11, 13, 18]),
    even=st.booleans(),
    drop=st.booleans(),
)
def test_split(
    seed: int, shape: list[int], data: st.DataObject, opset: int, even: bool, drop: bool, model_of: Call, close: Call
) -> None:
    axis = data.draw(st.integers(1, len(shape)))
    sizes = (
        [data.draw(st.integers(1, 3))] * 2 if even else data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    )
    shape[axis - 1] = sum(sizes)
    outputs = [f"y{place}" for place in range(len(sizes))]
    attributes: dict[str, Any] = {"axis": data.draw(st.sampled_from([axis, axis - len(shape) - 1]))}
    constants: dict[str, np.ndarray] = {}
    if even and opset == 18:
        attributes["num_outputs"] = 2
    elif not even and opset >= 13:
        constants["s"] = np.array(sizes, np.int64)
    elif not even:
        attributes["split"] = sizes
    node = helper.make_node("Split", ["x", *constants], outputs, **attributes)
    kept = outputs[:1] if drop else outputs
    close(model_of([node], {"x": ["N", *shape]}, kept, constants, opset=opset), {"x": rows_of(seed, *shape)})


@EXAMPLES
@given(
    seed=SEEDS,
    shape=SHAPES,
    data=st.data(),
    mode=st.sampled_from(["constant", "edge", "reflect", "wrap"]),
    form=st.sampled_from(["attribute", "input", "axes"]),
)
def test_pad(
    seed: int, shape: list[int], data: st.DataObject, mode: str, form: str, model_of: Call, close: Call
) -> None:
    mode = "edge" if mode == "wrap" and form != "axes" else mode
    rank = len(shape) + 1
    most = [max(0, size - 1) for size in shape]
    least = -1 if mode == "constant" else 0
    sizes = [
        data.draw(st.integers(least if size > 2 else 0, limit)) for size, limit in zip(shape * 2, most * 2, strict=True)
    ]
    before, after = sizes[: rank - 1], sizes[rank - 1 :]
    if form == "attribute":
        node = helper.make_node("Pad", ["x"], ["y"], mode=mode, pads=[0, *before, 0, *after], value=0.5)
        constants, opset = {}, 10
    else:
        axes = list(range(1, rank)) if form == "axes" else []
        pads = [*before, *after] if axes else [0, *before, 0, *after]
        constants = {"p": np.array(pads, np.int64)}
        names = ["x", "p", ""]
        if mode == "constant":
            constants["v"], names[2] = np.array(-1.5, np.float32), "v"
        if axes:
            constants["a"], names = np.array([axis - rank for axis in axes], np.int64), [*names, "a"]
        node, opset = helper.make_node("Pad", names, ["y"], mode=mode), 19 if axes else 13
    close(model_of([node], {"x": ["N", *shape]}, ["y"], constants, opset=opset), {"x": rows_of(seed, *shape)})


@EXAMPLES
@given(seed=SEEDS, shape=SHAPES, data=st.data(), op=st.sampled_from(["Expand", "Tile"]))
def test_expand_and_tile(
    seed: int, shape: list[int], data: st.DataObject, op: str, model_of: Call, close: Call
) -> None:
    own = [size if data.draw(st.booleans()) else 1 for size in shape]
    if op == "Tile":
        target = [1, *(data.draw(st.integers(1, 3)) for _ in shape)]
    else:
        target = [1, *shape][data.draw(st.integers(0, len(shape))) :]
    constants = {"s": np.array(target, np.int64)}
    model = model_of([helper.make_node(op, ["x", "s"], ["y"])], {"x": ["N", *own]}, ["y"], constants)
    assert close(model, {"x": rows_of(seed, *own)}).report.outputs[0].error_max <= 3e-5


@EXAMPLES
@given(
    seed=SEEDS,
    block=st.integers(1, 3),
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
    op=st.sampled_from([("DepthToSpace", {}), ("DepthToSpace", {"mode": "CRD"}), ("SpaceToDepth", {})]),
)
def test_depth_and_space(
    seed: int, block: int, sizes: tuple[int, int, int], op: Any, model_of: Call, close: Call
) -> None:
    c, h, w = sizes
    shape = [c * block**2, h, w] if op[0] == "DepthToSpace" else [c, h * block, w * block]
    model = model_of([helper.make_node(op[0], ["x"], ["y"], blocksize=block, **op[1])], {"x": ["N", *shape]}, ["y"])
    close(model, {"x": rows_of(seed, *shape)})


@EXAMPLES
@given(seed=SEEDS, shape=SHAPES, data=st.data(), first=st.booleans())
def test_concat_with_a_constant_that_is_the_same_in_every_row(
    seed: int, shape: list[int], data: st.DataObject, first: bool, model_of: Call, close: Call
) -> None:
    axis = data.draw(st.integers(1, len(shape)))
    own = list(shape)
    own[axis - 1] = data.draw(st.integers(1, 3))
    constants = {"c": np.random.default_rng(seed).standard_normal((1, *own)).astype(np.float32)}
    rows = np.repeat(rows_of(seed, *shape)[:1], 1, axis=0)
    node = helper.make_node("Concat", ["c", "x"] if first else ["x", "c"], ["y"], axis=axis)
    close(model_of([node], {"x": [1, *shape]}, ["y"], constants), {"x": rows})


@EXAMPLES
@given(seed=SEEDS, shape=SHAPES, data=st.data())
def test_slices_with_steps(seed: int, shape: list[int], data: st.DataObject, model_of: Call, close: Call) -> None:
    starts, ends, steps = [], [], []
    for size in shape:
        start, step = data.draw(st.integers(0, size - 1)), data.draw(st.sampled_from([1, 2, -1, -2]))
        starts, ends, steps = [*starts, start], [*ends, 2**31 if step > 0 else -(2**31)], [*steps, step]
    values = {"s": starts, "e": ends, "a": list(range(1, len(shape) + 1)), "t": steps}
    constants = {name: np.array(array, np.int64) for name, array in values.items()}
    model = model_of([helper.make_node("Slice", ["x", *constants], ["y"])], {"x": ["N", *shape]}, ["y"], constants)
    close(model, {"x": rows_of(seed, *shape)})


@pytest.mark.parametrize("opset", [11, 17])
def test_dropout_and_casts_are_nothing(opset: int, model_of: Call, close: Call) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["d"], to=TensorProto.DOUBLE),
        helper.make_node("Dropout", ["d"], ["p"]),
        helper.make_node("Identity", ["p"], ["i"]),
        helper.make_node("Cast", ["i"], ["y"], to=TensorProto.FLOAT),
    ]
    assert close(model_of(nodes, {"x": ["N", 3]}, ["y"], opset=opset), {"x": rows_of(1, 3)}).report.nodes == 0


BAD = {
    "parts of another sum": (helper.make_node("Split", ["x", "c"], ["y", "z"], "p", axis=1), [1, 1], "do not fit"),
    "a split of the batch": (helper.make_node("Split", ["x", "c"], ["y", "z"], "p"), [1, 2], "batch"),
    "a padded batch": (helper.make_node("Pad", ["x", "c"], ["y"], "p"), [1, 0, 0, 0], "batch"),
    "too few pads": (helper.make_node("Pad", ["x", "c"], ["y"], "p"), [1, 0], "do not fit"),
    "nothing left": (helper.make_node("Pad", ["x", "c"], ["y"], "p"), [0, -3, 0, 0], "nothing is left"),
    "a far reflection": (helper.make_node("Pad", ["x", "c"], ["y"], "p", mode="reflect"), [0, 3, 0, 0], "reflects"),
    "rows repeated": (helper.make_node("Expand", ["x", "c"], ["y"], "p"), [5, 3], "repeats rows"),
    "a dimension before the batch": (helper.make_node("Expand", ["x", "c"], ["y"], "p"), [2, 1, 3], "before the batch"),
    "a shape that does not fit": (helper.make_node("Expand", ["x", "c"], ["y"], "p"), [1, 4], "do not fit"),
    "tiled rows": (helper.make_node("Tile", ["x", "c"], ["y"], "p"), [2, 1], "repeat rows"),
    "a constant with rows": (helper.make_node("Concat", ["x", "c"], ["y"], "p", axis=1), [1, 2], "every row"),
    "no picture": (helper.make_node("DepthToSpace", ["x"], ["y"], "p", blocksize=2), None, "do not fit"),
}


@pytest.mark.parametrize(("node", "constant", "part"), BAD.values(), ids=BAD)
def test_invalid_uses_name_op_node_and_reason(node: Any, constant: Any, part: str, model_of: Call) -> None:
    constants = (
        {} if constant is None else {"c": np.array(constant, np.float32 if node.op_type == "Concat" else np.int64)}
    )
    model = model_of([node], {"x": ["N", 3]}, ["y"], constants)
    with pytest.raises(OpRefused, match=part) as found:
        lower(model.SerializeToString())
    assert found.value.where == f'{node.op_type} "p"'
