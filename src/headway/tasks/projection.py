"""Cross-entropy of a product that is never computed whole: the logits of many tokens over a large vocabulary.

GPT-2's 32 x 1,024 tokens over 50,304 words are 1.65 billion logits: 3.3 GB in bfloat16, and as much again for their gradients, 6.6 GB each
in fp32. Here chunks of tokens pass through them one after another. As the loss is the last of a network, a chunk's gradients are computed
with it, forward: of the hidden state, and of the weight summed over chunks in fp32. No product is computed twice.

Bytes of the whole training of GPT-2's size (124 million weights) at 32 x 1,024 in bfloat16, when the loss begins: weights and AdamW's means
1.5 GB; weights cast 0.25 GB; 14 tensors of the stream's 50 MB in each of twelve blocks, 8.5 GB; a chunk of 4,096 tokens: logits 0.4 GB,
their logarithms in fp32 0.8 GB (compiled: none) and gradients 0.4 GB; the gradients that are kept: 0.05 GB of the hidden state, 0.15 GB of
the weight. Sum: 12.1 GB (11.3 GiB) eagerly, 11.3 GB (10.5 GiB) compiled. Behind it, blocks free more than weights' gradients take.

Shapes: N tokens, B windows, T tokens of a window, D width, V vocabulary, C tokens of a chunk.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

CHUNK = {"cuda": 2**28, "cpu": 2**24}
"""Logits of one chunk. On a GPU a chunk must fill the chip, and each reads and writes the weight's gradient once; a CPU's fit its cache."""

MANY = 2**25
"""Logits from which on they are not computed whole: 128 MiB in fp32. Of 1,024 tokens, 50,304 words and a width of 256 one core of a CPU
took .74 s for the loss and its gradients in bfloat16, not 1.07, and 1.42 s in fp32, as before; .6 GiB of memory, not 1.0."""

Chunk = Callable[[Tensor, Tensor, Tensor, int, float], tuple[Tensor, Tensor]]


class Projection(NamedTuple):
    """Logits that are still to be computed: hidden_BTD times weight_VD transposed.

    ``fused``: whether the network is compiled, so that the loss's elementwise work is to be compiled, too: 6 bytes a logit and not 10.
    """

    hidden: Tensor
    weight: Tensor
    fused: bool = False

    @property
    def logits(self) -> Tensor:
        """All of them, (B, T, V), in the hidden state's format."""
        return functional.linear(self.hidden, self.weight.to(self.hidden.dtype))


def is_large(tokens: int, words: int, dtype: torch.dtype) -> bool:
    """Whether the logits of so many tokens are to be computed in chunks.

    Never for training in float16, whose gradients must be scaled before they are computed.
    """
    return tokens * words >= MANY and not (dtype is torch.float16 and torch.is_grad_enabled())


def cross_entropy(projection: Projection, target_BT: Tensor, smoothing: float = 0.0) -> Tensor:
    """The mean over tokens, in fp32 or finer; its gradients are computed with it."""
    hidden_ND = projection.hidden.flatten(0, 1)
    chunk = _fused_chunk() if projection.fused and not torch.compiler.is_compiling() else _chunk
    parts = (hidden_ND, projection.weight, target_BT.flatten(), smoothing, chunk)
    if autocast_dtype(hidden_ND.device) is None:
        return _Chunked.apply(*parts)
    with torch.autocast(hidden_ND.device.type, enabled=False):
        return _Chunked.apply(*parts)


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """The format that autocast asks for; None without it. The meta device, on which arithmetic is counted, knows none."""
    kind = device.type
    return torch.get_autocast_dtype(kind) if kind != "meta" and torch.is_autocast_enabled(kind) else None


def token_losses(outputs: Tensor | Projection, target_BT: Tensor) -> Tensor:
    """(B, T) float32 nats of each token, without gradients; from logits (B, T, V) or what they are computed of."""
    if isinstance(outputs, Projection):
        hidden_ND, target_N = outputs.hidden.flatten(0, 1), target_BT.flatten()
        if target_N.numel() * len(outputs.weight) >= MANY:
            weight_VD = outputs.weight.to(hidden_ND.dtype)
            chunks = _chunks(hidden_ND, len(weight_VD))
            return torch.cat([_nats(hidden_ND[at] @ weight_VD.t(), target_N[at]) for at in chunks]).view_as(target_BT)
        outputs = outputs.logits
    return _nats(outputs.transpose(1, 2), target_BT)


