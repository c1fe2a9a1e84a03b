"""Which number formats the hardware really computes in, and the context that a step runs in."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from headway.base import ConfigError
from headway.train.recipe import Precision


@dataclass(frozen=True)
class Arithmetic:
    """The precision that a run uses, and why."""

    name: Precision
    device: torch.device
    reason: str

    def autocast(self) -> AbstractContextManager[object]:
        """The context of a forward pass."""
        dtype = torch.float16 if self.name == "fp16" else torch.bfloat16
        return torch.amp.autocast(self.device.type, dtype=dtype, enabled=self.name in ("bf16", "fp16"))

    def scaler(self) -> torch.amp.GradScaler:
        """Loss scaling: only fp16 gradients underflow (Micikevicius et al. 2018, arXiv:1710.03740)."""
        return torch.amp.GradScaler(self.device.type, enabled=self.name == "fp16")


def choose_device(wanted: str) -> torch.device:
    """`auto` is a GPU if there is one. Raises ConfigError when `cuda` is asked for and absent."""
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise ConfigError("train.device cuda needs an NVIDIA GPU that torch can use, however there is none; set auto")
    return torch.device("cuda" if available and wanted != "cpu" else "cpu")


def choose_precision(wanted: Precision, device: torch.device) -> Arithmetic:
    """`auto` takes a half format only where the hardware computes in it: emulated, it is slower than fp32."""
    if wanted != "auto":
        return Arithmetic(wanted, device, "asked for")
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Arithmetic("bf16", device, "the GPU computes in bf16")
        major, minor = torch.cuda.get_device_capability(device)
        if major >= 7:
            return Arithmetic("fp16", device, f"the GPU (compute capability {major}.{minor}) has fp16 but no bf16")
        return Arithmetic("fp32", device, f"the GPU (compute capability {major}.{minor}) has no fast half format")
    if _cpu_has_bf16():
        return Arithmetic("bf16", device, "the CPU computes in bf16")
    return Arithmetic("fp32", device, "the CPU has no native bf16")


def _cpu_has_bf16() -> bool:
    """torch's own mkldnn check says True where bf16 is only emulated; the instruction sets say the truth."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, lambda: False)() for check in checks)
