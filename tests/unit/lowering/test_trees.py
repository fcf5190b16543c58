"""Tree ensembles: random ones decide as onnxruntime does, trained ones too on rows not seen, bad ones are named."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from runtime.inference import Engine, interpret
from runtime.inference import graph as ir
from runtime.inference.constants import unpack
from tools.lowering import Lowered, OpRefused, lower

ML = "ai.onnx.ml"
MODES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]
FEATURES = 4


class Nodes:
    """The attributes of an ensemble, tree by tree; a root is listed first, its tree's other nodes in any order."""

    def __init__(self, random: np.random.Generator, modes: list[str]) -> None:
        self.random, self.modes = random, modes
        self.rows: list[tuple[Any, ...]] = []
        self.leaves: list[tuple[int, int, int, float]] = []
        self.tree = 0

    def add(self, depth: int, weights: Callable[[], list[tuple[int, float]]]) -> None:
        self._next = 0
        start = len(self.rows)
        self._grow(depth, weights)
        *others, root = self.rows[start:]
        self.rows[start:] = [root, *(others[place] for place in self.random.permutation(len(others)))]
        self.tree += 1

    def _grow(self, depth: int, weights: Callable[[], list[tuple[int, float]]]) -> int:
        name, self._next = self._next, self._next + 1
        if depth == 0 or self.random.random() < 0.2:
            self.rows.append((self.tree, name, 0, "LEAF", 0.0, 0, 0))
            self.leaves += [(self.tree, name, target, weight) for target, weight in weights()]
            return name
        feature, mode = int(self.random.integers(FEATURES)), str(self.random.choice(self.modes))
        value = float(self.random.integers(-8, 9)) / 4
        true, false = self._grow(depth - 1, weights), self._grow(depth - 1, weights)
        self.rows.append((self.tree, name, feature, mode, value, true, false))
        return name

    def attributes(self, kind: str) -> dict[str, Any]:
        names = ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")
        found = {
            f"nodes_{name}": list(column) for name, column in zip(names, zip(*self.rows, strict=True), strict=True)
        }
        leaves = zip(("treeids", "nodeids", "ids", "weights"), zip(*self.leaves, strict=True), strict=True)
        return found | {f"{kind}_{name}": list(column) for name, column in leaves}


def model_of(node: onnx.NodeProto, label: int | None = None, opset: int = 1, dtype: int = TensorProto.FLOAT) -> bytes:
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    if label is not None:
        outputs.insert(0, helper.make_tensor_value_info("label", label, None))
    inputs = [helper.make_tensor_value_info("x", dtype, ["N", FEATURES])]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(ML, opset)]
    graph = helper.make_graph([node], "trees", inputs, outputs)
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def regressor(attributes: dict[str, Any], targets: int = 1, **changes: Any) -> onnx.NodeProto:
    return helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        "last",
        domain=ML,
        n_targets=targets,
        **{name: value for name, value in (attributes | changes).items() if value is not None},
    )


def float_outputs(model: bytes, rows: np.ndarray, name: str = "x") -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {name: rows}), strict=True))


def exact_outputs(lowered: Lowered, rows: np.ndarray, name: str = "x") -> dict[str, np.ndarray]:
    integers = lowered.quantize({name: rows})
    found = Engine().run(lowered.model, integers)
    for output, values in interpret(lowered.model, {key: array[:4] for key, array in integers.items()}).items():
        np.testing.assert_array_equal(values, found[output][:4])
    return lowered.dequantize(found)


