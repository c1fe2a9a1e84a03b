"""A recorded step is the step that autograd takes, bit for bit, or it is not recorded."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from headway.data.batches import Batch
from headway.data.inputs import Inputs
from headway.models import model_configs
from headway.models.gpt import GPT
from headway.models.layers import Dropout
from headway.models.mlp import MLP
from headway.train import recorded
from headway.train.optimizer import make_optimizer, pack_optimizers
from headway.train.precision import Arithmetic
from headway.train.recipe import Recipe
from headway.train.recording import FIRST_GAP
from headway.train.step import Loss, Step, can_be_recorded

CPU = torch.device("cpu")
FP32 = Arithmetic("fp32", CPU, "")
ROWS = 16
TABLES = sorted(name for name in model_configs() if name not in ("boosting", "ensemble", "gpt"))


def table_batches(count: int) -> list[Batch]:
    generator = torch.Generator().manual_seed(1)
    draw = {"size": (count, ROWS), "generator": generator}
    return [
        {"numeric": numbers, "categorical": codes, "target": target}
        for numbers, codes, target in zip(
            torch.randn(count, ROWS, 3, generator=generator),
            torch.stack([torch.randint(0, 5, **draw), torch.randint(0, 90, **draw)], -1).int(),
            torch.randint(0, 2, **draw),
            strict=True,
        )
    ]


def text_batches(count: int) -> list[Batch]:
    """Overlapping windows, as the store's: views that are not contiguous."""
    tokens = torch.randint(0, 50, (count, ROWS + 12), generator=torch.Generator().manual_seed(1))
    windows = tokens.unfold(1, 12, 1)
    return [{"tokens": w[:ROWS], "target": w[1 : ROWS + 1]} for w in windows]


def mean_loss(outputs: Tensor, target: Tensor, smoothing: float) -> Tensor:
    if outputs.ndim == 3 and target.ndim == 1:  # an ensemble: (B, K, O)
        outputs, target = outputs.flatten(0, 1), target.repeat_interleave(outputs.shape[1])
    return functional.cross_entropy(outputs.flatten(0, -2).float(), target.flatten(), label_smoothing=smoothing)


def stepped(
    build: Callable[[], nn.Module],
    batches: list[Batch],
    arithmetic: Arithmetic = FP32,
    loss: Loss = mean_loss,
    **settings: Any,
) -> Step:
    torch.manual_seed(0)
    network, recipe = build().train(), Recipe(learning_rate=0.01, **settings)
    step = Step(network, make_optimizer(network, recipe), loss, arithmetic, recipe, ROWS)
    for batch in batches:
        step(batch)
    return step


def assert_same(build: Callable[[], nn.Module], batches: list[Batch], **settings: Any) -> None:
    one, other = (stepped(build, batches, record=record, **settings) for record in (True, False))
    assert not one.notices
    assert one.recorder is not None
    assert one.recorder.recording is not None
    assert other.recorder is None
    for name, tensor in one.network_to_keep.state_dict().items():
        assert torch.equal(tensor, other.network_to_keep.state_dict()[name]), name
    for name, tensor in pack_optimizers(one.optimizers).items():
        assert torch.equal(tensor, pack_optimizers(other.optimizers)[name]), name
    assert one.take_loss() == other.take_loss()


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_network_of_a_table_is_recorded_and_learns_the_same(name: str, precision: Any) -> None:
    def build() -> nn.Module:
        return model_configs()[name].parse({"name": name}, "model").build(Inputs(3, (5, 90), (), 2))

    batches = table_batches(6)
    last = {key: tensor[:7] for key, tensor in batches[-1].items()}  # an epoch's last batch, of another shape
    assert_same(build, [*batches, last, *batches], arithmetic=Arithmetic(precision, CPU, ""))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_network_of_tokens_is_recorded_and_learns_the_same(precision: Any) -> None:
    """Ragged rows come in a few widths, of which each has a recording of its own."""

    def build() -> nn.Module:
        return MLP(width=16, text="tokens").build(Inputs(3, (5, 90), (), 2, (40,)))

    generator = torch.Generator().manual_seed(2)
    batches = [
        {
            **batch,
            "tokens_0": torch.randint(0, 40, (ROWS, 9), generator=generator).int()
            * (torch.rand(ROWS, 9, generator=generator) < 0.5),
        }
        for batch in table_batches(8)
    ]
    batches[5]["tokens_0"] = torch.zeros(ROWS, 9, dtype=torch.int32)  # a batch in which no row has a token
    last = {key: tensor[:7] for key, tensor in batches[-1].items()}
    assert_same(build, [*batches, last, *batches], arithmetic=Arithmetic(precision, CPU, ""))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpt_is_recorded_and_learns_the_same(precision: Any) -> None:
    config = GPT.parse({"name": "gpt", "layers": 2, "heads": 2, "width": 16, "context": 12, "dropout": 0.1}, "model")
    assert_same(lambda: config.build(Inputs(tokens=(50,))), text_batches(5), arithmetic=Arithmetic(precision, CPU, ""))


