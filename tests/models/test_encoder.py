"""The encoder against its formulas, with padding that changes nothing."""

from __future__ import annotations

import math
from itertools import permutations
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from headway.data.inputs import Inputs
from headway.errors import ConfigError
from headway.models.encoder import Encoder
from headway.models.encoding import TextEncoder
from headway.models.layers import TableNetwork
from headway.models.transformer import attend_plainly, rotary, rotate
from headway.train.activations import checkpoint_activations

VOCABULARY = 11


def network(inputs: Inputs | None = None, **settings: Any) -> TableNetwork:
    torch.manual_seed(0)
    config = Encoder.parse({"layers": 2, "heads": 2, "width": 16, **settings}, "model")
    built = config.build(inputs or Inputs(0, (), (), 3, (VOCABULARY,)))
    assert isinstance(built, TableNetwork)
    with torch.no_grad():
        for weight in built.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    return built.double().eval()


def rows_of(*texts: Tensor) -> dict[str, Tensor]:
    rows = len(texts[0])
    return {
        "numeric": torch.zeros(rows, 0, dtype=torch.float64),
        "categorical": torch.zeros(rows, 0, dtype=torch.int64),
        **{f"tokens_{i}": one for i, one in enumerate(texts)},
    }


def plain_norm(x: Tensor, weight: Tensor | None = None) -> Tensor:
    y = x / (x.square().mean(-1, keepdim=True) + torch.finfo(x.dtype).eps).sqrt()
    return y if weight is None else y * weight


def plainly(encoder: TextEncoder, tokens: list[int], heads: int) -> Tensor:
    """One text without padding, head by head."""
    state = encoder.state_dict()
    x = state["embedding.weight"][torch.tensor([0, *tokens])]
    width = x.shape[1] // heads
    cos, sin = (part.double() for part in rotary(len(x), width))
    for b in range(len(encoder.blocks)):
        y = plain_norm(x, state[f"blocks.{b}.norm_attention.weight"])
        q, k, v = (y @ state[f"blocks.{b}.attention.qkv.weight"].T).chunk(3, -1)
        parts = []
        for h in range(heads):
            qh, kh, vh = (part[:, h * width : (h + 1) * width] for part in (q, k, v))
            qh, kh = (rotate(plain_norm(part), cos, sin) for part in (qh, kh))
            parts.append((qh @ kh.T / math.sqrt(width)).softmax(-1) @ vh)
        x = x + torch.cat(parts, -1) @ state[f"blocks.{b}.attention.out.weight"].T
        y = plain_norm(x, state[f"blocks.{b}.norm_feed.weight"]) @ state[f"blocks.{b}.up.weight"].T
        x = x + y.relu().square() @ state[f"blocks.{b}.down.weight"].T
    y = plain_norm(x, state["norm.weight"])
    return y[0] if encoder.pooling == "start" else y.mean(0)


@pytest.mark.parametrize("pooling", ["mean", "start"])
def test_a_text_becomes_what_the_formulas_say(pooling: Any) -> None:
    model = network(pooling=pooling)
    texts = [[3, 8, 1, 10], [5, 2], []]
    padded = torch.tensor([text + [0] * (6 - len(text)) for text in texts], dtype=torch.int32)
    encoder = model.get_submodule("columns.bags.encoders.0")
    assert isinstance(encoder, TextEncoder)
    out = model.encode(**rows_of(padded))
    for row, text in zip(out, texts, strict=True):
        torch.testing.assert_close(row, plainly(encoder, text, 2), atol=1e-10, rtol=1e-8)


@pytest.mark.parametrize("pooling", ["mean", "start"])
def test_padding_and_the_texts_beside_it_change_nothing(pooling: Any) -> None:
    model = network(pooling=pooling)
    tokens = torch.randint(1, VOCABULARY, (5, 7))
    tokens[1, 4:] = 0
    tokens[2] = 0
    out = model(**rows_of(tokens))
    assert torch.isfinite(out).all()
    torch.testing.assert_close(model(**rows_of(functional.pad(tokens, (0, 9)))), out, atol=1e-12, rtol=1e-10)
    torch.testing.assert_close(model(**rows_of(tokens[1:2, :4])), out[1:2], atol=1e-12, rtol=1e-10)
    torch.testing.assert_close(model(**rows_of(tokens[2:3, :1])), out[2:3], atol=1e-12, rtol=1e-10)


