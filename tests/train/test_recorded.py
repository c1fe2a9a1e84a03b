"""A recorded step is the step that autograd takes, bit for bit, or it is not recorded."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from headway.data.batches import Batch
from headway.models import Inputs, TokenInputs, model_configs
from headway.models.gpt import GPT
from headway.models.layers import Dropout
from headway.train.optimizer import make_optimizer, pack_optimizers
from headway.train.precision import Arithmetic
from headway.train.recipe import Recipe
from headway.train.recorded import Recorded, Unrecordable
from headway.train.step import Step, can_be_recorded

CPU = torch.device("cpu")
FP32 = Arithmetic("fp32", CPU, "")
ROWS = 16
TABLES = sorted(name for name in model_configs() if name not in ("boosting", "gpt"))


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
    build: Callable[[], nn.Module], batches: list[Batch], arithmetic: Arithmetic = FP32, **settings: Any
) -> Step:
    torch.manual_seed(0)
    network, recipe = build().train(), Recipe(learning_rate=0.01, **settings)
    step = Step(network, make_optimizer(network, recipe), mean_loss, arithmetic, recipe, ROWS)
    for batch in batches:
        step(batch)
    return step


def assert_same(build: Callable[[], nn.Module], batches: list[Batch], **settings: Any) -> None:
    one, other = (stepped(build, batches, record=record, **settings) for record in (True, False))
    assert one._recorded is not None
    assert other._recorded is None
    assert not one.notices
    for name, tensor in one.kept.state_dict().items():
        assert torch.equal(tensor, other.kept.state_dict()[name]), name
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
def test_a_gpt_is_recorded_and_learns_the_same(precision: Any) -> None:
    config = GPT.parse({"name": "gpt", "layers": 2, "heads": 2, "width": 16, "context": 12, "dropout": 0.1}, "model")
    assert_same(lambda: config.build(TokenInputs(50)), text_batches(5), arithmetic=Arithmetic(precision, CPU, ""))


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


class Reads(nn.Module):
    """Does one of two things by what it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) * (2.0 if float(x.sum()) > 0 else 1.0)


class Leaves(Reads):
    """Computes outside torch."""

    def forward(self, x: Tensor) -> Tensor:
        return self.body(torch.from_numpy(x.numpy() * 2))


@pytest.mark.parametrize(
    ("build", "reason"), [(Reads, "it reads the value of a tensor"), (Leaves, "it does more than its kernels tell")]
)
def test_what_is_more_than_its_kernels_trains_unrecorded_and_says_so(build: type[nn.Module], reason: str) -> None:
    batches = [{"x": b["numeric"], "target": b["target"]} for b in table_batches(6)]
    one, other = (stepped(build, batches, record=record) for record in (True, False))
    assert one.notices == [f"steps are not recorded (train.record), for {reason}"]
    for a, b in zip(one.network.parameters(), other.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_recording_changes_nothing_and_keeps_nothing() -> None:
    torch.manual_seed(0)
    network = Odd().train()
    before, random = {k: v.clone() for k, v in network.state_dict().items()}, torch.get_rng_state()
    seen: list[weakref.ref[Tensor]] = []

    def loss(batch: Batch) -> Tensor:
        outputs = network(batch["x"])
        seen.append(weakref.ref(outputs))
        return mean_loss(outputs, batch["target"], 0.0)

    batch = {"x": torch.randn(ROWS, 3), "target": torch.randint(0, 2, (ROWS,))}
    random = torch.get_rng_state()
    Recorded(network, loss, batch)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert all(p.grad is None for p in network.parameters())
    assert all(reference() is None for reference in seen)


def test_an_error_while_recording_leaves_the_network_as_it_was() -> None:
    network = Odd().train()
    before = {k: v.clone() for k, v in network.state_dict().items()}

    def loss(batch: Batch) -> Tensor:
        return network(batch["x"]).sum() / float(network.head.weight.sum())

    with pytest.raises(Unrecordable):
        Recorded(network, loss, {"x": torch.randn(ROWS, 3)})
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_batches_in_parts_and_compiled_networks_are_not_recorded() -> None:
    batch = {"x": torch.randn(ROWS, 3), "target": torch.randint(0, 2, (ROWS,))}
    step = stepped(Reads, [batch], accumulate=2)
    assert step._recorded is None
    assert not step.notices
    unrecorded: list[dict[str, Any]] = [{"checkpoint_activations": True}, {"compile": "default"}, {"record": False}]
    for settings in unrecorded:
        assert not can_be_recorded(Recipe(**settings), FP32)
    assert not can_be_recorded(Recipe(), Arithmetic("fp16", CPU, ""))
