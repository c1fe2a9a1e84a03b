"""Which number formats the hardware really computes in, and the context that a step runs in."""

from __future__ import annotations

import importlib.util
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import nn

from headway.errors import ConfigError
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
        return torch.amp.autocast(self.device.type, dtype=dtype, enabled=self.autocasts)

    @property
    def autocasts(self) -> bool:
        """Whether a forward pass runs under autocast: entering its context costs time, so that fp32 does without."""
        return self.name in ("bf16", "fp16", "fp8")

    def scaler(self) -> torch.amp.GradScaler:
        """Loss scaling: only fp16 gradients underflow (Micikevicius et al. 2018, arXiv:1710.03740)."""
        return torch.amp.GradScaler(self.device.type, enabled=self.name == "fp16")


def choose_device(wanted: str) -> torch.device:
    """`auto` is a GPU if there is one. Raises ConfigError when `cuda` is asked for and absent."""
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise ConfigError("train.device cuda needs an NVIDIA GPU that torch can use, but there is none; set auto")
    return torch.device("cuda" if available and wanted != "cpu" else "cpu")


def choose_precision(wanted: Precision, device: torch.device) -> Arithmetic:
    """`auto` takes a half format only where the hardware computes in it: emulated, it is slower than fp32.

    Raises ConfigError when the hardware lacks tf32 or fp8, or fp8's package is missing.
    """
    if wanted != "auto":
        _check_supported(wanted, device)
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


_CAPABILITY = {"tf32": (8, 0), "fp8": (8, 9)}


def _check_supported(wanted: Precision, device: torch.device) -> None:
    least = _CAPABILITY.get(wanted)
    if least is None:
        return
    rule = f"train.precision {wanted} needs an NVIDIA GPU of compute capability {least[0]}.{least[1]}"
    if device.type != "cuda":
        raise ConfigError(f"{rule}, but this trains on the CPU; set auto")
    found = torch.cuda.get_device_capability(device)
    if found < least:
        raise ConfigError(f"{rule}, but this one has {found[0]}.{found[1]}; set auto")
    if wanted == "fp8" and importlib.util.find_spec("torchao") is None:
        raise ConfigError("train.precision fp8 needs the package torchao, but it is not installed; pip install torchao")


def apply_precision(network: nn.Module, arithmetic: Arithmetic) -> None:
    """What a precision asks of the process and the network, beside autocast. Raises ConfigError when fp8 fits no layer."""
    if arithmetic.device.type == "cuda":
        # torch's default multiplies fp32 exactly; "high" is tf32 (ten bits of mantissa) on the tensor cores.
        torch.set_float32_matmul_precision("high" if arithmetic.name in ("tf32", "fp8") else "highest")
        torch.backends.cudnn.allow_tf32 = arithmetic.name in ("tf32", "fp8")
    if arithmetic.name != "fp8":
        return
    from torchao.float8 import convert_to_float8_training

    # The hardware multiplies fp8 in tiles of sixteen.
    fits = {name for name, m in network.named_modules() if isinstance(m, nn.Linear) and _tiles(m)}
    if not fits:
        raise ConfigError("train.precision fp8 must find layers whose widths are multiples of 16, but there is none")
    convert_to_float8_training(network, module_filter_fn=lambda _module, name: name in fits)


def _tiles(layer: nn.Linear) -> bool:
    return layer.in_features % 16 == 0 and layer.out_features % 16 == 0


def _cpu_has_bf16() -> bool:
    """torch's own mkldnn check says True where bf16 is only emulated; the instruction sets say the truth."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, lambda: False)() for check in checks)