@pytest.mark.parametrize(
    "settings",
    [
        {"clip": 0.01, "ema": 0.9, "label_smoothing": 0.1},
        {"optimizer": "muon", "schedule": "cosine"},
        {"optimizer": "sgd", "nesterov": True},
        {"optimizer_kernel": "plain"},
    ],
    ids=lambda settings: "+".join(settings),
)
def test_what_comes_after_the_gradients_is_the_same(settings: dict[str, Any]) -> None:
    assert_same(Odd, [{"x": b["numeric"], "target": b["target"]} for b in table_batches(8)], **settings)


class Named(nn.Module):
    """A linear layer that takes its input by name."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Odd(nn.Module):
    """All that a recording could get wrong: a tied weight, one that gets no gradient, a bias added to all of a layer (its gradient
    is the layer's own), running statistics, dropout, an operation in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2)
        self.second.weight = self.first.weight
        self.norm, self.drop = nn.BatchNorm1d(3), Dropout(0.2)
        self.everywhere = nn.Parameter(torch.zeros(ROWS, 3))
        self.again = nn.Parameter(torch.zeros(ROWS, 3))
        self.idle = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.first(x) + self.everywhere + self.again).relu_()
        return self.head(self.drop(self.second(x)) * torch.tensor(2.0))


@pytest.fixture
def _unwatched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a loss note its calls: noting them is otherwise a reason to refuse."""
    monkeypatch.setattr(recorded, "python_state", lambda *_: [])


@pytest.mark.usefixtures("_unwatched")
def test_recording_keeps_nothing_and_a_check_changes_nothing() -> None:
    tensors: list[weakref.ref[Tensor]] = []

    def loss(outputs: Tensor, target: Tensor, smoothing: float) -> Tensor:
        tensors.append(weakref.ref(outputs))
        return mean_loss(outputs, target, smoothing)

    batches = [{"x": b["numeric"], "target": b["target"]} for b in table_batches(9)]
    step = stepped(Odd, batches, loss=loss)
    assert step.recorder is not None
    assert step.recorder.recording is not None
    assert len(tensors) < len(batches)
    assert all(reference() is None for reference in tensors)
    step.network.eval()
    before, random = {k: v.clone() for k, v in step.network.state_dict().items()}, torch.get_rng_state()
    calls = len(tensors)
    step.check()
    assert len(tensors) == calls + 1
    step.check()
    assert len(tensors) == calls + 1, "what was checked is not checked again"
    assert all(torch.equal(v, before[k]) for k, v in step.network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert all(p.grad is None for p in step.network.parameters())
    assert not any(module.training for module in step.network.modules())


@pytest.mark.usefixtures("_unwatched")
def test_checks_go_on_at_growing_intervals() -> None:
    calls: list[int] = []

    def loss(outputs: Tensor, target: Tensor, smoothing: float) -> Tensor:
        calls.append(number)
        return mean_loss(outputs, target, smoothing)

    network, recipe = Named(), Recipe()
    step = Step(network, make_optimizer(network, recipe), loss, FP32, recipe, ROWS)
    batches = [{"x": b["numeric"], "target": b["target"]} for b in table_batches(8)]
    for number in range(1000):
        step(batches[number % 8])
    assert calls[:3] == [0, 1, 2]
    gaps = [b - a for a, b in itertools.pairwise(calls) if b - a > 1]
    assert 4 <= len(gaps) <= 9
    for number, gap in enumerate(gaps):
        assert FIRST_GAP // 2 * 2**number <= gap <= FIRST_GAP * 3 * 2**number


def test_batches_in_parts_and_compiled_networks_are_not_recorded() -> None:
    batch = {"x": torch.randn(ROWS, 3), "target": torch.randint(0, 2, (ROWS,))}
    step = stepped(Named, [batch] * 30, accumulate=2)
    assert step.recorder is not None
    assert step.recorder.recording is None
    assert not step.notices
    unrecorded: list[dict[str, Any]] = [{"checkpoint_activations": True}, {"compile": "default"}, {"record": False}]
    for settings in unrecorded:
        assert not can_be_recorded(Recipe(**settings), FP32)
    assert not can_be_recorded(Recipe(), Arithmetic("fp16", CPU, ""))
