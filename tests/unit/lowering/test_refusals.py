"""What is not lowered, and how it is said: the error names the place, the reason and the mend."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from tools.demo.assets import read_asset
from tools.lowering import DataRefused, LoweringError, ModelRefused, OpRefused, lower

Call = Callable[..., Any]
RELU = helper.make_node("Relu", ["x"], ["y"])
ROWS = {"x": np.ones((2, 4), np.float32)}


@pytest.fixture
def simple(model_of: Call) -> onnx.ModelProto:
    """x [N, 4] @ w [4, 3] -> y: each test breaks one thing."""
    w = np.arange(12, dtype=np.float32).reshape(4, 3)
    return model_of([helper.make_node("MatMul", ["x", "w"], ["y"], name="dense")], {"x": ["N", 4]}, ["y"], {"w": w})


def refused(model: onnx.ModelProto, *parts: str, error: type[LoweringError] = ModelRefused, **options: Any) -> None:
    with pytest.raises(error) as found:
        lower(model.SerializeToString(), **options)
    for part in parts:
        assert part in str(found.value)


def test_the_simple_model_is_fine(simple: onnx.ModelProto) -> None:
    assert lower(simple.SerializeToString()).report.nodes == 1


@pytest.mark.parametrize("data", [b"", b"\x00", b"not a model", b"\xff" * 100, b"{}"])
def test_invalid_bytes(data: bytes) -> None:
    with pytest.raises(ModelRefused):
        lower(data)


def test_invalid_truncated_and_mutated_files_are_refused_or_lowered() -> None:
    """Never another exception, whatever the bytes."""
    model, rng = read_asset("digits_cnn.onnx"), random.Random(7)
    for _ in range(150):
        data = bytearray(model if rng.random() < 0.5 else model[: rng.randrange(len(model))])
        for _ in range(rng.randrange(1, 6)):
            if data:
                data[rng.randrange(len(data)) if rng.random() < 0.5 else -1 - rng.randrange(min(len(data), 900))] ^= (
                    1 << rng.randrange(8)
                )
        with contextlib.suppress(LoweringError):
            lower(bytes(data))


def test_invalid_external_data(simple: onnx.ModelProto) -> None:
    weight = simple.graph.initializer[0]
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../etc/passwd")
    refused(simple, "initializer 'w'", "another file", "one file")


def test_invalid_external_data_hidden_in_an_attribute(simple: onnx.ModelProto) -> None:
    hidden = TensorProto(name="h", data_type=TensorProto.FLOAT, dims=[1])
    hidden.external_data.add(key="location", value="weights.bin")
    simple.graph.node.insert(0, helper.make_node("Constant", [], ["c"], value=hidden))
    refused(simple, "Constant", "another file")


def test_invalid_subgraph(simple: onnx.ModelProto) -> None:
    simple.graph.node.insert(0, helper.make_node("If", ["x"], ["z"], name="branch", then_branch=simple.graph))
    refused(simple, 'If "branch"', "subgraph", "control flow", error=OpRefused)


def test_invalid_custom_domain(simple: onnx.ModelProto) -> None:
    simple.graph.node[0].domain = "com.example"
    refused(simple, "com.example", "dense", error=OpRefused)


def test_invalid_sparse_initializer(simple: onnx.ModelProto) -> None:
    values = numpy_helper.from_array(np.ones(1, np.float32), "s")
    simple.graph.sparse_initializer.append(
        helper.make_sparse_tensor(values, numpy_helper.from_array(np.zeros(1, np.int64)), [3])
    )
    refused(simple, "sparse")


def test_invalid_training_information(simple: onnx.ModelProto) -> None:
    simple.training_info.add()
    refused(simple, "training")


def test_invalid_two_initializers_of_one_name(simple: onnx.ModelProto) -> None:
    simple.graph.initializer.append(simple.graph.initializer[0])
    refused(simple, "initializer 'w'", "two")


def test_invalid_two_inputs_of_one_name(simple: onnx.ModelProto) -> None:
    simple.graph.input.append(simple.graph.input[0])
    refused(simple, "input 'x'", "two")


def test_invalid_output_defined_twice(simple: onnx.ModelProto) -> None:
    simple.graph.node.append(simple.graph.node[0])
    refused(simple, "'y'", "twice")


def test_invalid_node_that_redefines_a_constant(simple: onnx.ModelProto) -> None:
    simple.graph.node.insert(0, helper.make_node("Relu", ["x"], ["w"]))
    refused(simple, "'w'", "twice")


def test_invalid_undefined_name(simple: onnx.ModelProto) -> None:
    simple.graph.node[0].input[0] = "nowhere"
    refused(simple, "'nowhere'", "not defined")


def test_invalid_output_that_nobody_computes(simple: onnx.ModelProto) -> None:
    simple.graph.output[0].name = "z"
    refused(simple, "output 'z'")


def test_invalid_initializer_that_is_an_input_too(simple: onnx.ModelProto) -> None:
    simple.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 3]))
    refused(simple, "initializer 'w'", "keep_initializers_as_inputs")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_invalid_non_finite_weights(simple: onnx.ModelProto, bad: float) -> None:
    simple.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.full((4, 3), bad, np.float32), "w"))
    refused(simple, "initializer 'w'", "NaN or infinity")


def test_invalid_weights_that_do_not_fill_their_shape(simple: onnx.ModelProto) -> None:
    simple.graph.initializer[0].dims[0] = 5
    refused(simple, "initializer 'w'", "[5, 3]", "12 elements")


def test_invalid_huge_declared_weights(simple: onnx.ModelProto) -> None:
    simple.graph.initializer[0].dims[:] = [1 << 40, 1 << 20]
    refused(simple, "initializer 'w'", "elements")


def test_invalid_string_weights(simple: onnx.ModelProto) -> None:
    simple.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.full((4, 3), "heavy", object), "w"))
    refused(simple, 'MatMul "dense"', "texts", error=OpRefused)
    simple.graph.initializer[0].string_data.pop()
    refused(simple, "initializer 'w'", "11 texts")
    simple.graph.initializer[0].string_data.append(b"\xff")
    refused(simple, "initializer 'w'", "UTF-8")


@pytest.mark.parametrize("opset", [1, 5, 29, 1000])
def test_invalid_opset(simple: onnx.ModelProto, opset: int) -> None:
    simple.opset_import[0].version = opset
    refused(simple, f"opset {opset}", "6 to 28")


def test_invalid_missing_and_contradicting_opset(simple: onnx.ModelProto) -> None:
    simple.opset_import.append(simple.opset_import[0])
    assert lower(simple.SerializeToString()).report.nodes == 1
    simple.opset_import[1].version = 18
    refused(simple, "versions [17, 18]")
    del simple.opset_import[:]
    refused(simple, "none")


def test_invalid_missing_shape_is_mended_by_shapes(simple: onnx.ModelProto) -> None:
    simple.graph.input[0].type.tensor_type.ClearField("shape")
    refused(simple, "input 'x'", "no shape", "shapes=")
    assert lower(simple.SerializeToString(), shapes={"x": (None, 4)}).graph.inputs[0].shape == (4,)


def test_invalid_open_dimension_is_mended_by_shapes(simple: onnx.ModelProto) -> None:
    simple.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "K"
    refused(simple, "open dimension", "shapes=")
    assert lower(simple.SerializeToString(), shapes={"x": (None, 4)}).graph.inputs[0].shape == (4,)


@pytest.mark.parametrize(
    ("shapes", "part"),
    [({"z": (None, 4)}, "'x'"), ({"x": (None, 5)}, "contradicts"), ({"x": (None, "K")}, "numbers and None")],
)
def test_invalid_shapes(simple: onnx.ModelProto, shapes: Any, part: str) -> None:
    refused(simple, part, error=DataRefused, shapes=shapes)


def test_invalid_sequence_output(simple: onnx.ModelProto) -> None:
    simple.graph.output[0].CopyFrom(helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None))
    refused(simple, "output 'y'", "not a tensor")


def test_invalid_declared_output_type(simple: onnx.ModelProto) -> None:
    simple.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    refused(simple, "output 'y'", "int64", "float32")


def test_invalid_unknown_op_names_what_is_supported(model_of: Call) -> None:
    model = model_of([helper.make_node("Det", ["x"], ["y"], name="here")], {"x": ["N", 4, 4]}, ["y"])
    refused(model, 'Det "here"', "Conv", error=OpRefused)


@pytest.mark.parametrize("op", ["RandomNormalLike", "NonZero"])
def test_invalid_op_without_any_exact_form(op: str, model_of: Call) -> None:
    refused(
        model_of([helper.make_node(op, ["x"], ["y"])], {"x": ["N", 4]}, ["y"]), op, "no exact form", error=OpRefused
    )


BAD_NODES = [
    ("a Gemm over rows", [helper.make_node("Gemm", ["x", "w"], ["y"], transA=1)], "transA"),
    ("weights that are computed", [helper.make_node("Conv", ["x", "x"], ["y"])], "only a constant"),
    ("weights of another size", [helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)], "do not fit"),
    ("a softmax over the batch", [helper.make_node("Softmax", ["x"], ["y"], axis=0)], "batch"),
    ("an axis that is not there", [helper.make_node("Softmax", ["x"], ["y"], axis=5)], "axis 5"),
    ("a reshape of the batch", [helper.make_node("Reshape", ["x", "s"], ["y"])], "mix rows"),
    ("a reshape to one row", [helper.make_node("Reshape", ["x", "one"], ["y"])], "mix rows"),
    ("a flatten of the batch", [helper.make_node("Flatten", ["x"], ["y"], axis=0)], "batch"),
    ("a constant with rows", [helper.make_node("Add", ["x", "w"], ["y"])], "rows of its own"),
    ("a constant that does not fit", [helper.make_node("Add", ["x", "three"], ["y"])], "does not fit"),
    ("a cast to texts", [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.STRING)], "as texts"),
    ("a pool over rows", [helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2])], "do not fit|does not fit"),
]


@pytest.mark.parametrize(("nodes", "part"), [case[1:] for case in BAD_NODES], ids=[case[0] for case in BAD_NODES])
def test_invalid_use_of_an_op(nodes: list[onnx.NodeProto], part: str, model_of: Call) -> None:
    constants = {
        "w": np.ones((4, 3), np.float32),
        "three": np.ones(3, np.float32),
        "s": np.array([2, -1], np.int64),
        "one": np.array([1, -1], np.int64),
    }
    used = {name for node in nodes for name in node.input}
    constants = {name: array for name, array in constants.items() if name in used}
    with pytest.raises(OpRefused, match=part):
        lower(model_of(nodes, {"x": ["N", 4]}, ["y"], constants).SerializeToString())


@pytest.mark.parametrize(
    ("node", "constants", "part"),
    [
        (helper.make_node("Conv", ["x", "w"], ["y"], group=2), {"w": (2, 4, 3, 3)}, "groups"),
        (helper.make_node("Conv", ["x", "w"], ["y"], strides=[0, 1]), {"w": (2, 4, 3, 3)}, "strides"),
        (helper.make_node("Conv", ["x", "w"], ["y"], pads=[-1, 0, 0, 0]), {"w": (2, 4, 3, 3)}, "pads"),
        (helper.make_node("Conv", ["x", "w"], ["y"]), {"w": (2, 4, 9, 9)}, "does not fit"),
        (helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[2, 2]), {"w": (2, 4, 3, 3)}, "kernel_shape"),
        (helper.make_node("Conv", ["x", "w", "b"], ["y"]), {"w": (2, 4, 3, 3), "b": (3,)}, "bias"),
        (helper.make_node("Conv", ["x", "w"], ["y"], auto_pad="ROUND"), {"w": (2, 4, 3, 3)}, "ROUND"),
        (helper.make_node("MaxPool", ["x"], ["y", "i"], kernel_shape=[2, 2]), {}, "Indices"),
        (helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], pads=[5, 0, 5, 0]), {}, "window"),
    ],
)
def test_invalid_windows(
    node: onnx.NodeProto, constants: dict[str, tuple[int, ...]], part: str, model_of: Call
) -> None:
    arrays = {name: np.ones(shape, np.float32) for name, shape in constants.items()}
    with pytest.raises(OpRefused, match=part):
        lower(model_of([node], {"x": ["N", 4, 6, 6]}, ["y"], arrays).SerializeToString())


def test_invalid_batch_normalization_variance(model_of: Call) -> None:
    ones = {name: np.ones(4, np.float32) for name in ("g", "b", "m")}
    node = helper.make_node("BatchNormalization", ["x", "g", "b", "m", "v"], ["y"])
    model = model_of([node], {"x": ["N", 4]}, ["y"], {**ones, "v": -np.ones(4, np.float32)})
    refused(model, "BatchNormalization", "positive", error=OpRefused)


def test_invalid_attribute_reference(simple: onnx.ModelProto) -> None:
    node = helper.make_node("Softmax", ["y"], ["z"])
    node.attribute.append(AttributeProto(name="axis", type=AttributeProto.INT, ref_attr_name="a"))
    simple.graph.node.append(node)
    refused(simple, "axis", "function")


def test_invalid_attribute_that_the_standard_does_not_know(simple: onnx.ModelProto) -> None:
    simple.graph.node.append(helper.make_node("Relu", ["y"], ["z"], slope=0.5))
    refused(simple, "standard", "slope")


@pytest.mark.parametrize(
    ("rows", "part"),
    [
        ({}, "missing"),
        ({"z": ROWS["x"]}, "no such input"),
        ({"x": np.ones((2, 5))}, "expected [rows, 4]"),
        ({"x": np.ones((0, 4))}, "rows"),
        ({"x": np.full((2, 4), np.nan)}, "NaN"),
        ({"x": np.array([["a"] * 4])}, "numbers"),
    ],
)
def test_invalid_calibration(simple: onnx.ModelProto, rows: dict[str, np.ndarray], part: str) -> None:
    refused(simple, part, error=DataRefused, calibration=rows)


@pytest.mark.parametrize(
    ("rows", "part"),
    [
        ({}, "missing"),
        ({"x": ROWS["x"], "z": ROWS["x"]}, "no such input"),
        ({"x": np.ones(4)}, "expected [rows, 4]"),
        ({"x": np.full((1, 4), 2000.0)}, "the model takes [-1024, 1024]"),
        ({"x": np.full((1, 4), np.inf)}, "infinity"),
    ],
)
def test_invalid_inputs_of_quantize(simple: onnx.ModelProto, rows: dict[str, np.ndarray], part: str) -> None:
    lowered = lower(simple.SerializeToString())
    with pytest.raises(DataRefused) as found:
        lowered.quantize(rows)
    assert part in str(found.value)
    assert "'x'" in str(found.value) or "'z'" in str(found.value)


def test_invalid_float_outputs_of_dequantize(simple: onnx.ModelProto) -> None:
    lowered = lower(simple.SerializeToString())
    with pytest.raises(DataRefused, match="missing"):
        lowered.dequantize({})
    with pytest.raises(DataRefused, match="integers are needed"):
        lowered.dequantize({"y": np.ones((1, 3))})


def test_names_that_a_graph_cannot_have_are_translated_both_ways(model_of: Call) -> None:
    model = model_of([helper.make_node("Relu", ["größe 1"], ["y z"])], {"größe 1": ["N", 2]}, ["y z"])
    lowered = lower(model.SerializeToString())
    assert [spec.name for spec in lowered.graph.inputs] == ["gr__e_1"]
    assert set(lowered.quantize({"größe 1": np.ones((1, 2))})) == {"gr__e_1"}
    assert set(lowered.dequantize({"y_z": np.ones((1, 2), np.int64)})) == {"y z"}


def test_a_file_from_before_initializers_stood_apart_is_read_with_its_weights_fixed(simple: onnx.ModelProto) -> None:
    """In the format's versions before 4 each initializer had to be listed as an input."""
    (weights,) = simple.graph.initializer
    simple.graph.input.append(onnx.helper.make_tensor_value_info(weights.name, weights.data_type, list(weights.dims)))
    refused(simple, f"initializer {weights.name!r}", "it is an input too")
    simple.ir_version = 3
    assert len(lower(simple.SerializeToString()).graph.inputs) == 1


@pytest.mark.parametrize(
    ("op", "attributes", "part"),
    [
        ("Add", {"axis": 0, "broadcast": 1}, "broadcast from an axis"),
        ("PRelu", {}, "along the channels"),
        ("Dropout", {}, "training mode"),
    ],
)
def test_invalid_what_an_op_meant_before_opset_7(op: str, attributes: dict[str, int], part: str) -> None:
    inputs = ["x"] if op == "Dropout" else ["x", "w"]
    ports = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 2]) for name in ("x", "y")]
    weights = onnx.numpy_helper.from_array(np.ones(2, np.float32), "w")
    node = onnx.helper.make_node(op, inputs, ["y"], **attributes)
    graph = onnx.helper.make_graph([node], "g", ports[:1], ports[1:], [] if op == "Dropout" else [weights])
    refused(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 6)], ir_version=8), op, part,
            error=LoweringError)  # fmt: skip
