"""The ONNX standard's own test cases: none fails, as many pass as docs/onnx-ops.md says.

A sample runs with every test run; all of them are soak's. `make onnx-table` writes the page anew.
"""

import re
import resource
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper

from tools.cli.conformance import conformance
from tools.conformance import Case, Status, as_dict, collect, collect_nodes, judge, markdown, run_all, summary_lines
from tools.conformance.cases import Sample
from tools.conformance.judge import kind_of_reason
from tools.conformance.worker import Worker

PAGE = Path(__file__).parents[2] / "docs" / "onnx-ops.md"
SAMPLED = {
    "add": "Add", "argmax": "ArgMax", "averagepool": "AveragePool", "batch_normalization": "BatchNormalization",
    "clip": "Clip", "concat": "Concat", "conv": "Conv", "mul": "Mul", "gather": "Gather", "gemm": "Gemm",
    "lstm": "LSTM", "layernormalization": "LayerNormalization", "matmul": "MatMul", "maxpool": "MaxPool",
    "reducemean": "ReduceMean", "relu": "Relu", "reshape": "Reshape", "sigmoid": "Sigmoid", "slice": "Slice",
    "softmax": "Softmax", "transpose": "Transpose", "where": "Where",
}  # fmt: skip
"""What most models are made of, by the module of onnx that makes its cases."""
PASSED_WANTED = 900


def _passed_by_page():
    rows = re.findall(r"^\| (node|simple|pytorch-\w+|light) \| ([\d,]+) \| ([\d,]+) \|", PAGE.read_text("utf-8"), re.M)
    return {suite: int(passed.replace(",", "")) for suite, _, passed in rows}


@pytest.fixture(scope="module")
def sample():
    """Of each sampled operator its first cases, judged in this process."""
    cases = collect_nodes(tuple(SAMPLED))
    chosen = [case for op in SAMPLED.values() for case in [each for each in cases if each.op == op][:2]]
    return [judge(case) for case in chosen]


def test_no_sampled_case_fails(sample):
    assert [each for each in sample if each.status is Status.FAILED] == []


def test_of_each_sampled_operator_some_case_passes(sample):
    assert {each.op for each in sample if each.status is Status.PASSED} == set(SAMPLED.values())


def test_what_is_refused_says_why(sample):
    assert all(each.reason for each in sample if each.status is Status.REFUSED)


def test_the_page_tells_of_as_many_passed_cases_as_the_project_promises():
    assert _passed_by_page()["node"] >= PASSED_WANTED


def _case(expected, *, op="Relu", seconds=None):
    x = np.array([[-1.0, 0.5], [2.0, -3.0]], np.float32)
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node(op, ["x"], ["y"])], "g", ports[:1], ports[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return Case("node", "planted", op, model.SerializeToString(), (Sample({"x": x}, {"y": expected}),))


RIGHT = np.array([[0, 0.5], [2, 0]], np.float32)


def test_a_case_passes_where_the_outputs_are_what_it_declares():
    outcome = judge(_case(RIGHT))
    assert (outcome.status, outcome.reason) == (Status.PASSED, "")
    assert outcome.error < 0.1


@pytest.mark.parametrize(
    ("expected", "reason"),
    [
        (RIGHT + np.float32(0.01), "times what is allowed"),
        (RIGHT[:1], "has shape"),
        (RIGHT.astype(np.int64), "elements of type"),
        (np.where(RIGHT == 2, np.float32(np.nan), RIGHT), "NaN"),
        (None, "no tensor"),
    ],
)
def test_invalid_outputs_fail_the_case(expected, reason):
    outcome = judge(_case(expected))
    assert outcome.status is Status.FAILED
    assert reason in outcome.reason


def test_an_operator_without_exact_form_is_refused_not_failed():
    outcome = judge(_case(RIGHT, op="Bernoulli"))
    assert outcome.status is Status.REFUSED
    assert "no exact form" in outcome.reason


def test_invalid_a_case_that_takes_too_long_fails_and_the_rest_goes_on():
    slow, right = run_all([_case(RIGHT)], seconds_max=0.0), run_all([_case(RIGHT)])
    assert "took longer" in next(iter(slow)).reason
    assert [each.status for each in right] == [Status.PASSED]


def test_a_case_runs_in_a_process_that_can_take_no_more_memory_than_the_limit():
    limit = 4 << 30
    worker = Worker(limit)
    try:
        assert resource.prlimit(worker.pid, resource.RLIMIT_AS) == (limit, limit)
        assert worker.judge(_case(RIGHT), 20.0).status is Status.PASSED
    finally:
        worker.close()


def test_the_large_networks_are_cases_with_inputs_and_outputs():
    cases = collect(("light",))
    assert len(cases) == 9
    for case in cases:
        ((x,), (y,)) = ([*each.values()] for sample in case.samples for each in (sample.inputs, sample.outputs))
        assert (x.shape, x.dtype, y.size) == ((1, 3, 224, 224), np.float32, 1000)
        assert x.min() == 0 < x.max() <= 1
    assert {case.op for case in cases} == {"light"}


def test_the_page_and_the_json_count_the_same():
    outcomes = [judge(_case(RIGHT)), judge(_case(RIGHT[:1])), judge(_case(RIGHT, op="Bernoulli"))]
    found = as_dict(outcomes)
    assert {key: found[key] for key in ("total", "passed", "refused", "failed")} == {
        "total": 3, "passed": 1, "refused": 1, "failed": 1,
    }  # fmt: skip
    assert found["ops"]["Relu"] == {"total": 2, "passed": 1, "refused": 0, "failed": 1}
    assert "| node | 3 | 1 | 1 | 1 |" in markdown(outcomes)
    assert any(line.startswith("FAILED Relu planted") for line in summary_lines(outcomes))


def test_reasons_of_one_kind_are_counted_together():
    reasons = ['Conv "a": pads [1, 2] should be 4 numbers', 'Conv "b/c": pads [3, 0, 1] should be 6 numbers']
    assert len({kind_of_reason(reason) for reason in reasons}) == 1


def test_invalid_an_operator_of_no_case_is_named():
    result = CliRunner().invoke(conformance, ["--op", "NoSuchOperator"])
    assert result.exit_code != 0
    assert "NoSuchOperator" in str(result.exception)


@pytest.mark.soak
def test_no_case_fails_and_as_many_pass_as_the_page_says():
    outcomes = list(run_all(collect()))
    assert [(each.name, each.reason) for each in outcomes if each.status is Status.FAILED] == []
    suites = as_dict(outcomes)["suites"]
    for suite, passed in _passed_by_page().items():
        assert suites[suite]["passed"] >= passed
    assert onnx.__version__ in PAGE.read_text("utf-8")
