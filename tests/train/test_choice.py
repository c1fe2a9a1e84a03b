"""How steps run where a recipe leaves it to be chosen, by what is known of the step, the machine and the training's length."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch

from headway.files.atomic import read_json, write_json
from headway.run.directory import RunDirectory
from headway.train import choice, network
from headway.train.choice import Length, Timed, Way, choose_way, timed_on_gpu
from headway.train.main import main, workload_of
from headway.train.network import make_training
from headway.train.precision import Arithmetic, Precision
from headway.train.recipe import Recipe
from tests.train.killed import weights
from tests.train.pretended import PretendedCuda, pretend
from tests.train.test_graph import HasNoMemory

MakeRun = Callable[..., RunDirectory]
SMALL = Length(1e8, 2000)


def choose(
    length: Length = SMALL,
    timed: Timed | None = None,
    device: str = "cuda",
    precision: Precision = "bf16",
    **settings: Any,
) -> Way:
    """``timed``: what is measured; None where nothing must be."""

    def measure() -> Timed:
        assert timed is not None
        return timed

    return choose_way(Recipe.parse(settings, "train"), length, Arithmetic(precision, torch.device(device), ""), measure)


@pytest.fixture(autouse=True)
def of_an_h100(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "peak_flops", lambda device, precision: 989e12)
    monkeypatch.setattr(choice, "has_compiler", lambda: True)


def test_a_step_bound_by_its_launches_is_one_graph() -> None:
    way = choose(timed=Timed(3.31, 0.41))
    assert (way.compile, way.cuda_graphs) == ("none", True)
    assert way.reason == "a step is one CUDA graph: 0.41 ms, eagerly 3.31 ms"


@pytest.mark.parametrize(
    ("timed", "reason"),
    [
        (Timed(5.2, 5.1), "no CUDA graph, which gains little: 5.1 ms, eagerly 5.2 ms"),
        (
            Timed(3.3, None, "the GPU has no memory for the graph"),
            "no CUDA graph, because the GPU has no memory for the graph",
        ),
    ],
)
def test_a_graph_that_gains_nothing_or_cannot_be_had_is_not_taken(timed: Timed, reason: str) -> None:
    way = choose(timed=timed)
    assert (way.compile, way.cuda_graphs) == ("none", False)
    assert way.reason.startswith(reason + "; not compiled, because that takes about 60 s, and ")


@pytest.mark.parametrize(
    ("settings", "precision", "lacks"),
    [
        ({}, "fp16", "fp16's scaler decides on the CPU"),
        ({"accumulate": 2}, "bf16", "batches are computed in parts"),
        ({"checkpoint_activations": True}, "bf16", "activations are computed twice"),
        ({"compile": "max-autotune"}, "bf16", "the network is compiled as stated"),
        ({"optimizer": "sgd", "optimizer_kernel": "foreach"}, "bf16", "sgd takes its rate from the device"),
    ],
)
def test_what_no_graph_can_hold_is_not_even_tried(settings: dict[str, Any], precision: Precision, lacks: str) -> None:
    way = choose(precision=precision, **settings)
    assert not way.cuda_graphs
    assert lacks in way.reason


def test_long_trainings_of_large_networks_are_compiled_and_short_ones_are_not() -> None:
    step = 2.8e13  # a GPT of 124M weights on 32 x 1,024 tokens: 28 ms of an H100 at best
    long, short = choose(Length(step, 100_000)), choose(Length(step, 100))
    assert (long.compile, long.cuda_graphs, short.compile) == ("default", False, "none")
    assert "s of steps remain" in long.reason
    assert long.limit == pytest.approx(100_000 * 3 * step / 989e12)
    assert short.limit is None


def test_what_is_stated_is_obeyed() -> None:
    assert choose(compile="none", cuda_graphs=True).cuda_graphs
    assert not choose(compile="none", cuda_graphs=False).cuda_graphs
    assert choose(Length(1e15, 10**6), compile="none").compile == "none"
    stated = choose(compile="default", cuda_graphs=False, record=False)
    assert stated == Way("default", False, False, "")
    on_cpu = choose(Length(1e15, 10**6), device="cpu", compile="none", record=True)
    assert (on_cpu.compile, on_cpu.record) == ("none", True)


def test_on_a_cpu_short_steps_are_recorded_and_very_long_trainings_compiled() -> None:
    short = choose(device="cpu", precision="fp32")
    assert (short.compile, short.cuda_graphs, short.record) == ("none", False, True)
    assert short.reason == "steps are recorded, 100 MFLOP each"
    large = choose(Length(4e9, 1000), device="cpu", precision="fp32")
    assert (large.compile, large.record) == ("none", False)
    hours = choose(Length(4e9, 100_000), device="cpu", precision="fp32")
    assert hours.compile == "default"
    assert hours.reason == "the network is compiled, because at least 2 core hours of training remain"
    unknown = choose(Length(0.0, 10**9), device="cpu", precision="fp32")
    assert (unknown.compile, unknown.record) == ("none", True)


@pytest.mark.parametrize("cuda", [PretendedCuda, HasNoMemory])
def test_steps_are_timed_eagerly_and_as_a_graph(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, cuda: type) -> None:
    from headway.models.mlp import MLP

    pretend(monkeypatch, cuda)
    run = make_run()
    recipe = Recipe.parse(run.plan["project"]["train"], "train").model_copy(update={"record": False})
    workload = workload_of(run, MLP(width=16, depth=1))
    timed = timed_on_gpu(recipe, workload, Arithmetic("fp32", torch.device("cpu"), ""), make_training)
    assert timed.eager > 0
    if cuda is PretendedCuda:
        assert timed.graph is not None
        assert timed.graph > 0
    else:
        assert (timed.graph, timed.lacks) == (None, "the GPU has no memory for the graph")


def test_the_choice_is_made_once_told_and_kept_for_a_restart(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch)
    planted = Way("none", True, False, "a step is one CUDA graph: 0.41 ms, eagerly 3.31 ms")
    monkeypatch.setattr(network, "choose_way", lambda *of: planted)
    run = make_run(train={"epochs": 2, "ema": 0.9})
    assert main(str(run.path)) == 0
    reasons = [event.fields["text"] for event in run.events() if event.fields.get("name") == "way"]
    assert run.result is not None
    assert reasons == [run.result.way] == [planted.reason]
    content = read_json(run.path / "tuned.json")
    assert {name: content[name] for name in dataclasses.asdict(planted)} == dataclasses.asdict(planted)

    def never(*of: object) -> Way:
        raise AssertionError("chosen a second time")

    monkeypatch.setattr(network, "choose_way", never)
    before = weights(run)
    (run.path / "result.json").unlink()
    for old in run.checkpoints.iterdir():
        old.unlink()
    assert main(str(run.path)) == 0
    after = weights(run)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_run_that_earlier_code_began_goes_on_as_it_began(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    recipes: list[Recipe] = []
    make = network.make_training

    def noted(workload: Any, recipe: Recipe, arithmetic: Arithmetic) -> Any:
        recipes.append(recipe)
        return make(workload, recipe, arithmetic)

    monkeypatch.setattr(network, "make_training", noted)
    run = make_run(train={"epochs": 1})
    write_json(run.path / "tuned.json", {"batch_size": 32, "threads": 1, "flops_a_step": 1e12})
    assert main(str(run.path)) == 0
    assert [(one.compile, one.cuda_graphs, one.record) for one in recipes] == [("none", False, True)]
