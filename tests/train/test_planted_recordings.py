"""Networks that a recording would get wrong, planted one by one: each trains to the weights of the unrecorded training, bit for bit."""

from __future__ import annotations

import ctypes
import itertools
import os
import random
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from headway.data.batches import Batch
from headway.files.atomic import read_json, write_json
from headway.run.directory import RunDirectory
from headway.train.checkpoint import load_newest
from headway.train.main import main
from headway.train.many import ManyTraining
from headway.train.optimizer import Optimizers, make_optimizer
from headway.train.precision import Arithmetic
from headway.train.recipe import Recipe
from headway.train.recorded import KINDS
from headway.train.recording import Misrecorded
from headway.train.step import Loss, Step
from headway.train.table import TableWorkload
from tests.train import planted_schedule
from tests.train.planted_schedule import Schedule, advance

MakeRun = Callable[..., RunDirectory]
ROWS, STEPS, CHANGE = 16, 60, 20
"""Rows of a batch; steps of a training; the step before which something changes, long after recording began."""

CALLS = 0


class Net(nn.Module):
    """Two layers; what is planted overrides ``enter`` or ``leave``."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.drop, self.second = nn.Linear(3, 8), nn.Dropout(0.3), nn.Linear(8, 2)

    def enter(self, x: Tensor) -> Tensor:
        return x

    def leave(self, y: Tensor) -> Tensor:
        return y

    def forward(self, x: Tensor) -> Tensor:
        return self.leave(self.second(self.drop(torch.relu(self.first(self.enter(x).float())))))


class ThroughNumPy(Net):
    def enter(self, x: Tensor) -> Tensor:
        return x - torch.from_numpy(x.numpy().mean(0))


class ThroughArray(Net):
    def enter(self, x: Tensor) -> Tensor:
        return x / float(np.asarray(x).std())


class ThroughList(Net):
    def enter(self, x: Tensor) -> Tensor:
        return x - max(map(max, x.detach().tolist()))


class ThroughDlpack(Net):
    def enter(self, x: Tensor) -> Tensor:
        return x * float(np.from_dlpack(x.detach()).max())


class InBackward(Net):
    """The gradient's own statistic leaves torch: what the backward pass does is watched, too."""

    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, y: Tensor) -> Tensor:
            return y.clone()

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:  # pyrefly: ignore
            return gradient * float(1 + np.abs(gradient.numpy()).mean())

    def leave(self, y: Tensor) -> Tensor:
        return self.Scaled.apply(y)


class Branches(Net):
    def enter(self, x: Tensor) -> Tensor:
        return x * 2 if x.sum() > 0 else x


class CountsCalls(Net):
    calls = 0

    def leave(self, y: Tensor) -> Tensor:
        self.calls += 1
        return y / self.calls**0.5


class CountsInAClass(Net):
    calls = 0

    def leave(self, y: Tensor) -> Tensor:
        type(self).calls += 1
        return y * (2.0 if type(self).calls % STEPS > CHANGE else 1.0)


class CountsInAGlobal(Net):
    def leave(self, y: Tensor) -> Tensor:
        global CALLS
        CALLS += 1
        return y * (2.0 if CALLS % STEPS > CHANGE else 1.0)


class CountsInAnIterator(Net):
    def __init__(self) -> None:
        super().__init__()
        self.counter = itertools.count()

    def leave(self, y: Tensor) -> Tensor:
        return y * (2.0 if next(self.counter) > CHANGE else 1.0)


def late_factor(calls: int) -> float:
    return 2.0 if calls % STEPS > CHANGE else 1.0


class CountsInAModule(Net):
    def leave(self, y: Tensor) -> Tensor:
        planted_schedule.calls += 1
        return y * late_factor(planted_schedule.calls)


class CountsToTenInAModule(Net):
    def leave(self, y: Tensor) -> Tensor:
        planted_schedule.calls += 1
        return y * (2.0 if planted_schedule.calls % 10 == 9 else 1.0)


class CountsInAModuleImportedLate(Net):
    def leave(self, y: Tensor) -> Tensor:
        import tests.train.planted_schedule as late

        late.calls += 1
        return y * late_factor(late.calls)


class CountsInAModuleNamedAsAStandardOne(Net):
    def leave(self, y: Tensor) -> Tensor:
        import sched

        sched.calls += 1  # pyrefly: ignore
        return y * late_factor(sched.calls)  # pyrefly: ignore


class CountsInAModuleItHolds(Net):
    def __init__(self) -> None:
        super().__init__()
        self.schedule = planted_schedule

    def leave(self, y: Tensor) -> Tensor:
        return y * late_factor(self.schedule.advance())


