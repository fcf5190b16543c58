"""armillary model lower: ranges, the page, and no graph where the models differ by more than asked."""

import numpy as np
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from runtime.errors import UsageError
from tools.cli.model import lower
from tools.lowering import ModelsDiffer


@pytest.fixture
def source(tmp_path):
    weights = np.random.default_rng(1).normal(0, 1, (3, 2)).astype(np.float32)
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size]) for name, size in (("x", 3), ("y", 2))]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", ports[:1], ports[1:],
                              [numpy_helper.from_array(weights, "w")])  # fmt: skip
    path = tmp_path / "model.onnx"
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    )
    return path


def _run(source, *options):
    return CliRunner().invoke(lower, [str(source), *options])


def test_a_range_bounds_the_input_and_the_page_is_written(source, tmp_path):
    page = tmp_path / "report.html"
    result = _run(source, "--range", "x=-1:0.5", "--report", str(page))
    assert result.exit_code == 0, result.output
    assert "-1 to 0.5" in result.output
    assert "<!doctype html>" in page.read_text("utf-8")
    assert source.with_suffix(".graph").exists()


def test_where_an_output_errs_by_more_than_asked_the_page_is_written_and_no_graph(source, tmp_path):
    page = tmp_path / "report.html"
    result = _run(source, "--error", "0", "--report", str(page))
    assert isinstance(result.exception, ModelsDiffer)
    assert page.exists()
    assert not source.with_suffix(".graph").exists()
    assert _run(source, "--error", "0", "--allow-disagreement").exit_code == 0


@pytest.mark.parametrize("text", ["x", "x=1", "=0:1", "x=2:1", "x=a:b", "x=0:inf", "x=nan:1"])
def test_invalid_ranges_are_told_how_to_be_written(source, text):
    result = _run(source, "--range", text)
    assert isinstance(result.exception, UsageError)
    assert "NAME=LOW:HIGH" in str(result.exception)


def test_calibration_rows_may_be_texts(tmp_path):
    """As a table with a column of categories is exported."""
    encoder = helper.make_node("OneHotEncoder", ["sex"], ["hot"], domain="ai.onnx.ml", cats_strings=["female", "male"])
    flat = helper.make_node("Reshape", ["hot", "two"], ["y"])
    inputs = [helper.make_tensor_value_info("sex", TensorProto.STRING, ["N", 1])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])]
    two = numpy_helper.from_array(np.array([-1, 2]), "two")
    graph = helper.make_graph([encoder, flat], "g", inputs, outputs, [two])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    path = tmp_path / "model.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
    np.savez(tmp_path / "rows.npz", sex=np.array([["male"], ["female"], ["?"]]))
    done = _run(path, "--calibration", str(tmp_path / "rows.npz"))
    assert done.exit_code == 0
    assert "input 'sex' takes texts" in done.output
    assert path.with_suffix(".graph").exists()


def test_rows_of_the_only_input_need_no_name(source, tmp_path):
    np.save(tmp_path / "rows.npy", np.random.default_rng(2).normal(0, 1, (30, 3)))
    done = _run(source, "--calibration", str(tmp_path / "rows.npy"))
    assert done.exit_code == 0
    assert "30 calibration rows" in done.output
