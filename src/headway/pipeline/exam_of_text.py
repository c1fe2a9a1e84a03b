"""The test documents of a text, or the test blocks of a single one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headway.columns.text import DocumentTokens
from headway.data.learnt_rows import LearntRows
from headway.data.store import Store
from headway.errors import TrainingError
from headway.evaluate.baselines import Fitted, Note
from headway.evaluate.blocks import blocks_of, by_document, sizes_of, units_of, unlearnt_blocks
from headway.evaluate.ngram import fit_ngram
from headway.evaluate.resample import Units
from headway.pipeline.exam import Exam
from headway.run.result import Result
from headway.tasks.language import NATS, TOKENS

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE = {"fp32": 1e-3}
"""How far, in nats a token, the bundle in fp32 on the CPU may be from training; looser for half formats."""


class ExamOfText(Exam):
    """A text's. Predictions are (K, 3): nats, tokens and bytes of each document or block."""

    @property
    def row(self) -> str:
        return self.units.name

    @cached_property
    def store(self) -> Store:
        """The documents' tokens."""
        return Store(self.run.store)

    @cached_property
    def tokens(self) -> DocumentTokens:
        """How the documents became tokens."""
        return self.store.preparation.documents

    @cached_property
    def documents(self) -> int:
        """How many the test has."""
        return self.store.rows["test"]

    @cached_property
    def target(self) -> np.ndarray:
        """(K,) bytes, which are the same for every model."""
        return sizes_of([len(text.encode()) for text in self.store.test_documents()])

    @property
    def units(self) -> Units:
        return units_of(len(self.target), self.documents, self.tokens.ends)

    @property
    def learnt(self) -> LearntRows:
        return self.store.learnt

    @property
    def prompts(self) -> tuple[str, ...]:
        return self.project.evaluate.prompts

    def baselines(self, names: Sequence[str], note: Note = lambda _name, _text: None) -> dict[str, Fitted]:
        """n-gram models; the order with the lowest validation loss gives the name."""
        del note
        train, validation, test = (self.store.tokens(split) for split in ("train", "validation", "test"))
        results: dict[str, Fitted] = {}
        for name in names:
            start = time.perf_counter()
            orders = (1,) if name == "unigram" else (1, 2, 3, 4, 5, 6)
            model, order = fit_ngram(train, validation, self.tokens.vocabulary, orders)
            blocks = self.of_training(model.losses(test, order))
            label = name if name == "unigram" else f"{order}-gram"
            results[label] = Fitted(blocks, time.perf_counter() - start)
        return results

    def of_training(self, predictions: np.ndarray) -> np.ndarray:
        """From the nats of every token but the first."""
        (rows,) = self.store.ragged("test").values()
        counts = rows.lengths.tolist() if by_document(self.documents) else ()
        lengths = self.tokens.reader.byte_lengths()[rows.values]
        return blocks_of(predictions, lengths, len(self.target), counts)

    def check(self, bundle: np.ndarray) -> None:
        nats, tokens = bundle[:, NATS].sum(), bundle[:, TOKENS].sum()
        outputs = np.load(self.run.predictions("test"))
        apart = abs(float(nats / tokens) - float(outputs.mean(dtype=np.float64)))
        tolerance = TOLERANCE.get((self.run.result or Result()).precision, 0.05)
        if len(outputs) != tokens or not apart <= tolerance:
            raise TrainingError(
                f"the bundle's predictions must be within {tolerance} nats a token of training's, but are {apart:.2g} apart; "
                f"see {self.run.path}"
            )

    def read(self, path: Path) -> np.ndarray:
        """An early version kept the three sums in a .npz."""
        before = path.with_suffix(".npz")
        if path.with_suffix(".npy").exists() or not before.exists():
            return np.load(path)
        with np.load(before) as sums:
            return np.stack([sums[name] for name in ("nats", "tokens", "bytes")], 1)

    def unlearnt(self, learnt: LearntRows) -> np.ndarray:
        return unlearnt_blocks(list(self.store.test_documents()), len(self.target), learnt)

    def example(self) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame({"prompt": list(self.prompts)})

    def keep_reference(self) -> None:
        """Newer documents are predicted one by one, as the test's are; a piece of one text is no document."""
        from headway.pipeline.watching import keep_reference
        from headway.watch.reference import as_column
        from headway.watch.units import TestRows

        test = None
        if by_document(self.documents):
            predictions = as_column(self.task.name, self.candidate(), ())
            test = TestRows(predictions, self.units.name, np.arange(len(predictions)))
        keep_reference(self.run, self.project, self.root, (), test, divided=self.tokens.ends)
