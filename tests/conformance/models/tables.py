"""Models of tables, trained with scikit-learn on the data sets that it ships and exported by skl2onnx as people do.

What lives here: one function per kind, (x, y) -> (estimator, options for skl2onnx). make_models.py splits, trains,
exports and stores; nothing here is run by tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sklearn import (
    calibration,
    cluster,
    compose,
    datasets,
    decomposition,
    discriminant_analysis,
    ensemble,
    feature_selection,
    gaussian_process,
    impute,
    linear_model,
    multiclass,
    multioutput,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
    utils,
)


def _missing() -> Any:
    """Wine with every twelfth value missing, but for a rest."""
    found = datasets.load_wine()
    lacks = np.random.default_rng(0).random(found.data.shape) < 1 / 12
    return utils.Bunch(data=np.where(lacks, np.nan, found.data), target=found.target)


def _texts() -> Any:
    """Wine in words: each of five columns is in one of four parts of its range."""
    found = datasets.load_wine()
    data = found.data[:, [0, 6, 9, 10, 12]]
    parts = np.array([np.digitize(column, np.quantile(column, [0.25, 0.5, 0.75])) for column in data.T]).T
    return utils.Bunch(data=np.array(["least", "less", "more", "most"])[parts], target=found.target)


SETS: Final[dict[str, Callable[[], Any]]] = {
    "missing_wine": _missing,
    "texts_wine": _texts,
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "cancer": datasets.load_breast_cancer,
    "digits": datasets.load_digits,
    "diabetes": datasets.load_diabetes,
    "linnerud": datasets.load_linnerud,
}


@dataclass(frozen=True)
class Table:
    """One model: `build` makes the untrained estimator; `metric`: accuracy or r2; `options`: skl2onnx's."""

    data: str
    build: Callable[[], Any]
    metric: str = "accuracy"
    opset: int = 17
    options: dict[str, Any] | None = None


def _scaled(*steps: Any) -> Any:
    return pipeline.make_pipeline(preprocessing.StandardScaler(), *steps)


_PROBABILITIES: Final = {"zipmap": False}