def rows_at_thresholds(random: np.random.Generator) -> np.ndarray:
    """Multiples of 1/8: many lie on thresholds, the others between them."""
    rows: np.ndarray = (random.integers(-20, 21, (60, FEATURES)) / 8).astype(np.float32)
    return rows


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    modes=st.sampled_from([*([mode] for mode in MODES), MODES, MODES[:4]]),
    targets=st.integers(1, 3),
    how=st.sampled_from(["SUM", "AVERAGE"]),
    apart=st.booleans(),
    based=st.booleans(),
)
def test_random_regressors_decide_as_the_float_model(
    seed: int, modes: list[str], targets: int, how: str, apart: bool, based: bool
) -> None:
    random = np.random.default_rng(seed)
    nodes = Nodes(random, modes)
    scale = 10.0 ** random.integers(-4, 5)
    for tree in range(int(random.integers(targets, 6))):  # each target has a tree
        touched = [tree % targets] if apart else list(range(targets))
        nodes.add(int(random.integers(0, 5)), lambda: [(t, float(random.normal(0, scale))) for t in touched])  # noqa: B023 # called at once
    changes: dict[str, Any] = {"aggregate_function": how}
    if based:
        changes["base_values"] = random.normal(0, scale, targets).tolist()
    model = model_of(regressor(nodes.attributes("target"), targets, **changes))
    rows = rows_at_thresholds(random)
    lowered = lower(model, calibration={"x": rows})
    expected, exact = float_outputs(model, rows)["y"], exact_outputs(lowered, rows)["y"]
    assert exact.shape == expected.shape
    assert np.abs(exact - expected).max() <= 3e-6 * scale
    assert lowered.report.outputs[0].error_max == pytest.approx(np.abs(exact - expected).max(), abs=1e-6 * scale)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    classes=st.integers(2, 4),
    kind=st.sampled_from(["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO"]),
    positive=st.booleans(),
    based=st.booleans(),
    text=st.booleans(),
    apart=st.booleans(),
)
def test_random_classifiers_say_what_the_float_model_says(
    seed: int, classes: int, kind: str, positive: bool, based: bool, text: bool, apart: bool
) -> None:
    """`apart`: two classes have a column each."""
    random = np.random.default_rng(seed)
    nodes = Nodes(random, MODES)
    columns = 1 if classes == 2 and not apart else classes
    based = based and columns != 2
    kind = "LOGISTIC" if columns == 1 and kind != "NONE" else kind

    def weights() -> list[tuple[int, float]]:
        drawn = random.normal(0, 1, columns)
        return [(column, float(abs(value) if positive else value)) for column, value in enumerate(drawn)]

    for _ in range(int(random.integers(1, 6))):
        nodes.add(int(random.integers(1, 5)), weights)
    step = 1 if columns == 2 else 7
    names: dict[str, Any] = {"classlabels_int64s": [step * number for number in range(classes)]}
    if text:
        names = {"classlabels_strings": list("wxyz"[:classes])}
    if based:
        names["base_values"] = random.normal(0, 1, columns).tolist()
    node = helper.make_node(
        "TreeEnsembleClassifier", ["x"], ["label", "y"], domain=ML, post_transform=kind,
        **nodes.attributes("class"), **names,
    )  # fmt: skip
    model = model_of(node, TensorProto.STRING if text else TensorProto.INT64)
    rows = rows_at_thresholds(random)
    lowered = lower(model, calibration={"x": rows})
    expected, exact = float_outputs(model, rows), exact_outputs(lowered, rows)
    assert (exact["label"] == expected["label"]).all()
    assert np.abs(exact["y"] - expected["y"]).max() <= 2e-6 * (1 + np.abs(expected["y"]).max())


