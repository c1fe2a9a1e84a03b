"""The GPU's benchmark is rehearsed on a CPU, so that nearly every line of it has run before it meets a GPU."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench import gpu, gpu_liger, gpu_parts, side_by_side
from bench.side_by_side import Ratio
from headway.errors import ConfigError
from headway.tasks import projection

CPU = torch.device("cpu")


def report(**values: Any) -> gpu.Report:
    return gpu.Report(CPU, **values)


def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 2
    assert "needs an NVIDIA GPU" in capsys.readouterr().out
    assert gpu.main(["--tiny", "--only", "gtp"]) == 2
    assert (
        "--only must name parts (gpt, table, xl, fp8, loader, run, xl-compiled, liger), but names gtp"
        in capsys.readouterr().out
    )


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda network, **settings: network)
    projection._fused_chunk.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("part", gpu_parts.NAMES)
def test_each_part_ends_on_a_cpu_with_figures_that_mean_nothing_there(
    part: str, uncompiled: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(side_by_side, "RESULTS", tmp_path)
    assert gpu.main(["--tiny", "--only", part]) == 0
    output = capsys.readouterr().out
    names = {
        "gpt": ["eager, against the loop by hand: ", "compiled, against the loop by hand: ", "gradients' distance"],
        "table": ["mlp: steps are recorded", "tabm: chosen against eager: ", "with its own graph"],
        "xl": ["eager, ours: "],
        "fp8": ["left out: fp8 needs"],
        "loader": ["resident batches against DataLoader: "],
        "run": ["resumed at step [", "trainings that did not resume: 0.000"],
        "xl-compiled": ["compiled, ours: "],
        "liger": ["left out: liger-kernel is not installed"],
    }
    assert all(text in output for text in names[part]), output
    assert "missed" not in "\n".join(line for line in output.splitlines() if "distance" in line)
    assert not list(tmp_path.iterdir())  # figures of a CPU are not kept


class FusedLoss(nn.Module):
    """As liger-kernel's, in plain torch."""

    factor = 1.0

    def forward(self, weight: Tensor, hidden: Tensor, target: Tensor) -> Tensor:
        return self.factor * nn.functional.cross_entropy((hidden @ weight.t()).float(), target)


class FusedNorm(nn.Module):
    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, hidden: Tensor) -> Tensor:
        return nn.functional.rms_norm(hidden, self.weight.shape, self.weight, self.eps)


