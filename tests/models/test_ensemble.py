"""The ensemble: trees whose mean is one booster, rows that are predicted by models that have not seen them, a linear model's share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import lightgbm
import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from headway.columns.ngrams import WEIGHTED
from headway.columns.ragged import Ragged
from headway.data.inputs import Inputs
from headway.data.prepared_rows import PreparedRows
from headway.models import cross_fitting
from headway.models.boosting import features, mean_of
from headway.models.ensemble import Ensemble, EnsembleFit, Growth
from headway.models.linear import Linear
from headway.tasks import Objective, Target, target_task

Rows = dict[str, np.ndarray]
INPUTS = Inputs(2, (4,), (), 1)


def _rows(count: int = 300, seed: int = 0) -> Rows:
    rng = np.random.default_rng(seed)
    numeric = rng.normal(size=(count, 2)).astype(np.float32)
    codes = rng.integers(0, 4, (count, 1)).astype(np.int32)
    return {"numeric": numeric, "categorical": codes, "target": 100 + 3 * numeric[:, 0].astype(float) + codes[:, 0]}


def _of_classes(classes: int, **more: int) -> Rows:
    rows = _rows(**more)
    edges = np.quantile(rows["target"], np.arange(1, classes) / classes)
    return {**rows, "target": np.digitize(rows["target"], edges).astype(np.int64)}


def _target(outputs: int, objective: Objective | None = None) -> Target:
    if outputs == 1:
        return Target("y", "regression", (), 101.5, 3.2, objective or Objective())
    return Target("y", "classification", tuple("abc"[:outputs]))


def _fit(
    rows: Rows,
    outputs: int = 1,
    independent: bool = True,
    validation: int = 60,
    objective: Objective | None = None,
    **settings: object,
) -> tuple[EnsembleFit, Growth]:
    model = Ensemble.parse({"trees": 60, **settings}, "model")
    rest = len(rows["target"]) - validation
    return model.fit(
        Inputs(2, (4,), (), outputs),
        {name: array[:rest] for name, array in rows.items()},
        {name: array[rest:] for name, array in rows.items()},
        target=_target(outputs, objective),
        seed=0,
        patience=10,
        threads=1,
        on_tree=lambda *_: None,
        independent=independent,
    )


def test_the_mean_of_boosters_is_one_booster_and_so_are_their_contributions() -> None:
    rows = _of_classes(3)
    parameters = {"objective": "multiclass", "num_class": 3, "verbosity": -1, "num_threads": 1, "bagging_freq": 1}
    x = features(rows)
    boosters = [
        lightgbm.train({**parameters, "seed": seed, "bagging_fraction": 0.5}, lightgbm.Dataset(x, rows["target"]), 12)
        for seed in range(3)
    ]
    trees = (12, 7, 3)
    mean = mean_of(boosters, trees)

    def truth(**how: bool) -> np.ndarray:
        each = [
            np.asarray(one.predict(x, num_iteration=count, **how)) for one, count in zip(boosters, trees, strict=True)
        ]
        return np.mean(each, 0)

    np.testing.assert_allclose(mean.predict(x, raw_score=True), truth(raw_score=True), atol=1e-12)
    np.testing.assert_allclose(mean.predict(x, pred_contrib=True), truth(pred_contrib=True), atol=1e-12)


@pytest.mark.parametrize("independent", [True, False])
def test_validation_rows_are_predicted_by_models_that_have_not_seen_them(independent: bool) -> None:
    """Trees learn by heart what they see, here a target that nothing tells."""
    rows = _rows(400)
    rows["target"] = np.random.default_rng(1).integers(0, 2, 400)
    rows["categorical"][:] = 0
    fit, growth = _fit(
        rows,
        2,
        independent,
        validation=150,
        leaves=64,
        min_leaf=1,
        learning_rate=0.3,
        parts="auto" if independent else 1,
    )
    validation = {name: array[-150:] for name, array in rows.items()}
    predictions = fit.predict(validation, Inputs(2, (4,), (), 2), _target(2))
    assert roc_auc_score(validation["target"], predictions[:, 1]) > 0.6
    assert abs(roc_auc_score(validation["target"], growth.validation[:, 1]) - 0.5) < 0.1


@pytest.mark.parametrize(("is_line", "least", "most"), [(True, 0.8, 1.0), (False, 0.0, 0.1)])
def test_the_linear_model_has_the_share_that_it_deserves(is_line: bool, least: float, most: float) -> None:
    rows = _rows()
    if not is_line:
        rows["target"] = np.sign(rows["numeric"][:, 0] * rows["numeric"][:, 1]).astype(float)
    fit, _ = _fit(rows)
    assert least <= fit.share <= most
    assert (fit.linear is None) == (fit.share == 0)


def _with_texts(count: int, ngrams: int, seed: int = 0) -> tuple[Rows, sparse.csr_matrix]:
    """Rows of two classes that neither numbers nor the n-grams tell."""
    chance = np.random.default_rng(seed)
    rows = {**_rows(count), "target": chance.integers(0, 2, count)}
    return rows, sparse.random(count, ngrams, 0.02, "csr", np.float32, random_state=seed)


def _fit_texts(rows: Rows, texts: sparse.csr_matrix, validation: int) -> tuple[EnsembleFit, Growth, Inputs, Target]:
    inputs, target, rest = Inputs(2, (4,), (), 2, (texts.shape[1],)), _target(2), len(rows["target"]) - validation
    fit, growth = Ensemble(trees=60, min_leaf=5).fit(
        inputs,
        {name: array[:rest] for name, array in rows.items()},
        {name: array[rest:] for name, array in rows.items()},
        target=target,
        seed=0,
        patience=10,
        threads=1,
        on_tree=lambda *_: None,
        independent=True,
        texts=(texts[:rest], texts[rest:]),
    )
    return fit, growth, inputs, target


def test_ngrams_are_not_chosen_by_the_rows_that_are_held_aside() -> None:
    """Of 5,000 that say nothing, 512 chosen by all rows would seem to tell the target of each of them."""
    rows, texts = _with_texts(600, 5000)
    _, growth, _, _ = _fit_texts(rows, texts, 300)
    assert len(growth.trees) == 5
    assert abs(roc_auc_score(rows["target"][-300:], growth.validation[:, 1]) - 0.5) < 0.09


def test_ngrams_that_tell_the_target_are_read_kept_and_explained(tmp_path: Path) -> None:
    rows, texts = _with_texts(600, 300)
    dense = texts.toarray()
    rows["target"] = ((dense[:, 7] > 0) ^ (rows["numeric"][:, 0] > 0)).astype(np.int64)
    dense[:, 9] = np.where(dense[:, 7] > 0, 0.5, 0)
    texts = sparse.csr_matrix(dense)
    fit, growth, inputs, target = _fit_texts(rows, texts, 100)
    assert roc_auc_score(rows["target"][-100:], growth.validation[:, 1]) > 0.9
    fit = replace(fit, linear=Linear().fit(rows, (4,), 2, task=target.learner, seed=0, texts=texts), share=0.4)
    fit.write(tmp_path)
    again, truth = EnsembleFit.read(tmp_path), fit.predict(rows, inputs, target, texts)
    np.testing.assert_array_equal(again.predict(rows, inputs, target, texts), truth)
    ragged = Ragged(
        np.array(list(zip(texts.indices, texts.data, strict=True)), WEIGHTED), texts.indptr.astype(np.int64)
    )
    prepared = PreparedRows({name: rows[name] for name in ("numeric", "categorical")}, {"tokens_0": ragged})
    reasons = Ensemble().contributions(again, inputs, prepared, prepared, target, np.zeros(600, np.int64))
    assert reasons.values.shape == (600, 4)
    np.testing.assert_allclose(expit(reasons.values.sum(1) + reasons.base), truth[:, 1], atol=1e-4)


def test_rows_that_belong_together_are_not_dealt_but_all_of_them_teach_in_the_end() -> None:
    calls: list[tuple[int, int]] = []
    rows = _rows()
    model = Ensemble(trees=40)
    fit, growth = model.fit(
        INPUTS,
        {name: array[:240] for name, array in rows.items()},
        {name: array[240:] for name, array in rows.items()},
        target=_target(1),
        seed=0,
        patience=10,
        threads=1,
        on_tree=lambda part, tree, *_: calls.append((part, tree)),
        independent=False,
    )
    assert {part for part, _ in calls} == {0, 1}
    assert len(growth.trees) == 1
    assert fit.trees.current_iteration() == growth.trees[0] == max(tree for part, tree in calls if part == 1)
    root = fit.trees.dump_model()["tree_info"][0]["tree_structure"]
    assert root["internal_count"] > 0.85 * 300, "the last trees see a share of all rows, not of the training rows"


@pytest.mark.parametrize(("trees", "parts"), [(60, 5), (59, 1), (10, 1)])
def test_a_table_whose_trees_take_long_is_not_dealt(trees: int, parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its trees get better to the last of 60: in a trial of 59, or where there is no time for one."""
    monkeypatch.setattr(cross_fitting, "MOST_WORK", trees * 900)
    fit, growth = _fit(_rows(), learning_rate=0.01)
    assert growth.trees == (60,) * parts
    assert fit.trees.current_iteration() == 60 * parts


