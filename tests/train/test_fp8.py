"""fp8 where it gains, and else bfloat16 with the reason in one line."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from headway.data.batches import Batches, ResidentBatches
from headway.data.inputs import Inputs
from headway.models.gpt import GPT
from headway.train.network import make_training
from headway.train.precision import Arithmetic, apply_precision, choose_precision, fp8_layers
from headway.train.recipe import Recipe
from headway.train.workload import Workload

CPU = torch.device("cpu")
FP8 = Arithmetic("fp8", CPU, "asked for")


class Rows(Workload):
    """Four rows of three numbers and a linear layer."""

    unit = "rows"

    def build(self) -> nn.Module:
        return nn.Linear(3, 1)

    def batches(self, recipe: Recipe, device: torch.device) -> Batches:
        rows = {"input": torch.zeros(4, 3), "target": torch.zeros(4)}
        return ResidentBatches(rows, int(recipe.batch_size), recipe.seed)

    def loss(self, outputs: Tensor, target: Tensor, smoothing: float, weight: Tensor | None = None) -> Tensor:
        raise AssertionError("nothing is trained here")

    def validate(self, network: nn.Module, arithmetic: Arithmetic) -> float:
        raise AssertionError("nothing is trained here")

    def predictions(self, network: nn.Module, arithmetic: Arithmetic) -> dict[str, np.ndarray]:
        raise AssertionError("nothing is trained here")


def network(layers: int, heads: int, width: int) -> nn.Module:
    with torch.device("meta"):
        return GPT(layers=layers, heads=heads, width=width, context=8, tied=True).build(Inputs(tokens=(50_304,)))


def test_large_layers_are_for_fp8_but_not_the_first_and_the_last() -> None:
    """Those of GPT-2's largest size, whose products are of 1,600 by 1,600, 4,800 and 6,400."""
    truth = {"blocks.0.up", "blocks.0.down", "blocks.1.attention.qkv", "blocks.1.up", "blocks.1.down"}
    assert fp8_layers(network(2, 25, 1600)) == truth
    assert fp8_layers(network(2, 12, 768)) == set()


def test_layers_whose_widths_are_no_multiples_of_sixteen_are_not_for_fp8() -> None:
    with torch.device("meta"):
        layers = nn.Sequential(*(nn.Linear(4096, 4096 + more) for more in (0, 0, 8, 0)))
    assert fp8_layers(layers) == {"1"}


@pytest.mark.parametrize(
    ("width", "compiled", "line"),
    [
        (1600, False, "fp8 is slower than bf16 where nothing is compiled; set train.compile"),
        (768, True, "K·N/(K+N) of at least 1,000, both multiples of 16, but this model has none"),
    ],
)
def test_where_fp8_gains_nothing_the_network_stays_and_bfloat16_is_taken(width: int, compiled: bool, line: str) -> None:
    built = network(2, 2, width)
    used = apply_precision(built, FP8, compiled)
    assert (used.name, line in used.reason) == ("bf16", True)
    assert {type(part).__module__.split(".")[0] for part in built.modules()} == {"headway", "torch"}


@pytest.mark.skipif(importlib.util.find_spec("torchao") is None, reason="torchao is not installed")
@pytest.mark.filterwarnings("ignore")  # torchao's own
def test_where_it_gains_large_layers_alone_multiply_in_fp8_by_one_scale_a_tensor() -> None:
    from torchao.float8.config import ScalingGranularity
    from torchao.float8.float8_linear import Float8Linear

    built = network(2, 25, 1600)
    names = fp8_layers(built)
    assert apply_precision(built, FP8) is FP8
    converted = {name: part for name, part in built.named_modules() if isinstance(part, Float8Linear)}
    assert converted.keys() == names
    scaled = {part.config.cast_config_input.scaling_granularity for part in converted.values()}
    assert scaled == {ScalingGranularity.TENSORWISE}


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what a machine without a GPU cannot do")
def test_on_a_cpu_a_training_takes_what_auto_takes_and_says_why() -> None:
    step = make_training(Rows(), Recipe(precision="fp8", batch_size=2), choose_precision("fp8", CPU)).step
    assert step.arithmetic.name == choose_precision("auto", CPU).name
    assert step.notices == [
        f"this trains in {step.arithmetic.name} (train.precision): "
        "fp8 needs an NVIDIA GPU of compute capability 8.9, but this trains on the CPU"
    ]
