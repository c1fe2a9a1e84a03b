"""TabM: one network that acts as an ensemble of MLPs; the strongest plain network for tables.

Gorishniy et al. 2025, "TabM: Advancing Tabular Deep Learning with Parameter-Efficient Ensembling" (arXiv:2410.24210), built from
the authors' package `tabm`; numbers enter through piecewise-linear embeddings (Gorishniy et al. 2022, arXiv:2203.05556).

Shapes: B batch, F numeric columns, C categorical columns, K members, O outputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from headway.data.inputs import Inputs
from headway.models.base import ModelConfig

if TYPE_CHECKING:
    from torch import Tensor, nn


class TabM(ModelConfig):
    """An efficient ensemble of MLPs with piecewise-linear embeddings of numbers."""

    uses_bins: ClassVar[bool] = True
    packages: ClassVar[tuple[str, ...]] = ("tabm", "rtdl_num_embeddings")

    name: Literal["tabm"] = "tabm"
    members: int = Field(16, ge=1, le=1024, description="Members of the ensemble.")
    width: int = Field(128, ge=1, le=65_536, description="Units in each hidden layer.")
    depth: int = Field(2, ge=1, le=64, description="Number of hidden layers.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Share of hidden units dropped at each step of training.")
    variant: Literal["tabm-mini", "tabm"] = Field(
        "tabm-mini", description="Whether members differ at the input only, or in every layer."
    )
    embedding: int = Field(16, ge=1, le=256, description="Size of a number's piecewise-linear embedding.")

    def build(self, inputs: Inputs) -> nn.Module:
        """x_BF and codes_BC to outputs_BKO."""
        import tabm
        from torch import nn

        from headway.models.layers import Columns, TableNetwork, with_fast_dropout

        encoder, encoded, order = _number_encoder(inputs, self.embedding)
        columns = Columns(inputs.numeric, inputs.categorical, encoder, encoded, order=order)
        backbone = tabm.make_tabm_backbone(
            d_in=columns.width,
            n_blocks=self.depth,
            d_block=self.width,
            dropout=self.dropout,
            activation="ReLU",
            k=self.members,
            arch_type=self.variant,
            start_scaling_init="normal" if encoder is not None else "random-signs",
            start_scaling_init_chunks=columns.chunks,
        )
        output = tabm.LinearEnsemble(self.width, inputs.outputs, k=self.members)
        return TableNetwork(
            columns, nn.Sequential(tabm.EnsembleView(k=self.members), with_fast_dropout(backbone), output)
        )


def _number_encoder(inputs: Inputs, size: int) -> tuple[nn.Module | None, list[int] | None, list[int] | None]:
    """Piecewise-linear embeddings for the columns that have bins, the others as they are; the width of each column, and their order."""
    import torch
    from rtdl_num_embeddings import PiecewiseLinearEmbeddings
    from torch import nn

    binned = [i for i, edges in enumerate(inputs.bins) if len(edges) >= 2]
    if not binned:
        return None, None, None
    plain = [i for i in range(inputs.numeric) if i not in set(binned)]
    bins = [torch.tensor(inputs.bins[i], dtype=torch.float32) for i in binned]

    class Numbers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = PiecewiseLinearEmbeddings(bins, size, activation=False, version="B")
            self.register_buffer("binned", torch.tensor(binned), persistent=False)
            self.register_buffer("plain", torch.tensor(plain, dtype=torch.int64), persistent=False)

        def forward(self, x_BF: Tensor) -> Tensor:
            embedded = self.embed(x_BF.index_select(1, self.get_buffer("binned"))).flatten(1)
            if not plain:
                return embedded
            return torch.cat([embedded, x_BF.index_select(1, self.get_buffer("plain"))], 1)

    return Numbers(), [size] * len(binned) + [1] * len(plain), binned + plain
