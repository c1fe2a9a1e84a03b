"""The next token of a text: cross-entropy on logits. There is no target column.

Predictions are (K, 3) float64: nats, tokens and bytes of the blocks that a text is cut into (headway.evaluate.blocks). Tokens of different
tokenizers are not comparable, bytes are, so bits a byte decides. Shapes: B windows, T tokens, V vocabulary, N tokens of a text,
K blocks, R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from headway.tasks.base import Answered, Target, Task
from headway.tasks.completion import PARAMETERS, Parameter
from headway.tasks.metric import Columns, Metric, Resampled, Shared, Statistic, ratio

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from torch import Tensor

    from headway.tasks.projection import Projection

NATS, TOKENS, BYTES = range(3)

Tokens = np.ndarray


def _as_it_is(nats: np.ndarray) -> np.ndarray:
    return nats


def _bits(nats: np.ndarray) -> np.ndarray:
    return nats / math.log(2)


@dataclass(frozen=True)
class _Average:
    """``of`` the nats for each of what is in the column ``over``: of one row, or of many together."""

    over: int
    of: Callable[[np.ndarray], np.ndarray] = _as_it_is

    def each(self, predictions: np.ndarray) -> np.ndarray:
        """(N,) of each row alone; NaN where it has nothing."""
        return self.of(ratio(predictions[:, NATS], predictions[:, self.over]))

    def resampled(self, target: np.ndarray, predictions: np.ndarray, _shared: Shared) -> Resampled:
        """Of weighted rows together."""
        del target
        columns = [np.ascontiguousarray(predictions[:, column]) for column in (NATS, self.over)]
        return Statistic(Columns(lambda *columns: columns, *columns), lambda sums: self.of(ratio(sums[0], sums[1])))

    def value(self, target: np.ndarray, predictions: np.ndarray) -> float:
        """Of all rows together."""
        return float(self.resampled(target, predictions, {})(np.ones((1, len(predictions))))[0])


def _bytes(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    del target
    return prediction[:, BYTES]


def _metric(name: str, title: str, average: _Average, decides: bool) -> Metric:
    return Metric(name, title, False, average.value, average.resampled, is_error=True, decides=decides, sizes=_bytes)


AVERAGES = {
    "bits_per_byte": _Average(BYTES, _bits),
    "loss": _Average(TOKENS),
    "perplexity": _Average(TOKENS, np.exp),
}
BITS_PER_BYTE = _metric("bits_per_byte", "bits a byte", AVERAGES["bits_per_byte"], decides=True)
LOSS = _metric("loss", "nats a token", AVERAGES["loss"], decides=False)
PERPLEXITY = _metric("perplexity", "perplexity", AVERAGES["perplexity"], decides=False)


class Language(Task):
    """The next of the tokens, each a class."""

    has_classes = True
    completes = True
    parameters: ClassVar[tuple[Parameter, ...]] = PARAMETERS
    losses = ("auto", "cross_entropy")
    metrics: ClassVar[tuple[Metric, ...]] = (BITS_PER_BYTE, LOSS, PERPLEXITY)
    baselines = ("unigram", "ngram")
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            "data": {"features": {"text": "text"}},
            "split": {"by": "random", "test": 0.1, "validation": 0.05},
            "prepare": {"tokens": {"vocabulary": 4096}},
            "model": {"name": "gpt"},
            "evaluate": {"baselines": ["unigram", "ngram"]},
        }
    )

    def loss(self, outputs: Tensor | Projection, target: Tensor, smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy in nats a token, of logits (B, T, V)."""
        from torch.nn import functional

        from headway.tasks.projection import Projection, cross_entropy, exact

        if isinstance(outputs, Projection):
            return cross_entropy(outputs, target, smoothing)
        logs_NV = functional.log_softmax(outputs.flatten(0, 1), -1, dtype=exact(outputs.dtype))
        nats = functional.nll_loss(logs_NV, target.flatten())
        return (1 - smoothing) * nats - smoothing * logs_NV.mean() if smoothing else nats

    def default_metric(self, classes: int) -> str:
        del classes
        return BITS_PER_BYTE.name

    def pictures(self, classes: Sequence[str], target: np.ndarray) -> tuple[str, ...]:
        del classes, target
        return ()

    def outputs(self, target: Target) -> int:
        del target
        return 3

    def answer(self, target: Target, predictions: np.ndarray) -> pd.DataFrame:
        """Each metric of each document: (N, 3) sums of its nats, tokens and bytes."""
        import pandas as pd

        del target
        return pd.DataFrame({metric.name: AVERAGES[metric.name].each(predictions) for metric in self.metrics})

    def answered(self, classes: Sequence[str]) -> dict[str, Answered]:
        del classes
        return {metric.name: "double" for metric in self.metrics}

    def no_predictions(self, outputs: int) -> np.ndarray:
        return np.zeros((0, outputs))

    def watched(self, predictions: np.ndarray, classes: Sequence[str]) -> np.ndarray:
        """Bits a byte."""
        del classes
        return AVERAGES[BITS_PER_BYTE.name].each(predictions)

    def count(self, predictions: np.ndarray) -> int:
        return int(predictions[:, TOKENS].sum())


TASK = Language()


def token_losses(
    forward: Callable[[Tensor], Tensor | Projection],
    tokens: Tokens,
    context: int,
    device: torch.device,
    windows: int = 64,
) -> np.ndarray:
    """(N - 1,) float32: nats of each token but the first, each predicted once, by the logits that ``forward`` gives or lets compute.

    Windows of ``context`` tokens overlap by half, and only their second half counts (of the first window all of it), so that every token
    is predicted from at least half a context.
    """
    import torch

    from headway.tasks import projection

    count, half = len(tokens) - 1, max(1, context // 2)
    losses = np.empty(count, np.float32)
    starts = [0, *range(half, max(half, count - context) + half, half)] if count > context else [0]
    starts = [min(s, max(0, count - context)) for s in starts]
    length = min(context, count)
    for at in range(0, len(starts), windows):
        some = starts[at : at + windows]
        rows = np.array(some)[:, None] + np.arange(length + 1)
        batch = torch.from_numpy(np.asarray(tokens)[rows].astype(np.int64)).to(device)
        with torch.no_grad():
            batch_losses = projection.token_losses(forward(batch[:, :-1]), batch[:, 1:]).cpu().numpy()
        for start, nats in zip(some, batch_losses, strict=True):
            first = 0 if start == 0 else half
            losses[start + first : start + length] = nats[first:]
    return losses
