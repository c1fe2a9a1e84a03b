"""Training on the tokens of documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from headway.data.batches import Batches
from headway.data.config import Split
from headway.data.loader import LoaderTokens
from headway.data.store import Store
from headway.data.windows import TokenBatches
from headway.errors import ConfigError
from headway.models import ModelConfig
from headway.tasks import language
from headway.tasks.projection import Projection
from headway.train.precision import Arithmetic
from headway.train.recipe import Recipe
from headway.train.table import fits
from headway.train.workload import Workload

VALIDATION_TOKENS = 100_000
"""Tokens of the validation after each epoch, from its beginning on; more decide no better and cost time."""


@dataclass
class LanguageWorkload(Workload):
    """A store of documents, and the model that is to predict them."""

    unit: ClassVar[str] = "tokens"

    store: Store
    model: ModelConfig

    def build(self) -> nn.Module:
        return self.model.build(self.store.preparation.inputs())

    def batches(self, recipe: Recipe, device: torch.device) -> Batches:
        size, tokens = recipe.batch_size, self.store.tokens("train")
        assert size != "auto"
        if size * self.model.window >= len(tokens):
            raise ConfigError(
                f"train.batch_size times model.context must be less than the {len(tokens):,} training tokens, "
                f"but {size:,} times {self.model.window:,} is not"
            )
        if recipe.residence == "loader":
            return LoaderTokens(tokens, size, self.model.window, recipe.seed, device)
        tensors = {"tokens": torch.empty(len(tokens), dtype=torch.int32, device="meta")}
        resident = fits(tensors, recipe.residence, device)
        return TokenBatches(tokens, size, self.model.window, recipe.seed, device, resident)

    def loss(
        self, outputs: Tensor | Projection, target: Tensor, smoothing: float, weight: Tensor | None = None
    ) -> Tensor:
        del weight  # documents count by their tokens
        return language.TASK.loss(outputs, target, smoothing)

    def usual_flops(self, network: nn.Module) -> float:
        weights = sum(weight.numel() for weight in network.parameters())
        return self.model.usual_flops(weights, self.store.preparation.inputs())

    def validate(self, network: nn.Module, arithmetic: Arithmetic) -> float:
        return float(self.validation_losses(network, arithmetic).mean())

    def validation_losses(self, network: nn.Module, arithmetic: Arithmetic) -> np.ndarray:
        """Nats of the validation tokens that are looked at while training, but the first: (N - 1,)."""
        return self._losses(network, arithmetic, self.store.tokens("validation")[:VALIDATION_TOKENS])

    def predictions(self, network: nn.Module, arithmetic: Arithmetic) -> dict[str, np.ndarray]:
        """Nats of every token but the first: (N - 1,) float32."""
        splits: tuple[Split, ...] = ("validation", "test")
        return {split: self._losses(network, arithmetic, self.store.tokens(split)) for split in splits}

    def _losses(self, network: nn.Module, arithmetic: Arithmetic, tokens: np.ndarray) -> np.ndarray:
        network.eval()

        def forward(batch: Tensor) -> Tensor | Projection:
            with arithmetic.autocast():
                return network(batch)

        return language.token_losses(forward, tokens, self.model.window, arithmetic.device)
