"""The next token: cross-entropy on logits.

Shapes: B windows, T tokens, V vocabulary, N tokens of a text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

Tokens = np.ndarray


def loss(logits_BTV: Tensor, target_BT: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy in nats a token."""
    return functional.cross_entropy(logits_BTV.flatten(0, 1).float(), target_BT.flatten(), label_smoothing=smoothing)


@torch.no_grad()
def token_losses(
    forward: Callable[[Tensor], Tensor], tokens: Tokens, context: int, device: torch.device, windows: int = 64
) -> np.ndarray:
    """(N - 1,) float32: nats of each token but the first, each predicted once.

    Windows of ``context`` tokens overlap by half, and only their second half counts (of the first window all of it), so that every token
    is predicted from at least half a context.
    """
    count, half = len(tokens) - 1, max(1, context // 2)
    losses = np.empty(count, np.float32)
    starts = [0, *range(half, max(half, count - context) + half, half)] if count > context else [0]
    starts = [min(s, max(0, count - context)) for s in starts]
    length = min(context, count)
    for at in range(0, len(starts), windows):
        some = starts[at : at + windows]
        rows = np.array(some)[:, None] + np.arange(length + 1)
        batch = torch.from_numpy(np.asarray(tokens)[rows].astype(np.int64)).to(device)
        logits = forward(batch[:, :-1]).float()
        found = functional.cross_entropy(logits.transpose(1, 2), batch[:, 1:], reduction="none").cpu().numpy()
        for start, nats in zip(some, found, strict=True):
            first = 0 if start == 0 else half
            losses[start + first : start + length] = nats[first:]
    return losses


@torch.no_grad()
def complete(
    network: nn.Module,
    prompt: Sequence[int],
    length: int,
    context: int,
    *,
    temperature: float,
    seed: int,
    device: torch.device,
) -> list[int]:
    """``length`` tokens after a prompt, drawn with ``seed``; temperature 0 takes the likeliest. Stops at an end token."""
    generator = torch.Generator().manual_seed(seed)
    tokens = list(prompt) or [0]
    for _ in range(length):
        logits = network(torch.tensor([tokens[-context:]], device=device))[0, -1].float().cpu()
        if temperature <= 0:
            token = int(logits.argmax())
        else:
            token = int(torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator))
        if token == 0:
            break
        tokens.append(token)
    return tokens[len(prompt) or 1 :]
