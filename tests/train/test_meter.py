"""What a training computed a second, and which share of the chip's peak that is."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from headway.data.batches import Batches, ResidentBatches, inputs_of
from headway.data.inputs import Inputs
from headway.data.windows import TokenBatches
from headway.files.atomic import read_json, write_json
from headway.machine.gpus import peak_of
from headway.models import ModelConfig
from headway.models.gpt import GPT
from headway.models.layers import ONE_HOT_CODES
from headway.models.mlp import MLP
from headway.models.stacked import stack
from headway.models.tabm import TabM
from headway.run.directory import RunDirectory
from headway.tasks.classification import TASK
from headway.train import meter as metering
from headway.train.language import LanguageWorkload
from headway.train.main import main
from headway.train.meter import Meter, count_flops
from headway.train.precision import Arithmetic
from headway.train.recipe import Recipe
from headway.train.tune import flops_of
from headway.train.workload import Workload

MakeRun = Callable[..., RunDirectory]
FP32 = Arithmetic("fp32", torch.device("cpu"), "")


ROWS = 32
EDGES = tuple(float(edge) for edge in range(-3, 4))
COLUMNS = {
    "numbers": Inputs(3, (), (), 2),
    "numbers in bins": Inputs(3, (), (EDGES, (), EDGES), 2),
    "narrow categories": Inputs(3, (5, 7), (), 2),
    "wide categories": Inputs(3, (5, 200), (), 2),
    "categories alone": Inputs(0, (4, 90), (), 3),
    "tokens": Inputs(2, (5,), (), 2, (50, 9)),
}
LOOKED_UP = {"wide categories", "categories alone", "tokens"}
"""Columns whose embeddings learn, so that the first layer's input needs its gradient, too."""

WIDE, TOKENS, EMBEDDING = 16, 32, 16
"""The width of a wide category's embedding, of a column's mean token, and of a number's embedding."""


class Drawn(Workload):
    """Random rows of any columns, and the model that is to learn from them."""

    unit = "rows"

    def __init__(self, model: ModelConfig, inputs: Inputs) -> None:
        self.model, self.inputs = model, inputs

    def build(self) -> nn.Module:
        return self.model.build(self.inputs)

    def batches(self, recipe: Recipe, device: torch.device) -> Batches:
        inputs, random = self.inputs, torch.Generator().manual_seed(0)
        codes = [torch.randint(0, n, (2 * ROWS,), generator=random) for n in inputs.categorical]
        rows = {
            "numeric": torch.randn(2 * ROWS, inputs.numeric, generator=random),
            "categorical": torch.stack(codes, 1).int() if codes else torch.empty(2 * ROWS, 0, dtype=torch.int32),
            "target": torch.randint(0, inputs.outputs, (2 * ROWS,), generator=random),
        }
        rows |= {f"tokens_{i}": torch.randint(0, n, (2 * ROWS, 6)).int() for i, n in enumerate(inputs.tokens)}
        return ResidentBatches(rows, int(recipe.batch_size), recipe.seed)

    def loss(self, outputs: Tensor, target: Tensor, smoothing: float, weight: Tensor | None = None) -> Tensor:
        return TASK.loss(outputs, target, smoothing)

    def validate(self, network: nn.Module, arithmetic: Arithmetic) -> float:
        raise AssertionError("nothing is trained here")

    def predictions(self, network: nn.Module, arithmetic: Arithmetic) -> dict[str, np.ndarray]:
        raise AssertionError("nothing is trained here")


def check_count(workload: Drawn, products_a_row: int, without: int) -> None:
    """``products_a_row``: multiplications of a row's forward pass; ``without``: those of layers whose input needs no gradient.

    A multiplication and its addition are two operations; the gradient of a layer's weight takes as many, that of its input once more.
    """
    network, batch = workload.build(), next(iter(workload.batches(Recipe(batch_size=ROWS), FP32.device).epoch(0)))
    target = batch.pop("target")
    count = count_flops(network, lambda: workload.loss(network(**batch), target, 0.0).backward())
    assert count == 2 * ROWS * (3 * products_a_row - without)
    before = torch.get_rng_state()
    assert flops_of(Recipe(batch_size=ROWS), workload, FP32) == count
    assert torch.equal(before, torch.get_rng_state())


