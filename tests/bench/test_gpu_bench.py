"""The GPU benchmark runs as far as a CPU can: what only a GPU has is left out there."""

from __future__ import annotations

import pytest
import torch

from bench import gpu
from headway.models.gpt import GPT

CPU = torch.device("cpu")


def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main() == 2
    assert "needs an NVIDIA GPU" in capsys.readouterr().out


def test_formats_are_compared_and_held_to_fp32(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "_compiled_recipes", lambda plain: {})
    tiny = GPT(layers=1, heads=2, width=32, context=16)
    found = gpu.gpt(CPU, tiny, vocabulary=50, batch=2, steps=2, pairs=1)
    found |= gpu.mlp(CPU, rows=16, wide=32, steps=4, pairs=1)
    assert "tf32 needs an NVIDIA GPU" in capsys.readouterr().out
    for label in ("GPT", "wide MLP"):
        apart = found[f"{label}: bf16: distance from fp32 over the allowed"]
        assert 0 < apart.ratio < 1
        assert found[f"{label}: bf16 against fp32"].ratio > 0


def test_resident_batches_are_measured_against_the_dataloader() -> None:
    (ratio,) = gpu.loader(CPU, rows=20_000, pairs=1).values()
    assert 0 < ratio.ratio < 1