@settings(max_examples=30, deadline=None)
@given(
    sets=st.lists(st.lists(st.integers(-3, 6), min_size=1, max_size=6), min_size=1, max_size=4),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_set_of_categories_is_one_branch(sets: list[list[int]], seed: int) -> None:
    """As LightGBM's exporter writes them: tests of equality one after another, with one true side for all."""
    random = np.random.default_rng(seed)
    made: list[list[Any]] = []  # mode, feature, value, true side, false side

    def add(mode: str, feature: int = 0, value: float = 0.0) -> int:
        made.append([mode, feature, value, 0, 0])
        return len(made) - 1

    def side(rest: list[list[int]]) -> int:
        """A set, then whatever the rest makes on its true side and on its false one."""
        if not rest:
            return add("LEAF")
        chain = [add("BRANCH_EQ", len(rest) % 2, float(category)) for category in rest[0]]
        inside, outside = side(rest[1:]), side(rest[2:])
        for place, after in zip(chain, [*chain[1:], outside], strict=True):
            made[place][3:] = inside, after
        return chain[0]

    side(sets)
    leaves = [place for place, (mode, *_) in enumerate(made) if mode == "LEAF"]
    names = ("modes", "featureids", "values", "truenodeids", "falsenodeids")
    nodes = {f"nodes_{name}": list(column) for name, column in zip(names, zip(*made, strict=True), strict=True)} | {
        "nodes_treeids": [0] * len(made), "nodes_nodeids": list(range(len(made))),
        "target_treeids": [0] * len(leaves), "target_nodeids": leaves, "target_ids": [0] * len(leaves),
        "target_weights": random.normal(0, 1, len(leaves)).tolist(),
    }  # fmt: skip
    model = model_of(regressor(nodes))
    rows = random.integers(-4, 8, (80, FEATURES)).astype(np.float32)
    lowered = lower(model, calibration={"x": rows})
    expected, exact = float_outputs(model, rows)["y"], exact_outputs(lowered, rows)["y"]
    assert np.abs(exact - expected).max() <= 1e-6
    (forest,) = (node for node in lowered.graph.nodes if isinstance(node, ir.Trees))
    assert len(unpack(lowered.graph.constants[forest.features])) == 2 * len(leaves) - 1


def test_thresholds_in_tensors_of_doubles_and_beyond_every_number() -> None:
    """ai.onnx.ml 3 has tensors; an infinite threshold leaves one way."""
    attributes = {
        "nodes_treeids": [0] * 5, "nodes_nodeids": [0, 1, 2, 3, 4], "nodes_featureids": [0, 0, 0, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "BRANCH_LEQ", "LEAF", "LEAF"], "nodes_truenodeids": [1, 0, 3, 0, 0],
        "nodes_falsenodeids": [2, 0, 4, 0, 0], "target_treeids": [0] * 3, "target_nodeids": [1, 3, 4],
        "target_ids": [0] * 3,
        "target_weights": [1.0, 2.0, 4.0],
        "nodes_values": [0.5, 0.0, float("inf"), 0.0, 0.0],
    }  # fmt: skip
    rows = np.array([[0.5, 0, 0, 0], [0.5000001, 0, 0, 0], [1e6, 0, 0, 0]], np.float32)
    model = model_of(regressor(attributes))
    assert exact_outputs(lower(model, calibration={"x": rows}), rows)["y"].reshape(-1).tolist() == [1, 2, 2]
    plain = {name: value for name, value in attributes.items() if name not in ("nodes_values", "target_weights")}
    tensors: dict[str, Any] = {
        "nodes_values_as_tensor": helper.make_tensor("v", TensorProto.DOUBLE, [5], [0.5, 0, 1e9, 0, 0]),
        "target_weights_as_tensor": helper.make_tensor("w", TensorProto.DOUBLE, [3], [1, 2, 4]),
    }
    model = model_of(regressor(plain, **tensors), opset=3, dtype=TensorProto.DOUBLE)
    assert exact_outputs(lower(model, calibration={"x": rows}), rows)["y"].reshape(-1).tolist() == [1, 2, 2]


@pytest.mark.parametrize(("mode", "crossed"), [("BRANCH_LEQ", 2), ("BRANCH_LT", 1), ("BRANCH_GT", 2)])
def test_the_report_says_where_a_grid_moves_a_threshold_across_values(mode: str, crossed: int) -> None:
    """One value of 2**40 leaves a grid of 2**-10, on which 1e-5 and 2e-5 are 0, not above 5e-6."""
    model = model_of(regressor(stump(nodes_values=[5e-6, 0.0, 0.0], nodes_modes=[mode, "LEAF", "LEAF"])))
    rows = np.zeros((4, FEATURES), np.float32)
    rows[:, 0] = [1e-5, 2e-5, 1e-6, 2.0**40]
    (note,) = lower(model, calibration={"x": rows}).report.notes
    assert f"across {crossed} calibration values, most of feature 0" in note
    rows[3] = 1
    assert lower(model, calibration={"x": rows}).report.notes == ()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    modes=st.sampled_from([*([mode] for mode in MODES[:4]), MODES[:4]]),
    single=st.booleans(),
)
def test_trees_behind_a_scaler_decide_as_float32_rounds(seed: int, modes: list[str], single: bool) -> None:
    """Rows whose scaled values meet thresholds, or miss them by a rounding; scales of both signs."""
    random = np.random.default_rng(seed)
    nodes = Nodes(random, modes)
    for _ in range(int(random.integers(1, 5))):
        nodes.add(int(random.integers(1, 6)), lambda: [(0, float(random.integers(-1000, 1000)))])
    count = 1 if single else FEATURES
    scale = random.choice([-3.7, -0.3, 0.7, 1 / 3, 5.9], count).astype(np.float32)
    offset = random.normal(0, 2, count).astype(np.float32)
    scaler = helper.make_node("Scaler", ["x"], ["s"], domain=ML, offset=offset.tolist(), scale=scale.tolist())
    trees = regressor(nodes.attributes("target"))
    trees.input[0] = "s"
    model = model_of(trees)
    proto = onnx.ModelProto.FromString(model)
    proto.graph.node.insert(0, scaler)
    model = proto.SerializeToString()
    middle = (rows_at_thresholds(random) / scale + offset).astype(np.float32)
    rows = np.concatenate([middle, np.nextafter(middle, np.float32(9)), np.nextafter(middle, np.float32(-9))])
    lowered = lower(model, calibration={"x": rows})
    assert (exact_outputs(lowered, rows)["y"] == float_outputs(model, rows)["y"]).all()
    assert {type(node).__name__ for node in lowered.graph.nodes} == {"Trees"}


