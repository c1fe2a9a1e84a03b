"""A step as one CUDA graph does what it does eagerly; where it cannot be one, training goes on without. Capturing is pretended."""

from __future__ import annotations

import contextlib
import copy
import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from headway.run.directory import RunDirectory
from headway.train import graph
from headway.train.graph import EAGER_STEPS, Graph
from headway.train.main import main
from headway.train.optimizer import make_optimizer
from headway.train.precision import Arithmetic
from headway.train.recipe import Recipe
from headway.train.schedule import rate
from headway.train.step import Step
from headway.train.table import TableWorkload
from tests.train.killed import check_killed_ends_as_whole, weights
from tests.train.pretended import PretendedCuda, Replayed, pretend

MakeRun = Callable[..., RunDirectory]
CPU = torch.device("cpu")
ROWS = 16
SETTINGS: list[dict[str, Any]] = [
    {},
    {"clip": 0.1},
    {"ema": 0.9},
    {"schedule": "cosine", "warmup": 0.2},
    {"optimizer": "muon", "schedule": "linear"},
    {"optimizer": "sgd", "nesterov": True, "schedule": "linear"},
    {"ema": 0.9, "clip": 0.1, "schedule": "one_cycle", "label_smoothing": 0.1},
]


class Network(nn.Module):
    """Dropout, and a buffer that counts steps."""

    steps: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 8), nn.Linear(8, 2)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def loss(outputs: Tensor, target: Tensor, smoothing: float) -> Tensor:
    return nn.functional.cross_entropy(outputs, target, label_smoothing=smoothing)


def make(network: nn.Module | None = None, **settings: Any) -> Step:
    torch.manual_seed(0)
    network = network or Network()
    recipe = Recipe(batch_size=ROWS, record=False, **settings)
    optimizers = make_optimizer(network, recipe, capturable=recipe.cuda_graphs is True)
    return Step(network, optimizers, loss, Arithmetic("fp32", CPU, ""), recipe, ROWS)


def steps(step: Step, count: int = 20) -> dict[str, Tensor]:
    """All that a training of two epochs leaves; the last batch of each is short."""
    generator = torch.Generator().manual_seed(1)
    torch.manual_seed(2)
    for number in range(count):
        rows = ROWS // 2 if count > 9 and number % (count // 2) == count // 2 - 1 else ROWS
        x = torch.randn(rows, 4, generator=generator)
        step.optimizers.set_rate(rate(step._recipe, number, count))
        step({"x": x, "target": (x[:, 0] > 0).long()})
    left = dict(step.network.state_dict()) | {"loss": step.loss_sum, "random": torch.get_rng_state()}
    return left | ({} if step.average is None else dict(step.average.module.state_dict(prefix="mean.")))


def check_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    """But for the rate, which is rounded to fp32 where it lies on the device."""
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: "+".join(s) or "plain")
def test_a_captured_step_does_what_an_eager_one_does(monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]) -> None:
    eager = steps(make(**settings))
    pretend(monkeypatch)
    step = make(**settings, cuda_graphs=True)
    captured = steps(step)
    assert step.graph is not None
    assert step.graph.is_captured
    assert step.notices == []
    check_same(captured, eager)


