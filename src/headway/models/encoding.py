"""The text columns of a table through transformers whose tokens see all others: the parts of the encoder.

Number formats are those of `headway.models.transformer`.
Shapes: B batch, W tokens of the longest text, T = W + 1 with a start, D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from headway.models.layers import Texts
from headway.models.transformer import Block, Norm, initialise, rotary
from headway.tasks.projection import autocast_dtype

START = 0
"""The token before each text, by the number of padding, which has no embedding of its own. So an empty text is no row without tokens."""


class TextEncoder(nn.Module):
    """tokens_BW, 0 where a text is over, to (B, D)."""

    def __init__(
        self, vocabulary: int, layers: int, heads: int, width: int, dropout: float, pooling: Literal["mean", "start"]
    ) -> None:
        super().__init__()
        self.pooling, self.head_width = pooling, width // heads
        self.embedding = nn.Embedding(vocabulary, width)
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.ModuleList([Block(width, heads, dropout, qk_norm=True) for _ in range(layers)])
        self.norm = Norm(width)
        initialise(self)

    def forward(self, tokens_BW: Tensor) -> Tensor:
        dtype = autocast_dtype(tokens_BW.device)
        if dtype is None:
            return self._encode(tokens_BW, self.embedding.weight.dtype)
        with torch.autocast(tokens_BW.device.type, enabled=False):
            return self._encode(tokens_BW, dtype)

    def _encode(self, tokens_BW: Tensor, dtype: torch.dtype) -> Tensor:
        tokens_BT = nn.functional.pad(tokens_BW, (1, 0), value=START)
        is_text_BT = nn.functional.pad(tokens_BW != 0, (1, 0), value=True)
        hidden_B11T = torch.zeros_like(is_text_BT, dtype=dtype).masked_fill(~is_text_BT, float("-inf"))[:, None, None]
        cos, sin = (part.to(dtype) for part in rotary(tokens_BT.shape[1], self.head_width, tokens_BW.device))
        x_BTD = self.drop(self.embedding(tokens_BT).to(dtype))
        for block in self.blocks:
            x_BTD = block(x_BTD, cos, sin, hidden_B11T)
        if self.pooling == "start":
            return self.norm(x_BTD[:, 0])
        share_BT = is_text_BT.to(dtype) / is_text_BT.sum(1, keepdim=True).to(dtype)
        return (share_BT[:, None] @ self.norm(x_BTD))[:, 0]


class TextEncoders(Texts):
    """Columns of tokens, (B, W) int each, to (B, columns * width): each through an encoder of its own."""

    def __init__(self, encoders: Sequence[TextEncoder], width: int) -> None:
        super().__init__(len(encoders), width)
        self.encoders = nn.ModuleList(encoders)

    @property
    def blocks(self) -> list[nn.Module]:
        return [block for encoder in self.encoders for block in encoder.get_submodule("blocks").children()]

    def forward(self, texts: Mapping[str, Tensor]) -> Tensor:
        return torch.cat([encoder(texts[f"tokens_{i}"]) for i, encoder in enumerate(self.encoders)], -1)
