"""The contract that every file of tasks/ meets, whoever adds it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
import torch

from headway.cli.commands import COMMANDS, parser
from headway.columns import column_type
from headway.errors import ConfigError
from headway.evaluate.metrics import METRICS, primary
from headway.tasks import Target, TargetTask, names, target_names, target_task, task_of

ROWS, MEMBERS = 60, 4
VALUES = {"categorical": ["a", "b", "c"] * (ROWS // 3), "numeric": np.arange(ROWS, dtype=float).tolist()}

every_task = pytest.mark.parametrize("name", names())
tasks = pytest.mark.parametrize("name", target_names())


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def fitted(name: str) -> tuple[TargetTask, Target, np.ndarray]:
    """A task, fitted to some rows of the kind that it takes, and these rows as they are stored."""
    task = target_task(name)
    column = pa.array(VALUES[task.kind])
    summary = column_type(task.kind).summary("y")
    summary.update(column)
    assert task.problems(summary, None) == []
    target = task.fit(summary, None)
    return task, target, target.apply(column)


@tasks
def test_a_target_is_named_after_its_tasks_file_and_stored_as_the_task_says(name: str) -> None:
    task, target, stored = fitted(name)
    assert target.task == name
    assert stored.dtype == task.dtype
    assert not task.unlearnt(target, stored).any()


@tasks
def test_all_predictions_of_a_task_have_one_shape_and_the_columns_that_it_says(name: str) -> None:
    task, target, stored = fitted(name)
    outputs = torch.randn(ROWS, target.outputs)
    network = task.finish(target, task.decode(outputs).numpy())
    ensemble = task.finish(target, task.decode(torch.randn(ROWS, MEMBERS, target.outputs)).numpy())
    shape = (ROWS, *task.no_predictions(target.outputs).shape[1:])
    trivial = task.trivial(stored, target.outputs, ROWS)
    linear = task.linear_predictions(outputs.numpy())
    assert {p.shape for p in (network, ensemble, trivial, linear)} == {shape}
    assert list(target.decode(network).columns) == list(task.answered(target.classes))


@tasks
def test_an_ensembles_loss_is_the_mean_of_its_members_losses(name: str) -> None:
    task, target, stored = fitted(name)
    truth = torch.from_numpy(task.training_target(target, stored))
    outputs = torch.randn(ROWS, MEMBERS, target.outputs)
    alone = torch.stack([task.loss(outputs[:, k], truth) for k in range(MEMBERS)])
    torch.testing.assert_close(task.loss(outputs, truth), alone.mean())


@tasks
def test_early_stopping_watches_the_loss_of_the_training(name: str) -> None:
    task, target, stored = fitted(name)
    truth = torch.from_numpy(task.training_target(target, stored))
    outputs = torch.randn(ROWS, target.outputs)
    assert task.score(task.decode(outputs), truth) == pytest.approx(float(task.loss(outputs, truth)), rel=1e-5)


@every_task
def test_the_metric_that_decides_is_one_of_the_tasks_own(name: str) -> None:
    task = task_of(name)
    assert task.name == name
    for classes in (0, 2, 3):
        assert primary(name, classes, None) in {metric.name for metric in task.metrics if metric.decides}
    assert all(METRICS[metric.name] is metric for metric in task.metrics), "a name means one metric"


def test_an_unknown_task_is_refused_with_the_names_of_those_that_there_are() -> None:
    with pytest.raises(
        ConfigError, match="task must be one of classification, language, regression, but is 'regresion'"
    ):
        task_of("regresion")
    with pytest.raises(ConfigError, match="but is 'ranking'"):  # of a bundle that another version made
        _ = Target("y", "ranking").outputs
    with pytest.raises(
        ConfigError, match="must be one that predicts a target column, but is language: classification, regr"
    ):
        Target("y", "language").apply(pa.array([1.0]))


def test_tasks_import_no_torch() -> None:
    """The command line reads a project without it."""
    code = "import sys; from headway.tasks import names, task_of; [task_of(n) for n in names()]; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_documents_are_answered_what_the_metrics_say_of_each_alone() -> None:
    language = task_of("language")
    sums = np.array([[8.0, 4, 9], [3.0, 5, 7]])
    answer = language.answer(Target("", "language"), sums)
    for metric in language.metrics:
        alone = [metric.value(sums[:1], sums[:1]), metric.value(sums[1:], sums[1:])]
        np.testing.assert_allclose(answer[metric.name], alone, rtol=1e-12)


def test_the_command_line_goes_on_with_a_prompt_as_a_request_does() -> None:
    stated = vars(parser(COMMANDS).parse_args(["sample", "shakespeare"]))
    assert {one.name: stated[one.name] for one in task_of("language").parameters} == {
        one.name: one.default for one in task_of("language").parameters
    }
