"""The linear model is scikit-learn's, as a network and however many rows are predicted at once."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from headway.data.inputs import Inputs
from headway.models import linear
from headway.models.linear import Linear
from headway.tasks import target_task


@pytest.mark.parametrize("classes", [0, 2, 3])
def test_a_linear_model_predicts_as_scikit_learns_pipeline(classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "CHUNK", 64)
    rng = np.random.default_rng(classes)
    numbers = rng.normal([5, -2], [1, 100], (300, 2)).astype(np.float32)
    codes = np.stack([rng.integers(0, 4, 300), rng.integers(0, 3, 300)], 1).astype(np.int32)
    score = numbers[:, 0] - numbers[:, 1] / 100 + codes[:, 0] + rng.normal(size=300)
    target = np.digitize(score, np.quantile(score, [1 / 3, 2 / 3][: classes - 1])) if classes else 1000 + score
    arrays = {"numeric": numbers, "categorical": codes, "target": target}
    outputs = max(1, classes)
    fit = Linear().fit(arrays, [4, 3], outputs, task=target_task("classification" if classes else "regression"), seed=0)
    frame = pd.DataFrame(np.concatenate([numbers.astype(float), codes], 1))
    columns = make_column_transformer((StandardScaler(), [0, 1]), (OneHotEncoder(), [2, 3]))
    trusted = make_pipeline(columns, LogisticRegression(max_iter=5000) if classes else Ridge()).fit(frame, target)
    ours = torch.from_numpy(fit.outputs(arrays))
    if classes:
        np.testing.assert_allclose(ours.softmax(1).numpy(), trusted.predict_proba(frame), atol=1e-3)
    else:
        np.testing.assert_allclose(ours[:, 0].numpy(), trusted.predict(frame), rtol=1e-6)
    network = Linear().build(Inputs(numeric=2, categorical=(4, 3), bins=(), outputs=outputs))
    network.load_state_dict({name: torch.from_numpy(values.astype(np.float32)) for name, values in fit.state().items()})
    with torch.no_grad():
        predicted = network(torch.from_numpy(numbers), torch.from_numpy(codes))
    np.testing.assert_allclose(predicted.numpy(), ours.numpy(), rtol=1e-4, atol=1e-3)


def test_numbers_and_codes_stand_side_by_side_as_scipy_puts_them_zeros_included() -> None:
    rng = np.random.default_rng(0)
    numbers, codes = rng.normal(size=(50, 3)), np.stack([rng.integers(0, 4, 50), rng.integers(4, 9, 50)], 1)
    numbers[rng.random(numbers.shape) < 0.3] = 0
    hot = sum(np.eye(9)[column] for column in codes.T)
    np.testing.assert_array_equal(linear._one_hot(numbers, codes, 9).toarray(), np.hstack([numbers, hot]))


def test_a_class_that_training_lacks_has_no_probability() -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "numeric": rng.normal(size=(50, 1)),
        "categorical": np.zeros((50, 0), np.int32),
        "target": np.arange(50) % 2,
    }
    ours = torch.from_numpy(
        Linear().fit(arrays, [], 3, task=target_task("classification"), seed=0).outputs(arrays)
    ).softmax(1)
    assert ours[:, 2].max() == 0
    np.testing.assert_allclose(ours.sum(1).numpy(), 1)


@pytest.mark.parametrize("tells", [True, False])
def test_how_much_texts_count_is_chosen_on_rows_held_aside(tells: bool) -> None:
    """Of texts that say nothing of the target, a fit that trusts every word is worse than none of them."""
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(1500, 1)).astype(np.float32)
    words = rng.integers(0, 500, (1500, 20))
    rows = np.repeat(np.arange(1500), 20)
    texts = scipy.sparse.csr_matrix((np.full(words.size, 0.9, np.float32), (rows, words.ravel())), (1500, 500))
    label = texts[:, :20].sum(1).A1 > 0 if tells else rng.random(1500) < 0.5
    target = (label.astype(float) * 4 + numbers[:, 0] + rng.logistic(size=1500) > 2).astype(np.int64)
    arrays = {"numeric": numbers, "categorical": np.zeros((1500, 0), np.int32), "target": target}
    train, test = ({name: values[part] for name, values in arrays.items()} for part in (slice(1000), slice(1000, None)))

    def auc(weighted: scipy.sparse.csr_matrix | None) -> float:
        weights = None if weighted is None else weighted[:1000]
        fit = Linear().fit(train, [], 2, task=target_task("classification"), seed=0, texts=weights)
        outputs = fit.outputs(test, None if weighted is None else weighted[1000:])
        return float(roc_auc_score(test["target"], outputs[:, 1] - outputs[:, 0]))

    assert auc(texts) > auc(None) + 0.1 if tells else auc(texts) > auc(None) - 0.02