class CountsInAFunctionWithin(Net):
    def leave(self, y: Tensor) -> Tensor:
        return y * max(late_factor(planted_schedule.advance()) for _ in range(1))


class CountsInAnotherClass(Net):
    def leave(self, y: Tensor) -> Tensor:
        Schedule.calls += 1
        return y * late_factor(Schedule.calls)


class CountsInAnObject(Net):
    def __init__(self) -> None:
        super().__init__()
        self.schedule = Schedule()

    def leave(self, y: Tensor) -> Tensor:
        return y * late_factor(self.schedule.advance())


class CountsInAProperty(Net):
    schedule = Schedule()

    def leave(self, y: Tensor) -> Tensor:
        return y * late_factor(self.schedule.next)


class CountsInAPartial(Net):
    def __init__(self) -> None:
        super().__init__()
        self.advance = partial(advance)

    def leave(self, y: Tensor) -> Tensor:
        return y * late_factor(self.advance())


class CountsInTheEnvironment(Net):
    def leave(self, y: Tensor) -> Tensor:
        os.environ["PLANTED_CALLS"] = str(int(os.environ.get("PLANTED_CALLS", "0")) + 1)
        return y * late_factor(int(os.environ["PLANTED_CALLS"]))


class CachesFirstBatch(Net):
    """Right to record once the cache is there; wrong when the first step's mean is computed anew at each."""

    def __init__(self) -> None:
        super().__init__()
        cache: list[Tensor] = []

        def centred(x: Tensor) -> Tensor:
            if not cache:
                cache.append(x.mean(0))
            return x - cache[0]

        self.centred = centred

    def enter(self, x: Tensor) -> Tensor:
        return self.centred(x)


class PythonsRandom(Net):
    def enter(self, x: Tensor) -> Tensor:
        return x.flip(0) if random.random() < 0.02 else x


class OwnRandom(Net):
    def __init__(self) -> None:
        super().__init__()
        self.random, self.numpys = random.Random(1), np.random.default_rng(1)

    def enter(self, x: Tensor) -> Tensor:
        return x * (2.0 if self.random.random() < 0.02 else 1.0) * (2.0 if self.numpys.random() < 0.02 else 1.0)


class NumPysRandom(Net):
    def enter(self, x: Tensor) -> Tensor:
        return x + torch.from_numpy(np.random.normal(size=3)).float()


class ReplacesBuffer(Net):
    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(3))

    def enter(self, x: Tensor) -> Tensor:
        self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
        return x - self.mean


