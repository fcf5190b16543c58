"""At the bound accepted and run equal, one step over refused: for each op that has a bound."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from runtime.inference import Engine, Refused, TensorSpec, encode_graph, interpret, verify
from runtime.inference import graph as ops
from runtime.inference.graph import ConvForm, Graph
from runtime.testing.graphs import wrap

TOP = 1 << 53
SINGLE = 1 << 24


def x(shape: tuple[int, ...], low: int, high: int, name: str = "x") -> TensorSpec:
    return TensorSpec(name, shape, 0, low, high)


def accept(graph: Graph) -> None:
    """Proven, and both ends of the input intervals run as the interpreter says."""
    model = encode_graph(graph)
    verify(model)
    for ends in ((0, 0), (1, 1), (0, 1), (1, 0)):
        inputs = {
            spec.name: np.stack([np.full(spec.shape, (spec.low, spec.high)[end], np.int64) for end in ends])
            for spec in graph.inputs
        }
        found, expected = Engine().run(model, inputs), interpret(model, inputs)
        assert np.array_equal(found["y"], expected["y"])


def refuse(graph: Graph, node: str, rule: str, **values: Any) -> None:
    with pytest.raises(Refused, match=re.escape(rule)) as caught:
        verify(encode_graph(graph))
    assert caught.value.node == node
    for name, value in values.items():
        assert caught.value.values[name] == value


def gemm(weights: list[list[int]], bias: list[int] | None, low: int, high: int) -> Graph:
    constants = [np.array(weights)] + ([] if bias is None else [np.array(bias)])
    node = ops.Gemm(0, 0, None if bias is None else 1, None)
    return wrap([x((len(weights[0]),), low, high)], constants, [node], (len(weights),))


def test_a_gemm_is_accepted_at_the_bound() -> None:
    accept(gemm([[1 << 20, -(1 << 20)], [3, 5]], None, -(1 << 32), 1 << 32))


def test_invalid_a_gemm_one_weight_step_over_the_bound() -> None:
    graph = gemm([[3, 5], [1 << 20, -(1 << 20) - 1]], None, -(1 << 32), 1 << 32)
    refuse(graph, "nodes[0] Gemm", "partial sum", column=1, sum=TOP + (1 << 32))


def test_invalid_a_gemm_whose_bias_is_one_step_over_the_bound() -> None:
    accept(gemm([[1 << 20]], [1 << 52], -(1 << 32), 1 << 32))
    refuse(gemm([[1 << 20]], [(1 << 52) + 1], -(1 << 33), 1 << 32), "nodes[0] Gemm", "partial sum", sum=TOP + 1)
    refuse(gemm([[1]], [TOP + 1], 0, 0), "nodes[0] Gemm", "bias is exact")


def test_a_partial_sum_counts_even_where_the_whole_cancels() -> None:
    """x in [0, 2**32]: the whole sum of 2**21 * x0 - 2**21 * x1 fits, but the bound is on each part."""
    accept(gemm([[1 << 21, -(1 << 21)]], None, 0, 1 << 32))
    refuse(gemm([[1 << 21, 1, -(1 << 21)]], None, 0, 1 << 32), "nodes[0] Gemm", "partial sum", sum=TOP + (1 << 32))


def test_a_single_point_interval_cancels_nothing() -> None:
    """x is always 2**40: the total is 0, a partial sum is not."""
    refuse(gemm([[1 << 14, -(1 << 14)]], None, 1 << 40, 1 << 40), "nodes[0] Gemm", "within 2**53")


def conv(weights: Any, low: int, high: int, form: ConvForm, pads: int = 0, bias: int | None = None) -> Graph:
    array = np.array(weights, np.int64).reshape(1, 1, 1, -1)
    kernel = array.shape[3]
    node = ops.Conv(0, 0, None if bias is None else 1, None, (1, 1), (0, pads), (0, pads), (1, 1), 1, form)
    constants = [array] + ([] if bias is None else [np.array([bias])])
    return wrap([x((1, 1, kernel), low, high)], constants, [node], (1, 1, 1 + 2 * pads))


@pytest.mark.parametrize(("form", "top"), [(ConvForm.DOUBLE, TOP), (ConvForm.SINGLE, SINGLE)])
def test_invalid_a_conv_one_step_over_the_bound_of_its_form(form: ConvForm, top: int) -> None:
    half = top >> 9
    accept(conv([half, -half], -256, 256, form, pads=1))
    refuse(conv([half, -half - 1], -256, 256, form), "nodes[0] Conv", "partial sum", sum=top + 256)


def test_invalid_a_single_precision_conv_of_operands_beyond_24_bits() -> None:
    accept(conv([1], -SINGLE, SINGLE, ConvForm.SINGLE, bias=TOP - SINGLE))
    refuse(conv([1], -SINGLE - 1, 0, ConvForm.SINGLE), "nodes[0] Conv", "within 2**24")
    refuse(conv([SINGLE + 1], 0, 0, ConvForm.SINGLE), "nodes[0] Conv", "within 2**24")
    refuse(conv([1], -SINGLE, SINGLE, ConvForm.SINGLE, bias=TOP - SINGLE + 1), "nodes[0] Conv", "partial sum")


def test_a_padded_conv_counts_zeros_into_its_interval() -> None:
    graph = conv([1, 1], 5, 5, ConvForm.DOUBLE, pads=1)
    assert (verify(encode_graph(graph)).facts[1].low, verify(encode_graph(graph)).facts[1].high) == (0, 10)
    accept(graph)


def test_invalid_an_affine_one_step_over_the_bound() -> None:
    def graph(weight: int, bias: int) -> Graph:
        node = ops.Affine(0, 0, 1, None)
        return wrap([x((1,), -(1 << 30), 1 << 30)], [np.array([weight]), np.array([bias])], [node], (1,))

    accept(graph(1 << 22, 1 << 52))
    refuse(graph(1 << 22, (1 << 52) + 1), "nodes[0] Affine", "partial sum", sum=TOP + 1)
    refuse(graph((1 << 23) + 1, 0), "nodes[0] Affine", "within 2**53")


def test_invalid_a_rescale_to_a_grid_too_fine() -> None:
    accept(wrap([x((2,), -1, 1)], [], [ops.Rescale(0, -53)], (2,)))
    accept(wrap([x((2,), -TOP, TOP)], [], [ops.Rescale(0, 127)], (2,)))
    refuse(wrap([x((2,), -1, 1)], [], [ops.Rescale(0, -54)], (2,)), "nodes[0] Rescale", "within 2**53")
    refuse(wrap([x((2,), 0, 0)], [], [ops.Rescale(0, -128)], (2,)), "nodes[0] Rescale", "-127 to 127")


@pytest.mark.parametrize("op", [ops.Add, ops.Sub])
def test_invalid_a_sum_or_difference_one_step_over(op: Any) -> None:
    accept(wrap([x((1,), -TOP + 7, TOP - 7), x((1,), -7, 7, "z")], [], [op(0, 1)], (1,)))
    over = wrap([x((1,), -TOP + 7, TOP - 7), x((1,), -8, 8, "z")], [], [op(0, 1)], (1,))
    refuse(over, f"nodes[0] {op.__name__}", "within 2**53", magnitude=TOP + 1)


def test_invalid_a_product_one_step_over() -> None:
    accept(wrap([x((1,), -(1 << 26), 1 << 26), x((1,), 0, 1 << 27, "z")], [], [ops.Mul(0, 1, 20)], (1,)))
    over = wrap([x((1,), -(1 << 26), 1 << 26), x((1,), 0, (1 << 27) + 1, "z")], [], [ops.Mul(0, 1, 20)], (1,))
    refuse(over, "nodes[0] Mul", "within 2**53", magnitude=TOP + (1 << 26))
    refuse(wrap([x((1,), 0, 1)], [], [ops.Mul(0, 0, 128)], (1,)), "nodes[0] Mul", "0 to 127")


def test_a_square_is_never_negative() -> None:
    facts = verify(encode_graph(wrap([x((1,), -9, 5)], [], [ops.Mul(0, 0, 0)], (1,)))).facts
    assert (facts[1].low, facts[1].high) == (0, 81)


def test_invalid_a_reduce_sum_one_step_over() -> None:
    accept(wrap([x((8,), -(1 << 50), 1 << 50)], [], [ops.ReduceSum(0, (0,))], (1,)))
    over = wrap([x((8,), -(1 << 50) - 1, 0)], [], [ops.ReduceSum(0, (0,))], (1,))
    refuse(over, "nodes[0] ReduceSum", "within 2**53", sum=TOP + 8)


def test_invalid_a_softmax_of_differences_beyond_the_grid() -> None:
    accept(wrap([x((3,), 0, TOP)], [], [ops.Softmax(0, 0, 62, 30)], (3,)))
    refuse(wrap([x((3,), -1, TOP)], [], [ops.Softmax(0, 0, 8, 16)], (3,)), "nodes[0] Softmax", "within 2**53")
    refuse(wrap([x((3,), 0, 1)], [], [ops.Softmax(0, 0, 63, 16)], (3,)), "nodes[0] Softmax", "frac_bits_in")
    refuse(wrap([x((3,), 0, 1)], [], [ops.Softmax(0, 0, 8, 31)], (3,)), "nodes[0] Softmax", "frac_bits_out")
    too_many = wrap([x(((1 << 23) + 1,), 0, 1)], [], [ops.Softmax(0, 0, 8, 16)], ((1 << 23) + 1,))
    refuse(too_many, "nodes[0] Softmax", "2**23 elements")


def test_invalid_a_quotient_by_what_may_be_zero_or_that_is_too_large() -> None:
    def quotient(low: int, high: int, least: int, shift: int) -> Graph:
        return wrap([x((1,), low, high), x((1,), least, TOP, "z")], [], [ops.Div(0, 1, shift)], (1,))

    accept(quotient(-TOP, TOP, 1, 0))
    accept(quotient(-3, 3, 3, -53))
    accept(quotient(-TOP, TOP, 1, 127))
    refuse(quotient(-3, 3, 0, 0), "nodes[0] Div", "the divisor is positive", low=0)
    refuse(quotient(-3, 3, -1, 0), "nodes[0] Div", "the divisor is positive", low=-1)
    refuse(quotient(-3, 4, 3, -53), "nodes[0] Div", "within 2**53")
    refuse(quotient(0, 1, 1, -128), "nodes[0] Div", "-127 to 127", shift=-128)


def test_a_quotient_s_interval_is_that_of_its_corners() -> None:
    graph = wrap([x((1,), -7, 5), x((1,), 2, 3, "z")], [], [ops.Div(0, 1, -1)], (1,))
    facts = verify(encode_graph(graph)).facts
    assert (facts[2].low, facts[2].high) == (-7, 5)


def test_invalid_a_root_of_what_may_be_negative_or_that_is_too_large() -> None:
    def root(low: int, high: int, shift: int) -> Graph:
        return wrap([x((1,), low, high)], [], [ops.Sqrt(0, shift)], (1,))

    accept(root(0, TOP, -26))
    accept(root(0, 1 << 52, -27))
    accept(root(3, 3, 127))
    refuse(root(-1, 4, 0), "nodes[0] Sqrt", "not negative", low=-1)
    refuse(root(0, (1 << 52) + (1 << 20), -27), "nodes[0] Sqrt", "within 2**53")
    refuse(root(0, 1, -128), "nodes[0] Sqrt", "-127 to 127", shift=-128)


def test_invalid_shifts_outside_their_range() -> None:
    for shift in (-1, 128):
        graph = wrap([x((1,), 0, 1)], [np.array([[1]]), np.array([shift])], [ops.Gemm(0, 0, None, 1)], (1,))
        refuse(graph, "nodes[0] Gemm", "0 to 127")


def test_invalid_a_weight_beyond_64_bit_sums() -> None:
    """Sums of 64-bit weights are taken in halves: they must not wrap around to something small."""
    widest = [[(1 << 63) - 1] * 4, [-(1 << 63)] * 4]
    for row in (*widest, [1 << 62, 1 << 62, 1 << 62, 1 << 62]):
        graph = wrap([x((4,), 0, 0)], [np.array([row])], [ops.Gemm(0, 0, None, None)], (1,))
        refuse(graph, "nodes[0] Gemm", "within 2**53")


def forest(
    features: list[int], thresholds: list[int], leaves: list[list[int]], low: int = -TOP, high: int = TOP
) -> Graph:
    constants = [np.array(features), np.array(thresholds), np.array(leaves)]
    return wrap([x((2,), low, high)], constants, [ops.Trees(0, 0, 1, 2)], (len(leaves[0]),))


STUMP = [0, -1, -1]


def test_invalid_trees_that_are_not_trees() -> None:
    """Every list of features reads as trees in one way at most: what is left to refuse is one that ends too early."""
    accept(forest([0, 1, -1, -1, -1, 0, -1, -1], [5, -5, 0], [[1], [2], [3], [4], [5]]))
    for features in ([0], [0, -1], [0, 1, -1, -1], [*STUMP, 0, -1]):
        refuse(forest(features, [1], [[1]]), "nodes[0] Trees", "every tree is complete")


def test_invalid_trees_that_look_where_nothing_is() -> None:
    accept(forest([1, -1, -1], [0], [[1], [2]]))
    refuse(forest([2, -1, -1], [0], [[1], [2]]), "nodes[0] Trees", "one of x's elements", highest=2)
    refuse(forest([-2, -1, -1], [0], [[1], [2]]), "nodes[0] Trees", "one of x's elements", lowest=-2)


def test_invalid_trees_with_thresholds_or_leaves_too_many_or_too_few() -> None:
    accept(forest([-1, *STUMP, -1], [0], [[1], [2], [3], [4]]))
    for thresholds in ([0, 0], [[0]]):
        refuse(forest(STUMP, thresholds, [[1], [2]]), "nodes[0] Trees", "each branch has a threshold")  # type: ignore[arg-type] # wrong shapes are what is tried
    refuse(forest([-1], [0], [[1]]), "nodes[0] Trees", "each branch has a threshold", branches=0)
    for leaves in ([[1]], [[1], [2], [3]]):
        refuse(forest(STUMP, [0], leaves), "nodes[0] Trees", "a row per leaf", expected=2)


def test_invalid_a_threshold_one_step_over() -> None:
    for threshold in (TOP, TOP - 1, -TOP, 1 - TOP):
        accept(forest(STUMP, [threshold], [[1], [2]]))
    for threshold in (TOP + 1, -TOP - 1):
        refuse(forest(STUMP, [threshold], [[1], [2]]), "nodes[0] Trees", "a threshold is exact")


@pytest.mark.parametrize("others", [[], [0]], ids=["one column", "two columns"])
def test_invalid_sums_over_trees_one_step_over(others: list[int]) -> None:
    half = TOP // 2
    accept(forest([*STUMP, *STUMP], [0, 9], [[half, *others], [-half, *others], [half, *others], [1 - half, *others]]))
    over = forest([*STUMP, *STUMP], [0, 9], [[half, *others], [-half, *others], [half + 1, *others], [0, *others]])
    refuse(over, "nodes[0] Trees", "every partial sum over trees", sum=TOP + 1)
    under = forest([*STUMP, -1], [0], [[1, *others], [-half, *others], [-half - 1, *others]])
    refuse(under, "nodes[0] Trees", "every partial sum over trees", sum=TOP + 1)
    cancels = forest([-1, -1, *STUMP], [0], [[TOP, *others], [1, *others], [-TOP, *others], [-TOP, *others]])
    refuse(cancels, "nodes[0] Trees", "every partial sum over trees", sum=TOP + 1)
    refuse(forest(STUMP, [0], [[TOP + 1, *others], [0, *others]]), "nodes[0] Trees", "a leaf is exact")


def test_the_interval_of_trees_is_the_sum_of_theirs() -> None:
    graph = forest([*STUMP, -1], [0], [[1, 5], [-3, 6], [10, 20]])
    facts = verify(encode_graph(graph)).facts
    assert (facts[1].shape, facts[1].low, facts[1].high) == ((2,), 7, 26)


@pytest.mark.parametrize(
    "features",
    [[0, -1, 0, -1, -1], [*STUMP, 0, -1, 0, -1, -1], [0, 0, -1, -1, -1], [-1, *STUMP], [*STUMP, -1], [-1, *STUMP, -1]],
)
def test_trees_whose_root_an_engine_may_take_for_a_leaf(features: list[int]) -> None:
    """A branch and a leaf of one number below a root (onnxruntime issue 24679), and roots that are leaves."""
    branches = sum(feature >= 0 for feature in features)
    leaves = len(features) - branches
    for columns in (1, 2):
        rows = [[1 << leaf, leaf][:columns] for leaf in range(leaves)]
        accept(forest(features, list(range(branches)), rows))


def chain(depth: int) -> Graph:
    return forest([*[0] * depth, *[-1] * (depth + 1)], list(range(depth, 0, -1)), [[i] for i in range(depth + 1)])


def test_invalid_trees_deeper_than_the_engine_builds() -> None:
    accept(chain(256))
    refuse(chain(257), "nodes[0] Trees", "256 branches in depth", depth=257)


def test_invalid_trees_of_what_is_not_one_list() -> None:
    for shape in ((), (2, 2)):
        constants = [np.array(STUMP), np.array([0]), np.array([[1], [2]])]
        graph = wrap([x(shape, 0, 1)], constants, [ops.Trees(0, 0, 1, 2)], (1,))
        refuse(graph, "nodes[0] Trees", "one list of features")


def test_invalid_numbers_outside_a_table() -> None:
    def table(low: int, high: int, values: Any) -> Graph:
        return wrap([x((2,), low, high)], [np.array(values)], [ops.Lookup(0, 0)], (2, *np.shape(values)[1:]))

    accept(table(0, 2, [[TOP, 0], [3, 4], [-TOP, 1]]))
    accept(table(1, 1, [5, 6]))
    refuse(table(0, 2, [1, 2]), "nodes[0] Lookup", "x lies inside the table", high=2, rows=2)
    refuse(table(-1, 0, [1, 2]), "nodes[0] Lookup", "x lies inside the table", low=-1)
    refuse(table(0, 0, [1, TOP + 1]), "nodes[0] Lookup", "a table's number is exact")


def test_a_table_s_interval_is_that_of_the_rows_in_reach() -> None:
    graph = wrap([x((), 1, 2)], [np.array([-9, 4, 3, 99])], [ops.Lookup(0, 0)])
    facts = verify(encode_graph(graph)).facts
    assert (facts[1].low, facts[1].high) == (3, 4)


def product(a: tuple[int, int], b: tuple[int, int], shift: int = 0, width: int = 2) -> Graph:
    specs = [x((3, width), *a), x((width, 2), *b, "z")]
    return wrap(specs, [], [ops.MatMul(0, 1, shift)], (3, 2))


def test_invalid_a_product_of_matrices_one_step_over() -> None:
    half = TOP >> 27
    for shift in (0, 1, 53, 127):
        accept(product((-half, half), (-(1 << 26), 1 << 26), shift))
    refuse(product((-half, half + 1), (-(1 << 26), 1 << 26)), "nodes[0] MatMul", "partial sum", sum=TOP + (1 << 27))
    refuse(product((-half, half), (-(1 << 26), 1 << 26), width=3), "nodes[0] MatMul", "partial sum")
    refuse(product((0, 1), (0, 1), 128), "nodes[0] MatMul", "a shift is 0 to 127", shift=128)


def test_the_interval_of_a_product_of_matrices_is_that_of_its_corners() -> None:
    facts = verify(encode_graph(product((-3, 1), (2, 5), 1))).facts
    assert (facts[2].shape, facts[2].low, facts[2].high) == ((3, 2), -15, 5)


def test_matrices_are_repeated_along_the_dimensions_before() -> None:
    specs = [x((4, 1, 3, 2), -9, 9), x((1, 5, 2, 1), -9, 9, "z")]
    accept(wrap(specs, [], [ops.MatMul(0, 1, 1)], (4, 5, 3, 1)))


def test_invalid_a_place_outside() -> None:
    def taken(low: int, high: int, shape: tuple[int, ...] = (3, 1)) -> Graph:
        specs = [x((2, 4), -TOP, TOP), x(shape, low, high, "z")]
        return wrap(specs, [], [ops.Take(0, 1, 0)], (shape[0], 4))

    accept(taken(0, 1))
    accept(taken(1, 1, (1, 4)))
    refuse(taken(0, 2), "nodes[0] Take", "an index lies inside x", high=2, size=2)
    refuse(taken(-1, 1), "nodes[0] Take", "an index lies inside x", low=-1)
    refuse(taken(0, 1, (3, 2)), "nodes[0] Take", "an index has x's rank")


def test_invalid_more_of_the_largest_than_there_are() -> None:
    def first(k: int, size: int) -> Graph:
        return wrap([x((2, size), -TOP, TOP)], [], [ops.TopK(0, 1, k, True)], (2, k))

    accept(first(4, 4))
    refuse(first(5, 4), "nodes[0] TopK", "k is 1 to", k=5, size=4)
    refuse(first(0, 4), "nodes[0] TopK", "k is 1 to", k=0)
