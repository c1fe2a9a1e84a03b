"""A bag of words, pairs of words and runs of letters, for texts: often as good as a transformer, in a few seconds.

Joulin et al. 2017, "Bag of Tricks for Efficient Text Classification" (arXiv:1607.01759). Each feature of a text (`prepare.ngrams`) has an
embedding; a text is their sum, each times its TF-IDF weight. With an activation, what a word means can depend on the others.

Shapes: B batch, F numeric columns, C categorical columns, O outputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from headway.columns.ngrams import Ngrams
from headway.data.inputs import Inputs
from headway.models.base import ModelConfig

if TYPE_CHECKING:
    from torch import nn


class Bag(ModelConfig):
    """Embeddings of a text's hashed n-grams, weighted and summed; other columns are added by a linear layer."""

    name: Literal["bag"] = "bag"
    width: int = Field(256, ge=1, le=65_536, description="Width of an n-gram's embedding, which is the hidden layer's.")
    activation: Literal["relu", "none"] = Field(
        "relu", description="The hidden layer's activation; none: the model is linear in the n-grams, as fastText's."
    )
    dropout: float = Field(0.5, ge=0, lt=1, description="Share of hidden units dropped at each step of training.")
    ngram_dropout: float = Field(
        0.3, ge=0, lt=1, description="Share of a text's n-grams dropped at each step of training."
    )

    @property
    def takes(self) -> frozenset[str]:
        return frozenset({Ngrams.group})

    def build(self, inputs: Inputs) -> nn.Module:
        """x_BF, codes_BC and weighted n-grams to outputs_BO."""
        from torch import nn

        from headway.models.layers import Columns, Dropout, Summed, TableNetwork, WeightedBags

        texts = WeightedBags(inputs.tokens, self.width, self.ngram_dropout) if inputs.tokens else None
        columns = Columns(inputs.numeric, inputs.categorical, texts=texts)
        activation = nn.ReLU() if self.activation == "relu" else nn.Identity()
        hidden = nn.Sequential(Summed(columns, self.width), activation, Dropout(self.dropout))
        return TableNetwork(columns, nn.Sequential(hidden, nn.Linear(self.width, inputs.outputs)))
