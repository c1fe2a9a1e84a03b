"""What each column contributes to a prediction: against brute force, closed forms, and the predictions themselves."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch

from headway.columns.ngrams import WEIGHTED
from headway.columns.ragged import Ragged
from headway.data.inputs import Inputs
from headway.data.padded import tensors_of
from headway.data.prepared_rows import PreparedRows
from headway.data.sparse import sparse
from headway.errors import ConfigError
from headway.models import ModelConfig, model_configs
from headway.models.attribution import along_paths, expected_gradients
from headway.models.base import Estimator
from headway.models.boosting import Boosting, Trees, features, load_lightgbm, predict
from headway.models.ensemble import Ensemble
from headway.models.layers import TableNetwork
from headway.models.linear import Linear
from headway.models.mlp import MLP
from headway.tasks import Objective, Target, target_task

CODES = (4, 90)
"""The second is embedded."""
EDGES = tuple(np.linspace(-3, 3, 9).tolist())
TARGETS = {
    "two classes": Target("y", "classification", ("no", "yes")),
    "three classes": Target("y", "classification", ("a", "b", "c")),
    "two classes, focal": Target("y", "classification", ("no", "yes"), objective=Objective("focal")),
    "three classes, focal": Target("y", "classification", ("a", "b", "c"), objective=Objective("focal")),
    "a number": Target("y", "regression", (), 10.0, 3.0),
    "a count": Target("y", "regression", (), 10.0, 3.0, Objective("poisson", center=2.3)),
    "a logarithm": Target("y", "regression", (), 10.0, 3.0, Objective("mae", "log", center=2.2, spread=0.4)),
}
TABLES = sorted(name for name, config in model_configs().items() if not config.completes)


def mlp(config: MLP, target: Target, tokens: tuple[int, ...] = ()) -> Any:
    """With random weights; typed as anything, for its layers are reached into."""
    network = config.build(inputs_of(target, tokens)).eval()
    assert isinstance(network, TableNetwork)
    return network


def encoded_by(network: Any, rows: PreparedRows) -> torch.Tensor:
    with torch.no_grad():
        return network.encode(**{k: v[: len(v)] for k, v in tensors_of(rows).items()})


def inputs_of(target: Target, tokens: tuple[int, ...] = ()) -> Inputs:
    """Bins for the second and third number alone, so that TabM embeds those and puts the first behind them."""
    return Inputs(3, CODES, ((), EDGES, EDGES), target.outputs, tokens)


def rows_of(count: int, seed: int, tokens: int = 0) -> PreparedRows:
    rng = np.random.default_rng(seed)
    numeric = rng.normal(size=(count, 3)).astype(np.float32)
    categorical = np.stack([rng.integers(0, n, count) for n in CODES], 1).astype(np.int32)
    lists = [rng.integers(1, tokens, rng.integers(1, 5)).tolist() for _ in range(count)] if tokens else []
    ragged = {"tokens_0": Ragged.of(lists)} if tokens else {}
    return PreparedRows({"numeric": numeric, "categorical": categorical}, ragged)


def target_values(rows: PreparedRows, target: Target, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x, codes = rows.arrays["numeric"], rows.arrays["categorical"]
    score = x[:, 0] + x[:, 1] * (codes[:, 0] - 1.5) + rng.normal(size=len(x))
    if target.outputs == 1:
        return (10 + 3 * score).clip(0.5)
    return np.digitize(score, np.quantile(score, np.arange(1, target.outputs) / target.outputs)).astype(np.int64)


def trained(config: ModelConfig, target: Target) -> Any:
    """Trees that were fitted, or a network with random weights."""
    if isinstance(config, Boosting):
        parts, task = [], target.learner
        for seed, count in ((1, 500), (2, 200)):
            rows = rows_of(count, seed)
            parts.append({**rows.arrays, "target": task.trees_target(target, target_values(rows, target, seed))})
        how = {"task": task, "seed": 0, "patience": 50, "threads": 1, "on_tree": lambda *_: None}
        return Trees(config.fit(inputs_of(target), parts[0], parts[1], **how))
    if isinstance(config, Ensemble):
        own = [
            {**some.arrays, "target": target_values(some, target, seed)}
            for seed, some in ((1, rows_of(500, 1)), (2, rows_of(200, 2)))
        ]
        how = {
            "target": target,
            "seed": 0,
            "patience": 50,
            "threads": 1,
            "on_tree": lambda *_: None,
            "independent": True,
        }
        fit, _ = config.fit(inputs_of(target), own[0], own[1], **how)
        line = Linear().fit(own[0], CODES, target.outputs, task=target.learner, seed=0)
        return replace(fit, linear=line, share=0.3)
    torch.manual_seed(0)
    network = config.build(inputs_of(target)).eval()
    if isinstance(config, Linear):
        for weights in network.parameters():
            torch.nn.init.normal_(weights)
    return network


def predicted(model: Any, rows: PreparedRows, target: Target) -> np.ndarray:
    """(N, classes) or (N,): as a bundle predicts."""
    if isinstance(model, Estimator):
        return model.predict(rows.arrays, inputs_of(target), target)
    with torch.no_grad():
        decoded = target.learner.decode(model(**{k: v[: len(v)] for k, v in tensors_of(rows).items()}))
    return target.learner.finish(target, decoded.numpy())


def margins_of(model: Any, rows: PreparedRows, target: Target) -> np.ndarray:
    """(N, M): from the predictions, by the definition of a log-odds, or of a logarithm."""
    predictions = predicted(model, rows, target).astype(np.float64)
    if target.outputs == 1:
        return (predictions if target.objective.is_plain else np.log(predictions))[:, None]
    logs = np.log(predictions)
    margins = np.stack([logs[:, k] - np.delete(logs, k, 1).mean(1) for k in range(target.outputs)], 1)
    return margins[:, 1:] if target.outputs == 2 else margins


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("name", TABLES)
def test_contributions_of_every_model_add_up_to_what_it_predicts(name: str, kind: str) -> None:
    target, config = TARGETS[kind], model_configs()[name]()
    model, rows, others = trained(config, target), rows_of(40, 5), rows_of(50, 6)
    margins = margins_of(model, rows, target)
    which = np.arange(40) % margins.shape[1]
    parts = config.contributions(model, inputs_of(target), rows, others, target, which)
    assert parts.values.shape == (40, 5)
    sums = parts.base + parts.values.sum(1)
    np.testing.assert_allclose(sums, margins[np.arange(40), which], rtol=1e-4, atol=1e-3 * margins.std())
    if config.compares_rows and not isinstance(config, Ensemble):  # whose trees start from the training rows
        mean = margins_of(model, others, target).mean(0)
        np.testing.assert_allclose(parts.base, mean[which], rtol=1e-4, atol=1e-4 * margins.std())


def shapley(columns: int, value: Any) -> np.ndarray:
    """By the definition, over all subsets."""
    values = np.zeros(columns)
    for i in range(columns):
        rest = [j for j in range(columns) if j != i]
        for size in range(columns):
            weight = math.factorial(size) * math.factorial(columns - size - 1) / math.factorial(columns)
            for subset in combinations(rest, size):
                values[i] += weight * (value({*subset, i}) - value(set(subset)))
    return values


def expectation(node: dict[str, Any], row: np.ndarray, subset: set[int]) -> float:
    """A tree's value where some columns are known: where one is not, both ways count by their training rows."""
    if "leaf_value" in node:
        return float(node["leaf_value"])
    left, right = node["left_child"], node["right_child"]
    if node["split_feature"] in subset:
        value = row[node["split_feature"]]
        is_code, threshold = node["decision_type"] == "==", node["threshold"]
        goes_left = str(int(value)) in threshold.split("||") if is_code else value <= threshold
        return expectation(left if goes_left else right, row, subset)
    counts = [child.get("internal_count", child.get("leaf_count")) for child in (left, right)]
    return float(np.average([expectation(child, row, subset) for child in (left, right)], weights=counts))