def test_the_order_of_tokens_counts_and_each_sees_those_behind_it() -> None:
    model, tokens = network(pooling="start"), torch.tensor([[3, 8, 1, 10]])
    other, turned = tokens.clone(), tokens.flip(1)
    other[0, 3] = 4
    out = model(**rows_of(tokens))
    assert not torch.allclose(model(**rows_of(turned)), out)
    assert not torch.allclose(model(**rows_of(other)), out), "the start sees the last token"


def test_two_texts_lie_beside_numbers_and_codes_each_in_places_of_its_own() -> None:
    model = network(Inputs(2, (4,), (), 3, (VOCABULARY, 6)))
    rows = rows_of(torch.tensor([[3, 8], [1, 0]]), torch.tensor([[5], [0]]))
    rows |= {"numeric": torch.randn(2, 2, dtype=torch.float64), "categorical": torch.tensor([[1], [3]])}
    before = model.encode(**rows)
    after = model.encode(**{**rows, "tokens_1": torch.tensor([[2], [0]])})
    places = torch.tensor(model.columns.places).repeat_interleave(torch.tensor(model.columns.chunks))
    assert before.shape == (2, 2 + 4 + 16 + 16) == (2, len(places))
    assert set(places[(before != after)[0]].tolist()) == {4}
    assert torch.equal(before[1], after[1])


def test_attention_to_all_but_the_hidden_is_torchs_with_its_gradients() -> None:
    torch.manual_seed(0)
    drawn = [torch.randn(2, 3, 9, 4, dtype=torch.float64) for _ in range(4)]
    hidden = torch.zeros(2, 1, 1, 9, dtype=torch.float64)
    hidden[0, ..., 5:] = -math.inf
    gradients = []
    for attend in (attend_plainly, functional.scaled_dot_product_attention):
        q, k, v = (tensor.clone().requires_grad_() for tensor in drawn[:3])
        (attend(q, k, v, hidden) * drawn[3]).sum().backward()
        gradients.append([attend(q, k, v, hidden), q.grad, k.grad, v.grad])
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_formats_compute_what_float64_does_within_the_format(dtype: torch.dtype) -> None:
    half, exact = network().float(), network()
    tokens, weights = torch.randint(0, VOCABULARY, (4, 6)), torch.randn(4, 16)
    rows = rows_of(tokens)
    with torch.autocast("cpu", dtype):
        ours = half.encode(**{**rows, "numeric": rows["numeric"].float()})
    assert ours.dtype is dtype
    theirs = exact.encode(**rows)
    assert (ours - theirs).norm() < 0.02 * theirs.norm()
    (ours.float() * weights).sum().backward()
    (theirs * weights).sum().backward()
    for (name, a), b in zip(half.columns.named_parameters(), exact.columns.parameters(), strict=True):
        assert a.grad is not None
        assert b.grad is not None
        assert (a.grad - b.grad).norm() < 0.05 * b.grad.norm(), name


def test_checkpointed_activations_give_the_same_gradients() -> None:
    plain, twice = network(), network()
    checkpoint_activations(twice)
    rows = rows_of(torch.randint(0, VOCABULARY, (4, 6)))
    for model in (plain, twice):
        model(**rows).square().mean().backward()
    for a, b in zip(plain.parameters(), twice.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_it_learns_what_only_the_order_tells() -> None:
    """Whether 3 stands before 4: to a bag all rows are equal."""
    torch.manual_seed(0)
    tokens = torch.tensor(list(permutations(range(1, 5))))
    target = ((tokens == 3).long().argmax(1) < (tokens == 4).long().argmax(1)).long()
    model = Encoder(layers=2, heads=2, width=32, dropout=0.0).build(Inputs(0, (), (), 2, (9,)))
    rows = {**rows_of(tokens), "numeric": torch.zeros(len(tokens), 0)}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(80):
        optimizer.zero_grad()
        functional.cross_entropy(model(**rows), target).backward()
        optimizer.step()
    assert torch.equal(model(**rows).argmax(1), target)


def test_as_it_comes_it_has_a_million_weights_and_odd_heads_are_refused_in_one_line() -> None:
    weights = Encoder().build(Inputs(0, (), (), 2, (2048,))).parameters()
    assert sum(weight.numel() for weight in weights) > 1_000_000
    with pytest.raises(ConfigError, match="width must be a multiple of twice the heads, but is 30 with 4 heads"):
        Encoder.parse({"width": 30}, "model")