def test_a_scaler_that_others_read_too_stays_for_them() -> None:
    proto = onnx.ModelProto.FromString(model_of(regressor(stump())))
    proto.graph.node[0].input[0] = "s"
    proto.graph.node.insert(0, helper.make_node("Scaler", ["x"], ["s"], domain=ML, offset=[0.1], scale=[0.3]))
    proto.graph.output.append(helper.make_tensor_value_info("s", TensorProto.FLOAT, None))
    rows = rows_at_thresholds(np.random.default_rng(0))
    model = proto.SerializeToString()
    exact, expected = exact_outputs(lower(model, calibration={"x": rows}), rows), float_outputs(model, rows)
    assert (exact["y"] == expected["y"]).all()
    assert np.abs(exact["s"] - expected["s"]).max() <= 1e-4


PREPARED: dict[str, Callable[[], Any]] = {
    "least to greatest": MinMaxScaler,
    "clipped": lambda: MinMaxScaler(clip=True),
    "median": RobustScaler,
    "columns apart": lambda: ColumnTransformer(
        [("a", StandardScaler(), [3, 0]), ("b", "passthrough", [1]), ("c", MaxAbsScaler(), [2])]
    ),
    "twice": lambda: make_pipeline(StandardScaler(), MinMaxScaler()),
}