class UpdatesPlainTensor(Net):
    """A running mean that is no buffer, in place: kernels do it, so that it can be recorded, if checks leave it as it was."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = torch.zeros(3)

    def enter(self, x: Tensor) -> Tensor:
        self.mean.mul_(0.9).add_(x.mean(0), alpha=0.1)
        return x - self.mean


class ClampsWeights(Net):
    def enter(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.first.weight.clamp_(-0.3, 0.3)
        return x


class ReadsSharedMemory(Net):
    """NumPy looks at the weights through memory that it shares since before anything was recorded."""

    def __init__(self) -> None:
        super().__init__()
        self.view = self.second.weight.detach().numpy()

    def leave(self, y: Tensor) -> Tensor:
        return y / (1 + float(np.abs(self.view).sum()))


class Unique(Net):
    def leave(self, y: Tensor) -> Tensor:
        return y / len(torch.unique(y.detach().round()))


def halve(weight: Tensor) -> None:
    assert weight.grad is not None
    weight.grad.mul_(0.5)


class HooksAWeight(Net):
    def __init__(self) -> None:
        super().__init__()
        self.second.weight.register_post_accumulate_grad_hook(halve)


class HooksAModule(Net):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[float] = []
        self.first.register_forward_hook(lambda module, inputs, output: self.seen.append(0.0))

    def leave(self, y: Tensor) -> Tensor:
        return y / (1 + len(self.seen) // CHANGE)


def plain(outputs: Tensor, target: Tensor, smoothing: float) -> Tensor:
    return functional.cross_entropy(outputs, target)


def class_weights(outputs: Tensor, target: Tensor, smoothing: float) -> Tensor:
    counts = np.bincount(target, minlength=2) + 1
    return functional.cross_entropy(outputs, target, torch.tensor(len(target) / counts, dtype=torch.float32))


def masked(outputs: Tensor, target: Tensor, smoothing: float) -> Tensor:
    losses = functional.cross_entropy(outputs, target, reduction="none")
    return losses[target == 1].mean()


def counting_loss() -> Loss:
    calls = [0]

    def annealed(outputs: Tensor, target: Tensor, smoothing: float) -> Tensor:
        calls[0] += 1
        return functional.cross_entropy(outputs, target) * (0.5 if calls[0] > CHANGE else 1.0)

    return annealed


def batches(count: int = STEPS) -> list[Batch]:
    """Rows, content and class balance differ from batch to batch: between 4 and 12 rows are of class 1."""
    draw = torch.Generator().manual_seed(1)
    targets = [(torch.randperm(ROWS, generator=draw) < 4 + number % 9).long() for number in range(count)]
    return [{"x": torch.randn(ROWS, 3, generator=draw), "target": target} for target in targets]


Change = Callable[[Step], object]


def trained(
    build: Callable[[], nn.Module],
    record: bool,
    loss: Loss = plain,
    data: list[Batch] | None = None,
    change: Change = lambda _: None,
) -> Step:
    """A network after STEPS steps; ``change`` happens before step number CHANGE."""
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    network, recipe = build().train(), Recipe(learning_rate=0.01, record=record)
    step = Step(
        network, make_optimizer(network, recipe), loss, Arithmetic("fp32", torch.device("cpu"), ""), recipe, ROWS
    )
    for number, batch in enumerate(data or batches()):
        if number == CHANGE:
            change(step)
        step(batch)
    step.check()
    return step


def assert_same(one: Step, other: Step) -> None:
    for name, tensor in one.network.state_dict().items():
        assert torch.equal(tensor, other.network.state_dict()[name]), name
    assert one.take_loss() == other.take_loss()


REFUSED: list[tuple[type[Net], str]] = [
    (ThroughNumPy, "Python reads the values of a tensor (numpy())"),
    (ThroughArray, "Python reads the values of a tensor (NumPy)"),
    (ThroughList, "Python reads the values of a tensor (tolist())"),
    (ThroughDlpack, "Python reads the values of a tensor (DLPack)"),
    (InBackward, "Python reads the values of a tensor (numpy())"),
    (Branches, "Python reads the value of a tensor (item(), float(), bool() or an if)"),
    (CountsCalls, "CountsCalls.calls changes in Python"),
    (CountsInAClass, "CountsInAClass.calls changes in Python"),
    (CountsInAGlobal, "CountsInAGlobal.leave.CALLS changes in Python"),
    (CountsInAnIterator, "CountsInAnIterator.counter changes in Python"),
    (CountsInAModule, "CountsInAModule.leave.planted_schedule.calls changes in Python"),
    (CountsToTenInAModule, "CountsToTenInAModule.leave.planted_schedule.calls changes in Python"),
    (CountsInAModuleImportedLate, ".calls changes in Python"),
    (CountsInAModuleNamedAsAStandardOne, "CountsInAModuleNamedAsAStandardOne.leave.sched.calls changes in Python"),
    (CountsInAModuleItHolds, "CountsInAModuleItHolds."),
    (CountsInAFunctionWithin, "CountsInAFunctionWithin.leave.planted_schedule.calls changes in Python"),
    (CountsInAnotherClass, "CountsInAnotherClass.leave.Schedule.calls changes in Python"),
    (CountsInAnObject, ".calls changes in Python"),
    (CountsInAProperty, ".calls changes in Python"),
    (CountsInAPartial, ".calls changes in Python"),
    (CountsInTheEnvironment, ".environ.PLANTED_CALLS changes in Python"),
    (PythonsRandom, "random changes in Python"),
    (OwnRandom, "OwnRandom.random changes in Python"),
    (NumPysRandom, "numpy.random changes in Python"),
    (ReplacesBuffer, "ReplacesBuffer._buffers.mean changes in Python"),
    (ClampsWeights, "the forward pass changes weights"),
    (ReadsSharedMemory, "takes another constant at every step"),
    (Unique, "the shape of what _unique2 returns depends on the batch"),
    (HooksAWeight, "a weight has a hook on its gradient"),
    (HooksAModule, "HooksAModule.seen changes in Python"),
]


@pytest.mark.parametrize(("build", "reason"), REFUSED, ids=lambda value: getattr(value, "__name__", ""))
def test_a_network_that_is_more_than_its_kernels_is_refused(
    build: type[Net], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED_CALLS", "0")  # puts the environment back
    monkeypatch.setitem(sys.modules, "sched", planted_schedule)
    one = trained(build, record=True)
    assert len(one.notices) == 1
    assert one.notices[0].startswith("steps are not recorded (train.record): ")
    assert reason in one.notices[0]
    assert_same(one, trained(build, record=False))


@pytest.mark.parametrize(
    ("loss", "reason"),
    [
        (lambda: class_weights, "Python reads the values of a tensor (NumPy)"),
        (lambda: masked, "a tensor is indexed by a mask"),
        (counting_loss, "changes in Python"),
    ],
    ids=["np.bincount", "mask", "count of calls"],
)
def test_a_loss_that_is_more_than_its_kernels_is_refused(loss: Callable[[], Loss], reason: str) -> None:
    one = trained(Net, record=True, loss=loss())
    assert len(one.notices) == 1
    assert reason in one.notices[0]
    assert_same(one, trained(Net, record=False, loss=loss()))


@pytest.mark.parametrize("build", [CachesFirstBatch, UpdatesPlainTensor])
def test_what_looks_alike_and_can_be_recorded_is(build: type[Net]) -> None:
    one, other = trained(build, record=True), trained(build, record=False)
    assert one.recorder is not None
    assert one.recorder.recording is not None
    assert_same(one, other)
    if build is UpdatesPlainTensor:
        assert torch.equal(one.network.mean, other.network.mean)  # pyrefly: ignore


def evaluated(step: Step) -> None:
    step.network.eval()


def frozen(step: Step) -> None:
    step.network.first.weight.requires_grad_(False)  # pyrefly: ignore


def less_dropout(step: Step) -> None:
    step.network.drop.p = 0.1  # pyrefly: ignore


def hooked(step: Step) -> None:
    step.network.first.register_forward_hook(lambda module, inputs, output: output * 2)  # pyrefly: ignore


def another_activation(step: Step) -> None:
    step.network.drop = nn.Tanh()  # pyrefly: ignore


def backward_hooked(step: Step) -> None:
    step.network.second.register_full_backward_hook(lambda module, inputs, outputs: (inputs[0] * 2,))  # pyrefly: ignore


CHANGES: list[Change] = [evaluated, frozen, less_dropout, hooked, backward_hooked, another_activation]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_network_that_changes_after_it_was_recorded_is_recorded_anew(change: Change) -> None:
    one, other = (trained(Net, record, change=change) for record in (True, False))
    assert one.recorder is not None
    assert one.recorder.recording is not None
    assert len(one.recorder._recordings) == 2
    assert_same(one, other)
    assert not torch.equal(one.network.first.weight, trained(Net, record=False).network.first.weight), "it mattered"  # pyrefly: ignore


def test_a_frozen_weight_gets_no_gradient() -> None:
    step = trained(Net, record=True, change=frozen)
    assert step.recorder is not None
    step.recorder(batches(1)[0])
    gradients = {name: weight.grad for name, weight in step.network.named_parameters()}
    assert [name for name, gradient in gradients.items() if gradient is None] == ["first.weight"]


def in_double(batch: Batch) -> Batch:
    return {**batch, "x": batch["x"].double() / 3}


def short(batch: Batch) -> Batch:
    return {name: tensor[:5] for name, tensor in batch.items()}


def transposed(batch: Batch) -> Batch:
    return {**batch, "x": batch["x"].T.contiguous().T}


@pytest.mark.parametrize("other", [in_double, short, transposed], ids=lambda other: other.__name__)
def test_another_dtype_shape_or_layout_of_a_batch_is_noticed(other: Callable[[Batch], Batch]) -> None:
    data = [other(batch) if number % 7 == 6 else batch for number, batch in enumerate(batches())]
    one, two = (trained(Net, record, data=data) for record in (True, False))
    assert one.recorder is not None
    assert one.recorder.recording is not None
    assert_same(one, two)


class TakesMore(nn.Module):
    """A further input may have any length."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Net()

    def forward(self, x: Tensor, more: Tensor) -> Tensor:
        return self.net(x) + more.sum()