def encoded_width(inputs: Inputs, number: Callable[[int], int] = lambda _: 1) -> int:
    """``number``: the width of the numeric column ``i``."""
    codes = sum(WIDE if n > ONE_HOT_CODES else n for n in inputs.categorical)
    return sum(number(i) for i in range(inputs.numeric)) + codes + TOKENS * len(inputs.tokens)


@pytest.mark.parametrize("depth", [0, 2])
@pytest.mark.parametrize("columns", COLUMNS)
def test_the_arithmetic_of_an_mlp_is_that_of_its_matrices_counted_with_and_without_computing(
    columns: str, depth: int
) -> None:
    inputs, width = COLUMNS[columns], 24
    widths = [encoded_width(inputs), *[width] * depth, inputs.outputs]
    matrices = [into * out for into, out in itertools.pairwise(widths)]
    model = MLP(width=width, depth=depth, text="tokens")
    check_count(Drawn(model, inputs), sum(matrices), 0 if columns in LOOKED_UP else matrices[0])


@pytest.mark.parametrize("variant", ["tabm-mini", "tabm"])
@pytest.mark.parametrize("columns", [name for name in COLUMNS if name != "tokens"])  # which it does not take
def test_the_arithmetic_of_tabm_is_that_of_each_members_matrices_and_of_the_embeddings_of_numbers(
    columns: str, variant: Any
) -> None:
    """Its members' scales learn, so that every matrix's input needs its gradient; a number in bins is a constant."""
    inputs, width, depth, members = COLUMNS[columns], 24, 2, 4
    binned = [i for i, edges in enumerate(inputs.bins) if edges]
    first = encoded_width(inputs, lambda i: EMBEDDING if i in binned else 1)
    widths = [first, *[width] * depth, inputs.outputs]
    matrices = members * sum(into * out for into, out in itertools.pairwise(widths))
    embedded = len(binned) * (len(EDGES) - 1) * EMBEDDING
    model = TabM(width=width, depth=depth, members=members, variant=variant, embedding=EMBEDDING)
    check_count(Drawn(model, inputs), matrices + embedded, embedded)


@pytest.mark.parametrize("columns", COLUMNS)
def test_networks_that_train_at_once_are_counted_as_many_times_one(columns: str) -> None:
    workload, count = Drawn(MLP(width=24, depth=2, text="tokens"), COLUMNS[columns]), 3
    batch = next(iter(workload.batches(Recipe(batch_size=ROWS), FP32.device).epoch(0)))
    inputs = {name: tensor.expand(count, *tensor.shape) for name, tensor in inputs_of(batch).items()}
    together = stack([workload.build() for _ in range(count)], [torch.Generator() for _ in range(count)])
    operations = count_flops(together, lambda: together(**inputs).square().mean().backward())
    assert operations == count * flops_of(Recipe(batch_size=ROWS), workload, FP32)


@pytest.mark.parametrize(("tied", "kv_heads"), [(False, None), (True, None), (False, 1)])
def test_a_gpts_count_is_what_publications_take(tied: bool, kv_heads: int | None) -> None:
    class Text(LanguageWorkload):
        """As much of one as is counted: random tokens."""

        def batches(self, recipe: Recipe, device: torch.device) -> TokenBatches:
            tokens = torch.randint(300, (1000,)).numpy()
            return TokenBatches(tokens, 4, self.model.window, 0, device)

    class Prepared:
        def inputs(self) -> Inputs:
            return Inputs(tokens=(300,))

    class Stub:
        preparation = Prepared()

    model = GPT(layers=3, heads=2, width=64, context=32, tied=tied, kv_heads=kv_heads)
    workload = Text(Stub(), model)  # pyrefly: ignore
    counted = flops_of(Recipe(batch_size=4), workload, FP32) / (4 * 32)
    assert workload.usual_flops(workload.build()) == pytest.approx(counted, rel=0.01)
    attention = 4 * 64**2 if kv_heads is None else (2 + 2 * kv_heads / 2) * 64**2
    matrices = 3 * (attention + 8 * 64**2) + 300 * 64
    assert counted == 6 * matrices + 12 * 3 * 64 * 32