@pytest.mark.parametrize("kind", PREPARED)
def test_forests_behind_preparations_look_at_the_inputs(kind: str) -> None:
    """Flowers are measured to a tenth: scaled, many lie on thresholds but for a rounding."""
    data = load_iris()
    rows = data.data.astype(np.float32)
    pipeline = make_pipeline(PREPARED[kind](), RandomForestClassifier(9, max_depth=6, random_state=0))
    model = trained(pipeline, rows[::2], data.target[::2])
    lowered = lower(model, calibration={"X": rows})
    assert [type(node).__name__ for node in lowered.graph.nodes] == ["Trees", "ArgMax", "Reshape"]
    exact, expected = exact_outputs(lowered, rows, "X"), float_outputs(model, rows, "X")
    wanted = np.array([list(row.values()) for row in expected["output_probability"]])
    assert np.abs(exact["output_probability"] - wanted).max() <= 2e-6
    assert (exact["output_label"] == expected["output_label"]).all()


def test_an_imputer_of_what_does_not_exist_is_no_node() -> None:
    """As skl2onnx writes SimpleImputer, StandardScaler, forest."""
    data = load_wine()
    rows = data.data.astype(np.float32)
    pipeline = make_pipeline(SimpleImputer(), StandardScaler(), RandomForestClassifier(9, max_depth=5, random_state=0))
    model = trained(pipeline, rows[::2], data.target[::2])
    lowered = lower(model, calibration={"X": rows})
    assert [type(node).__name__ for node in lowered.graph.nodes] == ["Trees", "ArgMax", "Reshape"]
    exact, expected = exact_outputs(lowered, rows, "X"), float_outputs(model, rows, "X")
    assert (exact["output_label"] == expected["output_label"]).all()


def test_a_leaf_that_adds_nothing_is_a_score_too() -> None:
    """As CatBoost writes all classes of all leaves: the first class wins with 0 over scores below it."""
    lists = {"class_treeids": [0] * 6, "class_nodeids": [1, 1, 1, 2, 2, 2], "class_ids": [0, 1, 2] * 2}
    weights = [0.0, -2.0, -1.0, -1.0, -2.0, 0.0]
    model = classifier(classlabels_int64s=[3, 4, 5], class_weights=weights, **lists)
    rows = rows_at_thresholds(np.random.default_rng(0))
    exact, expected = exact_outputs(lower(model, calibration={"x": rows}), rows), float_outputs(model, rows)
    assert set(expected["label"]) == {3, 5}
    assert (exact["label"] == expected["label"]).all()


BOUND = {"random_state": 0}
CLASSIFIERS: dict[str, Callable[[], Any]] = {
    "tree": lambda: DecisionTreeClassifier(**BOUND),
    "forest": lambda: RandomForestClassifier(25, max_depth=8, **BOUND),
    "extra trees": lambda: ExtraTreesClassifier(25, max_depth=8, **BOUND),
    "boosting": lambda: GradientBoostingClassifier(n_estimators=15, **BOUND),
    "boosting by histograms": lambda: HistGradientBoostingClassifier(max_iter=10, **BOUND),
}
REGRESSORS: dict[str, Callable[[], Any]] = {
    "tree": lambda: DecisionTreeRegressor(max_depth=8, **BOUND),
    "forest": lambda: RandomForestRegressor(25, max_depth=8, **BOUND),
    "extra trees": lambda: ExtraTreesRegressor(25, max_depth=8, **BOUND),
    "boosting": lambda: GradientBoostingRegressor(n_estimators=30, **BOUND),
    "boosting by histograms": lambda: HistGradientBoostingRegressor(max_iter=20, **BOUND),
}
DATA = {"iris": load_iris, "wine": load_wine, "cancer": load_breast_cancer}