def _nats(logits: Tensor, target: Tensor) -> Tensor:
    """Of logits whose second dimension is the vocabulary."""
    return functional.cross_entropy(logits.float(), target, reduction="none")


class _Chunked(torch.autograd.Function):
    """The mean loss. Its gradients wait for the loss's own, by which they are multiplied."""

    @staticmethod
    def forward(
        ctx: Any, hidden_ND: Tensor, weight_VD: Tensor, target_N: Tensor, smoothing: float, chunk: Chunk
    ) -> Tensor:
        words, dtype = len(weight_VD), exact(hidden_ND.dtype)
        cast_VD = _padded(weight_VD.to(hidden_ND.dtype))
        nats = torch.zeros((), dtype=dtype, device=hidden_ND.device)
        of_hidden, of_weight = [], torch.zeros_like(cast_VD, dtype=dtype)
        for rows in _chunks(hidden_ND, len(cast_VD)):
            chunk_CD = hidden_ND[rows]
            loss, of_logits_CV = chunk(chunk_CD, cast_VD, target_N[rows, None], words, smoothing)
            nats = nats + loss
            of_hidden.append(of_logits_CV @ cast_VD)
            if of_weight.dtype is of_logits_CV.dtype:
                # In place by ``out``: torch's counter of arithmetic leaves addmm_ out.
                torch.addmm(of_weight, of_logits_CV.t(), chunk_CD, out=of_weight)
            else:
                of_weight += of_logits_CV.t() @ chunk_CD
            del of_logits_CV  # before the next chunk's is made
        ctx.save_for_backward(torch.cat(of_hidden), of_weight[:words])
        return nats / len(hidden_ND)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # pyrefly: ignore
        of_hidden_ND, of_weight_VD = ctx.saved_tensors
        share = grad / len(of_hidden_ND)
        return of_hidden_ND * share, of_weight_VD * share, None, None, None


def _chunk(
    hidden_CD: Tensor, weight_VD: Tensor, target_C1: Tensor, words: int, smoothing: float
) -> tuple[Tensor, Tensor]:
    """The sum of a chunk's losses, and the gradient of its logits: chances less the wanted ones."""
    logits_CV = hidden_CD @ weight_VD.t()
    if len(weight_VD) > words:
        logits_CV[:, words:] = float("-inf")
    logs_CV = functional.log_softmax(logits_CV, -1, dtype=exact(logits_CV.dtype))
    chosen_C1 = logs_CV.gather(-1, target_C1)
    loss = -(1 - smoothing) * chosen_C1.sum()
    if smoothing:
        loss = loss - smoothing / words * logs_CV[:, :words].sum()
        gradient_CV = (logs_CV.exp() - smoothing / words).to(logits_CV.dtype)
        gradient_CV[:, words:] = 0
    else:
        gradient_CV = logits_CV.softmax(-1)
    # Of a likely token almost nothing is left, which the logits' format would round away.
    wanted_C1 = chosen_C1.exp() - (1 - smoothing) - smoothing / words
    return loss, gradient_CV.scatter_(-1, target_C1, wanted_C1.to(gradient_CV.dtype))


@cache
def _fused_chunk() -> Chunk:
    return torch.compile(_chunk, dynamic=False)


def _chunks(hidden_ND: Tensor, words: int) -> list[slice]:
    """Equal chunks of a power of two of tokens, as products like them; the last may be shorter."""
    most = CHUNK["cuda" if hidden_ND.device.type == "cuda" else "cpu"] // words
    size = 1 << max(0, most.bit_length() - 1)
    return [slice(at, at + size) for at in range(0, len(hidden_ND), size)]


def _padded(weight_VD: Tensor) -> Tensor:
    """With rows of zeros up to a multiple of 64 where a GPU multiplies in a half format: its tensor cores read aligned rows of logits."""
    missing = -len(weight_VD) % 64
    if missing and weight_VD.device.type == "cuda" and weight_VD.element_size() == 2:
        return functional.pad(weight_VD, (0, 0, 0, missing))
    return weight_VD


def exact(dtype: torch.dtype) -> torch.dtype:
    """The format of sums over the vocabulary."""
    return torch.float64 if dtype is torch.float64 else torch.float32
