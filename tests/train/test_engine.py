"""Every switch of the recipe against the plain version of what it does."""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from headway.errors import ConfigError, TrainingError
from headway.files.atomic import read_json, write_json
from headway.run.directory import RunDirectory
from headway.train import checkpoint
from headway.train.diagnosis import diagnose
from headway.train.main import main
from headway.train.meter import Meter, count_flops, read_energy
from headway.train.muon import Muon, orthogonalised
from headway.train.optimizer import make_optimizer, pack_optimizers, unpack_optimizers
from headway.train.precision import Arithmetic, choose_precision
from headway.train.recipe import Recipe
from headway.train.schedule import rate
from headway.train.step import Step, check_compiler
from headway.train.table import TableWorkload
from tests.train.killed import check_killed_ends_as_whole, weights

MakeRun = Callable[..., RunDirectory]
CPU = torch.device("cpu")
FP32 = Arithmetic("fp32", CPU, "")


def linear() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))


class Named(nn.Module):
    """Takes its input by name, as networks here do."""

    def __init__(self) -> None:
        super().__init__()
        self.body = linear()

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def loss(outputs: Tensor, target: Tensor, smoothing: float) -> Tensor:
    return functional.cross_entropy(outputs, target, label_smoothing=smoothing)


def batches(count: int = 12, rows: int = 16) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        {"x": torch.randn(rows, 4, generator=generator), "target": torch.randint(0, 2, (rows,), generator=generator)}
        for _ in range(count)
    ]


def stepped(recipe: Recipe, of: Callable[..., Tensor] = loss, arithmetic: Arithmetic = FP32) -> Step:
    """A step that has gone over all batches."""
    network = Named()
    step = Step(network, make_optimizer(network, recipe), of, arithmetic, recipe, 16)
    for batch in batches():
        step(batch)
    return step