class Waits(TorchDispatchMode):
    """Notes the operations whose result Python must wait for, were they on a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default or torch.Tag.dynamic_output_shape in func.tags:
            self.names.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: "+".join(s) or "plain")
def test_no_step_waits_for_what_the_device_computes(monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]) -> None:
    pretend(monkeypatch)
    step = make(**settings, cuda_graphs=True)
    steps(step, 2)  # the first makes the optimizer's state
    with Waits() as waits:
        steps(step, 1)
    assert waits.names == []
    with Waits() as waits:
        step.take_loss()
    assert waits.names == ["aten._local_scalar_dense.default"]


def test_eager_steps_come_first_and_count(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    step = make(cuda_graphs=True)
    assert step.graph is not None
    for _ in range(EAGER_STEPS):
        assert not step.graph.is_captured
        steps(step, 1)
    steps(step, 2)
    assert step.graph.is_captured
    assert step.loss_steps == EAGER_STEPS + 2


class ReadsAValue(PretendedCuda):
    """As CUDA says it of a network that reads a value in Python: a second error comes when the capture is ended."""

    def capture(self, work: Callable[[], None]) -> Graph:
        try:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nand so on for a page")
        except RuntimeError:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")  # noqa: B904


class HasNoMemory(PretendedCuda):
    def capture(self, work: Callable[[], None]) -> Graph:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


class RunsOutWithin(PretendedCuda):
    """In the middle of the step that is captured: later layers have their gradients, and nothing has run."""

    def capture(self, work: Callable[[], None]) -> Graph:
        def full(_: Tensor) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

        network, random = PLANTED[0].network, torch.get_rng_state()
        before = copy.deepcopy(network.state_dict())
        hook = next(network.parameters()).register_hook(full)
        try:
            work()
        finally:
            assert any(weight.grad is not None for weight in network.parameters())
            hook.remove()
            network.load_state_dict(before)
            torch.set_rng_state(random)
        raise AssertionError("memory did not run out")


class Forgetful(PretendedCuda):
    """A graph holds numbers that Python computed: here the learning rate, as where it is not on the device."""

    def capture(self, work: Callable[[], None]) -> Graph:
        def at_half_the_rate() -> None:
            step.optimizers.set_rate(0.5)
            work()
            step.optimizers.set_rate(1.0)

        step = PLANTED[0]
        return Replayed(at_half_the_rate)


PLANTED: list[Step] = []


@pytest.mark.parametrize(
    ("cuda", "reason"),
    [
        (ReadsAValue, "the step cannot be captured: CUDA error: operation not permitted when stream is capturing"),
        (HasNoMemory, "the GPU has no memory for the graph"),
        (RunsOutWithin, "the GPU has no memory for the graph"),
        (Forgetful, "its weights differ from an eager step's"),
    ],
)
def test_what_cannot_be_captured_trains_eagerly_and_says_why(
    monkeypatch: pytest.MonkeyPatch, cuda: type, reason: str
) -> None:
    eager = steps(make())
    pretend(monkeypatch, cuda)
    step = make(cuda_graphs=True)
    PLANTED[:] = [step]
    check_same(steps(step), eager)
    assert step.graph is None
    assert step.notices == [f"steps are not replayed as a CUDA graph (train.cuda_graphs): {reason}"]


def test_without_memory_to_compare_the_graph_with_an_eager_step_it_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    eager = steps(make())
    pretend(monkeypatch)
    step = make(cuda_graphs=True)
    assert step.graph is not None

    def full(tensor: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(torch, "empty_like", full)
    check_same(steps(step), eager)
    assert step.notices == [
        "steps are not replayed as a CUDA graph (train.cuda_graphs): the GPU has no memory for the graph"
    ]


def test_where_memory_runs_out_before_the_capture_a_graph_holds_the_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    def of(outputs: Tensor, target: Tensor, smoothing: float) -> Tensor:
        if len(target) > ROWS // 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return loss(outputs, target, smoothing)

    pretend(monkeypatch)
    results = []
    for captured in (False, True):
        step = make(cuda_graphs=captured)
        step.loss = of
        results.append(steps(step))
        assert step.notices == ["out of memory: batches are computed in 2 parts of 8 from here on"]
    assert step.graph is not None
    assert step.graph.is_captured
    check_same(*results)


def test_a_replayed_step_that_gives_no_number_goes_back_and_a_new_graph_goes_on(
    monkeypatch: pytest.MonkeyPatch, make_run: MakeRun
) -> None:
    """The weights are not numbers either, until those of the last checkpoint are back."""
    captures, replays, is_lost = list[int](), [0], [False]

    class Counted(PretendedCuda):
        def capture(self, work: Callable[[], None]) -> Graph:
            def replay() -> None:
                replays[0] += 1
                is_lost[0] = replays[0] == 60
                work()
                is_lost[0] = False

            captures.append(replays[0])
            return Replayed(replay)

    plain = TableWorkload.loss

    def lost_once(self: TableWorkload, outputs: Tensor, target: Tensor, smoothing: float) -> Tensor:
        value = plain(self, outputs, target, smoothing)
        return value * float("nan") if is_lost[0] else value

    pretend(monkeypatch, Counted)
    monkeypatch.setattr(TableWorkload, "loss", lost_once)
    run = make_run(train={"cuda_graphs": True, "record": False})
    assert main(str(run.path)) == 0
    (text,) = [event.fields["text"] for event in run.events() if event.kind == "warning"]
    assert text.startswith("the loss was not finite by step ")
    assert len(captures) == 2
    assert captures[1] >= 60
    assert run.result is not None
    assert run.result.validation_loss < 0.7


def test_a_loss_that_is_no_number_is_found_in_a_graph(monkeypatch: pytest.MonkeyPatch, make_run: MakeRun) -> None:
    pretend(monkeypatch)
    run = make_run(train={"cuda_graphs": True, "learning_rate": 1000.0, "optimizer": "sgd", "record": False})
    main(str(run.path))
    messages = [event.fields["text"] for event in run.events() if event.kind == "warning"]
    assert any("the loss was not finite" in text for text in messages)


def test_a_killed_training_of_graphs_ends_as_a_whole_one(monkeypatch: pytest.MonkeyPatch, make_run: MakeRun) -> None:
    pretend(monkeypatch)
    settings = {"cuda_graphs": True, "record": False, "ema": 0.9, "schedule": "cosine", "checkpoint_seconds": 0.0001}
    whole, broken = (make_run(train=settings) for _ in range(2))
    check_killed_ends_as_whole(whole, broken, monkeypatch)


def test_a_killed_training_stays_eager_where_its_graph_was_given_up(
    monkeypatch: pytest.MonkeyPatch, make_run: MakeRun
) -> None:
    pretend(monkeypatch, HasNoMemory)
    settings = {"cuda_graphs": True, "record": False, "checkpoint_seconds": 0.0001}
    whole, broken = (make_run(train=settings) for _ in range(2))
    check_killed_ends_as_whole(whole, broken, monkeypatch)
    texts = [event.fields["text"] for event in broken.events() if event.kind == "warning"]
    assert len([text for text in texts if "no memory for the graph" in text]) == 1
    assert weights(whole)


def test_nothing_is_collected_within_a_capture() -> None:
    """Freeing an earlier graph is a call that no capture survives."""
    for enabled in (True, False):
        (gc.enable if enabled else gc.disable)()
        with contextlib.suppress(RuntimeError), graph._no_collection():
            assert not gc.isenabled()
            raise RuntimeError("cannot be captured")
        assert gc.isenabled() == enabled
    gc.enable()
