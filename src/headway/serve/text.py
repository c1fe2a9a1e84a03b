"""A language model's bundle, loaded: it completes prompts and computes the loss of texts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa

from headway.columns.tokenizer import Tokenizer
from headway.data.prepare import Preparation
from headway.data.records import name_in_line
from headway.data.store import Store
from headway.errors import DataError
from headway.evaluate.blocks import blocks_of, by_document, sizes_of
from headway.serve.reading import WHERE, canonical_rows
from headway.serve.sampling import Continuation, sampling_of
from headway.tasks import language
from headway.tasks.completion import PROMPT, Sampling, complete

if TYPE_CHECKING:
    from torch import nn

LATENCY_CHARACTERS = 1000
USUAL = Sampling()


@dataclass(frozen=True)
class TextPredictor:
    """A loaded bundle that reads documents. ``context``: how many tokens its network is given at once."""

    every: ClassVar[bool] = False
    commas: ClassVar[frozenset[str]] = frozenset()
    observed: ClassVar[tuple[str, ...]] = ()
    following: ClassVar[None] = None

    preparation: Preparation
    context: int
    network: nn.Module

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the documents."""
        return self.preparation.documents.reader

    @property
    def column(self) -> str:
        """The name of the documents' column."""
        return self.preparation.documents.column

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a row may have: one of them is used."""
        return (PROMPT, self.column)

    @property
    def classes(self) -> tuple[str, ...]:
        """Empty: models with other tokens can be compared."""
        return ()

    def test_predictions(self, store: Path) -> np.ndarray:
        """For the test documents of a store, which was made with this or another tokenizer."""
        test_store = Store(store)
        return self.losses(test_store.test_documents(), test_store.preparation.documents.ends)

    def latency_ms(self, store: Path) -> float:
        """Milliseconds to predict the first 1,000 characters of these."""
        start = "".join(islice(Store(store).test_documents(), LATENCY_CHARACTERS))[:LATENCY_CHARACTERS]
        start_time = time.perf_counter()
        self.losses([start])
        return 1000 * (time.perf_counter() - start_time)

    def losses(self, documents: Iterable[str], ends: bool = False) -> np.ndarray:
        """(K, 3) the nats, tokens and bytes of each block of the text, the first token left out.

        ``ends``: whether each document's end is predicted too. Raises DataError where there is nothing to predict.
        """
        import torch

        texts = list(documents)
        encoded = [self.tokenizer.encode_document(text, ends) for text in texts]
        tokens = np.concatenate(encoded)
        if len(tokens) < 2:
            raise DataError("a text must have at least two tokens, but is shorter")
        nats = language.token_losses(self.network, tokens, self.context, torch.device("cpu"))
        counts = [len(one) for one in encoded] if by_document(len(texts)) else ()
        blocks = len(sizes_of([len(text.encode()) for text in texts]))
        return blocks_of(nats, self.tokenizer.byte_lengths()[tokens], blocks, counts)

    def predict(self, rows: pd.DataFrame | pa.RecordBatch, strict: bool = True) -> np.ndarray:
        """(N, 3) the nats, tokens and bytes of each document, its first token left out.

        Raises DataError where one is too short; where it is not ``strict``, such a one has NaN.
        """
        (column,) = canonical_rows(self.preparation, rows).columns
        problem = self.preparation.documents.unfit(column, WHERE)
        if problem is not None and strict:
            raise problem
        sums = np.full((len(column), 3), np.nan)
        for row, text in enumerate(column.to_pylist()):
            if problem is None or not problem.bad[row]:
                sums[row] = self.losses([text]).sum(0)
        return sums

    def sample(
        self,
        prompts: Sequence[str],
        sampling: Sampling = USUAL,
        say: Callable[[str], object] | None = None,
    ) -> list[str]:
        """The continuation of each prompt. ``say`` is given the pieces of a single one as they are written."""
        import torch

        assert say is None or len(prompts) == 1, "pieces of several texts would be mixed"
        written = [Continuation(self.tokenizer, sampling.stop, say) for _ in prompts]
        tokens = [self.tokenizer.encode(prompt).tolist() for prompt in prompts]
        device = torch.device("cpu")
        complete(self.network, tokens, self.context, sampling, lambda row, token: written[row].take(token), device)
        return [one.end() for one in written]

    def answer(self, rows: pd.DataFrame | pa.RecordBatch, params: Mapping[str, Any]) -> pd.DataFrame:
        """`completion` for each `prompt`; or `loss` and `bits_per_byte` for each document.

        Raises DataError without either column, without a text in a row, and on parameters that are none.
        """
        rows = rows.to_pandas() if isinstance(rows, pa.RecordBatch) else rows
        name = PROMPT if PROMPT in rows.columns else self.column
        if name not in rows.columns:
            have = ", ".join(name_in_line(c) for c in rows.columns[:8])
            raise DataError(f"rows to predict must have a column {PROMPT} or {self.column}, but they have {have}")
        texts = [str(text) for text in rows[name] if isinstance(text, str) and text]
        if len(texts) < len(rows):
            raise DataError(
                f"rows to predict: {name} must be a text in every row, but {len(rows) - len(texts)} have none"
            )
        if name == PROMPT:
            return pd.DataFrame({"completion": self.sample(texts, sampling_of(params))})
        return self.preparation.target.decode(self.predict(rows))
