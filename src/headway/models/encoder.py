"""A transformer that reads texts in both directions, trained from random weights: for many texts, or such where order matters.

Vaswani et al. 2017 (arXiv:1706.03762) and Devlin et al. 2018 (arXiv:1810.04805), with the blocks of `headway.models.gpt`: rotary positions,
RMSNorm, squared ReLU, no biases. A text column becomes byte-pair tokens (`prepare.tokens`), and the mean of what its tokens become lies
beside the other columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from headway.columns.text import Tokens
from headway.data.inputs import Inputs
from headway.models.base import ModelConfig, check_heads

if TYPE_CHECKING:
    from torch import nn


class Encoder(ModelConfig):
    """A bidirectional transformer of 1 million weights or more for each text column: about 12 · layers · width², and the embeddings."""

    name: Literal["encoder"] = "encoder"
    layers: int = Field(4, ge=1, le=200, description="Transformer blocks.")
    heads: int = Field(4, ge=1, le=256, description="Attention heads; they share the width equally.")
    width: int = Field(128, ge=2, le=65_536, description="Width of the residual stream.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Share of activations dropped at each step of training.")
    pooling: Literal["mean", "start"] = Field(
        "mean",
        description="What stands for a text: the mean of all its tokens, or what a token before its start becomes.",
    )

    @property
    def takes(self) -> frozenset[str]:
        return frozenset({Tokens.group})

    @model_validator(mode="after")
    def _heads_divide(self) -> Encoder:
        check_heads(self.width, self.heads)
        return self

    def build(self, inputs: Inputs) -> nn.Module:
        """x_BF, codes_BC and tokens to outputs_BO."""
        from torch import nn

        from headway.models.encoding import TextEncoder, TextEncoders
        from headway.models.layers import Columns, Dropout, TableNetwork

        encoders = [
            TextEncoder(vocabulary, self.layers, self.heads, self.width, self.dropout, self.pooling)
            for vocabulary in inputs.tokens
        ]
        columns = Columns(
            inputs.numeric, inputs.categorical, texts=TextEncoders(encoders, self.width) if encoders else None
        )
        head = nn.Linear(columns.width, inputs.outputs)
        return TableNetwork(columns, nn.Sequential(Dropout(self.dropout), head) if self.dropout else head)
