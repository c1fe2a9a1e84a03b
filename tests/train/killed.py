"""Trainings that are killed again and again, and the weights that they end with."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from headway.run.directory import RunDirectory
from headway.train import step as step_module
from headway.train.main import main
from headway.train.step import Step

STEPS = (13, 40, 75)
"""The steps, counted over all tries, before which a training dies."""


def weights(run: RunDirectory) -> dict[str, Tensor]:
    """What a training kept."""
    return load_file(run.bundle / "weights.safetensors")


def check_killed_ends_as_whole(whole: RunDirectory, broken: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train the one without a break and the other through three deaths: their weights are the same, bit for bit."""
    assert main(str(whole.path)) == 0
    call, calls = step_module.Step.__call__, [0]

    def dies(self: Step, batch: dict[str, Tensor]) -> None:
        calls[0] += 1
        if calls[0] in STEPS:
            raise KeyboardInterrupt
        call(self, batch)

    monkeypatch.setattr(step_module.Step, "__call__", dies)
    for _ in STEPS:
        with pytest.raises(KeyboardInterrupt):
            main(str(broken.path))
    assert main(str(broken.path)) == 0
    a, b = weights(whole), weights(broken)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)
