"""What must hold on a GPU, where kernels sum in other orders and dropout draws other numbers than on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from headway.files.atomic import read_json
from headway.machine.gpus import peak_of
from headway.models import model_configs
from headway.run.directory import RunDirectory
from headway.train import step as step_module
from headway.train.main import main
from headway.train.many import ManyTraining, Variant
from headway.train.optimizer import make_optimizer
from headway.train.precision import Arithmetic
from headway.train.recipe import Recipe
from headway.train.schedule import rate
from headway.train.step import Step
from headway.train.table import table_workload
from tests.train.killed import weights
from tests.train.test_graph import ROWS, SETTINGS, Network, loss

pytestmark = pytest.mark.gpu

MakeRun = Callable[..., RunDirectory]
ON_GPU: dict[str, Any] = {"device": "cuda", "precision": "fp32", "threads": 1}


def make(network: nn.Module, **settings: Any) -> Step:
    device = torch.device("cuda")
    network = network.to(device)
    recipe = Recipe(batch_size=ROWS, **settings)
    optimizers = make_optimizer(network, recipe, capturable=recipe.cuda_graphs is True)
    return Step(network, optimizers, loss, Arithmetic("fp32", device, ""), recipe, ROWS)


def stepped(step: Step, count: int = 20) -> dict[str, Tensor]:
    """All that is left of two epochs, the last batch of each of which is short."""
    generator = torch.Generator().manual_seed(1)
    torch.manual_seed(2)
    for number in range(count):
        rows = ROWS // 2 if number % (count // 2) == count // 2 - 1 else ROWS
        x = torch.randn(rows, 4, generator=generator)
        step.optimizers.set_rate(rate(step._recipe, number, count))
        step({"x": x.cuda(), "target": (x[:, 0] > 0).long().cuda()})
    left = dict(step.network.state_dict()) | {"loss": step.loss_sum, "random": torch.cuda.get_rng_state()}
    return left | ({} if step.average is None else dict(step.average.module.state_dict(prefix="mean.")))


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: "+".join(s) or "plain")
def test_a_step_replayed_as_a_cuda_graph_does_what_an_eager_one_does(settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    eager = stepped(make(Network(), **settings))
    torch.manual_seed(0)
    step = make(Network(), **settings, cuda_graphs=True)
    replayed = stepped(step)
    assert step.graph is not None, step.notices
    assert step.graph.is_captured
    for name in eager:  # dropout's numbers, too: of the same seed at the same place
        torch.testing.assert_close(replayed[name], eager[name], atol=1e-4, rtol=1e-3, msg=name)


class Reads(nn.Module):
    """Reads a value in Python, which no graph can hold; draws before and after it."""

    def __init__(self) -> None:
        super().__init__()
        self.body = Network()

    def forward(self, x: Tensor) -> Tensor:
        outputs = nn.functional.dropout(self.body(x), 0.1)
        return outputs * 2 if float(outputs.detach().mean()) > 1e9 else outputs


def test_a_network_that_waits_for_the_gpu_is_found_out_and_trains_eagerly() -> None:
    torch.manual_seed(0)
    eager = stepped(make(Reads()))
    torch.manual_seed(0)
    step = make(Reads(), cuda_graphs=True)
    result = stepped(step)
    assert step.graph is None
    assert step.notices[0].startswith(
        "steps are not replayed as a CUDA graph (train.cuda_graphs): the step cannot be captured: "
    )
    for name in eager:
        torch.testing.assert_close(result[name], eager[name], atol=1e-4, rtol=1e-3, msg=name)


@pytest.mark.parametrize("model", [{"name": "mlp", "width": 64, "depth": 2, "dropout": 0.1}])
def test_by_default_a_step_of_launches_becomes_a_graph_and_says_so(make_run: MakeRun, model: dict[str, Any]) -> None:
    run = make_run(model=model, train={**ON_GPU, "ema": 0.9, "schedule": "cosine", "clip": 1.0})
    assert main(str(run.path)) == 0
    assert run.result is not None
    content = read_json(run.path / "tuned.json")
    assert content["cuda_graphs"] is True, content["reason"]
    assert run.result.way.startswith("a step is one CUDA graph: ")
    assert not [event for event in run.events() if event.kind == "warning"]
    has_peak = peak_of(torch.cuda.get_device_name(), "fp32") is not None
    assert ("compute/mfu" in run.result.cost) == has_peak


def test_a_killed_training_takes_the_same_choice_and_ends_about_where_a_whole_one_does(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**ON_GPU, "checkpoint_seconds": 0.001}
    whole, broken = (make_run(train=settings) for _ in range(2))
    assert main(str(whole.path)) == 0
    call, calls = step_module.Step.__call__, [0]

    def dies(self: Step, batch: dict[str, Tensor]) -> None:
        calls[0] += 1
        if calls[0] == 300:  # after the steps that were timed
            raise KeyboardInterrupt
        call(self, batch)

    monkeypatch.setattr(step_module.Step, "__call__", dies)
    for _ in range(2):
        try:
            main(str(broken.path))
        except KeyboardInterrupt:
            continue
    monkeypatch.undo()
    assert main(str(broken.path)) == 0
    a, b = weights(whole), weights(broken)
    for name in a:
        torch.testing.assert_close(a[name], b[name], atol=1e-2, rtol=1e-1, msg=name)


def test_many_seeds_train_at_once_with_dropout(make_run: MakeRun) -> None:
    model = {"name": "mlp", "width": 32, "depth": 2, "dropout": 0.2}
    run = make_run(model=model, train=ON_GPU)
    workload = table_workload(run.store, model_configs()["mlp"].parse(model, "model"))
    recipe = Recipe.parse(run.plan["project"]["train"], "train")
    training = ManyTraining(workload, recipe, [Variant(k, 0.01, 0.0) for k in range(3)], torch.device("cuda"))
    for _ in training.run():
        pass
    losses = [fitted.best_loss for fitted in training.fitted]
    assert max(losses) < 0.6
    assert len(set(losses)) == 3


def test_losses_are_told_with_their_steps(make_run: MakeRun) -> None:
    run = make_run(train={**ON_GPU, "cuda_graphs": False, "epochs": 3})
    assert main(str(run.path)) == 0
    losses = [(event.step, event.metrics["train/loss"]) for event in run.events() if "train/loss" in event.metrics]
    assert [step for step, _ in losses] == sorted(step for step, _ in losses)
    assert len(losses) >= 3
    assert losses[-1][1] < losses[0][1]
