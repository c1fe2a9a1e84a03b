"""Many networks at once: each ends as it would have ended alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from headway.errors import ConfigError
from headway.models import model_configs
from headway.models.stacked import decayed, stack
from headway.run.directory import RunDirectory
from headway.train.main import main
from headway.train.many import ManyTraining, StackedAdamW, Variant
from headway.train.recipe import Recipe
from headway.train.table import table_workload

MakeRun = Callable[..., RunDirectory]
CPU = torch.device("cpu")
MLP: dict[str, Any] = {"name": "mlp", "width": 16, "depth": 2, "dropout": 0.1}


def many(run: RunDirectory, variants: list[Variant]) -> ManyTraining:
    project = run.plan["project"]
    model = model_configs()[project["model"]["name"]].parse(project["model"], "model")
    workload = table_workload(run.store, model)
    training = ManyTraining(workload, Recipe.parse(project["train"], "train"), variants, CPU)
    for _ in training.run():
        pass
    return training


def test_each_seed_ends_as_its_own_run(make_run: MakeRun) -> None:
    settings = {"epochs": 8, "patience": 3, "schedule": "cosine", "precision": "fp32"}
    training = many(make_run(model=MLP, train=settings), [Variant(seed, 0.01, 0.0003) for seed in range(3)])
    predicted = list(training.predictions("test"))
    for seed, fitted in enumerate(training.fitted):
        alone = make_run(model=MLP, train={**settings, "seed": seed})
        assert main(str(alone.path)) == 0
        assert alone.result is not None
        assert (fitted.best_epoch, fitted.epochs) == (alone.result.best_epoch, alone.result.epochs)
        assert fitted.best_loss == pytest.approx(alone.result.validation_loss, abs=1e-4)
        weights = load_file(alone.bundle / "weights.safetensors")
        assert weights.keys() == fitted.weights.keys()
        for name, weight in weights.items():
            torch.testing.assert_close(fitted.weights[name], weight, atol=1e-4, rtol=1e-3)
        np.testing.assert_allclose(predicted[seed], np.load(alone.predictions("test")), atol=1e-4)


def test_each_setting_ends_as_its_own_run(make_run: MakeRun) -> None:
    variants = [Variant(0, 0.01, 0.0), Variant(0, 0.003, 0.1), Variant(0, 0.03, 0.01)]
    training = many(make_run(model=MLP), variants)
    for variant, fitted in zip(variants, training.fitted, strict=True):
        settings = {"learning_rate": variant.learning_rate, "weight_decay": variant.weight_decay, "precision": "fp32"}
        alone = make_run(model=MLP, train=settings)
        assert main(str(alone.path)) == 0
        assert alone.result is not None
        assert fitted.best_loss == pytest.approx(alone.result.validation_loss, abs=1e-4)


def test_its_adamw_is_torchs() -> None:
    torch.manual_seed(0)
    networks = [nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)) for _ in range(2)]
    stacked = stack(networks, [torch.Generator()] * 2)
    variants = [Variant(0, 0.01, 0.1), Variant(1, 0.1, 0.0)]
    ours = StackedAdamW(stacked, variants, Recipe())
    x = torch.randn(2, 8, 3)
    theirs = []
    for network, variant in zip(networks, variants, strict=True):
        matrices, vectors = (
            [p for p in network.parameters() if p.ndim > 1],
            [p for p in network.parameters() if p.ndim == 1],
        )
        groups = [{"params": matrices, "weight_decay": variant.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        theirs.append(torch.optim.AdamW(groups, lr=variant.learning_rate))
    for _ in range(20):
        stacked(x).square().mean((1, 2)).sum().backward()
        ours.step()
        ours.zero_grad()
        for k, (network, optimizer) in enumerate(zip(networks, theirs, strict=True)):
            network(x[k]).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    weights, _ = decayed(stacked)
    for k, network in enumerate(networks):
        torch.testing.assert_close(weights[0][k], network[0].weight, atol=1e-5, rtol=1e-4)


def test_a_model_that_cannot_be_stacked_is_one_line(make_run: MakeRun) -> None:
    with pytest.raises(ConfigError, match="many seeds at once need a model of plain layers, but .* set model=mlp"):
        many(make_run(model={"name": "tabm", "width": 8, "depth": 1}), [Variant(0, 0.01, 0.0)] * 2)
    with pytest.raises(ConfigError, match=r"many seeds at once need train.ema 0.0, but it is 0.9"):
        many(make_run(model=MLP, train={"ema": 0.9}), [Variant(0, 0.01, 0.0)] * 2)


def test_on_a_gpu_each_network_drops_its_share_by_numbers_of_its_own() -> None:
    from headway.models.layers import Dropout
    from headway.models.stacked import StackedDropout

    generators = [torch.Generator().manual_seed(seed) for seed in range(2)]
    stacked = StackedDropout(Dropout(0.25), generators)
    one, other = (stacked._drop(torch.ones(40_000), generator) for generator in generators)
    for dropped in (one, other):
        assert {round(value, 5) for value in dropped.unique().tolist()} == {0.0, 1.33333}
        assert float((dropped == 0).float().mean()) == pytest.approx(0.25, abs=0.01)
    assert not torch.equal(one, other)