def trained(model: Any, rows: np.ndarray, targets: np.ndarray) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # skl2onnx calls deprecated parts of scikit-learn
        model.fit(rows, targets)
        return bytes(to_onnx(model, rows[:1]).SerializeToString())


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_trained_classifiers_agree_on_rows_not_seen(kind: str, name: str) -> None:
    data = DATA[name]()
    order = np.random.default_rng(0).permutation(len(data.target))
    rows, targets = data.data.astype(np.float32)[order], data.target_names[data.target][order].astype(str)
    model = trained(CLASSIFIERS[kind](), rows[::2], targets[::2])
    lowered = lower(model, calibration={"X": rows[::2]})
    held_out = rows[1::2]
    exact, expected = exact_outputs(lowered, held_out, "X"), float_outputs(model, held_out, "X")
    assert (exact["output_label"] == expected["output_label"]).all()
    assert (exact["output_label"] == targets[1::2]).mean() >= 0.85
    wanted = np.array([list(row.values()) for row in expected["output_probability"]])
    assert np.abs(exact["output_probability"] - wanted).max() <= 2e-6
    assert lowered.report.agreement == 1.0
    assert lowered.graph.labels == tuple(sorted(set(targets)))


@pytest.mark.parametrize("targets", [1, 2])
@pytest.mark.parametrize("kind", REGRESSORS)
def test_trained_regressors_agree_on_rows_not_seen(kind: str, targets: int) -> None:
    if targets == 2 and "boosting" in kind:
        return  # scikit-learn boosts one target only
    data = load_diabetes()
    rows = data.data.astype(np.float32)
    wanted = data.target if targets == 1 else np.stack([data.target, np.sqrt(data.target)], axis=1)
    model = trained(REGRESSORS[kind](), rows[::2], wanted[::2])
    lowered = lower(model, calibration={"X": rows})
    exact, expected = exact_outputs(lowered, rows[1::2], "X"), float_outputs(model, rows[1::2], "X")
    assert np.abs(exact["variable"] - expected["variable"]).max() <= 1e-4


def stump(**changes: Any) -> dict[str, Any]:
    return {
        "nodes_treeids": [0, 0, 0], "nodes_nodeids": [0, 1, 2], "nodes_featureids": [0, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"], "nodes_values": [0.5, 0.0, 0.0],
        "nodes_truenodeids": [1, 0, 0], "nodes_falsenodeids": [2, 0, 0], "target_treeids": [0, 0],
        "target_nodeids": [1, 2], "target_ids": [0, 0], "target_weights": [1.0, 2.0],
    } | changes  # fmt: skip


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no nodes": ({"nodes_treeids": None}, "0 nodes"),
    "two of one number": ({"nodes_nodeids": [0, 1, 1]}, "two of its nodes have one number"),
    "a child that is not there": ({"nodes_falsenodeids": [5, 0, 0]}, "node 5 of tree 0, a child of node 0, does not"),
    "a child of two": ({"nodes_falsenodeids": [1, 0, 0]}, "has two parents"),
    "two roots": ({"nodes_treeids": [0, 0, 0, 0], "nodes_nodeids": [0, 1, 2, 3], "nodes_featureids": [0] * 4,
                   "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF", "LEAF"], "nodes_values": [0.5, 0.0, 0.0, 0.0],
                   "nodes_truenodeids": [1, 0, 0, 0], "nodes_falsenodeids": [2, 0, 0, 0]}, "exactly one root"),
    "a root that is not first": ({"nodes_nodeids": [1, 0, 2], "nodes_modes": ["LEAF", "BRANCH_LEQ", "LEAF"],
                                  "nodes_truenodeids": [0, 1, 0], "nodes_falsenodeids": [0, 2, 0]}, "root first"),
    "a circle": ({"nodes_modes": ["LEAF", "BRANCH_LEQ", "LEAF"], "nodes_truenodeids": [0, 1, 0],
                  "nodes_falsenodeids": [0, 2, 0], "target_nodeids": [0, 2]}, "goes in a circle"),
    "a feature that is not there": ({"nodes_featureids": [4, 0, 0]}, "feature 4 of 4"),
    "a threshold that is none": ({"nodes_values": [float("nan"), 0.0, 0.0]}, "compares feature 0"),
    "an unknown mode": ({"nodes_modes": ["BRANCH_MEMBER", "LEAF", "LEAF"]}, "BRANCH_MEMBER"),
    "a weight of a branch": ({"target_nodeids": [0, 2]}, "node 0 of tree 0, which is no such leaf"),
    "a target that is not there": ({"target_ids": [0, 1]}, "target 1"),
    "an infinite leaf": ({"target_weights": [1.0, float("inf")]}, "finite target_weights"),
    "a leaf too large": ({"target_weights": [1.0, 1e30]}, "too large to be summed exactly"),
    "lists that do not fit": ({"nodes_truenodeids": [1, 0]}, "nodes_truenodeids has 2 numbers, 3 are needed"),
    "an infinite base": ({"base_values": [float("inf")]}, "base_values"),
    "the least of trees": ({"aggregate_function": "MIN"}, "aggregate_function MIN"),
    "one logistic target": ({"post_transform": "LOGISTIC"}, "do not agree"),
    "one target's probit": ({"post_transform": "PROBIT"}, "PROBIT of one target"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "reason"), BAD.values(), ids=BAD)
