"""Reasons for single rows, as `headway explain` shows them and prints them as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headway.files.records import Record


@dataclass(frozen=True)
class Reason(Record):
    """A column, its value in the row, and what it adds to the row's margin."""

    column: str
    value: str | None
    contribution: float


@dataclass(frozen=True)
class ExplainedRow(Record):
    """``answer``: keys or row number, and what `score` says. ``base``, the ``reasons`` and ``others`` add up to what ``explains`` names."""

    answer: Mapping[str, object]
    explains: str
    base: float
    reasons: tuple[Reason, ...]
    others: float


@dataclass(frozen=True)
class ExplainedFile(Record):
    """One input file with its output, and the counts of its rows."""

    input: str
    output: str
    refused_file: str | None
    explained: int
    refused: int


@dataclass(frozen=True)
class Explanation(Record):
    """``rows``: those that are shown, or where ``out`` is a folder none; ``refusals``: why some of the first have no reasons."""

    model: str
    version: str
    rows: tuple[ExplainedRow, ...] = ()
    refusals: tuple[str, ...] = ()
    files: tuple[ExplainedFile, ...] = ()
    out: str = ""
    is_whole: bool = True


def texts_of(result: Explanation) -> list[dict[str, str]]:
    """A row for each that is shown: keys or number, the prediction, and its reasons."""
    return [
        {
            **{name: str(value) for name, value in one.answer.items() if not _is_answer(name, one)},
            "prediction": _prediction(one),
            "because of": _because(one),
        }
        for one in result.rows
    ]


def _because(one: ExplainedRow) -> str:
    reasons = [f"{r.column} = {_short(r.value)} ({r.contribution:+.3g})" for r in one.reasons]
    return ", ".join(reasons + [f"others ({one.others:+.3g})"] * bool(one.others))


def _is_answer(name: str, one: ExplainedRow) -> bool:
    """Whether a column follows from the prediction; otherwise it is a key or a row's number."""
    return list(one.answer).index(name) >= list(one.answer).index("prediction")


def _prediction(one: ExplainedRow) -> str:
    value = one.answer["prediction"]
    share = one.answer.get(f"probability_{value}")
    return f"{value} ({share:.3f})" if isinstance(share, float) else f"{value:.6g}"


def _short(value: str | None) -> str:
    text = "missing" if value is None else " ".join(value.split()).removesuffix(".0")
    return text if len(text) <= 30 else f"{text[:29]}…"


def sentence(result: Explanation) -> str:
    """What the numbers are, for people."""
    if not result.rows:
        return "no row has reasons"
    names = sorted({one.explains for one in result.rows})
    bases = sorted({f"{one.base:.4g}" for one in result.rows})
    what = names[0] if len(names) == 1 else "log-odds of the predicted class"
    return f"in {what}: contributions are added to an average of {' or '.join(bases)}; {result.model} version {result.version}"
