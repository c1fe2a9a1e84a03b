"""Preparation: the one fitted transformation of training, batch scoring and serving, so that they cannot differ.

Prepared rows are two arrays: ``numeric`` (B, F) float32 and ``categorical`` (B, C) int32. `headway.data.fit` fits it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from functools import cached_property
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from headway.config import Config
from headway.data.canonical import infinite
from headway.data.config import CsvOptions, Kind, Task
from headway.data.inputs import Inputs
from headway.data.spelling import number_of, spelled

UNKNOWN, MISSING, FIRST_CODE = 0, 1, 2
"""Codes of a category never (or too rarely) seen in training, of a null, and of the first known value."""

SECONDS_A_DAY = 86_400.0


class PrepareConfig(Config):
    """How rows become numbers. Everything is fitted on the training rows alone."""

    impute: Literal["median", "mean"] = Field("median", description="What stands in for a missing number.")
    scale: Literal["standard", "quantile", "none"] = Field(
        "standard", description="standard: zero mean, unit variance; quantile: to a normal distribution; none."
    )
    bins: int = Field(48, ge=0, le=1024, description="Bins per numeric column for piecewise-linear encoding; 0: none.")
    bins_by: Literal["target", "quantile"] = Field(
        "target", description="Whether bin edges follow the target (a small tree per column) or only the column."
    )
    max_categories: int = Field(
        1000, ge=2, le=1_000_000, description="Codes per categorical column; rarer values share the unknown bucket."
    )
    min_count: int = Field(3, ge=1, description="Rows that a category must have in training to get a code of its own.")
    words: int = Field(64, ge=0, le=10_000, description="Words per text column whose presence becomes a feature.")


@dataclass(frozen=True)
class Number:
    """A numeric (or date, in days) column: fill a null, limit, scale; ``missing`` adds a 0/1 column for nulls.

    Either (x - mean) / std, or, where ``quantiles`` is not empty, the normal score of x's rank among them.
    A date is limited to the training range: a network must not extrapolate time.
    """

    column: str
    kind: Kind
    fill: float
    mean: float
    std: float
    quantiles: tuple[float, ...] = ()
    missing: bool = False
    limits: tuple[float, float] | None = None

    def values(self, column: pa.Array) -> np.ndarray:
        """(B,) float64, the caller's own, with NaN for null; dates in days since the epoch."""
        if self.kind == "date":
            seconds = pc.cast(pc.cast(column, pa.timestamp("us")), pa.int64())
            values = pc.cast(seconds, pa.float64(), safe=False).to_numpy(zero_copy_only=False) / (SECONDS_A_DAY * 1e6)
        else:
            values = column.to_numpy(zero_copy_only=False, writable=True)
        return values

    def apply(self, column: pa.Array, strict: bool = False) -> list[np.ndarray]:
        """One float array a prepared column; infinities count as missing. Raises BadValues on them where it is ``strict``."""
        values = self.values(column)
        known = np.isfinite(values)
        if not known.all():
            if strict and len(values) - np.count_nonzero(known) > column.null_count:
                refusal = infinite(values, self.column, "rows to predict")
                if refusal is not None:
                    raise refusal
            np.copyto(values, self.fill, where=~known)
        if self.limits is not None:
            values = np.clip(values, *self.limits)
        if self.quantiles:
            values = self._rank(values)
        else:
            values -= self.mean
            values /= self.std
        return [values, (~known).astype(np.float64)] if self.missing else [values]

    def _rank(self, values: np.ndarray) -> np.ndarray:
        """Normal score of the rank, averaged over ties from both sides, as scikit-learn's QuantileTransformer does.

        A number that 32 bits do not tell from a quantile is that quantile: 0.1 is 0.10000000149 where it comes from a narrow column, and
        beside a tie its rank would be another.
        """
        known = np.asarray(self.quantiles)
        if self.kind == "numeric":
            values = _snapped(values, known)
        shares = np.linspace(0, 1, len(known))
        rank = 0.5 * (np.interp(values, known, shares) - np.interp(-values, -known[::-1], -shares[::-1]))
        return np.interp(rank, _SHARES, _SCORES)


