"""The number of threads follows what other processes do, on a simulated machine; and a resumed run repeats it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from headway.data.inputs import Inputs
from headway.files.atomic import read_json, write_json
from headway.machine.cores import Use
from headway.models.boosting import Boosting
from headway.models.mlp import MLP
from headway.run.directory import RunDirectory
from headway.tasks import target_task
from headway.train import follow, growing, threads
from headway.train.diagnosis import Diagnosis, diagnose
from headway.train.follow import Follower
from headway.train.main import main, workload_of
from headway.train.network import make_training
from headway.train.precision import Arithmetic
from headway.train.recipe import Recipe
from headway.train.table import TableWorkload
from headway.train.threads import KeptThreads, Threads

CPU = torch.device("cpu")
IDENTITY = {"data": "", "model": "", "recipe": "", "torch": torch.__version__}


@dataclass
class Machine:
    """Steps of a team of threads that is as fast as its slowest member; a team of one gets its fair share of all cores."""

    cores: int
    busy: int = 0
    now: float = 0.0
    count: int = 0
    steps: int = 0

    def step_seconds(self, count: int) -> float:
        free = self.cores - self.busy
        if count <= free:
            return 0.02 / count
        share = min(1.0, self.cores / (count + self.busy))
        late = 1.0 if count == 1 else 1 + 2 * self.busy / self.cores  # a member that waits is waited for
        return 0.02 / (count * share) * late

    def use(self) -> Use:
        ours = min(self.count, max(self.cores - self.busy, self.cores * self.count / (self.count + self.busy)))
        return Use(1.0, self.cores, ours, min(self.busy, self.cores - ours))


def trained(machine: Machine, team: Threads, seconds: float) -> float:
    """Mean seconds of a step over so long a training, looked at twice a second."""
    start, before, due = machine.now, machine.steps, 0.0
    while machine.now - start < seconds:
        machine.now += machine.step_seconds(machine.count)
        machine.steps += 1
        if machine.now >= due:
            team.look(machine.steps, machine.now)
            due = machine.now + 0.5
    return (machine.now - start) / (machine.steps - before)


def threads_on(machine: Machine) -> Threads:
    machine.count = machine.cores

    def apply(count: int) -> None:
        machine.count = count

    return Threads(machine.cores, apply, use=machine.use, clock=lambda: machine.now)


@pytest.mark.parametrize(("cores", "busy"), [(2, 0), (2, 1), (2, 4), (4, 2), (8, 4), (8, 7), (16, 40)])
def test_steps_are_within_a_third_of_those_of_the_best_fixed_number(cores: int, busy: int) -> None:
    machine = Machine(cores, busy)
    best = min(machine.step_seconds(count) for count in range(1, cores + 1))
    assert trained(machine, threads_on(machine), 60.0) < 1.3 * best


def test_the_number_grows_again_when_the_others_leave_and_shrinks_when_they_come_back() -> None:
    machine = Machine(2, 4)
    team = threads_on(machine)
    trained(machine, team, 20.0)
    assert machine.count == 1
    machine.busy = 0
    trained(machine, team, 20.0)
    assert machine.count == 2
    machine.busy = 4
    trained(machine, team, 20.0)
    assert machine.count == 1


def test_a_machine_of_our_own_is_never_tried_with_fewer() -> None:
    machine = Machine(8)
    tried: list[int] = []
    team = Threads(8, tried.append, use=machine.use, clock=lambda: machine.now)
    machine.count = 8
    trained(machine, team, 60.0)
    assert tried == []


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look after every step, and other processes on every core: one number after another is tried."""
    monkeypatch.setattr(follow, "PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr(threads, "WINDOW_SECONDS", 0.0)
    monkeypatch.setattr(threads, "PAUSE_SECONDS", 0.0)


class Killed(BaseException):
    """As SIGKILL between two steps."""


def train(
    run: RunDirectory, workload: TableWorkload, save_at: int = 0, kill_at: int | None = None
) -> tuple[dict[int, int], dict[str, torch.Tensor]]:
    """The number of threads of each step, and the weights. The loss is scaled by the number, so that weights tell it."""
    recipe = Recipe(epochs=2, batch_size=32, precision="fp32", record=False, checkpoint_seconds=1e9)
    training = make_training(workload, recipe, Arithmetic("fp32", CPU, ""))
    counts: dict[int, int] = {}
    current = [0]
    mean = training.step.loss

    def loss(outputs: torch.Tensor, target: torch.Tensor, smoothing: float) -> torch.Tensor:
        if training.progress.step == kill_at:
            raise Killed
        counts[training.progress.step] = current[-1]
        return mean(outputs, target, smoothing) * (1.0 + 0.1 * current[-1])

    def use() -> Use:
        if save_at and training.progress.step == save_at:
            follower._saved = -1e12  # a checkpoint is due
        return Use(1.0, 8, 4.0, 4.0)

    training.step.loss = loss
    follower = Follower(run, training, IDENTITY, KeptThreads(run.path / "tuned.json", 8, current.append, use=use))
    with contextlib.suppress(Killed):
        follower.follow()
        follower.conclude({}, Diagnosis("", ""))
    return counts, {name: tensor.clone() for name, tensor in training.step.network.state_dict().items()}


@pytest.mark.usefixtures("crowded")
def test_a_resumed_training_takes_the_same_numbers_at_the_same_steps_and_so_the_same_weights(
    make_run: Callable[..., RunDirectory],
) -> None:
    run, whole = make_run(), make_run()
    workload = workload_of(run, MLP(width=8, depth=1))
    assert isinstance(workload, TableWorkload)
    write_json(run.path / "tuned.json", {"batch_size": 32, "threads": 8, "flops_a_step": 1.0})
    before, _ = train(run, workload, save_at=16, kill_at=34)
    assert len(set(before.values())) > 1  # other numbers were tried
    after, weights = train(run, workload)
    again = set(before) & set(after)
    assert min(after) > 0
    assert len({before[step] for step in again}) > 1
    assert {step: after[step] for step in again} == {step: before[step] for step in again}

    write_json(whole.path / "tuned.json", read_json(run.path / "tuned.json"))
    counts, uninterrupted = train(whole, workload)
    assert counts == {**before, **after}
    for name, tensor in weights.items():
        torch.testing.assert_close(tensor, uninterrupted[name], rtol=0, atol=0)


def grown(threads: int, number_after: Callable[[int], int | None] = lambda _: None) -> str:
    """The text of a boosted model but for its parameters, which hold the number of threads."""
    rng = np.random.default_rng(0)
    parts = [
        {"numeric": x, "categorical": np.zeros((len(x), 0), np.int32), "target": (x[:, 0] > 0).astype(np.int64)}
        for x in (rng.normal(size=(rows, 8)).astype(np.float32) for rows in (20_000, 1000))
    ]
    booster = Boosting(trees=40).fit(
        Inputs(8, (), (), 2),
        parts[0],
        parts[1],
        task=target_task("classification"),
        seed=1,
        patience=50,
        threads=threads,
        on_tree=lambda tree, *_: number_after(tree),
    )
    trees, end, _ = booster.model_to_string().partition("\nparameters:")
    assert end
    return trees


def test_trees_are_the_same_with_any_number_of_threads_and_when_it_changes() -> None:
    two = grown(2)
    assert grown(1) == two
    assert grown(2, lambda tree: 1 if tree % 10 < 5 else 2) == two


def test_a_single_thread_grows_all_of_the_trees_after_a_change_and_the_team_comes_back_for_the_next_fit() -> None:
    def cpu_seconds() -> np.ndarray:
        """Of this thread, and of all others of the process."""
        own = time.thread_time()
        return np.array([own, time.process_time() - own])

    marks = {}

    def number_after(tree: int) -> int | None:
        marks[tree] = cpu_seconds()
        return 1 if tree == 20 else None

    for _ in range(2):
        grown(2, number_after)
        with_team, without = marks[20] - marks[1], marks[40] - marks[22]
        assert with_team[1] > 0.2 * with_team[0]
        assert without[1] < 0.02 * without[0]


@pytest.mark.parametrize(("busy", "count"), [(0.0, 4), (4.0, 1)])
def test_trees_begin_with_one_thread_where_others_have_the_cores(
    busy: float, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(growing, "allowed_cores", lambda: set(range(4)))
    choice = growing.GrowingThreads("auto", use=lambda: Use(1.0, 4, 4.0 - 0.8 * busy, 0.8 * busy))
    assert choice.most == 4
    assert choice.after(1) == (count if count != 4 else None)
    assert choice.count == count
    stated = growing.GrowingThreads(3, use=lambda: Use(1.0, 4, 0.8, 3.2))
    assert (stated.most, stated.after(1)) == (3, None)


def test_growing_trees_turn_to_one_thread_when_others_come_and_to_all_when_they_leave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(4, count=4)
    monkeypatch.setattr(growing, "allowed_cores", lambda: set(range(4)))
    choice = growing.GrowingThreads("auto", use=machine.use, clock=lambda: machine.now)
    for busy, count in ((0, 4), (20, 1), (0, 4)):
        machine.busy = busy
        end = machine.now + 20.0
        while machine.now < end:
            machine.now += machine.step_seconds(machine.count)
            machine.steps += 1
            machine.count = choice.after(machine.steps) or machine.count
        assert machine.count == count


CROWDED = {"time/wait": 0.0, "time/other": 0.0, "time/step_ms": 225.0, "time/seconds": 500.0}


def test_the_diagnosis_names_contention() -> None:
    recipe = Recipe(threads=2)
    cost = {**CROWDED, "cores/ours": 0.3, "cores/others": 1.7, "cores/all": 2.0}
    result = diagnose(cost, recipe, device="cpu", precision="fp32", unit="rows", bf16=False)
    assert "other processes used 1.7 of the 2 cores: your 2 threads got 0.3 of a core" in result.text
    assert result.setting == ""
    for ours, others in ((2.0, 0.0), (1.0, 0.2), (0.3, 0.3)):  # all of it; nearly alone; cores were free
        quiet = {**cost, "cores/ours": ours, "cores/others": others}
        result = diagnose(quiet, recipe, device="cpu", precision="fp32", unit="rows", bf16=False)
        assert result.setting == "train.compile=default"


def test_boosting_names_contention_in_its_result(
    make_run: Callable[..., RunDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    used = Use(5.0, 2, 0.3, 1.7)
    for use, crowded in ((used, True), (Use(5.0, 2, 1.9, 0.1), False)):
        monkeypatch.setattr(growing.Watch, "look", lambda _, use=use: use)
        run = make_run(model={"name": "boosting", "trees": 5}, train={"threads": 2})
        assert main(str(run.path)) == 0
        assert run.result is not None
        text = run.result.diagnosis
        assert text.startswith("a tree took ")
        assert ("other processes used 1.7 of the 2 cores: your 2 threads got 0.3 of a core" in text) == crowded
