"""Rows and classes that count differently, and focal loss: closed forms, scikit-learn, and trainings with copied rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from headway.data.inputs import Inputs
from headway.data.sink import weights_of as column_of
from headway.data.store import Store
from headway.errors import ConfigError, DataError
from headway.evaluate.baselines import fit_baselines
from headway.models import model_configs
from headway.models.boosting import Boosting, predict
from headway.project import Project
from headway.run.directory import RunDirectory
from headway.serve.bundle import Predictor, complete_bundle
from headway.tasks import PLAIN, Objective, Target, TargetTask, target_task
from headway.tasks.focal import derivatives, losses_of
from headway.train.main import train
from headway.train.recipe import Recipe
from headway.train.table import TableWorkload
from headway.train.target import target_of, weights_of
from tests.support.small import make_rows

MODELS: dict[str, dict[str, Any]] = {
    "mlp": {"name": "mlp", "width": 16, "depth": 2},
    "boosting": {"name": "boosting", "trees": 40},
    "linear": {"name": "linear"},
    "ensemble": {"name": "ensemble", "trees": 60, "parts": 3},
}


def learner(objective: Objective = PLAIN) -> TargetTask:
    return target_task("classification").minimising(objective)


@pytest.mark.parametrize("loss", ["cross_entropy", "focal"])
@pytest.mark.parametrize("classes", [2, 4])
def test_gradients_of_weighted_losses_are_those_of_the_closed_form(loss: str, classes: int) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(30, classes))
    target, weight = rng.integers(0, classes, 30), rng.random(30)
    outputs = torch.tensor(logits, requires_grad=True)
    task = learner(Objective(loss, gamma=1.5))
    task.loss(outputs, torch.tensor(target), 0.0, torch.tensor(weight)).backward()
    assert outputs.grad is not None
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    own, hot = p[np.arange(30), target], np.eye(classes)[target]
    factor = np.ones(30) if loss == "cross_entropy" else (1 - own) ** 1.5 - 1.5 * (1 - own) ** 0.5 * own * np.log(own)
    truth = (weight * factor / 30)[:, None] * (p - hot)
    np.testing.assert_allclose(outputs.grad.numpy(), truth, rtol=1e-10, atol=1e-14)


def test_focal_loss_without_focus_is_cross_entropy_also_of_an_ensemble() -> None:
    torch.manual_seed(0)
    outputs, target, weight = torch.randn(20, 3, 4), torch.randint(0, 4, (20,)), torch.rand(20)
    focal, plain = learner(Objective("focal", gamma=0.0)), learner()
    torch.testing.assert_close(focal.loss(outputs, target), plain.loss(outputs, target))
    torch.testing.assert_close(focal.loss(outputs, target, 0.0, weight), plain.loss(outputs, target, 0.0, weight))


@pytest.mark.parametrize("classes", [2, 3])
def test_trees_are_given_the_derivatives_of_focal_loss(classes: int) -> None:
    rng = np.random.default_rng(0)
    raw = rng.normal(size=50) if classes == 2 else rng.normal(size=(50, classes))
    target = rng.integers(0, classes, 50)

    def first(raw: np.ndarray) -> np.ndarray:
        outputs = torch.tensor(raw, requires_grad=True)
        logits = torch.stack([torch.zeros_like(outputs), outputs], 1) if classes == 2 else outputs
        (learner(Objective("focal")).loss(logits, torch.tensor(target)) * 50).backward()
        assert outputs.grad is not None
        return outputs.grad.numpy()

    gradient, curve = derivatives(raw, target, 2.0)
    np.testing.assert_allclose(gradient, first(raw), rtol=1e-9, atol=1e-12)
    assert (curve > 0).all()
    if classes == 2:
        exact = (first(raw + 1e-5) - first(raw - 1e-5)) / 2e-5
        np.testing.assert_allclose(curve, np.maximum(exact, 1e-6), atol=1e-7)


@pytest.mark.parametrize("model", ["mlp", "boosting", "ensemble"])
def test_focal_loss_trains_and_the_bundle_predicts_the_same(make_run: Callable[..., RunDirectory], model: str) -> None:
    run = make_run(model=MODELS[model], train={"loss": "focal", "precision": "fp32", "epochs": 12})
    train(run)
    store, predicted = Store(run.store), np.load(run.predictions("test"))
    config = model_configs()[model].parse(MODELS[model], "model")
    preparation = replace(store.preparation, target=target_of(store, Objective("focal")))
    complete_bundle(run.bundle, preparation, config, "name: x\n")
    part = store.arrays("test")
    words = [["", "", "x", "y", "z"][code] for code in np.asarray(part["categorical"])[:, 0]]
    rows = pa.RecordBatch.from_pydict(
        {"a": np.asarray(part["numeric"])[:, 0], "b": np.asarray(part["numeric"])[:, 1], "c": words}
    )
    np.testing.assert_allclose(Predictor.load(run.bundle).predict(rows), predicted, atol=1e-4)
    np.testing.assert_allclose(predicted.sum(1), 1, rtol=1e-5)
    assert (predicted.argmax(1) == np.asarray(part["target"])).mean() > 0.7


def keep_weights(store: Path, weights: dict[str, np.ndarray]) -> None:
    for split, values in weights.items():
        np.save(store / split / "weight.npy", values)


@pytest.mark.parametrize("model", MODELS)
def test_rows_of_weight_zero_teach_nothing(make_run: Callable[..., RunDirectory], model: str) -> None:
    """Half of the rows have the wrong class and no weight."""
    accuracies = []
    for weighted in (True, False):
        run = make_run(model=MODELS[model], train={"precision": "fp32", "epochs": 12})
        counts = {}
        for split in ("train", "validation"):
            target = np.load(run.store / split / "target.npy")
            true = make_rows(len(target), ["train", "validation"].index(split))["target"]
            wrong = np.arange(len(target)) % 3 != 0
            np.save(run.store / split / "target.npy", np.where(wrong, 1 - true, true))
            counts[split] = (~wrong).astype(float)
        counts["test"] = np.ones(200)
        keep_weights(run.store, counts if weighted else {})
        train(run)
        target = np.load(run.store / "test" / "target.npy")
        accuracies.append((np.load(run.predictions("test")).argmax(1) == target).mean())
        for split in counts:
            (run.store / split / "weight.npy").unlink(missing_ok=True)
    least = 0.55 if model == "linear" else 0.62  # the truth is a product of two numbers, of which a line sees nothing
    assert accuracies[0] > least
    assert accuracies[1] < 0.45


def test_weights_have_a_mean_of_one_and_are_a_rows_own_times_its_classs(make_run: Callable[..., RunDirectory]) -> None:
    run = make_run()
    store, rng = Store(run.store), np.random.default_rng(0)
    assert weights_of(store, Recipe(), "train") is None
    target = np.load(run.store / "train" / "target.npy")
    balanced = weights_of(store, Recipe(class_weights="balanced"), "train")
    assert balanced is not None
    assert balanced[target == 0].sum() == pytest.approx(balanced[target == 1].sum())
    own = {split: rng.random(n) for split, n in store.rows.items()}
    keep_weights(run.store, own)
    both = weights_of(store, Recipe(class_weights={"yes": 3.0}), "train")
    assert both is not None
    np.testing.assert_allclose(
        both / both[0], own["train"] * np.where(target == 1, 3, 1) / (own["train"][0] * (1 + 2 * target[0]))
    )
    assert both.mean() == pytest.approx(1)
    tensors = TableWorkload(store, model_configs()["mlp"](), Recipe(class_weights={"yes": 3.0})).tensors("train")
    np.testing.assert_allclose(tensors["weight"], both, rtol=1e-6)  # pyrefly: ignore


def test_weights_of_classes_that_there_are_not_are_refused(make_run: Callable[..., RunDirectory]) -> None:
    store = Store(make_run().store)
    with pytest.raises(ConfigError) as error:
        weights_of(store, Recipe(class_weights={"yess": 2.0}), "train")
    assert str(error.value) == "train.class_weights must name classes of t, but yess is none; did you mean yes?"
    keep_weights(store.path, {split: np.zeros(n) for split, n in store.rows.items()})
    with pytest.raises(DataError, match="data.weight must be above 0 in some training row, but is 0 in all of them"):
        weights_of(store, Recipe(), "train")


def test_micro_batches_give_the_gradients_of_the_whole_batch() -> None:
    rng = np.random.default_rng(0)
    weights = torch.tensor(rng.random(60))
    weights /= weights.mean()
    logits, target = torch.tensor(rng.normal(size=(60, 3))), torch.tensor(rng.integers(0, 3, 60))
    whole = learner().loss(logits, target, 0.0, weights)
    parts = [
        learner().loss(logits[at : at + 20], target[at : at + 20], 0.0, weights[at : at + 20]) / 3 for at in (0, 20, 40)
    ]
    torch.testing.assert_close(sum(parts), whole)


def test_the_linear_model_and_its_baseline_weigh_rows_as_scikit_learn_does() -> None:
    part, rng = make_rows(400, 0), np.random.default_rng(0)
    weight = rng.random(400)
    x = part["numeric"].astype(float)
    model = LogisticRegression(C=1.0, max_iter=5000).fit(x, part["target"], weight)
    slopes, bias = learner().solve_linear(x, part["target"], 2, 1.0, weight)
    np.testing.assert_allclose(slopes[:, 1], model.coef_[0], rtol=1e-6)
    np.testing.assert_allclose(bias[1], model.intercept_[0], rtol=1e-6)
    ones = {**part, "weight": np.where(part["target"] == 1, 50.0, 1.0)}
    options: dict[str, Any] = {"outputs": 2, "cardinalities": (5,), "seed": 0}
    for name in ("linear", "boosting"):
        heavy = fit_baselines([name], "classification", ones, part, **options)[name].prediction[:, 1].mean()
        light = fit_baselines([name], "classification", part, part, **options)[name].prediction[:, 1].mean()
        assert heavy > light + 0.2


def test_trees_weigh_rows() -> None:
    part = {**make_rows(600, 0), "weight": np.ones(600)}

    def probability(weight: np.ndarray, objective: Objective) -> float:
        booster = Boosting(trees=60).fit(
            Inputs(2, (5,), (), 2),
            {**part, "weight": weight},
            {**part, "weight": weight},
            task=learner(objective),
            seed=0,
            patience=50,
            threads=1,
            on_tree=lambda *_: None,
        )
        values = predict(booster, part, Inputs(2, (5,), (), 2))
        return float(learner(objective).of_trees(Target("t", "classification"), values)[:, 1].mean())

    heavy = np.where(part["target"] == 1, 20.0, 1.0)
    for objective in (PLAIN, Objective("focal")):
        assert probability(heavy, objective) > probability(np.ones(600), objective) + 0.1


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([1.0, None], "data.weight w must be given in every row, but 1 of 2 rows lack it"),
        ([1.0, -2.0], "data.weight w must be at least 0, but 1 of 2 rows are negative"),
        ([1.0, float("inf")], "data.weight w must be finite, but 1 of 2 rows are not"),
        (["a", "b"], "data.weight w must be a column of numbers, but it is not"),
    ],
)
def test_a_column_that_holds_no_weights_is_refused(values: list[Any], text: str) -> None:
    with pytest.raises(DataError) as error:
        column_of(pa.RecordBatch.from_pydict({"w": values}), "w")
    assert str(error.value) == text


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"data.weight": "a"}, "weight must be neither a feature, the target nor a key, but a is one"),
        (
            {"train.label_smoothing": 0.1, "train.loss": "focal"},
            "label_smoothing must be 0 with loss focal, but is 0.1",
        ),
        ({"train.loss": "focal", "model": {"name": "linear"}}, "train.loss must be auto or cross_entropy for linear"),
        ({"train.class_weights": {"a": 0}}, "must be more than 0, but is 0"),
        ({"task": "regression", "train.class_weights": "balanced"}, "train.class_weights must be none for regression"),
    ],
)
def test_settings_that_do_not_fit_are_refused(more: dict[str, Any], text: str) -> None:
    data: dict[str, Any] = {"source": "x.csv", "target": "y", "features": {"a": "numeric"}}
    values: dict[str, Any] = {"name": "p", "task": "classification", "data": data, "train": {}}
    for name, value in more.items():
        section, _, key = name.partition(".")
        if key:
            values[section][key] = value
        else:
            values[section] = value
    with pytest.raises(ConfigError) as error:
        Project.parse(values, "p")
    assert text in str(error.value)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_a_row_that_is_certainly_right_has_a_finite_gradient(gamma: float) -> None:
    logits = torch.tensor([[0.0, 40.0]], requires_grad=True)
    losses_of(torch.log_softmax(logits, 1)[:, 1], gamma).sum().backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