@pytest.mark.parametrize("kind", ["two classes", "three classes", "a number", "a logarithm"])
def test_tree_shap_is_the_shapley_values_of_its_trees_by_brute_force(kind: str) -> None:
    target = TARGETS[kind]
    config = Boosting(trees=3, leaves=6, columns=1.0, rows=1.0)
    booster, rows = trained(config, target).booster, rows_of(6, 7)
    x, trees = features(rows.arrays).astype(np.float64), booster.dump_model()["tree_info"]
    scores = booster.num_model_per_iteration()
    by_score = np.zeros((len(x), scores, 5))
    for number, tree in enumerate(trees):
        for row in range(len(x)):
            root = tree["tree_structure"]
            by_score[row, number % scores] += shapley(5, lambda subset: expectation(root, x[row], subset))  # noqa: B023
    if scores == 1:
        truth = by_score[:, 0]
        which = np.zeros(len(x), np.int64)
    else:
        which = np.arange(len(x)) % scores
        truth = np.stack([s[k] - np.delete(s, k, 0).mean(0) for s, k in zip(by_score, which, strict=True)])
    parts = config.contributions(Trees(booster), inputs_of(target), rows, rows, target, which)
    assert np.abs(truth).max() > 0.01
    np.testing.assert_allclose(parts.values, truth * target.learner.trees_standard(target)[1], rtol=1e-6, atol=1e-9)


