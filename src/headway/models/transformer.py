"""The parts of transformers: of GPT, whose tokens see those before them, and of the encoder, whose tokens see all.

Under autocast all of it is computed in autocast's format: the stream, norms, positions and activation too, which autocast itself computes
in fp32. Weights stay as they are and are cast where they are used.

Shapes: B batch, T tokens, D width, H heads, K heads of keys and values, E width of a head, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from headway.errors import ConfigError
from headway.models.cache import Cache, Kept
from headway.tasks.projection import Projection, autocast_dtype, is_large

if TYPE_CHECKING:
    from headway.tasks.completion import Reader

ROTARY_BASE = 10_000.0

LONGEST_PLAIN = 1024
"""Context up to which a CPU attends in bfloat16 by plain products: torch's fused kernel takes up to seven times as long there."""


def rotary(tokens: int, width: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Cosines and sines (T, E/2) of every position's angles."""
    speeds = ROTARY_BASE ** (-torch.arange(0, width, 2, dtype=torch.float32, device=device) / width)
    angles = torch.outer(torch.arange(tokens, dtype=torch.float32, device=device), speeds)
    return angles.cos(), angles.sin()


def rotate(x_BHTE: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair of halves by its position's angle: what two tokens then share depends on their distance alone."""
    a, b = x_BHTE.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


def attend_plainly(q_BHTE: Tensor, k_BHTE: Tensor, v_BHTE: Tensor, hidden_B11T: Tensor | None = None) -> Tensor:
    """Attention by its definition, softmax(q kᵀ / √E) v, in three products of all heads at once.

    Causal, or of all tokens but those where ``hidden_B11T`` is -inf rather than 0.
    """
    tokens, width = q_BHTE.shape[-2:]
    if hidden_B11T is None:
        hidden = torch.full((tokens, tokens), float("-inf"), dtype=q_BHTE.dtype, device=q_BHTE.device).triu(1)
    else:
        hidden = hidden_B11T.expand(-1, q_BHTE.shape[1], -1, -1).flatten(0, 1)
    q, k, v = (x.flatten(0, 1) for x in (q_BHTE, k_BHTE, v_BHTE))
    scores = torch.baddbmm(hidden, q, k.transpose(1, 2), alpha=width**-0.5)
    return (scores.softmax(-1).to(v.dtype) @ v).unflatten(0, q_BHTE.shape[:2])


class Linear(nn.Linear):
    """A product in the format of what comes in."""

    def forward(self, input: Tensor) -> Tensor:
        return functional.linear(input, self.weight.to(input.dtype))


class Norm(nn.RMSNorm):
    """RMSNorm in the format of what comes in: with a weight of another, torch leaves its fused kernel, which sums in fp32 in any case."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


class SquaredReLU(torch.autograd.Function):
    """relu(x)², of which torch would keep two tensors, and multiply four times for the gradient.

    In a half format the square alone is kept, as the next product keeps it in any case: four streams a block less. Its root, rounded, is
    relu(x) to the last bit, as a root halves the relative error of rounding.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        positive = x.relu()
        square = positive * positive
        ctx.save_for_backward(square if x.element_size() == 2 else positive)
        return square

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # pyrefly: ignore
        (positive,) = ctx.saved_tensors
        if positive.element_size() == 2:
            positive = positive.sqrt()
        return (grad * positive).mul_(2)


class Attention(nn.Module):
    """Self-attention: causal, or of all tokens but those where ``hidden_B11T`` is -inf rather than 0.

    Neighbouring heads of queries share a head of keys and values where these have fewer heads.
    """

    def __init__(self, width: int, heads: int, dropout: float, qk_norm: bool, kv_heads: int | None = None) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.dropout, self.qk_norm = heads, kv_heads or heads, dropout, qk_norm
        self.sizes = [width, *[width // heads * self.kv_heads] * 2]
        self.qkv = Linear(width, sum(self.sizes), bias=False)
        self.out = Linear(width, width, bias=False)

    def forward(
        self, x_BTD: Tensor, cos: Tensor, sin: Tensor, hidden_B11T: Tensor | None = None, memory: Kept | None = None
    ) -> Tensor:
        q, k, v = (
            part.unflatten(-1, (heads, -1)).transpose(1, 2)
            for part, heads in zip(
                self.qkv(x_BTD).split(self.sizes, -1), (self.heads, self.kv_heads, self.kv_heads), strict=True
            )
        )
        if self.qk_norm:
            q, k = (functional.rms_norm(p, (p.shape[-1],)) for p in (q, k))
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if memory is not None:
            memory.keep(k, v)
        goes_on = memory is not None and memory.places_B is not None
        y_BHTE = memory.attend(q) if memory is not None and goes_on else self._attend(q, k, v, hidden_B11T)
        return self.out(y_BHTE.transpose(1, 2).flatten(2))

    def _attend(self, q_BHTE: Tensor, k_BKTE: Tensor, v_BKTE: Tensor, hidden_B11T: Tensor | None) -> Tensor:
        q, k, v = q_BHTE, k_BKTE, v_BKTE
        if self.kv_heads < self.heads:
            k, v = (part.repeat_interleave(self.heads // self.kv_heads, 1) for part in (k, v))
        dropout = self.dropout if self.training else 0.0
        if v.device.type == "cpu" and v.dtype is torch.bfloat16 and not dropout and v.shape[2] <= LONGEST_PLAIN:
            return attend_plainly(q, k, v, hidden_B11T)
        return functional.scaled_dot_product_attention(
            q, k, v, attn_mask=hidden_B11T, is_causal=hidden_B11T is None, dropout_p=dropout
        )


class Block(nn.Module):
    """Attention and a feed-forward part, each added to what came in."""

    def __init__(self, width: int, heads: int, dropout: float, qk_norm: bool, kv_heads: int | None = None) -> None:
        super().__init__()
        self.norm_attention, self.norm_feed = Norm(width), Norm(width)
        self.attention = Attention(width, heads, dropout, qk_norm, kv_heads)
        self.up = Linear(width, 4 * width, bias=False)
        self.down = Linear(4 * width, width, bias=False)
        self.drop = nn.Dropout(dropout)

    def forward(
        self, x_BTD: Tensor, cos: Tensor, sin: Tensor, hidden_B11T: Tensor | None = None, memory: Kept | None = None
    ) -> Tensor:
        x_BTD = x_BTD + self.drop(self.attention(self.norm_attention(x_BTD), cos, sin, hidden_B11T, memory))
        return x_BTD + self.drop(self.down(SquaredReLU.apply(self.up(self.norm_feed(x_BTD)))))


def initialise(network: nn.Module) -> None:
    """Each block begins as the identity: what it adds to the stream starts at zero."""
    for name, weight in network.named_parameters():
        if weight.ndim < 2:
            continue
        if name.endswith(("out.weight", "down.weight")):
            nn.init.zeros_(weight)
        elif name.startswith(("embedding", "head")):
            nn.init.normal_(weight, std=0.02)
        else:
            nn.init.normal_(weight, std=1 / math.sqrt(weight.shape[1]))


class Transformer(nn.Module):
    """tokens_BT to logits_BTV, T at most the context; to a Projection, where these are many."""

    cos: Tensor
    sin: Tensor

    def __init__(
        self,
        vocabulary: int,
        layers: int,
        heads: int,
        width: int,
        context: int,
        *,
        dropout: float,
        tied: bool,
        qk_norm: bool,
        kv_heads: int | None = None,
    ) -> None:
        super().__init__()
        for name, values in zip(("cos", "sin"), rotary(context, width // heads), strict=True):
            self.register_buffer(name, values, persistent=False)
        self.embedding = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList([Block(width, heads, dropout, qk_norm, kv_heads) for _ in range(layers)])
        self._kept_shape = (kv_heads or heads, width // heads)
        self.norm = Norm(width)
        self.head = Linear(width, vocabulary, bias=False)
        initialise(self)
        if tied:
            self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor | Projection:
        projection = self._project(tokens)
        large = is_large(tokens.numel(), self.head.out_features, projection.hidden.dtype)
        return projection if large else projection.logits

    def _project(self, tokens: Tensor) -> Projection:
        """The logits, not computed yet."""
        dtype = autocast_dtype(tokens.device)
        if dtype is None:
            return self._projection(tokens, self.embedding.weight.dtype)
        with torch.autocast(tokens.device.type, enabled=False):
            return self._projection(tokens, dtype)

    def _projection(self, tokens: Tensor, dtype: torch.dtype) -> Projection:
        cos, sin = (angles[: tokens.shape[1]].to(dtype) for angles in (self.cos, self.sin))
        x_BTD = self.embedding(tokens).to(dtype)
        for block in self.blocks:
            x_BTD = block(x_BTD, cos, sin)
        return Projection(self.norm(x_BTD), self.head.weight)

    def continued(self, tokens: Tensor, cos: Tensor, sin: Tensor, memory: Sequence[Kept]) -> Tensor:
        """tokens_BT to what the head is given, (B, T, D), in the format of the weights."""
        x_BTD = self.embedding(tokens)
        for block, of_block in zip(self.blocks, memory, strict=True):
            x_BTD = block(x_BTD, cos, sin, None, of_block)
        return self.norm(x_BTD)

    def reader(self, rows: int, length: int) -> Reader:
        """Reads windows of at most ``length`` tokens, and keeps their keys and values, in the format of the weights."""
        return Cache(self, rows, length)

    def kept_shape(self, length: int) -> tuple[int, int, int]:
        """Of the keys of one row and block, and of the values."""
        heads, width = self._kept_shape
        return heads, length, width

    def kept_numbers(self, length: int) -> int:
        """Of one row's keys and values."""
        return 2 * len(self.blocks) * math.prod(self.kept_shape(length))


def load_weights(network: nn.Module, path: str) -> None:
    """Start from a safetensors file. Raises ConfigError when it is missing or of another shape."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not Path(path).is_file():
        raise ConfigError(f"model.weights must name a safetensors file, but there is no {path}")
    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise ConfigError(f"model.weights must be a safetensors file, but {path} is not: {error}") from None
    state = network.state_dict()
    for name, tensor in state.items():
        if name not in weights or weights[name].shape != tensor.shape:
            has = f"of shape {tuple(weights[name].shape)}" if name in weights else "missing"
            raise ConfigError(f"model.weights must hold {name} of shape {tuple(tensor.shape)}, but is {has} in {path}")
    network.load_state_dict({name: weights[name] for name in state})
