"""Trainings that steps or tokens bound, and validations within an epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from headway.errors import ConfigError
from headway.files.atomic import digest
from headway.models.gpt import GPT
from headway.models.mlp import MLP
from headway.project import Project
from headway.run.directory import RunDirectory
from headway.train.budget import Budget, budget_of
from headway.train.loop import Training, _by_epoch
from headway.train.main import main
from headway.train.network import identity, make_training
from headway.train.precision import choose_precision
from headway.train.recipe import Recipe
from headway.train.table import table_workload
from tests.train.killed import check_killed_ends_as_whole, weights

MakeRun = Callable[..., RunDirectory]
STEPS_AN_EPOCH = 19  # 600 rows in batches of 32


def validations(run: RunDirectory) -> list[int]:
    """The steps after which a run was validated."""
    return [event.step for event in run.events() if "validation/loss" in event.metrics]


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"steps": 30}, [19, 30]),
        ({"steps": 38}, [19, 38]),
        ({"steps": 30, "validate_every": 12}, [12, 24, 30]),
        ({"steps": 1000, "epochs": 2, "validate_every": 16}, [16, 32, 38]),
        ({"validate_every": 500, "epochs": 2}, [38]),
        ({"epochs": 2}, [19, 38]),
    ],
    ids=str,
)
def test_it_is_validated_at_these_steps_and_ends_with_the_last(
    make_run: MakeRun, settings: dict[str, Any], steps: list[int]
) -> None:
    run = make_run(train=settings)
    assert main(str(run.path)) == 0
    assert validations(run) == steps
    assert run.result is not None
    assert run.result.steps == steps[-1]


def test_validations_within_an_epoch_change_no_step(make_run: MakeRun) -> None:
    """One weight decides which validation is the best: only the last can be where the learning rate is tiny and falls."""
    often, never = (
        make_run(train={"steps": 45, "learning_rate": 1e-4, **settings}) for settings in ({"validate_every": 7}, {})
    )
    assert main(str(often.path)) == main(str(never.path)) == 0
    assert often.result is not None
    assert often.result.fit == "best after step 45 of 45"
    assert all(torch.equal(weight, weights(never)[name]) for name, weight in weights(often).items())


def test_patience_counts_validations(make_run: MakeRun) -> None:
    run = make_run(
        train={
            "steps": 10_000,
            "epochs": 1000,
            "validate_every": 5,
            "patience": 3,
            "optimizer": "sgd",
            "learning_rate": 1e-9,
        }
    )
    assert main(str(run.path)) == 0
    steps = validations(run)
    losses = [event.metrics["validation/loss"] for event in run.events() if "validation/loss" in event.metrics]
    assert len(steps) - 1 - losses.index(min(losses)) == 3
    assert steps == [5 * (k + 1) for k in range(len(steps))]


@pytest.mark.slow
@pytest.mark.parametrize("every", [None, 11, 13, 19, 40])
def test_a_killed_one_is_validated_at_the_same_steps_and_ends_with_the_same_weights(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, every: int | None
) -> None:
    """A checkpoint after each step: also after the last before a validation."""
    settings = {"steps": 90, "validate_every": every, "checkpoint_seconds": 0.0001}
    whole, broken = (make_run(train=settings) for _ in range(2))
    check_killed_ends_as_whole(whole, broken, monkeypatch)
    assert validations(whole) == validations(broken)


def training_of(run: RunDirectory) -> Training:
    """A training before its first step."""
    recipe = Recipe.parse(run.plan["project"]["train"], "train")
    workload = table_workload(run.store, MLP.parse(run.plan["project"]["model"], "model"))
    return make_training(workload, recipe, choose_precision("fp32", torch.device("cpu")))


@pytest.mark.parametrize("steps", [18, 19, 20, 37, 38, 39])
def test_a_checkpoint_of_an_earlier_version_goes_on(make_run: MakeRun, steps: int) -> None:
    run = make_run(model={"name": "mlp", "width": 8, "depth": 1, "dropout": 0.0}, train={"epochs": 3})
    first, second = training_of(run), training_of(run)
    events = first.run()
    while first.progress.step < steps:
        next(events)
    tensors, values = first.pack()
    lacking = {"validations", "validated", "best_step", "best_validation"}
    second.unpack(tensors, {name: value for name, value in values.items() if name not in lacking})
    assert [what for what in second.run() if what == "validation"] == [what for what in events if what == "validation"]
    assert vars(second.progress) == vars(first.progress)
    assert _by_epoch({"epoch": 2, "step": 40, "step_in_epoch": 2, "best_epoch": 1}, 19)["validated"] == 38


def test_a_training_that_an_earlier_version_began_is_still_the_same(make_run: MakeRun) -> None:
    run = make_run()
    (run.path / "store.json").write_text("{}")
    model, recipe = GPT(), Recipe(steps=30)
    earlier = digest({name: value for name, value in model.model_dump(mode="json").items() if name != "kv_heads"})
    assert identity(run, model, recipe)["model"] == earlier
    assert identity(run, model, Recipe())["recipe"] == identity(run, model, recipe)["recipe"]
    assert identity(run, GPT(kv_heads=2), recipe)["model"] != earlier
    assert identity(run, model, Recipe(validate_every=3))["recipe"] != identity(run, model, recipe)["recipe"]


class Documents:
    """Batches that count tokens: three full ones of 100, and one of 40."""

    batch_size, steps = 10, 4

    def count(self, step: int) -> int:
        return 40 if step == 3 else 100

    def epoch(self, epoch: int, start: int = 0) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("tokens", "steps"),
    [(1, 1), (100, 1), (101, 2), (300, 3), (301, 4), (340, 4), (341, 5), (680, 8), (10_000, 40)],
)
def test_tokens_end_with_the_step_that_reaches_them(tokens: int, steps: int) -> None:
    batches = Documents()
    budget = budget_of(Recipe(epochs=10, tokens=tokens), batches)
    assert budget == Budget(steps, None, 4)
    if steps < 40:
        counts = [batches.count(step % 4) for step in range(steps)]
        assert sum(counts[:-1]) < tokens <= sum(counts)


def test_tokens_are_of_documents(make_run: MakeRun) -> None:
    plan = {
        "name": "small",
        "task": "classification",
        "data": {"source": "x.csv", "target": "t", "features": {"a": "numeric"}},
        "model": {"name": "mlp"},
        "train": {"tokens": 100},
    }
    with pytest.raises(ConfigError, match="tokens must be null for classification, but is 100; set train.steps"):
        Project.parse(plan, "small")
