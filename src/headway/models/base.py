"""What every model is given and what every model config offers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from headway.base import Config

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Inputs:
    """The shape of prepared rows, all that a model needs to know of the data.

    numeric: number of float columns. categorical: number of codes of each integer column, buckets for missing and
    unknown included. bins: edges for piecewise-linear encoding of each numeric column, or empty. outputs: classes, or 1.
    """

    numeric: int
    categorical: tuple[int, ...]
    bins: tuple[tuple[float, ...], ...]
    outputs: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Inputs:
        return cls(
            values["numeric"],
            tuple(values["categorical"]),
            tuple(tuple(b) for b in values["bins"]),
            values["outputs"],
        )


@dataclass(frozen=True)
class TokenInputs:
    """What a language model needs to know of the data: how many different tokens there are."""

    vocabulary: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TokenInputs:
        return cls(values["vocabulary"])


class ModelConfig(Config):
    """A model's settings. Networks implement ``build``; torch is imported inside it, never at a module's top."""

    uses_bins: ClassVar[bool] = False
    is_network: ClassVar[bool] = True
    """Whether the training loop trains it; others have a fit of their own."""

    reads: ClassVar[Literal["rows", "tokens"]] = "rows"

    name: str = ""

    def build(self, inputs: Inputs) -> nn.Module:
        """A network that maps ``numeric`` (B, numeric) float and ``categorical`` (B, columns) int to outputs.

        Outputs are (B, outputs) logits or values, or (B, K, outputs) for an ensemble of K members.
        """
        raise AssertionError(f"{type(self).__name__} has a fit of its own and builds nothing from {inputs}")
