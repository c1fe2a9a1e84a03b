"""The loss of logits that are never computed whole, against the loss of those that are."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from headway.data.inputs import Inputs
from headway.models.gpt import GPT
from headway.tasks import language, projection
from headway.tasks.projection import Projection
from headway.train.compiled import Compiled
from headway.train.optimizer import make_optimizer
from headway.train.precision import Arithmetic
from headway.train.recipe import Recipe
from headway.train.step import Step

ROWS, TOKENS, WIDTH, WORDS = 3, 7, 5, 11
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four tokens each: five chunks of ROWS times TOKENS, and one of a single token."""
    monkeypatch.setattr(projection, "CHUNK", {"cpu": 4 * WORDS + 30})
    monkeypatch.setattr(projection, "MANY", 0)


def drawn(dtype: torch.dtype = torch.float64) -> tuple[Projection, Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(ROWS, TOKENS, WIDTH, generator=generator, dtype=torch.float64)
    weight = torch.randn(WORDS, WIDTH, generator=generator, dtype=torch.float64)
    target = torch.randint(0, WORDS, (ROWS, TOKENS), generator=generator)
    master = weight.float() if dtype.itemsize == 2 else weight.to(dtype)
    return Projection(hidden.to(dtype).requires_grad_(), master.requires_grad_()), target


def gradients(loss: Tensor, of: Projection) -> list[Tensor]:
    return list(torch.autograd.grad(loss * 3, [of.hidden, of.weight]))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("missing", [0, 5])
def test_the_loss_and_its_gradients_are_those_of_all_logits_at_once(
    monkeypatch: pytest.MonkeyPatch, smoothing: float, missing: int
) -> None:
    """Also where the vocabulary is padded, as on a GPU."""
    monkeypatch.setattr(projection, "_padded", lambda weight: functional.pad(weight, (0, 0, 0, missing)))
    outputs, target = drawn()
    ours = language.TASK.loss(outputs, target, smoothing)
    theirs = functional.cross_entropy(outputs.logits.flatten(0, 1), target.flatten(), label_smoothing=smoothing)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)
    torch.testing.assert_close(gradients(ours, outputs), gradients(theirs, outputs), rtol=1e-10, atol=1e-14)


def test_gradients_are_the_slopes() -> None:
    (hidden, weight, _), target = drawn()
    assert torch.autograd.gradcheck(
        lambda h, w: projection.cross_entropy(Projection(h, w), target, 0.1), (hidden, weight)
    )


def test_in_bfloat16_gradients_are_as_near_to_the_exact_ones_as_those_of_all_logits() -> None:
    (exact_outputs, target), (outputs, _) = drawn(), drawn(torch.bfloat16)
    exact = gradients(language.TASK.loss(exact_outputs, target), exact_outputs)
    with torch.autocast("cpu", torch.bfloat16):
        ours = language.TASK.loss(outputs, target)
        plain = language.TASK.loss(outputs.logits, target)
    assert ours.dtype is torch.float32
    for mine, whole, truth in zip(gradients(ours, outputs), gradients(plain, outputs), exact, strict=True):
        assert (mine - truth).norm() < 1.2 * (whole - truth).norm() < 0.02 * truth.norm()


def test_of_a_token_that_is_almost_certain_the_gradient_is_not_rounded_away() -> None:
    hidden = torch.full((1, 4, 1), 1.0, dtype=torch.bfloat16, requires_grad=True)
    weight = torch.tensor([[7.0], [0.0]], requires_grad=True)
    loss = projection.cross_entropy(Projection(hidden, weight), torch.zeros(1, 4, dtype=torch.int64))
    (of_weight,) = torch.autograd.grad(loss, [weight])
    left = 1 - torch.sigmoid(torch.tensor(7.0))
    torch.testing.assert_close(of_weight[:, 0], torch.stack([-left, left]), rtol=0.01, atol=0)


