"""The report as a page: one file, nothing from outside, no name that could be markup, the worst layer named."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from onnx import helper

from tools.lowering import ModelsDiffer, check_error, lower, report_page
from tools.lowering.losses import losses

HOSTILE = '"><script>alert(1)</script>'


@pytest.fixture
def report(model_of):
    random = np.random.default_rng(7)
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["h"], name=HOSTILE),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "v"], ["y"]),
    ]
    constants = {
        "w": random.normal(0, 1, (4, 6)).astype(np.float32),
        "v": random.normal(0, 1, (6, 3)).astype(np.float32),
    }
    model = model_of(nodes, {"x": ["N", 4]}, ["y"], constants)
    return lower(model.SerializeToString(), calibration={"x": random.normal(0, 1, (32, 4)).astype(np.float32)}).report


def _planted(report, tensor, error):
    """The report as though that tensor erred so much."""
    layers = tuple(replace(each, error_max=error) if each.tensor == tensor else each for each in report.layers)
    return replace(report, layers=layers)


class _Balanced(HTMLParser):
    VOID = ("meta",)

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_balanced_and_names_every_layer_output_and_cost(report):
    page = report_page(report, "digits")
    parser = _Balanced()
    parser.feed(page)
    assert parser.open == []
    for text in ("digits", report.model_hash, f"{report.gas_per_row:,}", "32 calibration rows agree"):
        assert text in page
    assert page.count("<tr") > len(report.layers)


def test_the_page_needs_nothing_from_outside_and_runs_nothing(report):
    page = report_page(report, "digits")
    assert "default-src 'none'" in page
    assert not re.search(r"https?://|<script|<img|<link|@import|url\(", page)


def test_invalid_names_are_text_not_markup(report):
    assert HOSTILE not in report_page(report, HOSTILE)


def test_the_layer_that_adds_most_is_named_first_and_marked(report):
    planted = _planted(report, "r", 0.5)
    assert losses(planted)[0].layer.tensor == "r"
    page = report_page(planted, "digits")
    assert page.index("<ol") < page.index("Relu") < page.index("</ol>")
    assert len(re.findall(r"<tr class=named>", page)) >= 1


def test_what_a_layer_reads_is_not_counted_as_its_own_loss(report):
    planted = _planted(_planted(report, "h", 0.5), "r", 0.5)
    by_tensor = {loss.layer.tensor: loss for loss in losses(planted)}
    assert by_tensor["h"].added > 10 * abs(by_tensor["r"].added)


def test_a_report_without_comparison_says_so(report):
    assert "could not be run beside it" in report_page(replace(report, compared_rows=0), "digits")


def test_invalid_an_error_beyond_the_budget_is_told_with_both_numbers(report):
    check_error(report, 0.01)
    with pytest.raises(ModelsDiffer, match="is allowed") as found:
        check_error(report, 0.0)
    assert found.value.error > found.value.allowed == 0


def test_ranges_bound_the_inputs_and_nothing_is_clipped(model_of):
    model = model_of(
        [helper.make_node("Gemm", ["x", "w"], ["y"])], {"x": ["N", 2]}, ["y"], {"w": np.eye(2, dtype=np.float32)}
    )
    lowered = lower(model.SerializeToString(), ranges={"x": (-0.25, 3.0)})
    (port,) = lowered.report.inputs
    assert (port.low, port.high) == (-0.25, 3.0)
    assert all(layer.saturated is None for layer in lowered.report.layers)


@pytest.mark.parametrize(
    ("ranges", "part"),
    [({"z": (0, 1)}, "no such input"), ({"x": (2, 1)}, "no range"), ({"x": (0, float("inf"))}, "no range")],
)
def test_invalid_ranges(ranges, part, model_of):
    model = model_of([helper.make_node("Relu", ["x"], ["y"])], {"x": ["N", 2]}, ["y"])
    with pytest.raises(Exception, match=part):
        lower(model.SerializeToString(), ranges=ranges)
