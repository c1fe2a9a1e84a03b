"""How large the error of a prediction is to be expected, by the row's inputs: a few trees of two levels, kept as numbers.

A prediction of 100 may be certain for one row and a guess for another. Small boosted trees learn the mean absolute residual of the
validation rows (a gamma deviance with a log link); intervals are this expectation times ends that follow the prediction. On
california-housing and bike_sharing that makes the interval score (Gneiting, Raftery 2007) 6 to 9 % better at the same coverage. LightGBM
grows the trees; numpy evaluates them, so that predicting with a network needs no LightGBM, whose import takes 1 s of a core.

Shapes: N rows, P inputs, T trees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headway.models.boosting import load_lightgbm_alone

if TYPE_CHECKING:
    from headway.evaluate.resample import Units

TREES = 60
FEWEST_ROWS = 1000
"""With fewer validation rows, the width follows the prediction alone."""
FOLDS = 5
SURE = 2.0
"""Standard errors by which the inputs must tell more of errors than the prediction alone does."""
NEVER = float(np.finfo(np.float64).max)
"""The threshold of a node that does not divide."""


@dataclass(frozen=True, eq=False)
class Spread:
    """The trees: a root and its left and right nodes, ``features`` and ``thresholds`` (T, 3); ``values`` (T, 4) of the leaves.

    A row goes left where its value is at most the threshold. The sum of the values is the logarithm of the expected absolute residual.
    """

    features: np.ndarray
    thresholds: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, values: Mapping[str, Any] | None) -> Spread | None:
        """From bundle.json."""
        if values is None:
            return None
        return cls(*(np.array(values[name]) for name in ("features", "thresholds", "values")))

    def to_json(self) -> dict[str, object]:
        """For bundle.json."""
        return {name: getattr(self, name).tolist() for name in ("features", "thresholds", "values")}

    def expected(self, x_NP: np.ndarray) -> np.ndarray:
        """(N,) the absolute residual that is to be expected of each row."""
        first, left, right = (x_NP[:, self.features[:, node]] > self.thresholds[:, node] for node in range(3))
        a, b, c, d = self.values.T
        return np.exp(np.where(first, np.where(right, d, c), np.where(left, b, a)).sum(1))


def fit_spread(x_NP: np.ndarray, residuals: np.ndarray, units: Units) -> tuple[Spread, np.ndarray] | None:
    """Of validation rows, the last input being the prediction: the trees, and what those of the other folds expect of each row (N,).

    None where there are few rows or units, or where the other inputs tell no more of the errors than the prediction does. A unit that lay
    in two folds would be recognised by its inputs: of 20 groups with a noise of their own, intervals then held 72 % of new groups' rows.
    """
    sizes = np.abs(residuals)
    if len(sizes) < FEWEST_ROWS or units.count < 2 * FOLDS or not sizes.any():
        return None
    sizes = np.maximum(sizes, 1e-3 * sizes.mean())  # a gamma distribution has no zeros
    expectation, alone = (_of_other_folds(x, sizes, units) for x in (x_NP, x_NP[:, -1:]))
    better = (np.log(alone) + sizes / alone) - (np.log(expectation) + sizes / expectation)
    if better.mean() < SURE * units.standard_error(better):
        return None
    return _fit(x_NP, sizes), expectation


def _of_other_folds(x_NP: np.ndarray, sizes: np.ndarray, units: Units) -> np.ndarray:
    fold = units.folds(FOLDS)
    expectation = np.empty(len(sizes))
    for number in range(FOLDS):
        is_aside = fold == number
        expectation[is_aside] = _fit(x_NP[~is_aside], sizes[~is_aside]).expected(x_NP[is_aside])
    return expectation


def _fit(x_NP: np.ndarray, sizes: np.ndarray) -> Spread:
    lightgbm = load_lightgbm_alone()
    settings = {
        "objective": "gamma",
        "learning_rate": 0.1,
        "num_leaves": 4,
        "max_depth": 2,
        "min_data_in_leaf": 50,
        "lambda_l2": 1.0,
        "use_missing": False,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "seed": 0,
        "verbosity": -1,
    }
    booster = lightgbm.train(settings, lightgbm.Dataset(x_NP, sizes), num_boost_round=TREES)
    trees = [_nodes(tree["tree_structure"]) for tree in booster.dump_model()["tree_info"]]
    features, thresholds, values = (np.array([tree[part] for tree in trees]) for part in range(3))
    return Spread(features, thresholds, values)


def _nodes(root: Mapping[str, Any]) -> tuple[list[int], list[float], list[float]]:
    """A tree of LightGBM as three nodes and four leaves; a leaf above the second level is a node that does not divide."""
    left, right = (root, root) if "leaf_value" in root else (root["left_child"], root["right_child"])
    features, thresholds, values = [root.get("split_feature", 0)], [root.get("threshold", NEVER)], []
    for node in (left, right):
        features.append(node.get("split_feature", 0))
        thresholds.append(node.get("threshold", NEVER))
        ends = (node, node) if "leaf_value" in node else (node["left_child"], node["right_child"])
        values += [end["leaf_value"] for end in ends]
    return features, thresholds, values
