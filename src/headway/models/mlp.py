"""A multilayer perceptron on prepared rows: the plain strong start for tables with many rows.

Gorishniy et al. 2021, "Revisiting Deep Learning Models for Tabular Data" (arXiv:2106.11959), section 3.1.

Shapes: B batch, F numeric columns, C categorical columns, O outputs.

Texts enter as words present, or as the mean of their tokens' embeddings: Joulin et al. 2017, "Bag of Tricks for Efficient Text
Classification" (arXiv:1607.01759).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from headway.data.inputs import Inputs
from headway.models.base import ModelConfig

if TYPE_CHECKING:
    from torch import nn


class MLP(ModelConfig):
    """Multilayer perceptron: embeddings for categories, numbers as they are, equal hidden layers."""

    is_stackable: ClassVar[bool] = True

    name: Literal["mlp"] = "mlp"
    width: int = Field(256, ge=1, le=65_536, description="Units in each hidden layer.")
    depth: int = Field(3, ge=0, le=64, description="Number of hidden layers; 0 is a linear model.")
    activation: Literal["relu", "tanh", "sigmoid", "gelu"] = Field("relu", description="The hidden layers' activation.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Share of hidden units dropped at each step of training.")

    text: Literal["words", "tokens"] = Field(
        "words",
        description="How a text column is read: words: a 0/1 column for each of some words; tokens: the mean of its token embeddings.",
    )

    def build(self, inputs: Inputs) -> nn.Module:
        """x_BF and codes_BC to outputs_BO."""
        from torch import nn

        from headway.models.layers import Columns, Dropout, TableNetwork, TokenBags

        activations = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "gelu": nn.GELU}
        texts = TokenBags(inputs.tokens) if inputs.tokens else None
        columns = Columns(inputs.numeric, inputs.categorical, texts=texts)
        layers: list[nn.Module] = []
        width = columns.width
        for _ in range(self.depth):
            dropout = [Dropout(self.dropout)] if self.dropout else []
            layers.append(nn.Sequential(nn.Linear(width, self.width), activations[self.activation](), *dropout))
            width = self.width
        return TableNetwork(columns, nn.Sequential(*layers, nn.Linear(width, inputs.outputs)))
