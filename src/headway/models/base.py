"""What every model config offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from headway.config import Config
from headway.data.inputs import Inputs
from headway.models.contributions import Contributions
from headway.tasks.base import Target

if TYPE_CHECKING:
    from torch import nn

    from headway.data.prepared_rows import PreparedRows


WEIGHTS = "weights.safetensors"
"""A network's, in a bundle."""


def check_heads(width: int, heads: int) -> None:
    """Raises ValueError where a transformer's heads cannot share its width in pairs, as rotary positions need them."""
    if width % (2 * heads):
        raise ValueError(f"width must be a multiple of twice the heads, but is {width} with {heads} heads")


class Estimator(ABC):
    """A trained model that is no network, as a bundle holds it."""

    @abstractmethod
    def predict(
        self, arrays: Mapping[str, np.ndarray], inputs: Inputs, target: Target, texts: Any = None
    ) -> np.ndarray:
        """(N, classes) float32 probabilities, or (N,) values in the target's own unit.

        ``arrays``: ``numeric`` (N, F) and ``categorical`` (N, C); ``texts`` (N, G): the n-grams, sparse; None where no column becomes them.
        """


class ModelConfig(Config):
    """A model's settings. Networks implement ``build``; torch is imported inside it, never at a module's top."""

    uses_bins: ClassVar[bool] = False
    is_network: ClassVar[bool] = True
    """Whether the training loop trains it; others have a fit of their own."""

    is_stackable: ClassVar[bool] = False
    """Whether several networks of it can be computed as one (`headway.models.stacked`)."""

    has_chance: ClassVar[bool] = True
    """Whether trainings with other seeds differ."""

    lacks: ClassVar[frozenset[str]] = frozenset()
    """The losses of a project's task that it cannot minimise."""

    title: ClassVar[str] = ""
    """What people call it beside another model of the same name; empty where that is its name."""

    completes: ClassVar[bool] = False
    """Whether it reads documents and goes on with a text: the task must do so, too (`Task.completes`)."""

    packages: ClassVar[tuple[str, ...]] = ()
    """What must be installed for it beside what every model needs."""

    @property
    def takes(self) -> frozenset[str]:
        """The arrays that it takes beside numbers and codes: documents, or those that a field ``text`` names, where that is not words.

        A column becomes what the model takes, or numbers and codes.
        """
        return frozenset({"documents"} if self.completes else {getattr(self, "text", "words")} - {"words"})

    @property
    def needs(self) -> frozenset[str]:
        """Of these, the arrays without which it is not of the project's columns: a column must become each."""
        return self.takes

    name: str = ""

    compares_rows: ClassVar[bool] = True
    """Whether `contributions` compares a row with others, of which its bundle then keeps some."""

    def contributions(
        self,
        model: Any,
        inputs: Inputs,
        rows: PreparedRows,
        others: PreparedRows,
        target: Target,
        which: np.ndarray,
    ) -> Contributions:
        """What each prepared column adds to margin ``which`` (N,) of each row, beside ``others``: of a network expected gradients.

        Raises ConfigError for a network that has no layer where every number belongs to one column.
        """
        del inputs
        from headway.models.attribution import expected_gradients

        return expected_gradients(model, rows, others, target, which)

    @property
    def window(self) -> int:
        """Of a model of documents: how many tokens it is given at once, so that a part must have more."""
        return 0

    def usual_flops(self, weights: int, inputs: Inputs) -> float:
        """Floating-point operations of training on one row or token, by the formula of publications; 0 where there is none.

        ``weights``: how many its network has.
        """
        del weights, inputs
        return 0.0

    def load(self, folder: Path, inputs: Inputs) -> nn.Module | Estimator:
        """The trained model of a bundle; a network ready to predict."""
        from safetensors.torch import load_file

        network = self.build(inputs)
        network.load_state_dict(load_file(folder / WEIGHTS))
        return network.eval()

    def build(self, inputs: Inputs) -> nn.Module:
        """A network that maps ``numeric`` (B, numeric) float and ``categorical`` (B, columns) int to outputs.

        One that takes tokens is given ``tokens_0`` (B, width) int and so on as well; 0 is padding. Of n-grams, ``tokens_0_weights``
        (B, width) float lies beside it.

        Outputs are (B, outputs) logits or values, or (B, K, outputs) for an ensemble of K members.

        One that ``completes`` is given ``tokens`` (B, T) int alone, and gives the logits of each next token (B, T, different tokens), or
        a `headway.tasks.projection.Projection` where these are many. T is at most its ``window``.
        """
        raise AssertionError(f"{type(self).__name__} has a fit of its own and builds nothing from {inputs}")
