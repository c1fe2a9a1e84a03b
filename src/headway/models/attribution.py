"""What each column of a row contributes to a network's margin, compared with other rows.

Expected gradients (Erion et al. 2021, arXiv:1906.10670): integrated gradients (Sundararajan, Taly and Yan 2017, arXiv:1703.01365) from
each of some other rows, averaged. They are taken where the columns lie side by side, each in places of its own: codes have no gradient, but
what they become has one.

Shapes: B rows, K other rows, R rows at once, D width of the columns side by side, P prepared columns, M margins.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from headway.data.padded import tensors_of
from headway.data.prepared_rows import PreparedRows
from headway.errors import ConfigError
from headway.models.contributions import Contributions, completed
from headway.models.layers import LinearNetwork, TableNetwork
from headway.tasks import Target

STEPS = 8
"""Points on the way from each other row; those of different rows lie at different shares of it, so that they are 800 for 100 rows."""

GOLDEN = (5**0.5 - 1) / 2
AT_ONCE = 4096

Margins = Callable[[Tensor], Tensor]


def expected_gradients(
    network: nn.Module, rows: PreparedRows, others: PreparedRows, target: Target, which: np.ndarray
) -> Contributions:
    """What each prepared column adds to margin ``which`` (B,) of each row. Raises ConfigError where columns do not lie side by side."""
    if not isinstance(network, TableNetwork):
        name = type(network).__name__
        raise ConfigError(f"reasons need a network whose columns lie side by side (TableNetwork), but this is a {name}")
    task, outputs_of = target.learner, torch.from_numpy(np.asarray(which, np.int64))
    network.requires_grad_(False)

    def margins(encoded: Tensor) -> Tensor:
        return task.margins(target, network.body(encoded))

    x_BD, z_KD = network.encode(**_tensors(rows)), network.encode(**_tensors(others))
    own_B = margins(x_BD).gather(1, outputs_of[:, None])[:, 0]
    base_B = margins(z_KD).mean(0)[outputs_of]
    parts = torch.arange(len(x_BD)).split(max(1, AT_ONCE // len(z_KD)))
    values_BD = torch.cat([along_paths(margins, x_BD[part], z_KD, outputs_of[part]) for part in parts])
    places = torch.tensor(network.columns.places).repeat_interleave(torch.tensor(network.columns.chunks))
    columns = rows.arrays["numeric"].shape[1] + rows.arrays["categorical"].shape[1] + len(rows.ragged)
    values_BP = torch.zeros(len(x_BD), columns).index_add_(1, places, values_BD)
    own, base, values = (tensor.double().numpy() for tensor in (own_B, base_B, values_BP))
    return Contributions(completed(values, own - base), base)  # the points on the way miss about a hundredth


def along_paths(margins: Margins, x_RD: Tensor, z_KD: Tensor, chosen_R: Tensor) -> Tensor:
    """(R, D): the mean over the other rows of the way from them times the gradient on it."""
    apart_RKD = x_RD[:, None] - z_KD
    total_RKD = torch.zeros_like(apart_RKD)
    starts_K = torch.arange(len(z_KD)) * GOLDEN % 1
    picked = chosen_R.repeat_interleave(len(z_KD))[:, None]
    for step in range(STEPS):
        share_K1 = ((step + starts_K) / STEPS)[:, None]
        points = (z_KD + share_K1 * apart_RKD).flatten(0, 1).requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(margins(points).gather(1, picked).sum(), points)
        total_RKD += gradient.view_as(apart_RKD)
    return (apart_RKD * total_RKD).mean(1) / STEPS


@torch.no_grad()
def linear_contributions(
    network: nn.Module, rows: PreparedRows, others: PreparedRows, target: Target, which: np.ndarray
) -> Contributions:
    """The same of a linear network, exactly."""
    network = cast(LinearNetwork, network)
    task, tensors = target.learner, _tensors(others)
    outputs_of = torch.from_numpy(np.asarray(which, np.int64))
    terms_BPO = network.terms(**_tensors(rows)) - network.terms(**tensors).mean(0)
    flat = terms_BPO.flatten(0, 1)
    margins = task.margins(target, flat) - task.margins(target, torch.zeros_like(flat[:1]))
    values_BPM = margins.view(*terms_BPO.shape[:2], -1)
    values = values_BPM.gather(2, outputs_of[:, None, None].expand(-1, values_BPM.shape[1], 1))[..., 0]
    base = task.margins(target, network(**tensors)).mean(0)[outputs_of]
    return Contributions(values.double().numpy(), base.double().numpy())


def _tensors(rows: PreparedRows) -> dict[str, Tensor]:
    """Few rows as a network takes them at once."""
    return {name: tensor[: len(tensor)] for name, tensor in tensors_of(rows).items()}