TABLES: Final[dict[str, Table]] = {
    "logistic_iris": Table("iris", lambda: _scaled(linear_model.LogisticRegression(max_iter=500)), opset=13),
    "logistic_cancer": Table("cancer", lambda: _scaled(linear_model.LogisticRegression()), options=_PROBABILITIES),
    "logistic_raw_wine": Table("wine", lambda: linear_model.LogisticRegression(max_iter=20000)),
    "one_vs_rest_wine": Table(
        "wine", lambda: _scaled(multiclass.OneVsRestClassifier(linear_model.LogisticRegression()))
    ),
    "sgd_digits": Table("digits", lambda: _scaled(linear_model.SGDClassifier(random_state=0))),
    "ridge_classifier_wine": Table("wine", lambda: _scaled(linear_model.RidgeClassifier())),
    "perceptron_digits": Table("digits", lambda: _scaled(linear_model.Perceptron(random_state=0))),
    "mlp_digits": Table(
        "digits", lambda: _scaled(neural_network.MLPClassifier((32,), max_iter=300, random_state=0)), opset=15
    ),
    "mlp_tanh_cancer": Table(
        "cancer", lambda: _scaled(neural_network.MLPClassifier((16,), "tanh", max_iter=600, random_state=0))
    ),
    "linear_diabetes": Table("diabetes", lambda: linear_model.LinearRegression(), "r2"),
    "lasso_diabetes": Table("diabetes", lambda: _scaled(linear_model.Lasso(0.5)), "r2"),
    "polynomial_diabetes": Table(
        "diabetes", lambda: pipeline.make_pipeline(preprocessing.PolynomialFeatures(2), linear_model.Ridge(0.01)), "r2"
    ),
    "poisson_diabetes": Table("diabetes", lambda: _scaled(linear_model.PoissonRegressor()), "r2"),
    "two_targets_linnerud": Table(
        "linnerud", lambda: _scaled(multioutput.MultiOutputRegressor(linear_model.Ridge())), "r2"
    ),
    "tree_iris": Table("iris", lambda: tree.DecisionTreeClassifier(random_state=0), opset=14),
    "forest_wine": Table("wine", lambda: ensemble.RandomForestClassifier(40, max_depth=6, random_state=0)),
    "forest_digits": Table(
        "digits", lambda: ensemble.RandomForestClassifier(12, max_depth=6, random_state=0), opset=18
    ),
    "extra_trees_cancer": Table("cancer", lambda: ensemble.ExtraTreesClassifier(30, max_depth=7, random_state=0)),
    "forest_diabetes": Table("diabetes", lambda: ensemble.RandomForestRegressor(30, max_depth=6, random_state=0), "r2"),
    "boosting_cancer": Table("cancer", lambda: ensemble.GradientBoostingClassifier(random_state=0, n_estimators=50)),
    "boosting_wine": Table("wine", lambda: ensemble.GradientBoostingClassifier(random_state=0, n_estimators=30)),
    "boosting_diabetes": Table("diabetes", lambda: ensemble.GradientBoostingRegressor(random_state=0), "r2"),
    "histogram_boosting_cancer": Table("cancer", lambda: ensemble.HistGradientBoostingClassifier(max_iter=40)),
    "histogram_boosting_iris": Table("iris", lambda: ensemble.HistGradientBoostingClassifier(max_iter=30)),
    "histogram_boosting_diabetes": Table("diabetes", lambda: ensemble.HistGradientBoostingRegressor(max_iter=40), "r2"),
    "adaboost_wine": Table("wine", lambda: ensemble.AdaBoostClassifier(n_estimators=20, random_state=0)),
    "bagging_iris": Table(
        "iris", lambda: ensemble.BaggingClassifier(tree.DecisionTreeClassifier(max_depth=4), 8, random_state=0)
    ),
    "voting_wine": Table(
        "wine",
        lambda: ensemble.VotingClassifier(
            [
                ("a", _scaled(linear_model.LogisticRegression())),
                ("b", tree.DecisionTreeClassifier(max_depth=4, random_state=0)),
                ("c", naive_bayes.GaussianNB()),
            ],
            voting="soft",
            flatten_transform=False,
        ),
    ),
    "stacking_iris": Table(
        "iris",
        lambda: ensemble.StackingClassifier(
            [
                ("a", linear_model.LogisticRegression(max_iter=500)),
                ("b", tree.DecisionTreeClassifier(max_depth=3, random_state=0)),
            ]
        ),
    ),
    "isolation_forest_wine": Table("wine", lambda: ensemble.IsolationForest(n_estimators=6, random_state=0), "label"),
    "svc_rbf_iris": Table("iris", lambda: _scaled(svm.SVC(probability=False)), opset=17),
    "svc_rbf_wine": Table("wine", lambda: _scaled(svm.SVC())),
    "svc_linear_wine": Table("wine", lambda: _scaled(svm.SVC(kernel="linear"))),
    "svc_poly_cancer": Table("cancer", lambda: _scaled(svm.SVC(kernel="poly", degree=3))),
    "svr_diabetes": Table("diabetes", lambda: _scaled(svm.SVR(C=100.0)), "r2"),
    "nearest_iris": Table("iris", lambda: neighbors.KNeighborsClassifier(5)),
    "nearest_diabetes": Table("diabetes", lambda: _scaled(neighbors.KNeighborsRegressor(7)), "r2"),
    "kmeans_iris": Table("iris", lambda: cluster.KMeans(3, random_state=0, n_init=3), "label"),
    "kmeans_pipeline_wine": Table("wine", lambda: _scaled(cluster.KMeans(3, random_state=0, n_init=3)), "label"),
    "pca_logistic_digits": Table(
        "digits", lambda: _scaled(decomposition.PCA(20), linear_model.LogisticRegression(max_iter=500))
    ),
    "svd_forest_digits": Table(
        "digits",
        lambda: pipeline.make_pipeline(
            decomposition.TruncatedSVD(16, random_state=0),
            ensemble.RandomForestClassifier(8, max_depth=6, random_state=0),
        ),
    ),
    "gaussian_nb_iris": Table("iris", lambda: naive_bayes.GaussianNB()),
    "multinomial_nb_digits": Table("digits", lambda: naive_bayes.MultinomialNB()),
    "bernoulli_nb_digits": Table(
        "digits", lambda: pipeline.make_pipeline(preprocessing.Binarizer(threshold=7.0), naive_bayes.BernoulliNB())
    ),
    "lda_wine": Table("wine", lambda: discriminant_analysis.LinearDiscriminantAnalysis()),
    "qda_wine": Table("wine", lambda: _scaled(discriminant_analysis.QuadraticDiscriminantAnalysis())),
    "gaussian_process_diabetes": Table(
        "diabetes",
        lambda: _scaled(
            gaussian_process.GaussianProcessRegressor(gaussian_process.kernels.RBF(5.0), alpha=0.5, optimizer=None)
        ),
        "r2",
    ),
    "imputed_wine": Table(
        "missing_wine",
        lambda: pipeline.make_pipeline(
            impute.SimpleImputer(strategy="median"),
            preprocessing.StandardScaler(),
            linear_model.LogisticRegression(max_iter=500),
        ),
        options=_PROBABILITIES,
    ),
    "missing_wine": Table(
        "missing_wine", lambda: ensemble.HistGradientBoostingClassifier(max_iter=20), options=_PROBABILITIES
    ),
    "one_hot_texts_wine": Table(
        "texts_wine",
        lambda: pipeline.make_pipeline(
            preprocessing.OneHotEncoder(handle_unknown="ignore"), linear_model.LogisticRegression(max_iter=500)
        ),
    ),
    "ordinal_texts_wine": Table(
        "texts_wine",
        lambda: pipeline.make_pipeline(
            preprocessing.OrdinalEncoder(), ensemble.RandomForestClassifier(12, max_depth=5, random_state=0)
        ),
        options=_PROBABILITIES,
    ),
    "kernel_pca_iris": Table(
        "iris", lambda: _scaled(decomposition.KernelPCA(4, kernel="rbf"), linear_model.LogisticRegression(max_iter=500))
    ),
    "calibrated_cancer": Table(
        "cancer", lambda: calibration.CalibratedClassifierCV(naive_bayes.GaussianNB(), cv=3, method="isotonic")
    ),
    "scalers_wine": Table(
        "wine",
        lambda: pipeline.make_pipeline(
            preprocessing.MinMaxScaler(),
            preprocessing.RobustScaler(),
            preprocessing.MaxAbsScaler(),
            linear_model.LogisticRegression(max_iter=2000),
        ),
    ),
    "normalizer_iris": Table(
        "iris",
        lambda: pipeline.make_pipeline(
            preprocessing.Normalizer(), linear_model.LogisticRegression(C=50.0, max_iter=2000)
        ),
    ),
    "power_transformer_cancer": Table(
        "cancer", lambda: pipeline.make_pipeline(preprocessing.PowerTransformer(), linear_model.LogisticRegression())
    ),
    "bins_wine": Table(
        "wine",
        lambda: pipeline.make_pipeline(
            preprocessing.KBinsDiscretizer(4, encode="onehot-dense", quantile_method="averaged_inverted_cdf"),
            linear_model.LogisticRegression(max_iter=500),
        ),
    ),
    "select_cancer": Table(
        "cancer",
        lambda: pipeline.make_pipeline(
            impute.SimpleImputer(),
            feature_selection.SelectKBest(k=10),
            preprocessing.StandardScaler(),
            linear_model.LogisticRegression(),
        ),
    ),
    "columns_wine": Table(
        "wine",
        lambda: pipeline.make_pipeline(
            compose.ColumnTransformer(
                [
                    ("scaled", preprocessing.StandardScaler(), [0, 1, 2, 3, 4, 5]),
                    ("squeezed", preprocessing.MinMaxScaler(), [6, 7, 8, 9]),
                    ("kept", "passthrough", [10, 11, 12]),
                ]
            ),
            linear_model.LogisticRegression(max_iter=5000),
        ),
    ),
    "union_digits": Table(
        "digits",
        lambda: pipeline.make_pipeline(
            pipeline.make_union(decomposition.PCA(8), preprocessing.MinMaxScaler()),
            linear_model.LogisticRegression(max_iter=2000),
        ),
    ),
}