@pytest.mark.slow
@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "met"), (1.5, "missed")])
def test_liger_kernels_loss_and_norm_are_measured_beside_ours_where_it_is_installed(
    factor: float, verdict: str, uncompiled: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = ModuleType("liger_kernel.transformers")
    vars(theirs).update(LigerFusedLinearCrossEntropyLoss=FusedLoss, LigerRMSNorm=FusedNorm)
    monkeypatch.setattr(FusedLoss, "factor", factor)
    monkeypatch.setitem(sys.modules, "liger_kernel", ModuleType("liger_kernel"))
    monkeypatch.setitem(sys.modules, "liger_kernel.transformers", theirs)
    assert gpu.main(["--tiny", "--only", "liger"]) == 0
    output = [line.partition("liger: ")[2] for line in capsys.readouterr().out.splitlines()]
    for text in ("linear cross-entropy, ours", "linear cross-entropy, ours, compiled", "RMSNorm, ours"):
        assert any(line.startswith(f"{text}: against liger-kernel: ") for line in output), output
    distances = [line for line in output if "gradients' distance" in line]
    assert len(distances) == 5
    assert [line.endswith("met") for line in distances] == [verdict == "met", True, True, True, True]


def test_what_liger_kernel_lacks_is_said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks_triton(name: str) -> ModuleType:
        raise ModuleNotFoundError("No module named 'triton'", name="triton")

    monkeypatch.setattr(gpu_liger.importlib, "import_module", lacks_triton)
    assert gpu.main(["--tiny", "--only", "liger"]) == 0
    assert "liger: left out: liger-kernel needs triton, which is not installed" in capsys.readouterr().out


def test_what_one_side_compiled_is_not_compiled_anew_when_the_other_begins() -> None:
    compiled: list[str] = []

    def maker(label: str) -> Callable[[], Callable[[Any], object]]:
        def backend(graph: torch.fx.GraphModule, _: list[Tensor]) -> Callable[..., Any]:
            compiled.append(label)
            return graph.forward

        network = torch.compile(nn.Linear(3, 3), backend=backend)
        return lambda: lambda batch: network(batch["x"])

    one, batch = report(), {"x": torch.ones(2, 3)}
    ours, anchor = (gpu_parts.begin(one, label, maker(label), batch) for label in ("ours", "anchor"))
    gpu_parts.in_turns(one, ours, anchor, batch, 2, None)
    assert compiled == ["ours", "anchor"]


def test_loading_torch_counts_among_the_seconds() -> None:
    program = (
        "import time; loaded = time.monotonic(); from bench.gpu import age\n"
        "least = time.monotonic() - loaded; print(least <= age() + 0.02 and age())"  # the system counts in hundredths
    )
    start = time.monotonic()
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert 0 < float(outcome.stdout) <= time.monotonic() - start


def test_a_part_that_fails_or_is_refused_is_one_line_and_the_next_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    def fails(_: gpu.Report) -> None:
        raise RuntimeError("no kernel for this\nand a page")

    def refused(_: gpu.Report) -> None:
        raise ConfigError("fp8 needs what is not there")

    third: list[str] = []
    parts: list[gpu.Part] = [("one", fails), ("two", refused), ("three", lambda _: third.append("three"))]
    assert gpu.run(report(), parts) == 1
    assert third == ["three"]
    output = capsys.readouterr().out
    assert "one: FAILED: RuntimeError: no kernel for this\n" in output
    assert "two: left out: fp8 needs what is not there\n" in output


def test_what_there_was_no_time_for_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    over = report(seconds=3.0)
    assert gpu.run(over, [("gpt", lambda _: pytest.fail("ran"))]) == 0
    assert "gpt: all of it: no time left, it takes about 1 s and 0 s are left" in capsys.readouterr().out


def test_what_hangs_is_cut_off_in_time_and_what_was_measured_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    codes: list[int] = []
    hung = report(seconds=gpu.RESERVE + 0.05)
    gpu.cut_off(hung, codes.append)
    deadline = time.monotonic() + 20
    while not codes and time.monotonic() < deadline:
        time.sleep(0.01)
    assert codes == [3]
    assert "cut off after 4 s" in capsys.readouterr().out
    results = report()
    gpu.cut_off(results, codes.append).set()


def test_only_a_gpus_figures_are_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(side_by_side, "RESULTS", tmp_path)
    for device, keep, count in (("cpu", True, 0), ("cuda", False, 0), ("cuda", True, 1)):
        one = gpu.Report(torch.device(device), keep=keep)
        one.part = "gpt"
        one.share("MFU", 0.4, 0.5)
        one.finish()
        assert len(list(tmp_path.iterdir())) == count
    assert "MFU, goal 0.5 over it" in next(tmp_path.iterdir()).read_text()


def test_a_share_that_must_be_large_is_met_from_its_goal_on() -> None:
    for value, met in ((0.49, False), (0.5, True), (0.6, True)):
        one = report()
        one.share("MFU", value, 0.5)
        assert [ratio.met for ratio in one.ratios.values()] == [met]


def test_the_interval_without_scipy_is_students() -> None:
    logs = [0.1, -0.2, 0.3, 0.05]
    ours, trusted = gpu_parts.ratio_of(logs, 1.0), side_by_side.summarise(logs, 1.0)
    assert (ours.ratio, ours.low, ours.high) == pytest.approx((trusted.ratio, trusted.low, trusted.high), rel=1e-3)
    assert gpu_parts.ratio_of([0.0], None) == Ratio(1.0, 1.0, 1.0, None, 1)


def test_wrong_gradients_are_found() -> None:
    sizes, one = gpu_parts.TINY, report()
    network = gpu_parts.built(sizes.gpt, sizes, CPU)
    few = gpu_parts.tokens(sizes.gpt, sizes, 2, 1, CPU)

    def off(outputs: Any, target: torch.Tensor, smoothing: float) -> torch.Tensor:
        return 1.3 * gpu_parts.language.TASK.loss(outputs, target, smoothing)

    gpu_parts.check(one, "gpt", network, off, gpu_parts.Recipe(precision="fp32"), few)
    assert [ratio.met for ratio in one.ratios.values()] == [False]


@pytest.mark.slow
def test_it_runs_with_the_packages_of_the_training_core_alone() -> None:
    others = (
        "lightgbm mlflow prefect great_expectations matplotlib psutil safetensors scipy sklearn tabm tokenizers torchao"
    )
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({others.split()}))\n"
        "from bench import gpu; sys.exit(gpu.main(['--tiny', '--only', 'table,xl,fp8,loader,run']))"
    )
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert "run: left out: checkpoints need safetensors, which is not installed" in outcome.stdout