def by_hand(recipe: Recipe, change: Callable[[nn.Module], object] = lambda _: None) -> nn.Module:
    """The obvious loop; ``change`` comes between backward and step."""
    network = Named()
    groups = [
        {"params": [p for p in network.parameters() if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in network.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
    for batch in batches():
        optimizer.zero_grad()
        functional.cross_entropy(network(batch["x"]), batch["target"]).backward()
        change(network)
        optimizer.step()
    return network


def same(a: nn.Module, b: nn.Module, atol: float = 0.0, rtol: float = 0.0) -> None:
    for x, y in zip(a.parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(x, y, atol=atol, rtol=rtol)


def test_a_plain_step_is_torchs_bit_for_bit() -> None:
    recipe = Recipe(learning_rate=0.01, weight_decay=0.1)
    same(stepped(recipe).network, by_hand(recipe))


def test_a_weight_without_a_gradient_at_times_is_stepped_as_torch_does() -> None:
    """The weights of one kernel share a count of steps until one of them is left out."""
    recipe = Recipe(learning_rate=0.01, weight_decay=0.1)
    ours, theirs = Named(), Named()
    optimizers = make_optimizer(ours, recipe)
    groups = [
        {"params": [p for p in theirs.parameters() if p.ndim == n], "weight_decay": d} for n, d in ((2, 0.1), (1, 0.0))
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.01, fused=True)
    for number, batch in enumerate(batches()):
        for network in (ours, theirs):
            functional.cross_entropy(network(batch["x"]), batch["target"]).backward()
            if number in (4, 5, 9):
                list(network.parameters())[2].grad = None
        optimizers.step()
        optimizers.zero_grad()
        optimizer.step()
        optimizer.zero_grad()
        if number == 7:  # saved and loaded in between
            unpack_optimizers(optimizers, pack_optimizers(optimizers))
            optimizers.set_rate(1.0)
    same(ours, theirs)


@pytest.mark.parametrize("kernel", ["foreach", "plain"])
def test_every_kernel_of_the_optimizer_does_the_same(kernel: Any) -> None:
    recipe = Recipe(learning_rate=0.01, optimizer_kernel=kernel)
    same(stepped(recipe).network, by_hand(recipe), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("parts", [2, 3, 16])
def test_a_batch_in_parts_has_the_same_gradients(parts: int) -> None:
    recipe = Recipe(learning_rate=0.01, accumulate=parts)
    same(stepped(recipe).network, by_hand(recipe), atol=1e-5, rtol=1e-4)


def test_gradients_are_clipped_to_their_length() -> None:
    recipe = Recipe(learning_rate=0.01, clip=0.05)
    same(stepped(recipe).network, by_hand(recipe, lambda n: nn.utils.clip_grad_norm_(n.parameters(), 0.05)), atol=1e-6)


def test_the_average_is_the_recursion() -> None:
    recipe = Recipe(learning_rate=0.01, ema=0.8)
    network, weights_by_step = Named(), []
    step = Step(network, make_optimizer(network, recipe), loss, FP32, recipe, 16)
    for batch in batches():
        step(batch)
        weights_by_step.append([p.detach().clone() for p in network.parameters()])
    average = weights_by_step[0]  # the first weights begin the average
    for later in weights_by_step[1:]:
        average = [0.8 * a + 0.2 * w for a, w in zip(average, later, strict=True)]
    for truth, result in zip(average, step.network_to_keep.parameters(), strict=True):
        torch.testing.assert_close(result, truth)
    assert step.network_to_keep is not network


def test_label_smoothing_reaches_the_loss() -> None:
    smoothings: list[float] = []

    def of(outputs: Tensor, target: Tensor, smoothing: float) -> Tensor:
        smoothings.append(smoothing)
        return loss(outputs, target, smoothing)

    stepped(Recipe(label_smoothing=0.1), of)
    assert set(smoothings) == {0.1}


def test_out_of_memory_halves_the_parts_and_keeps_the_maths() -> None:
    def of(outputs: Tensor, target: Tensor, smoothing: float) -> Tensor:
        if len(target) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return loss(outputs, target, smoothing)

    recipe = Recipe(learning_rate=0.01)
    step = stepped(recipe, of)
    assert step.parts == 4
    assert step.notices == [
        "out of memory: batches are computed in 2 parts of 8 from here on",
        "out of memory: batches are computed in 4 parts of 4 from here on",
    ]
    same(step.network, by_hand(recipe), atol=1e-5, rtol=1e-4)
    assert step.loss_steps == 12


class Remembers(Named):
    """Running statistics and dropout: a step changes more than weights."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.drop = nn.BatchNorm1d(4), nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self.drop(self.norm(x)))


@pytest.mark.parametrize("fails", [0, 1, 7], ids=lambda number: f"in step {number}")
def test_a_step_that_ran_out_of_memory_counts_once(fails: int) -> None:
    """As if its batch had been in parts from the beginning: average, running statistics, random numbers, counts."""
    calls = []
    for out_of_memory in (True, False):
        torch.manual_seed(0)
        network, recipe = Remembers().train(), Recipe(learning_rate=0.01, ema=0.8, clip=0.1, record=False)
        number = -1

        def of(outputs: Tensor, target: Tensor, smoothing: float, out_of_memory: bool = out_of_memory) -> Tensor:
            if out_of_memory and number == fails and len(target) > 4:  # noqa: B023
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
            return loss(outputs, target, smoothing)

        step = Step(network, make_optimizer(network, recipe), of, FP32, recipe, 16)
        for number, batch in enumerate(batches()):
            if not out_of_memory and number == fails:
                step.parts = 4
            step(batch)
        calls.append(step)
    one, other = calls
    assert (one.parts, one.loss_steps) == (other.parts, other.loss_steps) == (4, 12)
    for name, tensor in one.network.state_dict().items():
        assert torch.equal(tensor, other.network.state_dict()[name]), name
    assert one.average is not None
    assert other.average is not None
    assert one.average.count == 12
    for name, tensor in one.average.state_dict().items():
        assert torch.equal(tensor, other.average.state_dict()[name]), name
    for name, tensor in pack_optimizers(one.optimizers).items():
        assert torch.equal(tensor, pack_optimizers(other.optimizers)[name]), name
    assert one.take_loss() == other.take_loss()


def test_out_of_memory_in_the_optimizers_step_is_not_taken_for_the_batchs() -> None:
    """Some weights may have been stepped by then: a second try would step them twice."""
    network, recipe = Named(), Recipe()
    optimizers = make_optimizer(network, recipe)
    step = Step(network, optimizers, loss, FP32, recipe, 16)

    def fail() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    optimizers.step = fail  # pyrefly: ignore
    with pytest.raises(torch.OutOfMemoryError):
        step(batches()[0])
    assert step.parts == 1


def test_a_row_that_does_not_fit_is_one_line() -> None:
    def of(*_: object) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(TrainingError, match="training must fit in memory, but not even one row does"):
        stepped(Recipe(), of)


def test_nesterov_and_muon_are_torchs() -> None:
    model = linear()
    sgd = make_optimizer(model, Recipe(optimizer="sgd", nesterov=True, momentum=0.8)).parts[0]
    assert isinstance(sgd, torch.optim.SGD)
    assert sgd.param_groups[0]["nesterov"]
    muon, adamw = make_optimizer(model, Recipe(optimizer="muon")).parts
    assert isinstance(muon, torch.optim.Muon)
    assert [p is model[2].weight for p in muon.param_groups[0]["params"]] == [True]
    shorter = make_optimizer(model, Recipe(optimizer="muon", muon_momentum=0.8)).parts[0]
    assert (muon.param_groups[0]["momentum"], shorter.param_groups[0]["momentum"]) == (0.95, 0.8)
    assert sum(len(g["params"]) for g in adamw.param_groups) == 5
    with pytest.raises(ConfigError, match="train.optimizer muon must find hidden matrices"):
        make_optimizer(nn.Linear(3, 2), Recipe(optimizer="muon"))


@pytest.mark.parametrize("shape", [(24, 8), (8, 24), (16, 16)])
def test_muons_matrices_are_orthogonalised_as_torchs_are_and_near_the_polar_factor(shape: tuple[int, int]) -> None:
    """torch's own works in bfloat16, whose steps are 0.4 %; singular values end between 0.7 and 1.2 (Jordan et al. 2024)."""
    matrices = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    results = orthogonalised(matrices, (3.4445, -4.775, 2.0315), 5).float()  # bfloat16 where the hardware has it
    singular = torch.linalg.svdvals(results)
    assert 0.6 < float(singular.min()) < float(singular.max()) < 1.3
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    assert float((results * (left @ right)).sum() / results.norm() / (left @ right).norm()) > 0.95
    weights = [nn.Parameter(torch.zeros(shape)) for _ in range(2)]
    for weight in weights:
        weight.grad = matrices[0].clone()
    for kind, weight in zip((Muon, torch.optim.Muon), weights, strict=True):
        kind([weight], lr=0.1, adjust_lr_fn="original").step()
    ours, torchs = (weight.detach() for weight in weights)
    assert float((ours - torchs).norm() / torchs.norm()) < 0.05


def test_an_optimizer_continues_from_what_was_packed() -> None:
    recipe = Recipe(learning_rate=0.01)
    whole = stepped(recipe).network
    network = Named()
    first = make_optimizer(network, recipe)
    step = Step(network, first, loss, FP32, recipe, 16)
    for batch in batches()[:5]:
        step(batch)
    packed = {name: tensor.clone() for name, tensor in pack_optimizers(first).items()}
    second = make_optimizer(network, recipe)
    unpack_optimizers(second, packed)
    step = Step(network, second, loss, FP32, recipe, 16)
    for batch in batches()[5:]:
        step(batch)
    same(network, whole)


def test_the_schedules_are_torchs() -> None:
    def torchs(make: Callable[[torch.optim.Optimizer], Any], steps: int) -> list[float]:
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        schedule = make(optimizer)
        result = []
        for _ in range(steps):
            result.append(schedule.get_last_lr()[0])
            optimizer.step()
            schedule.step()
        return result

    steps = 50
    cosine = torchs(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, steps - 1, eta_min=0.1), steps)
    ours = [rate(Recipe(schedule="cosine", final_rate=0.1), s, steps) for s in range(steps)]
    np.testing.assert_allclose(ours, cosine, atol=1e-9)
    linear = torchs(lambda o: torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.1, steps - 1), steps)
    ours = [rate(Recipe(schedule="linear", final_rate=0.1), s, steps) for s in range(steps)]
    np.testing.assert_allclose(ours, linear, atol=1e-9)
    one = torchs(
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 1.0, total_steps=51, pct_start=0.3, final_div_factor=1e9), 51
    )
    ours = [rate(Recipe(schedule="one_cycle"), s, 51) for s in range(51)]
    np.testing.assert_allclose(ours, one, atol=0.05)  # torch's peak lies one step earlier
    assert max(ours) == pytest.approx(1.0)
    assert ours[0] == pytest.approx(0.04)
    warm = [rate(Recipe(warmup=0.1), s, 100) for s in range(100)]
    assert warm[:11] == pytest.approx([(s + 1) / 11 for s in range(10)] + [1.0])
    assert set(warm[10:]) == {1.0}


def test_flops_are_six_a_weight_and_row() -> None:
    model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.ReLU(), nn.Linear(8, 2, bias=False))
    x = torch.randn(10, 4, requires_grad=True)
    weights = sum(p.numel() for p in model.parameters())
    before = torch.get_rng_state()
    assert count_flops(model, lambda: model(x).sum().backward()) == 6 * 10 * weights
    assert torch.equal(before, torch.get_rng_state())
    assert all(p.grad is None for p in model.parameters())


def test_the_meters_shares_sum_to_one_and_nothing_is_invented() -> None:
    meter = Meter(CPU)
    meter.resume()
    time.sleep(0.02)
    meter.wait, meter.compute, meter.count, meter.steps = 0.005, 0.01, 100, 2
    meter.pause()
    assert sum(meter.shares.values()) == pytest.approx(1)
    cost = meter.cost("fp32", 0.0)
    assert {"compute/mfu", "cost/money", "compute/tflops"}.isdisjoint(cost)
    assert ("energy/wh" in cost) == (read_energy(CPU) is not None)
    assert 0 < meter.cost("fp32", 3600.0)["cost/money"] < 10


@pytest.mark.parametrize(
    ("cost", "recipe", "device", "setting"),
    [
        (
            {"time/wait": 0.5, "time/other": 0.0, "time/step_ms": 1},
            {"residence": "stream"},
            "cpu",
            "train.residence=device",
        ),
        ({"time/wait": 0.5, "time/other": 0.0, "time/step_ms": 1}, {}, "cpu", "train.workers=4"),
        ({"time/wait": 0.0, "time/other": 0.4, "time/step_ms": 1}, {}, "cpu", "train.checkpoint_seconds=120"),
        (
            {"time/wait": 0.0, "time/other": 0.0, "time/step_ms": 20, "time/seconds": 900},
            {},
            "cpu",
            "train.compile=default",
        ),
        ({"time/wait": 0.0, "time/other": 0.0, "time/step_ms": 20, "time/seconds": 30}, {}, "cpu", ""),
        ({"time/wait": 0.0, "time/other": 0.0, "time/step_ms": 0.2}, {}, "cpu", "train.batch_size=512"),
        ({"time/wait": 0.0, "time/other": 0.0, "time/step_ms": 0.4}, {}, "cuda", "train.cuda_graphs=true"),
        ({"time/wait": 0.0, "time/other": 0.0, "time/step_ms": 9}, {}, "cuda", "train.precision=bf16"),
        ({"time/wait": 0.0, "time/other": 0.0, "time/step_ms": 9}, {"compile": "default"}, "cpu", ""),
    ],
)
def test_the_diagnosis_names_the_largest_loss(
    cost: dict[str, float], recipe: dict[str, Any], device: str, setting: str
) -> None:
    findings = diagnose(cost, Recipe(**recipe), device=device, precision="fp32", unit="rows", bf16=device == "cuda")
    assert findings.setting == setting
    if setting:  # what it says to try is a setting that exists
        name, value = setting.removeprefix("train.").split("=")
        assert setting in findings.text
        Recipe.parse({name: json.loads(value) if value[0] in "0123456789tf" else value}, "train")


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what a machine without a GPU cannot do")
def test_what_the_hardware_lacks_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match=r"train.precision tf32 needs an NVIDIA GPU of compute capability 8.0, but"):
        choose_precision("tf32", CPU)
    with pytest.raises(ConfigError, match="train.cuda_graphs needs an NVIDIA GPU, but this trains on the CPU"):
        check_compiler(Recipe(cuda_graphs=True), CPU)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"nesterov": True}, "nesterov must come with optimizer sgd"),
        ({"cuda_graphs": True, "precision": "fp16"}, "cuda_graphs must not come with precision fp16"),
        ({"batch_size": "many"}, "train: batch_size must be a whole number or 'auto', but is 'many'"),
        ({"threads": -1}, "train: threads must be at least 0, but is -1"),
    ],
)
def test_settings_that_do_not_go_together_are_one_line(settings: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as error:
        Recipe.parse(settings, "train")
    assert line in str(error.value)
    assert "\n" not in str(error.value)


EVERYTHING = {
    "schedule": "cosine",
    "warmup": 0.1,
    "ema": 0.9,
    "clip": 1.0,
    "accumulate": 2,
    "optimizer": "muon",
    "label_smoothing": 0.05,
    "checkpoint_seconds": 0.0001,
    "residence": "stream",
}


@pytest.mark.parametrize("switches", [*({k: v} for k, v in EVERYTHING.items()), EVERYTHING], ids=lambda s: "+".join(s))
def test_every_switch_resumes_bit_for_bit(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, switches: dict[str, Any]
) -> None:
    model = {"name": "mlp", "width": 16, "depth": 3, "dropout": 0.2}
    settings = {"checkpoint_seconds": 0.0001, **switches}
    whole, broken = (make_run(model=model, train=settings) for _ in range(2))
    check_killed_ends_as_whole(whole, broken, monkeypatch)
    losses = [[(e.step, e.metrics) for e in run.events() if "train/loss" in e.metrics] for run in (whole, broken)]
    assert losses[0] == losses[1]


def test_a_lost_loss_goes_back_once_with_a_lower_rate(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, calls = TableWorkload.loss, [0]

    def once(self: TableWorkload, outputs: Tensor, target: Tensor, smoothing: float) -> Tensor:
        calls[0] += 1
        return plain(self, outputs, target, smoothing) * (float("nan") if calls[0] == 60 else 1.0)

    monkeypatch.setattr(TableWorkload, "loss", once)
    run = make_run(train={"record": False})  # a recorded step calls kernels, and this loss no more
    assert main(str(run.path)) == 0
    messages = [e.fields["text"] for e in run.events() if e.kind == "warning"]
    assert len(messages) == 1
    assert messages[0].startswith("the loss was not finite by step")
    assert messages[0].endswith("with 0.1 of the learning rate")
    assert run.result is not None
    assert run.result.validation_loss < 0.7
    steps = [e.step for e in run.events() if "train/loss" in e.metrics]
    assert steps == sorted(set(steps))


@pytest.mark.parametrize(
    ("key", "what"), [("data", "the prepared data"), ("model", "the model"), ("recipe", "the recipe")]
)
def test_a_checkpoint_of_something_else_is_refused(make_run: MakeRun, key: str, what: str) -> None:
    run = make_run(train={"epochs": 3})
    assert main(str(run.path)) == 0
    (run.path / "result.json").unlink()
    plan = run.plan
    if key == "data":
        write_json(run.path / "store.json", {**read_json(run.path / "store.json"), "digest": "other"})
    elif key == "model":
        write_json(
            run.path / "run.json", {"project": {**plan["project"], "model": {"name": "mlp", "width": 17, "depth": 2}}}
        )
    else:
        train = {**plan["project"]["train"], "learning_rate": 0.02}
        write_json(run.path / "run.json", {"project": {**plan["project"], "train": train}})
    assert main(str(run.path)) == 4
    text = read_json(run.path / "error.json")["text"]
    assert text.startswith(f"a checkpoint must be of the training that is resumed, but {what} changed since")


def test_another_torch_is_a_warning(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(train={"epochs": 2})
    assert main(str(run.path)) == 0
    (run.path / "result.json").unlink()
    monkeypatch.setattr(torch, "__version__", "9.9.9")
    assert main(str(run.path)) == 0
    assert any("this is 9.9.9: the last digits may differ" in str(e.fields.get("text")) for e in run.events())


def test_without_space_for_a_checkpoint_training_goes_on_and_keeps_the_last_good_one(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"train": {"checkpoint_seconds": 1e-9, "epochs": 3}}
    plain, full = make_run(**settings), make_run(**settings)
    assert main(str(plain.path)) == 0
    files = [0]

    write = Path.write_bytes

    def fill(path: Path, content: bytes) -> int:
        files[0] += path.parent == full.checkpoints
        if files[0] <= 3 or path.parent != full.checkpoints:
            return write(path, content)
        write(path, content[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill)
    assert main(str(full.path)) == 0
    a, b = weights(plain), weights(full)
    assert all(torch.equal(a[name], b[name]) for name in a)
    newest = checkpoint.load_newest(full.checkpoints)
    assert newest is not None
    good = [e.fields["step"] for e in full.events() if e.kind == "checkpoint"]
    assert newest[1]["step"] == good[-1]
    texts = [str(e.fields.get("text")) for e in full.events() if e.kind == "warning"]
    assert any("No space left on device; training continues" in text for text in texts)
    assert not list(full.checkpoints.glob(".*")), "nothing half-written is left"


def test_a_clock_that_jumps_changes_nothing(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, jumping = make_run(), make_run()
    assert main(str(plain.path)) == 0
    real, calls = time.time, [0]

    def jump() -> float:
        calls[0] += 1
        return real() + (-1e6 if calls[0] % 2 else 1e6)

    monkeypatch.setattr(time, "time", jump)
    assert main(str(jumping.path)) == 0
    a, b = weights(plain), weights(jumping)
    assert all(torch.equal(a[name], b[name]) for name in a)
    events = list(jumping.events())
    assert [e.n for e in events] == list(range(1, len(events) + 1))
    assert all(e.metrics["rows_per_second"] > 0 for e in events if "rows_per_second" in e.metrics)


def test_what_was_chosen_is_kept_for_a_restart(make_run: MakeRun) -> None:
    run = make_run(train={"batch_size": "auto", "threads": "auto", "epochs": 2})
    assert main(str(run.path)) == 0
    content = read_json(run.path / "tuned.json")
    assert run.result is not None
    assert run.result.batch_size == content["batch_size"] in [2**n for n in range(5, 17)]
    assert run.result.threads == content["threads"] == 1  # a step this small is faster on one
    write_json(run.path / "tuned.json", {**content, "batch_size": 64})
    (run.path / "result.json").unlink()
    for old in run.checkpoints.iterdir():
        old.unlink()
    assert main(str(run.path)) == 0
    assert run.result is not None
    assert run.result.batch_size == 64


@pytest.mark.slow
def test_a_compiled_network_learns_the_same_and_its_code_is_kept(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from headway.train.launch import launch

    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    model = {"name": "mlp", "width": 16, "depth": 1, "dropout": 0.0}
    eager = make_run(model=model, train={"epochs": 2})
    compiled = make_run(model=model, train={"epochs": 2, "compile": "default"})
    for run in (eager, compiled):
        launch(run, lambda _: None)
    a, b = weights(eager), weights(compiled)
    for name in a:
        torch.testing.assert_close(a[name], b[name], atol=1e-4, rtol=1e-3)
    assert any((tmp_path / "data" / "compiled").iterdir())