def test_kinds_of_batches_without_end_run_eagerly() -> None:
    data = [{**batch, "more": torch.ones(1 + number % 7)} for number, batch in enumerate(batches())]
    one, two = (trained(TakesMore, record, data=data) for record in (True, False))
    assert one.recorder is not None
    assert len(one.recorder._recordings) == KINDS
    assert_same(one, two)


def test_batches_that_never_differ_are_recorded_when_they_are_all_there_is() -> None:
    rows = batches(1)[0]
    data = [{name: tensor.roll(number, 0) for name, tensor in rows.items()} for number in range(STEPS)]
    one, two = (trained(Net, record, data=data) for record in (True, False))
    assert one.recorder is not None
    assert one.recorder.recording is not None
    assert_same(one, two)


def test_autocast_around_a_step_is_noticed() -> None:
    weights = []
    for record in (True, False):
        step = trained(Net, record)
        with torch.amp.autocast("cpu", dtype=torch.bfloat16):
            for batch in batches(10):
                step(batch)
        weights.append([p.detach().clone() for p in step.network.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


BOX = ctypes.c_double(1.0)
"""A place that no walk over Python's objects can look into."""


def boxed(outputs: Tensor, target: Tensor, smoothing: float) -> Tensor:
    return functional.cross_entropy(outputs, target) * BOX.value


def test_a_difference_that_comes_late_stops_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def change(_: Step) -> None:
        BOX.value = 2.0

    BOX.value = 1.0
    with pytest.raises(Misrecorded, match=r"but its loss or gradients differ .*; set train.record=false"):
        trained(Net, record=True, loss=boxed, change=change)
    BOX.value = 1.0


def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss doubles when the learning rate has fallen by half: a function of the step that no recording can know."""
    set_rate, loss = Optimizers.set_rate, TableWorkload.loss

    def noted(self: Optimizers, share: float) -> None:
        BOX.value = 1.0 if share > 0.5 else 2.0
        set_rate(self, share)

    def doubled(self: TableWorkload, outputs: Tensor, target: Tensor, smoothing: float) -> Tensor:
        return loss(self, outputs, target, smoothing) * BOX.value

    monkeypatch.setattr(Optimizers, "set_rate", noted)
    monkeypatch.setattr(TableWorkload, "loss", doubled)


def warnings_of(run: RunDirectory) -> list[str]:
    return [str(event.fields["text"]) for event in run.events() if event.kind == "warning"]


@pytest.mark.parametrize("seconds", [1e-9, 60.0], ids=["a checkpoint a step", "one checkpoint"])
def test_a_late_difference_steps_back_and_goes_on_unrecorded(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    late(monkeypatch)
    settings = {"epochs": 12, "patience": 12, "schedule": "cosine", "checkpoint_seconds": seconds, "precision": "fp32"}
    one, two = (make_run(train={**settings, "record": record}) for record in (True, False))
    assert main(str(one.path)) == 0
    assert main(str(two.path)) == 0
    a, b = (load_file(run.bundle / "weights.safetensors") for run in (one, two))
    assert all(torch.equal(a[name], b[name]) for name in a)
    messages = warnings_of(one)
    assert len(messages) == 1
    assert messages[0].startswith("a recorded step was wrong by step")
    assert messages[0].endswith("without recording (train.record)")
    assert "back to step 0 " in messages[0] or seconds < 1
    assert not warnings_of(two)
    last = [
        {name: value for event in run.events() for name, value in event.metrics.items() if "loss" in name}
        for run in (one, two)
    ]
    assert last[0] == last[1], "what was told wrong is told again"
    snapshot = load_newest(one.checkpoints)
    assert snapshot is not None
    assert snapshot[1]["misrecorded"] is True, "a restart does not record again"


def test_many_networks_begin_anew_unrecorded(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    plain_loss, epochs = ManyTraining._loss, ManyTraining._epoch

    def doubled(self: ManyTraining, outputs: Tensor, target: Tensor) -> Tensor:
        return plain_loss(self, outputs, target) * BOX.value

    def noted(self: ManyTraining, epoch: int, size: int) -> Any:
        BOX.value = 1.0 if epoch < 2 else 2.0
        return epochs(self, epoch, size)

    monkeypatch.setattr(ManyTraining, "_loss", doubled)
    monkeypatch.setattr(ManyTraining, "_epoch", noted)
    variants = [{"seed": seed, "learning_rate": 0.01, "weight_decay": 0.0} for seed in (0, 1)]
    model = {"name": "mlp", "width": 16, "depth": 2, "dropout": 0.1}
    runs = [make_run(model=model, train={"epochs": 6, "record": record}) for record in (True, False)]
    for run in runs:
        write_json(run.path / "run.json", {**read_json(run.path / "run.json"), "variants": variants})
        assert main(str(run.path)) == 0
    assert [len(warnings_of(run)) for run in runs] == [1, 0]
    assert warnings_of(runs[0])[0].startswith("a recorded step was wrong (its loss or gradients differ")
    for k in range(2):
        a, b = (np.load(run.predictions(f"test-{k}")) for run in runs)
        assert np.array_equal(a, b)
