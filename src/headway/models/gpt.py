"""GPT: a decoder-only transformer, for text.

RMSNorm (Zhang and Sennrich 2019, arXiv:1910.07467), rotary positions (Su et al. 2021, arXiv:2104.09864), normalised queries and keys
(Henry et al. 2020, arXiv:2010.04245), squared ReLU (So et al. 2021, arXiv:2109.08668), attention by torch's fused kernel, on request with
grouped queries (Ainslie et al. 2023, arXiv:2305.13245). No biases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from headway.data.inputs import Inputs
from headway.models.base import ModelConfig, check_heads

if TYPE_CHECKING:
    from headway.models.transformer import Transformer


class GPT(ModelConfig):
    """A language model of 1 million to 1.5 billion weights: about 12 · layers · width² of them, and the embeddings."""

    completes: ClassVar[bool] = True

    name: Literal["gpt"] = "gpt"
    layers: int = Field(4, ge=1, le=200, description="Transformer blocks.")
    heads: int = Field(4, ge=1, le=256, description="Attention heads; they share the width equally.")
    kv_heads: int | None = Field(
        None,
        ge=1,
        description="Heads of keys and values, each shared by as many heads (grouped-query attention); null for one a head.",
    )
    width: int = Field(128, ge=2, le=65_536, description="Width of the residual stream.")
    context: int = Field(64, ge=2, le=1_048_576, description="Tokens that one prediction can look back on.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of activations dropped at each step of training.")
    tied: bool = Field(False, description="Whether the head shares the embedding's weights.")
    qk_norm: bool = Field(True, description="Whether queries and keys are normalised.")
    weights: str | None = Field(
        None, description="A safetensors file with weights to start from; null for random ones."
    )

    @property
    def window(self) -> int:
        return self.context

    def usual_flops(self, weights: int, inputs: Inputs) -> float:
        """6 N + 12 L D T a token (Chowdhery et al. 2022, arXiv:2204.02311, appendix B); N: weights, without an untied embedding."""
        (vocabulary,) = inputs.tokens
        read = 0 if self.tied else vocabulary * self.width
        return 6.0 * (weights - read) + 12.0 * self.layers * self.width * self.context

    @model_validator(mode="after")
    def _heads_divide(self) -> GPT:
        if self.kv_heads is not None and self.heads % self.kv_heads:
            raise ValueError(f"heads must be a multiple of kv_heads, but is {self.heads} with {self.kv_heads} kv_heads")
        check_heads(self.width, self.heads)
        return self

    def build(self, inputs: Inputs) -> Transformer:
        """tokens_BT to logits_BTV. Raises ConfigError when the file of weights does not fit."""
        from headway.models.transformer import Transformer, load_weights

        (vocabulary,) = inputs.tokens
        network = Transformer(
            vocabulary,
            self.layers,
            self.heads,
            self.width,
            self.context,
            dropout=self.dropout,
            tied=self.tied,
            qk_norm=self.qk_norm,
            kv_heads=self.kv_heads,
        )
        if self.weights is not None:
            load_weights(network, self.weights)
        return network
