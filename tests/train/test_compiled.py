"""A network that cannot be compiled, or not in time, is trained as it is."""

from __future__ import annotations

import contextlib
import copy
import functools
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from headway.run.directory import RunDirectory
from headway.train import step as step_module
from headway.train.activations import checkpoint_activations
from headway.train.compiled import MANY_BLOCKS, Compiled, equal_blocks
from headway.train.main import main
from headway.train.optimizer import make_optimizer
from headway.train.precision import Arithmetic
from headway.train.recipe import Recipe
from headway.train.step import Step
from tests.train.killed import weights

MakeRun = Callable[..., RunDirectory]


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def make(compile_: str, accumulate: int = 1) -> Step:
    torch.manual_seed(0)
    network = Network()
    recipe = Recipe.parse({"batch_size": 16, "compile": compile_, "record": False, "accumulate": accumulate}, "train")

    def loss(outputs: Tensor, target: Tensor, smoothing: float) -> Tensor:
        return nn.functional.cross_entropy(outputs, target)

    optimizers = make_optimizer(network, recipe)
    return Step(network, optimizers, loss, Arithmetic("fp32", torch.device("cpu"), ""), recipe, 16)


def stepped(step: Step) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    torch.manual_seed(2)
    for rows in (16, 16, 7, 16):
        x = torch.randn(rows, 4, generator=generator)
        step({"x": x, "target": (x[:, 0] > 0).long()})
    return {**step.network.state_dict(), "loss": step.loss_sum, "random": torch.get_rng_state()}


class FailsBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        raise RuntimeError("no kernel for this\nand a page of what the compiler did")


def fails(network: nn.Module, **settings: Any) -> Callable[..., Tensor]:
    def call(**inputs: Tensor) -> Tensor:
        network(**inputs)  # running statistics and random numbers, which must not count
        raise NotImplementedError("an operation that no compiler knows\nand a page of what it did")

    return call


def fails_backward(network: nn.Module, **settings: Any) -> Callable[..., Tensor]:
    return lambda x: FailsBackward.apply(network(x))


def takes_long(network: nn.Module, **settings: Any) -> Callable[..., Tensor]:
    def call(**inputs: Tensor) -> Tensor:
        network(**inputs)
        with contextlib.suppress(Exception):  # as a compiler does with what it thinks is its own fault
            time.sleep(30)
        return network(**inputs)

    return call


@pytest.mark.parametrize(
    ("compiler", "reason"),
    [
        (fails, "an operation that no compiler knows"),
        (fails_backward, "no kernel for this"),
        (takes_long, "it took longer than the training without compiling"),
    ],
)
def test_where_compiling_fails_the_network_itself_is_trained(
    monkeypatch: pytest.MonkeyPatch, compiler: Callable[..., Any], reason: str
) -> None:
    plain = stepped(make("none"))
    monkeypatch.setattr(torch, "compile", compiler)
    step = make("default")
    assert step.compiled is not None
    step.compiled.limit = 0.2
    result = stepped(step)
    assert all(torch.equal(plain[name], result[name]) for name in plain)
    assert step.notices == [f"the network is not compiled (train.compile): {reason}"]


def test_a_networks_own_fault_is_not_the_compilers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda network, **settings: network)
    step = make("default")
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        step({"x": torch.randn(16, 5), "target": torch.zeros(16, dtype=torch.int64)})


@pytest.mark.parametrize("accumulate", [1, 2])
def test_batches_of_one_shape_are_compiled_and_what_it_took_is_kept(
    monkeypatch: pytest.MonkeyPatch, accumulate: int
) -> None:
    calls: list[int] = []

    def counted(network: nn.Module, **settings: Any) -> Callable[..., Tensor]:
        def call(x: Tensor) -> Tensor:
            calls.append(len(x))
            return network(x)

        return call

    monkeypatch.setattr(torch, "compile", counted)
    step = make("default", accumulate)
    stepped(step)
    assert calls == [16 // accumulate] * 3 * accumulate
    assert step.compiled is not None
    assert step.compiled.proven
    assert step.compiled.seconds > 0


class Block(nn.Module):
    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).tanh()


class Stack(nn.Module):
    """Equal blocks, and a layer on either side."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 2)
        self.blocks = nn.ModuleList([Block() for _ in range(count)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        return self.last(x)


@pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor that is not a leaf"
)  # of the compiler's own look at a block's input
@pytest.mark.parametrize("count", [MANY_BLOCKS - 1, MANY_BLOCKS, 3 * MANY_BLOCKS])
def test_of_many_equal_blocks_one_is_compiled_for_all_and_only_within_the_call(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    graphs: list[int] = []

    def backend(graph: torch.fx.GraphModule, _: list[Tensor]) -> Callable[..., Any]:
        graphs.append(sum(node.op == "call_function" for node in graph.graph.nodes))
        return graph.forward

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    torch.manual_seed(0)
    network = Stack(count)
    compiled = Compiled(network, "default", 5, by_block=True)
    x = torch.randn(5, 4, requires_grad=True)
    plain = torch.autograd.grad(network(x).square().sum(), list(network.parameters()))
    ours = torch.autograd.grad(compiled(x=x).square().sum(), list(network.parameters()))
    torch.testing.assert_close(ours, plain)
    assert len(graphs) == 1
    network(torch.randn(3, 4))  # as in validation
    copy.deepcopy(network)(x)
    assert len(graphs) == 1
    assert (graphs[0] > 2 * (MANY_BLOCKS - 1)) == (count < MANY_BLOCKS)  # the whole network, or a block of two calls


def test_blocks_that_differ_or_are_computed_twice_are_not_compiled_alone() -> None:
    network = Stack(MANY_BLOCKS)
    assert equal_blocks(network) == list(network.blocks)
    for alone in (nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 3), nn.Tanh())):
        assert equal_blocks(nn.ModuleList([copy.deepcopy(alone) for _ in range(20)])) == []
    network.blocks[3] = Block(bias=False)
    assert equal_blocks(network) == []
    network = Stack(MANY_BLOCKS)
    checkpoint_activations(network)
    assert equal_blocks(network) == []


def test_a_run_says_that_it_is_not_compiled_and_a_restart_does_not_try_again(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", fails)
    settings = {"compile": "default", "epochs": 3, "checkpoint_seconds": 0.0001}
    whole, broken = (make_run(train=settings) for _ in range(2))
    assert main(str(whole.path)) == 0
    call, calls = step_module.Step.__call__, [0]

    def dies(self: Step, batch: dict[str, Tensor]) -> None:
        calls[0] += 1
        if calls[0] == 30:
            raise KeyboardInterrupt
        call(self, batch)

    monkeypatch.setattr(step_module.Step, "__call__", dies)
    with pytest.raises(KeyboardInterrupt):
        main(str(broken.path))
    monkeypatch.setattr(torch, "compile", takes_long)
    assert main(str(broken.path)) == 0
    a, b = weights(whole), weights(broken)
    assert all(torch.equal(a[name], b[name]) for name in a)
    messages = [event.fields["text"] for event in broken.events() if event.kind == "warning"]
    assert messages == ["the network is not compiled (train.compile): an operation that no compiler knows"]
