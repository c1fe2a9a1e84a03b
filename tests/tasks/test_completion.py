"""Going on with texts: with a cache the tokens are those that the definition gives without one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from headway.data.inputs import Inputs
from headway.models.gpt import GPT
from headway.models.transformer import Transformer
from headway.tasks import completion
from headway.tasks.completion import Sampling, complete, draw

CPU = torch.device("cpu")
WORDS, CONTEXT = 13, 10
PROMPTS = ([3, 4, 5], [], [7], [1 + n % 12 for n in range(25)], [2] * CONTEXT, [5, 1] * 4)
"""Some shorter than a context, an empty one, and one longer than it."""


def network(seed: int = 0, **settings: Any) -> Transformer:
    torch.manual_seed(seed)
    config = GPT.parse({"layers": 2, "heads": 4, "width": 16, "context": CONTEXT, **settings}, "model")
    built = config.build(Inputs(tokens=(WORDS,)))
    assert isinstance(built, Transformer)
    with torch.no_grad():
        for weight in built.parameters():
            weight.add_(torch.randn_like(weight) * 0.3)
        built.head.weight[0] = 0  # so that an end is rare
    return built.double().eval()


def completed(model: nn.Module, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[list[int]]:
    texts: list[list[int]] = [[] for _ in prompts]

    def takes(row: int, token: int) -> bool:
        texts[row].append(token)
        return True

    complete(model, prompts, CONTEXT, sampling, takes, CPU)
    return texts


def slowly(model: nn.Module, prompt: Sequence[int], sampling: Sampling) -> list[int]:
    """By definition: each token by all logits of its window, which begins anew with half a context where it is full."""
    generator = torch.Generator().manual_seed(sampling.seed)
    window, added = (list(prompt) or [0])[-CONTEXT:], list[int]()
    for _ in range(sampling.tokens):
        with torch.no_grad():
            logits = model(torch.tensor([window]))[0, -1].float()
        if sampling.temperature == 0:
            token = int(logits.argmax())
        else:
            token = int(torch.multinomial((logits / sampling.temperature).softmax(-1), 1, generator=generator))
        if token == 0:
            break
        added.append(token)
        window.append(token)
        if len(window) > CONTEXT:
            window = window[-(CONTEXT // 2) :]
    return added


@pytest.mark.parametrize("kv_heads", [None, 2, 1])
@pytest.mark.parametrize("settings", [{}, {"qk_norm": False, "tied": True}])
@pytest.mark.parametrize("temperature", [0.0, 1.3])
def test_with_a_cache_every_token_is_the_one_without(
    kv_heads: int | None, settings: dict[str, Any], temperature: float
) -> None:
    model = network(kv_heads=kv_heads, **settings)
    lengths = set[int]()
    for seed in range(2):
        sampling = Sampling(tokens=35, temperature=temperature, seed=seed)
        truth = [slowly(model, prompt, sampling) for prompt in PROMPTS]
        assert completed(model, PROMPTS, sampling) == truth
        lengths |= set(map(len, truth))
    assert max(lengths) > CONTEXT


def test_a_cache_gives_the_logits_of_the_whole_window() -> None:
    model, texts = network(kv_heads=2), [[3, 4, 5], [1], [6, 7, 8, 9, 10, 2, 3]]
    reader = model.reader(3, CONTEXT)
    tokens = torch.randint(1, WORDS, (3, 3), generator=torch.Generator().manual_seed(0))
    for step in range(4):
        with torch.no_grad():
            logits = reader([0, 1, 2], texts)
            for row, text in enumerate(texts):
                torch.testing.assert_close(logits[row], model(torch.tensor([text]))[0, -1], rtol=1e-12, atol=1e-12)
        texts = [[*text, int(tokens[row, step % 3])] for row, text in enumerate(texts)]


def test_each_token_costs_one_token_until_a_window_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    model, read = network(), list[int]()
    inner = model.continued
    monkeypatch.setattr(
        model, "continued", lambda tokens, *others: read.append(tokens.shape[1]) or inner(tokens, *others)
    )
    completed(model, [[3, 4, 5]], Sampling(tokens=20, temperature=0))
    half = CONTEXT // 2
    assert read == ([3] + [1] * 7 + ([half] + [1] * 5) * 2)[: len(read)]
    assert len(read) == 20


def test_texts_that_memory_does_not_hold_at_once_are_completed_one_after_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, sampling = network(), Sampling(tokens=12, seed=2)
    truth, rows = completed(model, PROMPTS, sampling), list[int]()
    monkeypatch.setattr(completion, "MOST_KEPT", 2 * model.kept_numbers(CONTEXT) + 1)
    inner = model.reader
    monkeypatch.setattr(model, "reader", lambda count, length: rows.append(count) or inner(count, length))
    assert completed(model, PROMPTS, sampling) == truth
    assert rows == [2, 2, 2]
    monkeypatch.setattr(completion, "MOST_KEPT", 1)
    assert completed(model, PROMPTS, sampling) == truth


def test_a_network_that_keeps_nothing_is_read_anew() -> None:
    model = network()

    class Plain(nn.Module):
        def forward(self, tokens: Tensor) -> Tensor:
            return model(tokens)

    sampling = Sampling(tokens=30)
    assert not hasattr(Plain(), "reader")
    assert completed(Plain(), PROMPTS, sampling) == completed(model, PROMPTS, sampling)


def test_a_text_that_ends_leaves_the_others_as_they_are() -> None:
    model, sampling = network(), Sampling(tokens=20)
    truth, texts = completed(model, PROMPTS, sampling), dict[int, list[int]]()

    def takes(row: int, token: int) -> bool:
        texts.setdefault(row, []).append(token)
        return len(texts[row]) <= row

    complete(model, PROMPTS, CONTEXT, sampling, takes, CPU)
    assert [texts[row] for row in range(len(PROMPTS))] == [text[: row + 1] for row, text in enumerate(truth)]


CHANCES = torch.tensor([0.05, 0.4, 0.1, 0.3, 0.15])


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"top_k": 2}, [1, 3]),
        ({"top_k": 1}, [1]),
        ({"top_k": 99}, [0, 1, 2, 3, 4]),
        ({"top_p": 0.39}, [1]),
        ({"top_p": 0.5}, [1, 3]),
        ({"top_p": 0.75}, [1, 3, 4]),
        ({"top_p": 1e-9}, [1]),
        ({"top_k": 3, "top_p": 0.8}, [1, 3]),
        ({"top_k": 3, "top_p": 0.85}, [1, 3, 4]),
    ],
)
def test_a_token_is_drawn_as_often_as_its_chance_among_those_left(settings: dict[str, Any], left: list[int]) -> None:
    sampling, generator = Sampling(temperature=0.5, **settings), torch.Generator().manual_seed(0)
    counts = torch.bincount(
        torch.tensor([draw(CHANCES.log() / 2, sampling, generator) for _ in range(2000)]), minlength=5
    )
    truth = torch.zeros(5)
    truth[left] = CHANCES[left] / CHANCES[left].sum()
    torch.testing.assert_close(counts / 2000, truth, atol=0.04, rtol=0)
    assert (counts > 0).equal(truth > 0)


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_all_tokens_are_drawn_from_as_before_where_none_is_left_out(temperature: float) -> None:
    sampling = Sampling(temperature=temperature)
    plain: Callable[[int], int] = lambda seed: draw(CHANCES.log(), sampling, torch.Generator().manual_seed(seed))  # noqa: E731
    for seed in range(50):
        chances = (CHANCES.log() / 0.7).softmax(-1)
        drawn = int(torch.multinomial(chances, 1, generator=torch.Generator().manual_seed(seed)))
        assert plain(seed) == (drawn if temperature else 1)
