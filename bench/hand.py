"""Loops as anyone writes them in half an hour: what Headway's steps are measured against on a GPU (`make bench-gpu`).

A GPT with LayerNorm, GELU, learned positions and `F.cross_entropy` under autocast; an MLP and a TabM in fp32, whose step is captured as one
CUDA graph as PyTorch's notes show it. Nothing of Headway is imported here.

Shapes: B batch, T tokens, D width, V vocabulary, K members of an ensemble, F columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

Batch = Mapping[str, Tensor]


@dataclass(frozen=True)
class Loop:
    """A network and its training step, which returns the loss on the device."""

    network: nn.Module
    step: Callable[[Batch], Tensor]


class Block(nn.Module):
    """Attention and a feed-forward part."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(self.norm1(x_BTD)).chunk(3, -1)
        )
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x_BTD = x_BTD + self.out(y.transpose(1, 2).flatten(2))
        return x_BTD + self.down(functional.gelu(self.up(self.norm2(x_BTD)), approximate="tanh"))


class GPT(nn.Module):
    """GPT-2's shape, the head tied to the embedding."""

    def __init__(self, vocabulary: int, layers: int, heads: int, width: int, context: int) -> None:
        super().__init__()
        self.embedding, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(layers)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.embedding.weight
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        x_BTD = self.embedding(tokens) + self.positions(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.blocks:
            x_BTD = block(x_BTD)
        return self.head(self.norm(x_BTD))


class MLP(nn.Module):
    """Two hidden layers of equal width."""

    def __init__(self, columns: int, width: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(columns, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outputs)
        )

    def forward(self, numeric: Tensor) -> Tensor:
        return self.layers(numeric)


class TabM(nn.Module):
    """TabM-mini (Gorishniy et al. 2025, arXiv:2410.24210): K members share two hidden layers and differ in what scales their inputs."""

    def __init__(self, columns: int, width: int, outputs: int, members: int, dropout: float) -> None:
        super().__init__()
        self.scales_KF = nn.Parameter(torch.randn(members, columns))
        self.first, self.second = nn.Linear(columns, width), nn.Linear(width, width)
        self.heads_KDO = nn.Parameter(torch.randn(members, width, outputs) * width**-0.5)
        self.biases_KO = nn.Parameter(torch.zeros(members, outputs))
        self.drop = nn.Dropout(dropout)

    def forward(self, numeric: Tensor) -> Tensor:
        x = self.drop(self.first(numeric[:, None] * self.scales_KF).relu())
        x_BKD = self.drop(self.second(x).relu())
        return torch.einsum("bkd,kdo->bko", x_BKD, self.heads_KDO) + self.biases_KO


def gpt_loop(network: nn.Module, *, rate: float = 6e-4, compiled: bool = False, autocast: bool = True) -> Loop:
    """The step of a GPT in bf16 under autocast, compiled or not."""
    device = next(network.parameters()).device
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, fused=True)
    forward = torch.compile(network) if compiled else network

    def context() -> AbstractContextManager[object]:
        return torch.autocast(device.type, dtype=torch.bfloat16) if autocast else nullcontext()

    def step(batch: Batch) -> Tensor:
        with context():
            logits = forward(batch["tokens"])
            loss = functional.cross_entropy(logits.flatten(0, 1), batch["target"].flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    return Loop(network, step)


def table_loop(network: nn.Module, *, rate: float = 1e-3) -> Loop:
    """The eager step of a network on numbers; of an ensemble, the mean of its members' losses."""
    on_gpu = next(network.parameters()).is_cuda
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, fused=True, capturable=on_gpu)

    def step(batch: Batch) -> Tensor:
        outputs, target = network(batch["numeric"]), batch["target"]
        if outputs.ndim == 3:
            outputs, target = outputs.flatten(0, 1), target.repeat_interleave(outputs.shape[1])
        loss = functional.cross_entropy(outputs, target)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    return Loop(network, step)


def captured(loop: Loop, batch: Batch) -> Loop:
    """The same step as one CUDA graph (https://docs.pytorch.org/docs/stable/notes/cuda.html#whole-network-capture)."""
    inputs = {name: tensor.clone() for name, tensor in batch.items()}
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            loop.step(inputs)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = loop.step(inputs)

    def step(batch: Batch) -> Tensor:
        for name, tensor in batch.items():
            inputs[name].copy_(tensor, non_blocking=True)
        graph.replay()
        return loss

    return Loop(loop.network, step)