def test_invalid_ensembles_say_what_is_wrong(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(OpRefused, match=reason) as found:
        lower(model_of(regressor(stump(**changes))))
    assert found.value.where == 'TreeEnsembleRegressor "last"'


def test_invalid_a_target_that_the_export_lost_is_named() -> None:
    """As a converter of several targets writes all leaves for the first: onnxruntime makes 0 of the others."""
    model = model_of(regressor(stump(), targets=2, base_values=[1.0, 2.0]))
    assert (float_outputs(model, np.zeros((1, FEATURES), np.float32))["y"][:, 1] == 0).all()
    with pytest.raises(OpRefused, match="no leaf adds to target 1"):
        lower(model)


def test_invalid_trees_too_deep_for_the_engine() -> None:
    depth = 257
    nodes = 2 * depth + 1
    changes = {
        "nodes_treeids": [0] * nodes, "nodes_nodeids": list(range(nodes)), "nodes_featureids": [0] * nodes,
        "nodes_modes": ["BRANCH_LEQ"] * depth + ["LEAF"] * (depth + 1), "nodes_values": [0.0] * nodes,
        "nodes_truenodeids": [*range(1, depth), depth, *[0] * (depth + 1)],
        "nodes_falsenodeids": [*range(depth + 1, nodes), *[0] * (depth + 1)],
    }  # fmt: skip
    with pytest.raises(OpRefused, match="deeper than 256"):
        lower(model_of(regressor(stump(**changes, target_nodeids=[depth, depth + 1]))))


def classifier(**changes: Any) -> bytes:
    attributes = {name.replace("target", "class"): value for name, value in stump().items()}
    node = helper.make_node("TreeEnsembleClassifier", ["x"], ["label", "y"], "last", domain=ML, **attributes | changes)
    return model_of(node, TensorProto.INT64)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"classlabels_int64s": [3]}, "1 classes"),
        ({"classlabels_int64s": [3, 4], "class_ids": [0, 1]}, "of which onnxruntime makes 0 and 1"),
        ({"classlabels_int64s": [0, 1], "class_ids": [0, 1]}, "second class may get no score"),
        ({"classlabels_int64s": [0, 1], "class_ids": [0, 1], "base_values": [1.0, 2.0]}, "a base value each"),
        ({"classlabels_int64s": [0, 1], "class_ids": [1, 1]}, "share the column of class_ids 1"),
        ({"classlabels_int64s": [3, 4], "post_transform": "SOFTMAX"}, "SOFTMAX is not supported for two classes"),
        ({"classlabels_int64s": [3, 4, 5], "post_transform": "CUBE"}, "post_transform CUBE is unknown"),
        ({"classlabels_int64s": [3, 4, 5], "class_weights": [-1.0, -2.0]}, "may get no score at all"),
        ({"classlabels_int64s": [3, 4, 5], "base_values": [1.0]}, "1 base_values do not fit 3"),
    ],
)
def test_invalid_classifiers_say_what_is_wrong(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(OpRefused, match=reason):
        lower(classifier(**changes))
