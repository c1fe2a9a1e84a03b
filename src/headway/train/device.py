"""The device that a training is on, and why not a GPU that there may be."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch

from headway.errors import ConfigError
from headway.machine import gpus

ABSENT = ("Found no NVIDIA driver", "No CUDA GPUs are available", "not compiled with CUDA")
"""What torch says where there is no GPU at all."""


def choose_device(setting: str, say: Callable[[str], None] | None = None) -> torch.device:
    """`auto` is a GPU if there is one that torch can use; where one cannot be used, ``say`` gets the reason in a line.

    Raises ConfigError when `cuda` is asked for and cannot be had.
    """
    if setting == "cpu":
        return torch.device("cpu")
    problem = gpu_problem()
    if problem is None:
        return torch.device("cuda")
    if setting == "cuda":
        fact = problem or "there is none"
        raise ConfigError(f"train.device cuda needs an NVIDIA GPU that torch can use, but {fact}; set auto")
    if problem and say is not None:
        say(f"this trains on the CPU, not on the GPU: {problem}")
    return torch.device("cpu")


def name_of(device: torch.device) -> str:
    """The GPU's name, or `cpu`."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def gpu_problem() -> str | None:
    """Why torch cannot use a GPU, as one clause; empty where there is none, None where it can."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the same, in several lines
        try:
            torch.cuda.init()
            if torch.cuda.is_available():
                return None
            text = ABSENT[1]
        except (RuntimeError, AssertionError) as error:
            text = str(error)
    if "not compiled with CUDA" in text and gpus.installed():
        return "this torch is built without CUDA; install a build with it"
    if any(words in text for words in ABSENT):
        return ""
    first = " ".join(text.split()).partition(". ")[0].removesuffix(".")
    fix = "; update the driver" if "too old" in first else ""
    return first[:1].lower() + first[1:200] + fix