@pytest.mark.parametrize(("later", "parts"), [(0, 5), (-1, 1)])
def test_a_trial_must_end_by_itself(later: int, parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a patience of 10 it ends ten trees after its best one."""
    rows = _rows()
    rows["target"] = rows["target"] + np.random.default_rng(2).normal(0, 5, 300)
    _, growth = _fit(rows, learning_rate=0.3)
    assert growth.trees[0] + 10 < 60
    monkeypatch.setattr(cross_fitting, "MOST_WORK", (growth.trees[0] + 10 + later) * 900)
    assert len(_fit(rows, learning_rate=0.3)[1].trees) == parts


@pytest.mark.parametrize("classes", [0, 2, 3])
def test_what_is_written_is_read_and_predicts_the_same(classes: int, tmp_path: Path) -> None:
    rows, outputs = (_of_classes(classes) if classes else _rows()), max(1, classes)
    inputs, target = Inputs(2, (4,), (), outputs), _target(outputs)
    fit, _ = _fit(rows, outputs)
    assert fit.linear is not None
    fit.write(tmp_path)
    truth = fit.predict(rows, inputs, target)
    np.testing.assert_array_equal(EnsembleFit.read(tmp_path).predict(rows, inputs, target), truth)
    if classes:
        np.testing.assert_allclose(truth.sum(1), 1, atol=1e-6)


@pytest.mark.parametrize("classes", [0, 2])
def test_a_dozen_rows_are_fitted(classes: int) -> None:
    rows = _of_classes(2, count=12) if classes else _rows(12)
    fit, growth = _fit(rows, max(1, classes), validation=2)
    outputs = max(1, classes)
    assert np.isfinite(fit.predict(rows, Inputs(2, (4,), (), outputs), _target(outputs))).all()
    assert np.isfinite(growth.validation).all()


def test_two_models_pooled_are_as_sure_as_their_mean_log_odds() -> None:
    first, second = np.array([[0.5, 0.5], [0.0, 1.0]]), np.array([[0.1, 0.9], [0.5, 0.5]])
    pooled = target_task("classification").pooled(first, second, 0.5)
    assert pooled[0, 1] / pooled[0, 0] == pytest.approx(3)  # odds of 1 and of 9
    assert 0 < pooled[1, 0] < 0.001
    assert target_task("regression").pooled(np.array([1.0]), np.array([5.0]), 0.25) == pytest.approx(2)


@pytest.mark.parametrize(
    "objective", [Objective("poisson"), Objective("quantile", quantile=0.9), Objective("mse", "log")]
)
def test_every_loss_gives_predictions_in_the_targets_own_unit(objective: Objective) -> None:
    rows = _rows()
    fitted = objective.fitted(rows["target"])
    fit, growth = _fit(rows, objective=fitted)
    for predictions, truth in (
        (fit.predict(rows, INPUTS, _target(1, fitted)), rows["target"]),
        (growth.validation, rows["target"][-60:]),
    ):
        assert np.corrcoef(predictions, truth)[0, 1] > 0.9
        assert abs(np.mean(predictions - truth)) < 4