class Largest(TorchDispatchMode):
    """The most numbers that a tensor below autograd held."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for one in out if isinstance(out, (tuple, list)) else [out]:
            if torch.is_tensor(one):
                self.numbers = max(self.numbers, one.numel())
        return out


def test_no_tensor_holds_all_logits_neither_forward_nor_back_nor_where_tokens_are_scored() -> None:
    outputs, target = drawn()
    with Largest() as largest:
        projection.cross_entropy(outputs, target, 0.1).backward()
        with torch.no_grad():
            projection.token_losses(outputs, target)
    assert largest.numbers == max(ROWS * TOKENS * WIDTH, WORDS * WIDTH)
    assert largest.numbers < ROWS * TOKENS * WORDS


def test_its_arithmetic_can_be_counted_on_the_meta_device() -> None:
    outputs, target = drawn(torch.float32)
    hidden, weight = (one.detach().to("meta").requires_grad_() for one in outputs[:2])
    away = Projection(hidden, weight)
    with FlopCounterMode(display=False) as counter:
        projection.cross_entropy(away, target.to("meta")).backward()
    assert counter.get_total_flops() == 3 * 2 * ROWS * TOKENS * WIDTH * WORDS


def test_each_tokens_loss_is_that_of_all_logits() -> None:
    outputs, target = drawn(torch.float32)
    truth = functional.cross_entropy(outputs.logits.transpose(1, 2), target, reduction="none")
    with torch.no_grad():
        torch.testing.assert_close(projection.token_losses(outputs, target), truth)


def network(context: int = TOKENS) -> Any:
    torch.manual_seed(0)
    built = GPT(layers=1, heads=2, width=8, context=context, tied=True).build(Inputs(tokens=(WORDS,)))
    with torch.no_grad():
        for weight in built.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    return built


def test_a_network_gives_logits_but_not_where_they_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    built, tokens = network(), torch.zeros(ROWS, TOKENS, dtype=torch.int64)
    assert isinstance(built(tokens), Projection)
    with torch.autocast("cpu", torch.float16):
        assert torch.is_tensor(built(tokens)), "its gradients must be scaled before they are computed"
        with torch.no_grad():
            assert isinstance(built(tokens), Projection)
    monkeypatch.setattr(projection, "MANY", ROWS * TOKENS * WORDS + 1)
    assert torch.is_tensor(built(tokens))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_steps_give_the_weights_that_they_give_by_all_logits(monkeypatch: pytest.MonkeyPatch, accumulate: int) -> None:
    """Recorded, as on a CPU by default, and in parts."""
    generator = torch.Generator().manual_seed(1)
    drawn = [torch.randint(0, WORDS, (4, TOKENS + 1), generator=generator) for _ in range(8)]
    weights = []
    for many in (0, 10**9):
        monkeypatch.setattr(projection, "MANY", many)
        built, recipe = network().double(), Recipe(batch_size=4, accumulate=accumulate, clip=1.0)
        arithmetic = Arithmetic("fp32", CPU, "")
        step = Step(built, make_optimizer(built, recipe), language.TASK.loss, arithmetic, recipe, 4)
        for tokens in drawn:
            step({"tokens": tokens[:, :-1], "target": tokens[:, 1:]})
        assert step.notices == []
        weights.append(list(built.parameters()))
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-9, atol=1e-12)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own, of its own code
def test_it_compiles_into_one_graph_with_its_network() -> None:
    built, tokens = network(), torch.randint(0, WORDS, (ROWS, TOKENS + 1))

    def loss() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return language.TASK.loss(built(tokens[:, :-1]), tokens[:, 1:], 0.1)

    results = []
    for way in (loss, torch.compile(loss, backend="aot_eager", fullgraph=True)):
        built.zero_grad()
        value = way()
        value.backward()
        results.append([value, *(weight.grad for weight in built.parameters())])
    torch.testing.assert_close(results[1], results[0], rtol=0.02, atol=1e-3)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_behind_a_compiled_network_the_losss_elementwise_work_is_compiled_too(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def chunk(*parts: Any) -> Any:
        calls.append(len(parts[0]))
        return projection._chunk(*parts)

    monkeypatch.setattr(projection, "_fused_chunk", lambda: chunk)
    built, tokens = network(), torch.randint(0, WORDS, (ROWS, TOKENS + 1))
    plain = language.TASK.loss(built(tokens[:, :-1]), tokens[:, 1:])
    assert calls == []
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager", fullgraph=True))
    compiled = Compiled(built, "default", ROWS)
    torch.testing.assert_close(language.TASK.loss(compiled(tokens=tokens[:, :-1]), tokens[:, 1:]), plain)
    assert calls == [4, 4, 4, 4, 4, 1]