def test_trees_that_read_texts_give_each_text_the_sum_of_its_words() -> None:
    """Of two texts the second decides."""
    target, rng = TARGETS["two classes"], np.random.default_rng(0)
    config, inputs = Boosting(trees=20, min_leaf=5), Inputs(3, CODES, ((), (), ()), 2, (8, 6))

    def some(count: int) -> tuple[PreparedRows, np.ndarray]:
        rows = rows_of(count, count)
        lists = [
            [
                np.array([(w, 1.0) for w in rng.choice(np.arange(1, n), 2, replace=False)], WEIGHTED)
                for _ in range(count)
            ]
            for n in (8, 6)
        ]
        ragged = {f"tokens_{i}": Ragged.join(words, WEIGHTED) for i, words in enumerate(lists)}
        return PreparedRows(rows.arrays, ragged), np.array([int(3 in words["feature"]) for words in lists[1]])

    parts = [some(300), some(120)]
    texts = [sparse(rows.ragged, inputs.tokens) for rows, _ in parts]
    arrays = [{**rows.arrays, "target": labels} for rows, labels in parts]
    how = {"task": target.learner, "seed": 0, "patience": 50, "threads": 1, "on_tree": lambda *_: None, "texts": texts}
    booster = config.fit(inputs, arrays[0], arrays[1], **how)
    rows, labels = parts[1]
    contributions = config.contributions(Trees(booster), inputs, rows, rows, target, np.zeros(120, np.int64))
    assert contributions.values.shape == (120, 7)
    shares = predict(booster, rows.arrays, inputs, texts[1]).astype(np.float64)
    np.testing.assert_allclose(
        contributions.base + contributions.values.sum(1), np.log(shares[:, 1] / shares[:, 0]), atol=1e-4
    )
    assert (np.sign(contributions.values[:, 6]) == np.where(labels, 1, -1)).all()
    assert np.abs(contributions.values[:, 6]).mean() > 10 * np.abs(contributions.values[:, 5]).mean()


