"""What a training computed a second, and which share of the chip's peak that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from headway.data.inputs import Inputs
from headway.data.windows import TokenBatches
from headway.files.atomic import read_json
from headway.machine.gpus import peak_of
from headway.models import model_configs
from headway.models.gpt import GPT
from headway.run.directory import RunDirectory
from headway.train import meter as metering
from headway.train.language import LanguageWorkload
from headway.train.main import main
from headway.train.meter import Meter, count_flops
from headway.train.precision import Arithmetic
from headway.train.recipe import Recipe
from headway.train.table import table_workload
from headway.train.tune import flops_of

MakeRun = Callable[..., RunDirectory]
FP32 = Arithmetic("fp32", torch.device("cpu"), "")


@pytest.mark.parametrize("model", [{"name": "mlp", "width": 16, "depth": 2}, {"name": "tabm", "width": 8, "depth": 1}])
def test_the_arithmetic_counted_without_computing_is_that_of_a_real_step(
    make_run: MakeRun, model: dict[str, Any]
) -> None:
    workload = table_workload(make_run().store, model_configs()[model["name"]].parse(model, "model"))
    recipe = Recipe(batch_size=32)
    network, batch = workload.build(), next(iter(workload.batches(recipe, FP32.device).epoch(0)))
    target = batch.pop("target")
    count = count_flops(network, lambda: workload.loss(network(**batch), target, 0.0).backward())
    before = torch.get_rng_state()
    assert flops_of(recipe, workload, FP32) == count > 0
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("tied", [False, True])
def test_a_gpts_count_is_what_publications_take(tied: bool) -> None:
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

    workload = Text(Stub(), GPT(layers=3, heads=2, width=64, context=32, tied=tied))  # pyrefly: ignore
    counted = flops_of(Recipe(batch_size=4), workload, FP32) / (4 * 32)
    assert workload.usual_flops(workload.build()) == pytest.approx(counted, rel=0.01)
    matrices = 3 * 12 * 64**2 + 300 * 64
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
