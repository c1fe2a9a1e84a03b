"""The losses of numbers: gradients against closed forms, trainings against what each loss is for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from headway.data.store import Store
from headway.errors import ConfigError, DataError
from headway.evaluate.baselines import fit_baselines
from headway.files.atomic import read_json, write_json
from headway.models import model_configs
from headway.models.description import DECODING
from headway.project import Project
from headway.run.directory import RunDirectory
from headway.serve.bundle import Predictor, complete_bundle
from headway.tasks import Objective, Target, TargetTask, target_task
from headway.train.main import train
from headway.train.recipe import Recipe
from headway.train.target import target_of
from tests.support.small import ROWS

DERIVATIVES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "mse": lambda o, t: 2 * (o - t),
    "mae": lambda o, t: np.sign(o - t),
    "huber": lambda o, t: np.clip(o - t, -0.7, 0.7),
    "quantile": lambda o, t: np.where(t > o, -0.9, 0.1),
    "poisson": lambda o, t: np.exp(o) - t,
    "gamma": lambda o, t: 1 - t * np.exp(-o),
    "tweedie": lambda o, t: np.exp(0.7 * o) - t * np.exp(-0.3 * o),
}
"""Of each loss by its output; with a log link the output is the logarithm of the mean."""

PARAMETERS: dict[str, Any] = {"quantile": 0.9, "delta": 0.7, "power": 1.3}
SETTINGS: dict[str, dict[str, Any]] = {
    "mae": {},
    "huber": {"huber_delta": 0.5},
    "quantile": {"quantile": 0.9},
    "poisson": {},
    "gamma": {},
    "tweedie": {"tweedie_power": 1.3},
}


def learner(objective: Objective) -> TargetTask:
    return target_task("regression").minimising(objective)


@pytest.mark.parametrize("name", DERIVATIVES)
@pytest.mark.parametrize("members", [1, 3])
def test_gradients_are_those_of_the_closed_form(name: str, members: int) -> None:
    rng = np.random.default_rng(0)
    outputs = torch.tensor(rng.normal(size=(40, members, 1)), requires_grad=True)
    target = rng.gamma(2.0, size=40)
    task = learner(Objective(name, **PARAMETERS))
    task.loss(outputs if members > 1 else outputs[:, 0], torch.tensor(target)).backward()
    assert outputs.grad is not None
    truth = DERIVATIVES[name](outputs.detach().numpy()[..., 0], target[:, None]) / (40 * members)
    np.testing.assert_allclose(outputs.grad.numpy()[..., 0], truth, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", DERIVATIVES)
def test_early_stopping_watches_what_is_minimised(name: str) -> None:
    torch.manual_seed(0)
    task, outputs, target = learner(Objective(name, **PARAMETERS)), torch.randn(50, 1), torch.rand(50) + 0.1
    assert task.score(task.decode(outputs), target) == pytest.approx(float(task.loss(outputs, target)), rel=1e-5)


@pytest.mark.parametrize("scale", ["linear", "log", "log1p"])
@pytest.mark.parametrize("name", ["mse", "poisson"])
def test_what_is_learnt_comes_back_in_the_targets_own_unit(name: str, scale: Any) -> None:
    values = np.random.default_rng(0).gamma(2.0, 5000.0, 100)
    objective = Objective(name, scale if name == "mse" else "linear").fitted(values)
    np.testing.assert_allclose(objective.restored(objective.standardised(values)), values, rtol=1e-5)


@pytest.mark.parametrize(
    ("objective", "values", "text"),
    [
        (Objective("poisson"), [-1, -2, -3, 4.0], "poisson needs a target of at least 0, but 3 rows are negative"),
        (Objective("tweedie"), [-1, 4.0], "tweedie needs a target of at least 0, but 1 row is negative"),
        (
            Objective("gamma"),
            [0, 0, 4.0],
            "gamma needs a target above 0, but 2 rows are at most 0; train.loss tweedie takes 0",
        ),
        (Objective("gamma"), [-1, 0, 4.0], "gamma needs a target above 0, but 2 rows are at most 0"),
        (
            Objective(scale="log"),
            [0, 4.0],
            "train.target_scale log needs a target above 0, but 1 row is at most 0; train.target_scale log1p takes 0",
        ),
        (
            Objective(scale="log1p"),
            [-1, 4.0],
            "train.target_scale log1p needs a target above -1, but 1 row is at most -1",
        ),
        (Objective("poisson"), [0, 0.0], "poisson needs a target with values above 0, but every training row has 0"),
    ],
)
def test_a_target_that_a_loss_cannot_have_is_refused_in_one_line(
    objective: Objective, values: list[float], text: str
) -> None:
    with pytest.raises(DataError) as error:
        objective.fitted(np.array(values))
    assert str(error.value) == text


@pytest.mark.parametrize(
    ("train", "model", "text"),
    [
        ({"loss": "mse", "quantile": 0.9}, "mlp", "quantile must come with loss quantile, but the loss is mse"),
        ({"loss": "quantile", "quantile": 0.905}, "mlp", "quantile must be in steps of 0.01, but is 0.905"),
        ({"loss": "poisson", "target_scale": "log"}, "mlp", "target_scale must be linear with loss poisson"),
        ({"loss": "quantile"}, "linear", "train.loss must be auto, mse, poisson, gamma or tweedie for linear"),
        ({"loss": "cross_entropy"}, "mlp", "train.loss must suit regression, but is cross_entropy; leave it auto"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(train: dict[str, Any], model: str, text: str) -> None:
    data = {"source": "x.csv", "target": "y", "features": {"a": "numeric"}}
    with pytest.raises(ConfigError) as error:
        Project.parse({"name": "p", "task": "regression", "data": data, "train": train, "model": {"name": model}}, "p")
    assert text in str(error.value)


def test_the_metric_of_the_loss_decides_where_none_is_stated() -> None:
    data = {"source": "x.csv", "target": "y", "features": {"a": "numeric"}}

    def deciding(train: dict[str, Any], gate: dict[str, Any]) -> tuple[str | None, tuple[str, ...]]:
        values = {"name": "p", "task": "regression", "data": data, "train": train, "gate": gate}
        project = Project.parse(values, "p")
        return project.gate_of(0).metric, project.further

    assert deciding({}, {}) == (None, ())
    assert deciding({"loss": "mae"}, {}) == ("mae", ())
    assert deciding({"loss": "quantile", "quantile": 0.9}, {}) == ("pinball_90", ("pinball_90",))
    assert deciding({"loss": "poisson"}, {"metric": "rmse"}) == ("rmse", ("poisson_deviance",))
    with pytest.raises(ConfigError, match="but is pinball_10"):
        deciding({"loss": "quantile", "quantile": 0.9}, {"metric": "pinball_10"})


def counts(rows: int, seed: int) -> dict[str, np.ndarray]:
    """Values above 0 whose mean grows as the exponential of a number; their spread grows with it."""
    rng = np.random.default_rng(seed)
    numeric = rng.normal(size=(rows, 2)).astype(np.float32)
    target = rng.gamma(2.0, np.exp(1 + 0.7 * numeric[:, 0]) / 2)
    return {"numeric": numeric, "categorical": rng.integers(2, 5, size=(rows, 1)).astype(np.int32), "target": target}


@pytest.fixture
def regression(make_run: Callable[..., RunDirectory]) -> Callable[..., RunDirectory]:
    """Make a run whose store has such a target."""

    def make(model: dict[str, Any], train: dict[str, Any]) -> RunDirectory:
        run = make_run(model=model, train=train)
        store = run.store
        values = {}
        for seed, (split, rows) in enumerate(ROWS.items()):
            values[split] = counts(rows, seed)
            for name, array in values[split].items():
                np.save(store / split / f"{name}.npy", array)
        target = Target("t", "regression", (), values["train"]["target"].mean(), values["train"]["target"].std())
        described = read_json(store / "preparation.json")
        write_json(store / "preparation.json", described | {"target": target.to_json()})
        return run

    return make


MODELS: dict[str, dict[str, Any]] = {
    "mlp": {"name": "mlp", "width": 16, "depth": 2},
    "boosting": {"name": "boosting", "trees": 60, "min_leaf": 10},
    "linear": {"name": "linear"},
    "ensemble": {"name": "ensemble", "trees": 60, "parts": 3},
}


def trained(run: RunDirectory) -> tuple[np.ndarray, np.ndarray, Predictor]:
    """The test's target, the training's predictions for it, and the bundle as a fresh process reads it."""
    train(run)
    store, project = Store(run.store), run.plan["project"]
    target = target_of(store, Recipe.parse(project["train"], "train").objective)
    model = model_configs()[project["model"]["name"]].parse(project["model"], "model")
    complete_bundle(run.bundle, replace(store.preparation, target=target), model, "name: x\n")
    return store.arrays("test")["target"], np.load(run.predictions("test")), Predictor.load(run.bundle)


def raw(part: dict[str, np.ndarray]) -> pd.DataFrame:
    words = np.array(["", "", "x", "y", "z"])[part["categorical"][:, 0]]
    return pd.DataFrame({"a": part["numeric"][:, 0], "b": part["numeric"][:, 1], "c": words})


@pytest.mark.parametrize(
    ("model", "loss"),
    [
        *((model, loss) for model in ("mlp", "boosting", "ensemble") for loss in SETTINGS),
        *(("linear", loss) for loss in ("poisson", "gamma", "tweedie")),
    ],
)
def test_each_loss_predicts_what_it_is_for_better_than_the_best_constant_also_from_the_bundle(
    regression: Callable[..., RunDirectory], model: str, loss: str
) -> None:
    settings = {"loss": loss, **SETTINGS[loss], "epochs": 25, "precision": "fp32"}
    target, predicted, predictor = trained(regression(MODELS[model], settings))
    bundle = predictor.predict(raw(counts(ROWS["test"], 2)))
    np.testing.assert_allclose(bundle, predicted, rtol=1e-4, atol=1e-4)
    learner = predictor.preparation.target.learner
    metric = learner.metric(learner.default_metric(0))
    trivial = learner.trivial(counts(ROWS["train"], 0)["target"], 1, len(target))
    assert metric.value(target, predicted) < 0.9 * metric.value(target, trivial)
    if loss == "quantile":
        assert np.mean(target <= predicted) == pytest.approx(0.9, abs=0.08)


@pytest.mark.parametrize("model", MODELS)
def test_a_log_target_is_learnt_as_its_logarithm(regression: Callable[..., RunDirectory], model: str) -> None:
    run = regression(MODELS[model], {"target_scale": "log", "epochs": 25, "precision": "fp32"})
    target, predicted, predictor = trained(run)
    np.testing.assert_allclose(predictor.predict(raw(counts(ROWS["test"], 2))), predicted, rtol=1e-4)
    assert (predicted > 0).all()
    described = read_json(run.bundle / "bundle.json")
    assert described["needs"] == [DECODING], "an earlier version would take its outputs for the target's own unit"
    assert np.corrcoef(np.log(predicted), np.log(target))[0, 1] > 0.6


def test_a_target_outside_the_losss_domain_is_found_in_any_part(regression: Callable[..., RunDirectory]) -> None:
    run = regression(MODELS["mlp"], {"loss": "poisson"})
    values = np.load(run.store / "test" / "target.npy")
    values[:3] = -1
    np.save(run.store / "test" / "target.npy", values)
    with pytest.raises(DataError, match="poisson needs a target of at least 0, but 3 rows are negative"):
        target_of(Store(run.store), Objective("poisson"))


def test_a_bundle_with_the_tasks_own_loss_is_written_as_before() -> None:
    plain = Target("y", "regression", (), 10.0, 3.0)
    assert plain.to_json() == {"column": "y", "task": "regression", "classes": (), "mean": 10.0, "std": 3.0}
    other = replace(plain, objective=Objective("quantile", quantile=0.9).fitted(np.arange(5.0)))
    assert Target.from_json(other.to_json()) == other


@pytest.mark.parametrize("loss", ["quantile", "mae", "poisson", "gamma", "tweedie", "huber"])
def test_baselines_minimise_what_the_model_minimises(loss: str) -> None:
    objective = Objective(loss, quantile=0.9)
    train, test = counts(3000, 0), counts(3000, 1)
    baselines = fit_baselines(
        ("trivial", "linear", "boosting"),
        "regression",
        train,
        test,
        outputs=1,
        cardinalities=(5,),
        seed=0,
        objective=objective,
    )
    task = learner(objective)
    metric = task.metric(task.default_metric(0))
    values = {name: metric.value(test["target"], one.prediction) for name, one in baselines.items()}
    assert max(values["linear"], values["boosting"]) < 0.95 * values["trivial"]
    if loss == "quantile":
        for one in baselines.values():
            assert np.mean(test["target"] <= one.prediction) == pytest.approx(0.9, abs=0.04)
    if loss == "mae":
        assert baselines["trivial"].prediction[0] == pytest.approx(np.median(train["target"]))


def test_the_tasks_own_loss_is_the_task_itself() -> None:
    plain = target_task("regression")
    assert plain.minimising(Objective()) is plain
    assert plain.minimising(Objective("mse")) is plain


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_a_linear_model_of_counts_finds_its_slope_in_every_unit(unit: float) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, 1))
    target = unit * rng.poisson(np.exp(x[:, 0]))
    task = target_task("regression").minimising(Objective(loss="poisson"))
    slope, bias = task.solve_linear(x, target, 1, 1.0)
    assert slope[0, 0] == pytest.approx(1.0, abs=0.02)
    assert bias[0] == pytest.approx(np.log(unit), abs=0.03)