def test_a_run_says_what_it_computed_a_second(make_run: MakeRun) -> None:
    run = make_run(train={"epochs": 1})
    assert main(str(run.path)) == 0
    figures: dict[str, float] = {}
    for event in run.events():
        figures |= event.metrics
    a_row = read_json(run.path / "tuned.json")["flops_a_step"] / 32
    assert run.result is not None
    assert figures["compute/tflops"] * 1e12 == pytest.approx(a_row * run.result.rows_per_second)
    assert "compute/mfu" not in figures  # of a CPU no peak is known


@pytest.mark.parametrize(("train", "at_once"), [({}, True), ({"clip": 1.0}, False)])
def test_many_seeds_say_what_they_computed_a_second_together(
    make_run: MakeRun, train: dict[str, object], at_once: bool
) -> None:
    settings: dict[str, Any] = {"epochs": 2, "patience": 2, "batch_size": 32, "precision": "fp32", **train}
    alone, run = (make_run(train=settings) for _ in range(2))
    variants = [{"seed": seed, "learning_rate": 0.01, "weight_decay": 0.0} for seed in range(3)]
    write_json(run.path / "run.json", {**run.plan, "variants": variants})
    assert main(str(alone.path)) == main(str(run.path)) == 0
    assert run.result is not None
    assert alone.result is not None
    a_row = read_json(alone.path / "tuned.json")["flops_a_step"] / 32
    assert run.result.cost["compute/tflops"] * 1e12 == pytest.approx(a_row * run.result.rows_per_second)
    assert run.result.steps == (1 if at_once else len(variants)) * alone.result.steps
    rows = run.result.rows_per_second * run.result.cost["time/seconds"]
    assert rows == pytest.approx(len(variants) * alone.result.rows_per_second * alone.result.cost["time/seconds"])
    (figures,) = (event.metrics for event in run.events() if "compute/tflops" in event.metrics)
    assert figures == run.result.cost


@pytest.mark.parametrize(
    ("chip", "precision", "tera"),
    [
        ("NVIDIA H100 80GB HBM3", "bf16", 989),
        ("NVIDIA H100 PCIe", "bf16", 756),
        ("NVIDIA H100 NVL", "tf32", 417.5),
        ("NVIDIA H200", "fp32", 66.9),
        ("NVIDIA A100-SXM4-80GB", "bf16", 312),
        ("NVIDIA L4", "bf16", 121),
        ("NVIDIA L40S", "bf16", 362),
        ("NVIDIA GeForce RTX 4090", "tf32", 82.6),
        ("Tesla T4", "bf16", None),
        ("NVIDIA A10", "bf16", None),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", "bf16", None),
    ],
)
def test_the_peak_is_that_of_the_very_chip(chip: str, precision: str, tera: float | None) -> None:
    peak = peak_of(chip, precision)
    assert peak == (None if tera is None else pytest.approx(tera * 1e12))


def test_utilisation_is_what_was_computed_over_the_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metering, "peak_flops", lambda device, precision: 100e12)
    meter = replace(Meter(FP32.device), count=1000, flops_a_unit=4e10, usual_flops_a_unit=5e10, _seconds=2.0)
    cost = meter.cost("bf16", 0.0)
    assert (cost["compute/tflops"], cost["compute/mfu"]) == pytest.approx((20.0, 0.2))
    assert (cost["compute/tflops_palm"], cost["compute/mfu_palm"]) == pytest.approx((25.0, 0.25))
