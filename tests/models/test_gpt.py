"""GPT against what attention and rotary positions must be."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from headway.data.inputs import Inputs
from headway.errors import ConfigError
from headway.models.gpt import GPT
from headway.models.transformer import Attention, Transformer, attend_plainly, rotary, rotate
from headway.train.activations import checkpoint_activations


def network(**settings: object) -> Transformer:
    torch.manual_seed(0)
    config = GPT.parse({"layers": 2, "heads": 2, "width": 16, "context": 12, **settings}, "model")
    built = config.build(Inputs(tokens=(11,)))
    assert isinstance(built, Transformer)
    with torch.no_grad():
        for weight in built.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    return built.eval()


def test_a_later_token_changes_nothing_before_it() -> None:
    model, tokens = network(), torch.randint(0, 11, (3, 12))
    other = tokens.clone()
    other[:, 7:] = (other[:, 7:] + 1) % 11
    a, b = model(tokens), model(other)
    torch.testing.assert_close(a[:, :7], b[:, :7])
    assert not torch.allclose(a[:, 7:], b[:, 7:])


def test_attention_is_the_formula() -> None:
    torch.manual_seed(0)
    attention = Attention(8, 2, 0.0, qk_norm=False).eval()
    x = torch.randn(2, 5, 8)
    cos, sin = rotary(5, 4)
    q, k, v = attention.qkv(x).chunk(3, -1)
    heads = []
    for h in range(2):
        qh, kh, vh = (part[..., 4 * h : 4 * h + 4] for part in (q, k, v))
        qh, kh = rotate(qh, cos, sin), rotate(kh, cos, sin)
        scores = (qh @ kh.transpose(1, 2) / math.sqrt(4)).masked_fill(torch.ones(5, 5).triu(1).bool(), -math.inf)
        heads.append(scores.softmax(-1) @ vh)
    torch.testing.assert_close(attention(x, cos, sin), attention.out(torch.cat(heads, -1)), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 2), (4, 1), (6, 3)])
@pytest.mark.parametrize("qk_norm", [False, True])
def test_grouped_queries_are_heads_whose_keys_and_values_are_repeated(heads: int, kv_heads: int, qk_norm: bool) -> None:
    shape = {"width": 24, "heads": heads, "qk_norm": qk_norm}
    grouped, plain = network(kv_heads=kv_heads, **shape).double(), network(**shape).double()
    state = grouped.state_dict()
    for name in [name for name in state if name.endswith("qkv.weight")]:
        q, k, v = state[name].split([24, 24 // heads * kv_heads, 24 // heads * kv_heads])
        repeated = [
            p.unflatten(0, (kv_heads, -1)).repeat_interleave(heads // kv_heads, 0).flatten(0, 1) for p in (k, v)
        ]
        state[name] = torch.cat([q, *repeated])
    plain.load_state_dict(state)
    tokens = torch.randint(0, 11, (3, 12))
    torch.testing.assert_close(grouped(tokens), plain(tokens), rtol=1e-12, atol=1e-12)


def test_heads_of_keys_and_values_divide_the_heads() -> None:
    with pytest.raises(ConfigError, match=r"heads must be a multiple of kv_heads, but is 4 with 3 kv_heads"):
        GPT.parse({"heads": 4, "kv_heads": 3}, "model")
    with pytest.raises(ConfigError, match=r"kv_heads must be at least 1, but is 0"):
        GPT.parse({"kv_heads": 0}, "model")
    assert network(kv_heads=None).state_dict().keys() == network(kv_heads=2).state_dict().keys()
    for one, same in zip(network().parameters(), network(kv_heads=2).parameters(), strict=True):
        assert one.equal(same)


def test_rotated_products_depend_on_the_distance_alone() -> None:
    q, k = torch.randn(8), torch.randn(8)
    cos, sin = rotary(30, 8)

    def product(at: int, distance: int) -> float:
        return float(rotate(q, cos[at], sin[at]) @ rotate(k, cos[at + distance], sin[at + distance]))

    assert product(0, 5) == pytest.approx(product(17, 5), abs=1e-4)
    assert product(0, 5) != pytest.approx(product(0, 6), abs=1e-4)


def test_a_tied_head_is_the_embedding() -> None:
    model = network(tied=True)
    assert model.head.weight is model.embedding.weight
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in network().parameters()) - 11 * 16


def test_checkpointed_activations_give_the_same_gradients() -> None:
    plain, twice = network(), network()
    checkpoint_activations(twice)
    tokens = torch.randint(0, 11, (2, 12))
    for model in (plain, twice):
        model.train()
        model(tokens).square().mean().backward()
    for a, b in zip(plain.parameters(), twice.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_weights_are_loaded_or_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(network().state_dict(), path)
    loaded = GPT(layers=2, heads=2, width=16, context=12, weights=str(path)).build(Inputs(tokens=(11,)))
    tokens = torch.randint(0, 11, (1, 12))
    torch.testing.assert_close(loaded.eval()(tokens), network()(tokens))
    with pytest.raises(ConfigError, match="model.weights must hold embedding.weight of shape"):
        GPT(layers=2, heads=2, width=32, context=12, weights=str(path)).build(Inputs(tokens=(11,)))
    with pytest.raises(ConfigError, match="model.weights must name a safetensors file, but there is no"):
        GPT(weights="nowhere").build(Inputs(tokens=(11,)))
    path.write_bytes(b"no")
    with pytest.raises(ConfigError, match="model.weights must be a safetensors file"):
        GPT(weights=str(path)).build(Inputs(tokens=(11,)))


def test_the_stages_of_a_text_load_without_torch() -> None:
    code = "import headway.pipeline.stages, sys; print({'torch', 'tokenizers'} & set(sys.modules))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "set()"


def test_plain_attention_is_torchs_with_its_gradients() -> None:
    torch.manual_seed(0)
    drawn = [torch.randn(2, 3, 9, 4) for _ in range(4)]
    gradients = []
    for attend in (attend_plainly, lambda q, k, v: functional.scaled_dot_product_attention(q, k, v, is_causal=True)):
        q, k, v = (tensor.clone().requires_grad_() for tensor in drawn[:3])
        (attend(q, k, v) * drawn[3]).sum().backward()
        gradients.append([attend(q, k, v), q.grad, k.grad, v.grad])
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_in_bfloat16_a_cpu_computes_what_it_does_in_full_precision() -> None:
    model, tokens = network(), torch.randint(0, 11, (3, 12))
    with torch.autocast("cpu", torch.bfloat16):
        half = model(tokens)
        half.float().sum().backward()
    torch.testing.assert_close(half.float(), model(tokens), atol=0.1, rtol=0.1)
    assert all(torch.isfinite(w.grad).all() for w in model.parameters() if w.grad is not None)