def _snapped(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(B,) ``values``; those within half a 32-bit step of one of ``known`` (Q,), in order, are it."""
    after = np.searchsorted(known, values).clip(1, len(known) - 1)
    before = known[after - 1]
    nearest = np.where(values - before < known[after] - values, before, known[after])
    return np.where(np.abs(values - nearest) <= 2.0**-24 * np.abs(nearest), nearest, values)


_SHARES = np.concatenate([[0.0], np.linspace(1e-7, 1 - 1e-7, 20_001), [1.0]])
_SCORES = np.array([NormalDist().inv_cdf(min(max(p, 1e-7), 1 - 1e-7)) for p in _SHARES])


@dataclass(frozen=True)
class Category:
    """A categorical column: ``values`` have codes from 2 on, in order."""

    column: str
    values: tuple[str, ...]
    numbers: bool = False
    """Whether they are numbers of a column with a type, rather than texts, of which 1.1 and 1.10 may be two."""

    def apply(self, column: pa.Array, missing: tuple[str, ...] = ()) -> np.ndarray:
        """(B,) int32 codes of texts in any spelling. ``missing``: what stands for null, where it is none of the values.

        The values are in their one spelling, so that only what is none of them has to be respelled.
        """
        found = pc.index_in(column, value_set=self._coded)
        if not found.null_count:
            return np.frombuffer(found.buffers()[1], np.int32, len(found), 4 * found.offset)
        codes = np.array(found.fill_null(-1))
        rows = np.flatnonzero(codes < 0)
        again = pc.index_in(spelled(column.take(pa.array(rows))), value_set=self._respelled(missing))
        known = np.array(again.fill_null(UNKNOWN))
        codes[rows] = np.where(known < FIRST_CODE + len(self.values), known, MISSING)
        return codes

    def by_number(self, column: pa.Array) -> pa.Array:
        """A column of texts; one that is none of the values is the value that is the same number, where there is just one such."""
        unknown = pc.and_(
            pc.invert(pc.is_in(column, value_set=pa.array(self.values, pa.string()))), pc.is_valid(column)
        )
        if not pc.any(unknown).as_py():
            return column
        coded = column.dictionary_encode()
        known = set(self.values)
        texts = [
            text if text in known else self._by_number.get(number_of(text), text)
            for text in coded.dictionary.to_pylist()
        ]
        return pa.array(texts, pa.string()).take(coded.indices)

    @cached_property
    def _by_number(self) -> dict[Decimal | None, str]:
        """Each number that just one of the values is, to that value."""
        numbers = {value: number_of(value) for value in self.values}
        counts = Counter(numbers.values())
        return {number: value for value, number in numbers.items() if number is not None and counts[number] == 1}

    @cached_property
    def _coded(self) -> pa.Array:
        """What each code stands for, in the order of codes: a word that is none of the values, null, the values."""
        none_of_them = "\0"
        while none_of_them in self.values:
            none_of_them += "\0"
        return pa.array([none_of_them, None, *self.values], pa.string())

    def _respelled(self, missing: tuple[str, ...]) -> pa.Array:
        """The same in one spelling, for a version made before there was one holds 4.0 where it means 4; then what stands for null."""
        if missing not in self._by_missing:
            values = spelled(self._coded).to_pylist()
            words = [word for word in spelled(pa.array(missing, pa.string())).to_pylist() if word not in values]
            self._by_missing[missing] = pa.array([*values, *dict.fromkeys(words)], pa.string())
        return self._by_missing[missing]

    @cached_property
    def _by_missing(self) -> dict[tuple[str, ...], pa.Array]:
        return {}


@dataclass(frozen=True)
class Words:
    """A text column: one 0/1 column for each of ``words``."""

    column: str
    words: tuple[str, ...]

    def apply(self, column: pa.Array) -> np.ndarray:
        """(B, words) float64."""
        rows, tokens = tokens_of(column)
        found = pc.index_in(tokens, value_set=pa.array(self.words, pa.string()))
        known = pc.is_valid(found).to_numpy(zero_copy_only=False)
        out = np.zeros((len(column), len(self.words)))
        out[rows[known], found.drop_null().to_numpy(zero_copy_only=False)] = 1.0
        return out


def tokens_of(column: pa.Array) -> tuple[np.ndarray, pa.Array]:
    """Lower-case words of each row: row numbers (T,) and the words (T,)."""
    cleaned = pc.utf8_trim_whitespace(pc.replace_substring_regex(pc.utf8_lower(column), r"[^\pL\pN]+", " "))
    lists = pc.split_pattern(pc.fill_null(cleaned, ""), " ")
    return pc.list_parent_indices(lists).to_numpy(), pc.list_flatten(lists)


@dataclass(frozen=True)
class Target:
    """The column to predict: its ``classes`` in code order, or the mean and spread that a network trains on."""

    column: str
    task: Task
    classes: tuple[str, ...] = ()
    mean: float = 0.0
    std: float = 1.0

    @property
    def outputs(self) -> int:
        """How many numbers a model gives for a row."""
        return len(self.classes) if self.task == "classification" else 1

    def apply(self, column: pa.Array) -> np.ndarray:
        """(B,) int64 codes, -1 for a class unknown in training, or float64 values in their own unit."""
        if self.task == "regression":
            return column.to_numpy(zero_copy_only=False).astype(np.float64)
        return pc.fill_null(pc.index_in(column, value_set=pa.array(self.classes)), -1).to_numpy().astype(np.int64)

    def standardise(self, values: np.ndarray) -> np.ndarray:
        """Values in their own unit to what a network trains on."""
        return ((values - self.mean) / self.std).astype(np.float32)

    def restore(self, outputs: np.ndarray) -> np.ndarray:
        """What a network gives back to the target's own unit."""
        return outputs.astype(np.float64) * self.std + self.mean

    def decode(self, predictions: np.ndarray) -> pd.DataFrame:
        """`prediction`, and of classes `probability_<class>` for each: a lone `probability` beside a label reads as that label's."""
        if self.task == "regression":
            return pd.DataFrame({"prediction": np.asarray(predictions, np.float64)})
        labels = np.asarray(self.classes, object)[predictions.argmax(1)]
        frame = pd.DataFrame({"prediction": pd.Series(labels, dtype="str")})
        shares = (predictions[:, i].astype(np.float64) for i in range(len(self.classes)))
        return frame.assign(**dict(zip(probability_columns(self.classes), shares, strict=True)))


def probability_columns(classes: Iterable[str]) -> list[str]:
    """What the columns of probabilities are called, wherever rows are predicted."""
    return [f"probability_{name}" for name in classes]


def _side_by_side(columns: Iterable[np.ndarray], count: int, rows: int, kind: type[np.generic]) -> np.ndarray:
    """(rows, count) of ``kind``. Each column is made, converted and gone while it lies in the cache; all are turned at once."""
    turned = np.empty((count, rows), kind)
    with np.errstate(over="ignore"):  # whoever predicts looks whether the prediction is finite
        for i, column in enumerate(columns):
            turned[i] = column
    return np.ascontiguousarray(turned.T)


@dataclass(frozen=True)
class Preparation:
    """A fitted preparation. A plain value: `to_json` and `from_json` are each other's inverse."""

    numbers: tuple[Number, ...]
    categories: tuple[Category, ...]
    texts: tuple[Words, ...]
    target: Target
    bins: tuple[tuple[float, ...], ...] = ()
    date_format: str | None = None
    strip: bool = False
    null_values: tuple[str, ...] = CsvOptions().null_values
    typed: bool = True
    """Whether the training's files know null by itself, as Parquet does and CSV does not. Then a category may be called NA or None, and
    these words are null only where they are none. Else text is read as the training's was: stripped or not, what stands for null null."""

    @property
    def kinds(self) -> dict[str, Kind]:
        """The raw columns that `apply` needs, and their kinds."""
        kinds: dict[str, Kind] = {n.column: n.kind for n in self.numbers}
        kinds.update((c.column, "categorical") for c in self.categories)
        kinds.update((t.column, "text") for t in self.texts)
        return kinds

    @cached_property
    def lenient(self) -> frozenset[str]:
        """Columns that need not be looked at for NaN and for spellings before `apply`: see ``canonical``."""
        numbers = {n.column for n in self.numbers if n.kind == "numeric"}
        return frozenset(numbers | {c.column for c in self.categories})

    @property
    def numeric_names(self) -> list[str]:
        """Name of each column of ``numeric``."""
        names = [
            name for n in self.numbers for name in ([n.column, f"{n.column} missing"] if n.missing else [n.column])
        ]
        return names + [f"{text.column}: {word}" for text in self.texts for word in text.words]

    def inputs(self) -> Inputs:
        """The shape of what `apply` gives."""
        return Inputs(
            numeric=len(self.numeric_names),
            categorical=tuple(len(c.values) + FIRST_CODE for c in self.categories),
            bins=self.bins,
            outputs=self.target.outputs,
        )

    def apply(self, batch: pa.RecordBatch, strict: bool = False) -> dict[str, np.ndarray]:
        """Canonical columns to ``numeric`` (B, F) float32 and ``categorical`` (B, C) int32.

        Infinities count as missing; where it is ``strict``, they raise BadValues.
        """
        columns = (values for n in self.numbers for values in n.apply(batch.column(n.column), strict))
        missing = self.null_values if self.typed else ()
        codes = (c.apply(batch.column(c.column), missing) for c in self.categories)
        numeric = _side_by_side(columns, sum(1 + n.missing for n in self.numbers), batch.num_rows, np.float32)
        if self.texts:
            words = [text.apply(batch.column(text.column)).astype(np.float32) for text in self.texts]
            numeric = np.concatenate([numeric, *words], 1)
        categorical = _side_by_side(codes, len(self.categories), batch.num_rows, np.int32)
        return {"numeric": numeric, "categorical": categorical}

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Preparation:
        """What to_json gave."""
        return cls(
            numbers=tuple(
                Number(
                    **n | {"quantiles": tuple(n["quantiles"]), "limits": tuple(n["limits"]) if n["limits"] else None}
                )
                for n in values["numbers"]
            ),
            categories=tuple(
                Category(c["column"], tuple(c["values"]), c.get("numbers", False)) for c in values["categories"]
            ),
            texts=tuple(Words(t["column"], tuple(t["words"])) for t in values["texts"]),
            target=Target(**values["target"] | {"classes": tuple(values["target"]["classes"])}),
            bins=tuple(tuple(edges) for edges in values["bins"]),
            date_format=values.get("date_format"),
            strip=values.get("strip", False),
            **_nulls(values),
        )


def _nulls(values: Mapping[str, Any]) -> dict[str, Any]:
    """How nulls are written. Versions made before `typed` was kept had words for null where their files were CSV."""
    words = tuple(values.get("null_values", ()))
    if "typed" in values:
        return {"null_values": words, "typed": values["typed"]}
    return {"null_values": words or CsvOptions().null_values, "typed": not words}
