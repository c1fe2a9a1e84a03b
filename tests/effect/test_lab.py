"""Variants as real processes, on a small table."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headway.effect.lab import MOST_KEPT, Lab, Session
from headway.effect.main import plain
from headway.effect.quality import Curve, final_quality, passes_to
from headway.effect.station import Station, Unsupported
from headway.effect.statistics import log_ratios
from headway.files.atomic import read_json, write_json
from headway.run.directory import RunDirectory
from headway.train.recipe import Recipe

MakeRun = Callable[..., RunDirectory]


def variant(run: RunDirectory, measure: str = "step", **changes: Any) -> dict[str, Any]:
    recipe = plain(Recipe.parse(run.plan["project"]["train"], "train"), "cpu", 1)
    return {"recipe": {**recipe.model_dump(mode="json"), **changes}, "measure": measure}


@pytest.fixture
def lab(make_run: MakeRun) -> tuple[Lab, RunDirectory]:
    run = make_run()
    return Lab(run.path, window=0.005, warm_up=0.02, pair=0.02), run


def test_two_processes_in_turns_give_blocks(lab: tuple[Lab, RunDirectory]) -> None:
    session = lab[0].compare(variant(lab[1]), {**variant(lab[1]), "slower": 3.0}, 6)
    assert session.blocks.shape[0] >= 6
    assert session.blocks.shape[1] == 4
    assert np.median(log_ratios(session.blocks)) > 0.7  # four times the time, whatever the machine does
    assert session.peak is not None
    assert min(session.peak) > 0
    assert min(session.startup) > 0
    assert session.contention is not None
    assert session.contention.granted is not None
    assert 0 < session.contention.granted <= 1
    assert session.contention.cores == len(os.sched_getaffinity(0))


def test_the_plain_baseline_and_the_fast_one_do_the_same(lab: tuple[Lab, RunDirectory]) -> None:
    """The same losses, but for the order of sums: what a systems technique must leave alone."""
    slow = lab[0].ask(variant(lab[1]), "losses", count=12)["losses"]
    fast = {"residence": "device", "optimizer_kernel": "fused", "threads": "auto", "keep_memory": True, "record": True}
    assert lab[0].ask(variant(lab[1], **fast), "losses", count=12)["losses"] == pytest.approx(slow, rel=1e-5)


def test_a_step_is_broken_down(lab: tuple[Lab, RunDirectory]) -> None:
    parts = lab[0].ask(variant(lab[1]), "breakdown", seconds=0.1)
    assert set(parts) == {"batches", "forward", "backward", "optimizer"}
    assert min(parts.values()) > 0


def test_a_training_gives_its_quality_by_epoch_and_the_same_twice(lab: tuple[Lab, RunDirectory]) -> None:
    one, two = (lab[0].ask(variant(lab[1]), "train", seed=3, epochs=3) for _ in range(2))
    assert one["quality"] == two["quality"]
    assert len(one["quality"]) == 3
    assert 0.5 < one["quality"][-1] < 1.0


def test_a_training_that_diverges_says_so_and_ends(lab: tuple[Lab, RunDirectory]) -> None:
    wild = variant(lab[1], optimizer="sgd", learning_rate=1000.0)
    curve = lab[0].ask(wild, "train", seed=0, epochs=4)
    assert curve["diverged"]
    assert len(curve["quality"]) < 4


def test_predicting_another_way_has_its_quality_with_an_interval(lab: tuple[Lab, RunDirectory]) -> None:
    answer = lab[0].ask({**variant(lab[1], "prediction"), "way": "int8"}, "quality")
    assert answer["low"] <= answer["value"] <= answer["high"]
    assert answer["low"] < answer["high"], "rounding to int8 changes some rows, and which are drawn matters"
    assert abs(answer["value"]) < 0.05


@pytest.mark.parametrize("measure", ["prediction", "seeds"])
def test_predictions_and_many_networks_are_timed_too(lab: tuple[Lab, RunDirectory], measure: str) -> None:
    session = lab[0].compare(variant(lab[1]), variant(lab[1], measure), 2)
    assert (session.blocks > 0).all()


def test_what_cannot_be_had_says_why_and_takes_nobody_down(lab: tuple[Lab, RunDirectory]) -> None:
    with pytest.raises(Unsupported, match="tf32 needs an NVIDIA GPU"):
        lab[0].compare(variant(lab[1]), variant(lab[1], precision="tf32"), 2)
    with pytest.raises(Unsupported, match="was not ready within 0 s"):
        Station(lab[1].path, [variant(lab[1])], limit=0.0)


def test_a_killed_process_is_told(lab: tuple[Lab, RunDirectory]) -> None:
    station = Station(lab[1].path, [variant(lab[1])])
    pid = station._process.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(Unsupported, match="was killed"):
        station.ask("steps", count=1)
    station.close()


@pytest.fixture
def gpu_lab(lab: tuple[Lab, RunDirectory]) -> Iterator[tuple[Lab, RunDirectory]]:
    """As on a GPU, where processes are kept; its variants compute on the CPU."""
    one = Lab(lab[1].path, "cuda", window=0.005, warm_up=0.02, pair=0.02)
    yield one, lab[1]
    one.close()


def pids(lab: Lab) -> list[int | None]:
    return [process._process.pid for _, process in lab._waiting_stations]


def test_on_a_gpu_sessions_take_over_the_processes_of_earlier_ones(gpu_lab: tuple[Lab, RunDirectory]) -> None:
    lab, run = gpu_lab
    first, resident, threads = variant(run), variant(run, residence="device"), variant(run, threads=2)
    lab.compare_all(first, {"resident": resident, "threads": threads}, 2)
    started = pids(lab)
    assert len(started) == 2, "one for the baseline and what shares its process, one for other threads"
    for _ in range(2):
        sessions = lab.compare_all(first, {"slow": {**first, "slower": 3.0}, "threads": threads}, 2)
        assert sorted(pids(lab), key=str) == sorted(started, key=str)
    slow = sessions["slow"]
    assert isinstance(slow, Session)
    assert (slow.blocks > 0).all()
    assert min(slow.startup) > 0


def test_in_a_kept_process_a_variant_begins_as_in_a_new_one(
    lab: tuple[Lab, RunDirectory], gpu_lab: tuple[Lab, RunDirectory]
) -> None:
    variants = [variant(lab[1]), variant(lab[1], ema=0.9, learning_rate=0.1), variant(lab[1])]
    new, again = ([one.ask(each, "losses", count=6)["losses"] for each in variants] for one in (lab[0], gpu_lab[0]))
    assert again == new
    assert again[0] == again[2] != again[1]
    ((_, process),) = gpu_lab[0]._waiting_stations
    with pytest.raises(Unsupported):  # it holds no variant while it waits, so that others have the GPU's memory
        process.ask("losses", count=1)
    assert pids(lab[0]) == [], "on a CPU a session's processes are its own"


def test_a_process_that_failed_is_not_kept(gpu_lab: tuple[Lab, RunDirectory]) -> None:
    lab, run = gpu_lab
    lab.ask(variant(run), "clock")
    with pytest.raises(Unsupported, match="tf32 needs an NVIDIA GPU"):
        lab.ask(variant(run, precision="tf32"), "clock")
    assert pids(lab) == []
    lab.ask(variant(run), "clock")
    (pid,) = pids(lab)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    lab._waiting_stations[0][1]._process.join(10)
    with pytest.raises(Unsupported, match="was killed"):
        lab.ask(variant(run), "clock")
    assert lab.ask(variant(run), "clock")["cpu"] > 0


def test_few_processes_wait_and_none_is_left(gpu_lab: tuple[Lab, RunDirectory]) -> None:
    lab, run = gpu_lab
    for threads in range(1, MOST_KEPT + 3):
        lab.ask(variant(run, threads=threads), "clock")
    processes = [process._process for _, process in lab._waiting_stations]
    assert len(processes) == MOST_KEPT
    lab.close()
    assert not any(process.is_alive() for process in processes)


def test_passes_are_counted_to_the_first_crossing() -> None:
    curve = Curve(passes=[1, 2, 3], quality=[0.5, 0.7, 0.6], loss=[3.0, 2.0, 1.0], seconds=1.0, diverged=False)
    assert passes_to(curve, 0.6) == pytest.approx(1.5)
    assert passes_to(curve, 0.4) == 1
    assert passes_to(curve, 0.8) is None
    assert final_quality(curve) == 0.6


def child(run: RunDirectory) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "headway.effect.main", str(run.path)], start_new_session=True)


@pytest.mark.slow
def test_a_study_killed_in_the_middle_ends_as_one(make_run: MakeRun) -> None:
    """The child's whole group is killed while it measures; what it had measured is there, and is not measured again."""
    run = make_run()
    names = ["resident data", "label smoothing", "tf32"]
    plan = {"techniques": names, "budget": 40.0, "seeds": 2, "target": None}
    write_json(run.path / "run.json", {**run.plan, "effect": plan})
    book = run.path / "effect.jsonl"
    first = child(run)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and (not book.exists() or book.read_text().count('"session"') < 1):
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    before = book.read_bytes()
    before = before[: before.rfind(b"\n") + 1]
    second = child(run)
    assert second.wait(300) == 0
    assert book.read_bytes().startswith(before)
    study = read_json(run.path / "effect.json")
    verdicts = {row["name"]: row["verdict"] for row in study["techniques"]}
    assert verdicts["tf32"] == "unsupported here"
    assert verdicts["resident data"] in ("helps", "not settled"), "a loaded machine may be too noisy to call it"
    assert study["setting"]["metric"] == "auc"
    keys = [json.loads(line).get("key") for line in book.read_text().splitlines()]
    assert sum(key == "breakdown" for key in keys) == 1
    assert Path(run.path / "result.json").exists()
