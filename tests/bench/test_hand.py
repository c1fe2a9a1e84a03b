"""The loops by hand learn, as what others are measured against must."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from bench import hand


def numbers() -> dict[str, torch.Tensor]:
    x = torch.randn(64, 4, generator=torch.Generator().manual_seed(1))
    return {"numeric": x, "target": (x[:, 0] * x[:, 1] > 0).long()}


@pytest.mark.parametrize(
    "build", [lambda: hand.MLP(4, 32, 2), lambda: hand.TabM(4, 32, 2, 4, 0.0)], ids=["mlp", "tabm"]
)
def test_a_loop_on_numbers_learns(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    loop, batch = hand.table_loop(build(), rate=0.01), numbers()
    losses = [float(loop.step(batch)) for _ in range(80)]
    assert losses[-1] < 0.2 * losses[0]


def test_the_members_of_an_ensemble_share_layers_and_differ_in_their_scales() -> None:
    torch.manual_seed(0)
    network = hand.TabM(4, 8, 2, 3, 0.0)
    x = torch.randn(5, 4)
    alone = [
        network.second(network.first(x * network.scales_KF[k]).relu()).relu() @ network.heads_KDO[k] for k in range(3)
    ]
    torch.testing.assert_close(network(x), torch.stack(alone, 1))


@pytest.mark.parametrize("autocast", [False, True])
def test_a_gpts_loop_learns_what_follows_what(autocast: bool) -> None:
    torch.manual_seed(0)
    loop = hand.gpt_loop(hand.GPT(11, 2, 2, 32, 16), rate=0.003, autocast=autocast)
    tokens = torch.arange(17).repeat(8, 1) % 11
    batch = {"tokens": tokens[:, :-1], "target": tokens[:, 1:]}
    losses = [float(loop.step(batch)) for _ in range(60)]
    assert losses[0] > 2.0
    assert losses[-1] < 0.3
