"""Going on with a text: the parameters of a request, and the drawing of one token after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch
    from torch import nn

PROMPT = "prompt"
"""The column of texts to go on with."""


@dataclass(frozen=True)
class Parameter:
    """A number that a request may give: its name, its type in MLflow's words, its default and its bounds."""

    name: str
    kind: Literal["long", "double"]
    default: float
    least: float
    most: float


TOKENS = Parameter("tokens", "long", 300, 1, 10_000)
TEMPERATURE = Parameter("temperature", "double", 0.8, 0, 100)
SEED = Parameter("seed", "long", 0, 0, 2**63 - 1)
PARAMETERS = (TOKENS, TEMPERATURE, SEED)


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
    import torch

    generator = torch.Generator().manual_seed(seed)
    tokens = list(prompt) or [0]
    for _ in range(length):
        with torch.no_grad():
            outputs = network(torch.tensor([tokens[-context:]], device=device))
        logits = (outputs if torch.is_tensor(outputs) else outputs.logits)[0, -1].float().cpu()
        if temperature <= 0:
            token = int(logits.argmax())
        else:
            token = int(torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator))
        if token == 0:
            break
        tokens.append(token)
    return tokens[len(prompt) or 1 :]
