"""GPUs that cannot be used, differ, or are filled by others: one line each. What CUDA and its driver say is pretended."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from headway.errors import ConfigError, TrainingError
from headway.files.atomic import read_json
from headway.machine import gpus
from headway.machine.gpus import Gpu
from headway.run.directory import RunDirectory
from headway.train import launch
from headway.train import step as step_module
from headway.train.device import choose_device
from headway.train.main import main
from headway.train.memory import held_by_others, is_out_of_memory
from headway.train.optimizer import make_optimizer
from headway.train.recipe import Recipe
from headway.train.step import Step
from headway.train.table import TableWorkload
from tests.train.killed import weights
from tests.train.test_engine import FP32, Named, batches

MakeRun = Callable[..., RunDirectory]
GIB = 2**30
TOO_OLD = (
    "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by downloading and installing a new "
    "version from the URL: http://www.nvidia.com/Download/index.aspx Alternatively, go to: https://pytorch.org to install a PyTorch version"
)
BROKEN = (
    "Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling NumCudaDevices() that might have already "
    "set an error? Error 802: system not yet initialized"
)


def cuda_says(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def init() -> None:
        raise error

    monkeypatch.setattr(torch.cuda, "init", init)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.parametrize(
    ("error", "installed", "reason"),
    [
        (
            RuntimeError(TOO_OLD),
            ["GPU-1"],
            "the NVIDIA driver on your system is too old (found version 11040); update the driver",
        ),
        (RuntimeError(BROKEN), ["GPU-1"], "unexpected error from cudaGetDeviceCount()"),
        (
            AssertionError("Torch not compiled with CUDA enabled"),
            ["GPU-1"],
            "this torch is built without CUDA; install a build with it",
        ),
        (AssertionError("Torch not compiled with CUDA enabled"), [], ""),
        (RuntimeError("Found no NVIDIA driver on your system. Please check that"), [], ""),
        (RuntimeError("No CUDA GPUs are available"), [], ""),
    ],
)
def test_why_a_gpu_cannot_be_used_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, error: Exception, installed: list[str], reason: str
) -> None:
    cuda_says(monkeypatch, error)
    monkeypatch.setattr(gpus, "installed", lambda: installed)
    messages: list[str] = []
    assert choose_device("auto", messages.append).type == choose_device("cpu", pytest.fail).type == "cpu"
    assert messages == ([f"this trains on the CPU, not on the GPU: {reason}"] if reason else [])
    with pytest.raises(ConfigError) as failure:
        choose_device("cuda")
    line = f"train.device cuda needs an NVIDIA GPU that torch can use, but {reason or 'there is none'}; set auto"
    assert str(failure.value) == line


def test_a_training_beside_a_driver_that_is_too_old_is_on_the_cpu_and_says_so(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda_says(monkeypatch, RuntimeError(TOO_OLD))
    run, refused = make_run(train={"epochs": 1, "device": "auto"}), make_run(train={"device": "cuda"})
    assert main(str(run.path)) == 0
    texts = [event.fields["text"] for event in run.events() if event.kind == "warning"]
    assert texts == [
        "this trains on the CPU, not on the GPU: the NVIDIA driver on your system is too old (found version 11040); update the driver"
    ]
    assert main(str(refused.path)) == 2
    assert "train.device cuda needs an NVIDIA GPU" in read_json(refused.path / "error.json")["text"]


H100, T4 = Gpu("GPU-h", "NVIDIA H100 80GB HBM3", 80 * GIB), Gpu("GPU-t", "Tesla T4", 15 * GIB)
RTX, UNKNOWN = Gpu("GPU-r", "NVIDIA GeForce RTX 4090", 24 * GIB), Gpu("GPU-u", "NVIDIA X1", 192 * GIB)


@pytest.mark.parametrize(
    ("among", "first"),
    [
        ([T4, H100], H100),
        ([RTX, H100, T4], H100),
        ([T4, RTX], RTX),
        ([T4, UNKNOWN], UNKNOWN),
        ([H100, UNKNOWN], UNKNOWN),
    ],
)
def test_of_unlike_gpus_the_faster_comes_first_or_the_larger_where_a_speed_is_not_known(
    among: list[Gpu], first: Gpu
) -> None:
    assert gpus.fastest_first(among)[0] == first


@pytest.mark.parametrize(
    ("kinds", "order", "choice", "text"),
    [
        (
            [T4, H100],
            None,
            H100,
            "the GPUs are of different kinds: this trains on NVIDIA H100 80GB HBM3 (80 GiB), not on Tesla T4 (15 GiB)",
        ),
        (
            [T4, H100],
            "0,1",
            T4,
            "the GPUs are of different kinds: this trains on Tesla T4 (15 GiB), not on NVIDIA H100 80GB HBM3 (80 GiB)",
        ),
        ([T4, Gpu("GPU-2", T4.name, T4.memory)], None, T4, None),
        ([H100], None, H100, None),
    ],
)
def test_which_of_unlike_gpus_is_taken_is_said(
    monkeypatch: pytest.MonkeyPatch,
    make_run: MakeRun,
    kinds: list[Gpu],
    order: str | None,
    choice: Gpu,
    text: str | None,
) -> None:
    environments: list[Any] = []
    monkeypatch.setattr(gpus, "installed", lambda: [gpu.uuid for gpu in kinds])
    monkeypatch.setattr(launch, "details", lambda uuids: [gpu for gpu in kinds if gpu.uuid in uuids])
    monkeypatch.setattr(launch, "_launch", lambda run, on_events, module, more: environments.append(more) or {})
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if order is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", order)
    messages: list[str] = []
    launch.launch(make_run(train={"device": "auto"}), lambda events: messages.extend(e.fields["text"] for e in events))
    assert environments == [{"CUDA_VISIBLE_DEVICES": choice.uuid}]
    assert messages == ([text] if text else [])


def test_what_the_driver_says_of_gpus_is_read_and_nothing_where_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: {"GPU-h": H100, "GPU-t": T4}[uuid],
        nvmlDeviceGetName=lambda one: one.name,
        nvmlDeviceGetMemoryInfo=lambda one: SimpleNamespace(total=one.memory),
    )
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    assert gpus.details(["GPU-t", "GPU-h"]) == [T4, H100]
    assert gpus.details(["GPU-t", "GPU-gone"]) == []


def of_others(monkeypatch: pytest.MonkeyPatch, free: float, total: float, own: float) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (int(free * GIB), int(total * GIB)))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device=None: int(own * GIB))


def test_memory_that_other_processes_hold_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert held_by_others(torch.device("cpu")) == ""
    of_others(monkeypatch, free=0.5, total=79.1, own=17.4)
    assert held_by_others(torch.device("cuda")) == "other processes hold 61.2 of the GPU's 79.1 GiB"
    of_others(monkeypatch, free=60.0, total=79.1, own=18.5)  # the rest is this process's own context
    assert held_by_others(torch.device("cuda")) == ""


@pytest.mark.parametrize(
    "text",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "DefaultCPUAllocator: can't allocate memory",
    ],
)
def test_memory_that_ran_out_is_known_whoever_says_it(text: str) -> None:
    assert is_out_of_memory(RuntimeError(text))
    assert not is_out_of_memory(ValueError(text))
    assert not is_out_of_memory(RuntimeError("CUDA error: device-side assert triggered"))


def test_a_gpu_that_others_fill_while_training_means_parts_or_one_line_that_names_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(step_module, "held_by_others", lambda device: "other processes hold 61.2 of the GPU's 79.1 GiB")
    fits = [8, 0]

    def of(outputs: Tensor, target: Tensor, smoothing: float) -> Tensor:
        if len(target) > fits[0]:
            raise RuntimeError("CUDA error: out of memory")
        return torch.nn.functional.cross_entropy(outputs, target)

    network, recipe = Named(), Recipe(record=False)
    step = Step(network, make_optimizer(network, recipe), of, FP32, recipe, 16)
    step(batches()[0])
    assert step.notices == [
        "out of memory (other processes hold 61.2 of the GPU's 79.1 GiB): batches are computed in 2 parts of 8 from here on"
    ]
    fits[0] = 0
    with pytest.raises(TrainingError) as error:
        step(batches()[0])
    assert str(error.value) == (
        "training must fit in memory, but not even one row does: other processes hold 61.2 of the GPU's 79.1 GiB; "
        "wait for them, or lower the model's size"
    )


def test_a_training_whose_gpu_others_fill_meanwhile_ends_in_parts_and_says_who_holds_it(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, calls = TableWorkload.loss, [0]

    def filled_later(self: TableWorkload, outputs: Tensor, target: Tensor, smoothing: float) -> Tensor:
        calls[0] += 1
        if calls[0] > 60 and len(target) > 16:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return plain(self, outputs, target, smoothing)

    whole, crowded = (make_run(train={"record": False, "precision": "fp32"}) for _ in range(2))
    assert main(str(whole.path)) == 0
    monkeypatch.setattr(step_module, "held_by_others", lambda device: "other processes hold 61.2 of the GPU's 79.1 GiB")
    monkeypatch.setattr(TableWorkload, "loss", filled_later)
    assert main(str(crowded.path)) == 0
    texts = [event.fields["text"] for event in crowded.events() if event.kind == "warning"]
    assert texts == [
        "out of memory (other processes hold 61.2 of the GPU's 79.1 GiB): batches are computed in 2 parts of 16 from here on"
    ]
    a, b = weights(whole), weights(crowded)
    for name in a:
        torch.testing.assert_close(a[name], b[name], atol=1e-3, rtol=1e-2, msg=name)


def test_memory_that_runs_out_elsewhere_names_the_others_too(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\nand a page")

    of_others(monkeypatch, free=0.5, total=79.1, own=17.4)
    run = make_run(train={"epochs": 1})
    monkeypatch.setattr("headway.train.main.keep_memory", full)
    assert main(str(run.path)) == 4
    assert read_json(run.path / "error.json")["text"] == (
        "training must fit in memory, but it ran out (other processes hold 61.2 of the GPU's 79.1 GiB); "
        "lower train.batch_size or the model's size"
    )
