"""A network on numbers, codes and tokens: it learns, repeats itself bit for bit, and goes on where it was killed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from headway.data.batches import inputs_of
from headway.data.padded import widths_of
from headway.files.atomic import read_json
from headway.models.mlp import MLP
from headway.run.directory import RunDirectory
from headway.train import table
from headway.train.main import main
from headway.train.many import ManyTraining, Variant
from headway.train.precision import Arithmetic
from headway.train.recipe import Recipe
from headway.train.table import predict, table_workload
from tests.support.small import add_tokens
from tests.train.killed import check_killed_ends_as_whole, weights

MakeRun = Callable[..., RunDirectory]
FP32 = Arithmetic("fp32", torch.device("cpu"), "")
MODEL: dict[str, Any] = {"name": "mlp", "width": 16, "depth": 2, "dropout": 0.1, "text": "tokens"}
SWITCHES = (
    {},
    {"residence": "stream"},
    {"residence": "loader"},
    {"record": False},
    {"ema": 0.9, "clip": 1.0, "accumulate": 2},
    {"precision": "bf16"},
)


@pytest.fixture
def tokens_run(make_run: MakeRun) -> MakeRun:
    """As make_run, of a store with a column of tokens."""
    added: list[bool] = []

    def make(model: dict[str, Any] | None = None, train: dict[str, Any] | None = None) -> RunDirectory:
        run = make_run(model=model or MODEL, train={"precision": "fp32", **(train or {})})
        if not added:
            add_tokens(run.store)
            added.append(True)
        return run

    return make


def test_tokens_beside_numbers_make_the_prediction_better(tokens_run: MakeRun, make_run: MakeRun) -> None:
    plain = make_run(model={**MODEL, "text": "words"}, train={"precision": "fp32"})
    assert main(str(plain.path)) == 0
    run = tokens_run()
    assert main(str(run.path)) == 0
    assert plain.result is not None
    assert run.result is not None
    assert run.result.validation_loss < 0.8 * plain.result.validation_loss
    assert np.load(run.predictions("test")).shape == (200, 2)


@pytest.mark.slow
@pytest.mark.parametrize("switches", SWITCHES, ids=lambda s: "+".join(s) or "plain")
def test_a_training_with_tokens_resumes_bit_for_bit(
    tokens_run: MakeRun, monkeypatch: pytest.MonkeyPatch, switches: dict[str, Any]
) -> None:
    settings = {"checkpoint_seconds": 0.0001, **switches}
    whole, broken = (tokens_run(train=settings) for _ in range(2))
    check_killed_ends_as_whole(whole, broken, monkeypatch)
    assert any("bags" in name for name in weights(broken))


def test_predictions_are_in_the_rows_order_however_many_are_made_at_once(
    tokens_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    workload = table_workload(tokens_run().store, MLP.parse(MODEL, "model"))
    network, rows = workload.build().eval(), inputs_of(workload.tensors("test"))
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    with torch.no_grad():
        truth = workload.task.decode(network(**{name: one[: len(one)] for name, one in rows.items()}))
    widths = widths_of(rows)
    assert widths is not None
    assert len(set(widths.tolist())) > 1
    for at_once, tokens in ((2048, 1 << 17), (7, 1 << 17), (2048, 20), (2048, 1)):
        monkeypatch.setattr(table, "PREDICT_ROWS", {"cpu": at_once})
        monkeypatch.setattr(table, "PREDICT_TOKENS", tokens)
        torch.testing.assert_close(predict(network, rows, workload.task, FP32), truth)


def test_recorded_or_not_and_by_a_loader_the_weights_are_the_same(tokens_run: MakeRun) -> None:
    runs = [tokens_run(train=settings) for settings in ({}, {"record": False}, {"residence": "loader"})]
    for run in runs:
        assert main(str(run.path)) == 0
        assert not [event for event in run.events() if "not recorded (train.record)" in str(event.fields.get("text"))]
    first, *others = map(weights, runs)
    assert all(torch.equal(first[name], other[name]) for other in others for name in first)


def test_batch_size_and_threads_can_be_left_to_be_chosen(tokens_run: MakeRun) -> None:
    run = tokens_run(train={"batch_size": "auto", "threads": "auto", "epochs": 1})
    assert main(str(run.path)) == 0
    assert read_json(run.path / "tuned.json")["flops_a_step"] > 0


def test_each_of_many_seeds_ends_as_its_own_run(tokens_run: MakeRun) -> None:
    run = tokens_run()
    variants = [Variant(0, 0.01, 0.0003), Variant(1, 0.01, 0.0003), Variant(1, 0.003, 0.1)]
    training = ManyTraining(
        table_workload(run.store, MLP.parse(MODEL, "model")),
        Recipe.parse(run.plan["project"]["train"], "train"),
        variants,
        torch.device("cpu"),
    )
    for _ in training.run():
        pass
    for variant, fitted in zip(variants, training.fitted, strict=True):
        settings = {"seed": variant.seed, "learning_rate": variant.learning_rate, "weight_decay": variant.weight_decay}
        alone = tokens_run(train=settings)
        assert main(str(alone.path)) == 0
        assert alone.result is not None
        assert fitted.best_loss == pytest.approx(alone.result.validation_loss, abs=1e-4)
        for name, weight in weights(alone).items():
            torch.testing.assert_close(fitted.weights[name], weight, atol=1e-3, rtol=1e-2)
