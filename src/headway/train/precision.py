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


def choose_precision(setting: Precision, device: torch.device) -> Arithmetic:
    """`auto` takes a half format only where the hardware computes in it: emulated, it is slower than fp32.

    fp8 is taken for `auto` where the hardware lacks it, with the reason. Raises ConfigError when the hardware lacks tf32, or fp8's package
    is missing.
    """
    lack = _lack(setting, device)
    if lack and setting == "fp8":
        return Arithmetic(_best(device).name, device, lack)
    if lack:
        raise ConfigError(f"train.precision {lack}; set auto")
    if setting == "fp8" and importlib.util.find_spec("torchao") is None:
        raise ConfigError("train.precision fp8 needs the package torchao, but it is not installed; pip install torchao")
    return _best(device) if setting == "auto" else Arithmetic(setting, device, "asked for")


def _best(device: torch.device) -> Arithmetic:
    """The fastest format that training needs no care for."""
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


def _lack(setting: Precision, device: torch.device) -> str:
    """What a format needs and the hardware is not; empty where nothing is lacking."""
    least = _CAPABILITY.get(setting)
    if least is None:
        return ""
    rule = f"{setting} needs an NVIDIA GPU of compute capability {least[0]}.{least[1]}"
    if device.type != "cuda":
        return f"{rule}, but this trains on the CPU"
    capability = torch.cuda.get_device_capability(device)
    return f"{rule}, but this one has {capability[0]}.{capability[1]}" if capability < least else ""


def apply_precision(network: nn.Module, arithmetic: Arithmetic, compiled: bool = True) -> Arithmetic:
    """What a precision asks of the process and the network, beside autocast. Returns what is used: not fp8 where it gains nothing."""
    if arithmetic.device.type == "cuda":
        # torch's default multiplies fp32 exactly; "high" is tf32 (ten bits of mantissa) on the tensor cores.
        torch.set_float32_matmul_precision("high" if arithmetic.name in ("tf32", "fp8") else "highest")
        torch.backends.cudnn.allow_tf32 = arithmetic.name in ("tf32", "fp8")
    if arithmetic.name != "fp8":
        return arithmetic
    names = fp8_layers(network)
    if not compiled:
        return _without_fp8(arithmetic, "fp8 is slower than bf16 where nothing is compiled; set train.compile")
    if not names:
        inner = f"inner layers of K to N wide with K·N/(K+N) of at least {FP8_GAINS:,}, both multiples of 16"
        return _without_fp8(arithmetic, f"fp8 gains with {inner}, but this model has none")
    from torchao.float8 import Float8LinearConfig, convert_to_float8_training

    config = Float8LinearConfig.from_recipe_name("tensorwise")
    convert_to_float8_training(network, config=config, module_filter_fn=lambda _module, name: name in names)
    return arithmetic


FP8_GAINS = 1_000
"""Half the harmonic mean of a layer's widths K and N from which on fp8 is to gain on an H100: three products of a layer save about
3.6 fs for each of M·K·N, of 8.6, while finding scales, casting and transposing inputs, weights and gradients costs 2.5 ps for each of
M·(K+N), so that the two are equal at 700. An estimate from the chip's bandwidth and products of 700 and 1,200 TFLOP/s."""


def fp8_layers(network: nn.Module) -> set[str]:
    """The names of linear layers that fp8 is for: large ones, without the first and the last, whose rounding shows most."""
    linear = [(name, module) for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    return {name for name, layer in linear[1:-1] if _gains(layer.in_features, layer.out_features)}


def _gains(k: int, n: int) -> bool:
    """Whether a layer is large enough; the hardware multiplies fp8 in tiles of sixteen."""
    return k % 16 == 0 and n % 16 == 0 and k * n >= FP8_GAINS * (k + n)


def _without_fp8(arithmetic: Arithmetic, reason: str) -> Arithmetic:
    return Arithmetic("bf16", arithmetic.device, reason)


def _cpu_has_bf16() -> bool:
    """torch's own mkldnn check says True where bf16 is only emulated; the instruction sets say the truth."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, lambda: False)() for check in checks)