def test_expected_gradients_of_a_linear_network_are_its_closed_form() -> None:
    """Weight times distance from the mean, summed over all that a column becomes: numbers, one-hot codes, embeddings, tokens."""
    target = TARGETS["a number"]
    torch.manual_seed(1)
    network = mlp(MLP(depth=0, text="tokens"), target, (30,))
    torch.nn.init.normal_(network.columns.bags.bags[0].weight)
    rows, others = rows_of(20, 8, 30), rows_of(30, 9, 30)
    parts = expected_gradients(network, rows, others, target, np.zeros(20, np.int64))

    weights = network.body[0].weight.detach().double().numpy()[0] * target.std
    apart = encoded_by(network, rows) - encoded_by(network, others).mean(0)
    product = apart.double().numpy() * weights
    ends = np.cumsum([1, 1, 1, 4, 16, 32])
    truth = np.stack([part.sum(1) for part in np.split(product, ends[:-1], 1)], 1)
    assert product.shape[1] == ends[-1]
    np.testing.assert_allclose(parts.values, truth, rtol=1e-4, atol=1e-4)


def test_a_linear_models_contributions_are_expected_gradients_of_the_same_weights() -> None:
    target = TARGETS["three classes"]
    config = Linear()
    network, rows, others = trained(config, target), rows_of(10, 3), rows_of(20, 4)
    which = np.arange(10) % 3
    parts = config.contributions(network, inputs_of(target), rows, others, target, which)
    numbers, codes = network.numbers.detach().double().numpy(), network.codes.detach().double().numpy()
    one, mean = rows.arrays, others.arrays["numeric"].mean(0)
    for row, k in enumerate(which):
        rest = [j for j in range(3) if j != k]
        own = numbers[:, k] - numbers[:, rest].mean(1)
        np.testing.assert_allclose(parts.values[row, :3], (one["numeric"][row] - mean) * own, atol=1e-4)
        scores = codes[:, k] - codes[:, rest].mean(1)
        first = scores[one["categorical"][row, 0]] - scores[others.arrays["categorical"][:, 0]].mean()
        np.testing.assert_allclose(parts.values[row, 3], first, atol=1e-4)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_the_points_on_the_way_miss_less_than_a_hundredth(activation: Any) -> None:
    """Before what they missed is spread over the columns. The root of the mean square, of the widest move."""
    target = TARGETS["two classes"]
    torch.manual_seed(2)
    network = mlp(MLP(width=64, depth=3, activation=activation), target)
    for weights in network.parameters():
        weights.requires_grad_(False)
        if weights.ndim == 2:
            weights *= 3  # as bent as a trained one
    task = target_task(target.task)
    x, z = encoded_by(network, rows_of(30, 1)), encoded_by(network, rows_of(100, 2))

    def margins(encoded: torch.Tensor) -> torch.Tensor:
        return task.margins(target, network.body(encoded))

    values = along_paths(margins, x, z, torch.zeros(30, dtype=torch.int64))
    moved = margins(x)[:, 0] - margins(z)[:, 0].mean()
    assert (values.sum(1) - moved).square().mean().sqrt() < 0.01 * moved.abs().max()


def test_a_column_that_no_weight_reads_contributes_nothing() -> None:
    target = TARGETS["two classes"]
    torch.manual_seed(3)
    network = mlp(MLP(width=16, depth=2), target)
    with torch.no_grad():
        network.body[0][0].weight[:, 1] = 0
    parts = expected_gradients(network, rows_of(20, 1), rows_of(50, 2), target, np.zeros(20, np.int64))
    np.testing.assert_allclose(parts.values[:, 1], 0, atol=1e-7)
    assert (np.abs(parts.values[:, [0, 2, 3, 4]]).max(0) > 1e-3).all()


def test_a_network_without_columns_side_by_side_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match="reasons need a network whose columns lie side by side"):
        expected_gradients(torch.nn.Linear(2, 2), rows_of(1, 0), rows_of(1, 0), TARGETS["two classes"], np.zeros(1))


def test_trees_are_loaded_as_they_were_saved_with_their_contributions() -> None:
    target, config = TARGETS["two classes"], Boosting(trees=5)
    booster, rows, which = trained(config, target).booster, rows_of(10, 1), np.zeros(10, np.int64)
    again = load_lightgbm().Booster(model_str=booster.model_to_string())
    one, two = (
        config.contributions(Trees(some), inputs_of(target), rows, rows, target, which).values
        for some in (booster, again)
    )
    np.testing.assert_array_equal(one, two)
