"""Reasons for single rows: what each column contributes to a registered bundle's prediction. `headway explain PROJECT --rows FILE`.

Rows are read and refused as `headway score` does. With a folder, each file becomes one of Parquet, and one of refused rows; without one,
the first rows are shown.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headway.data.arriving import Input
from headway.errors import ConfigError
from headway.files.atomic import replacing
from headway.files.leftovers import note_place
from headway.pipeline.reasons import ExplainedFile, ExplainedRow, Explanation, Reason
from headway.pipeline.scoring import locked_folder, model_of, output_name, refuse_circle, refuse_same, rows_for
from headway.project import load_project
from headway.run.report import Reporter
from headway.serve.bundle import answers_of
from headway.serve.explain import AT_ONCE, Explainer, Reasons, refuse_unexplained
from headway.serve.parts import Output
from headway.serve.reading import UNPREDICTED, unpredicted
from headway.serve.rows import sift
from headway.serve.stream import (
    Job,
    Model,
    free_names,
    no_rows,
    plain_rows,
    refused_lines,
    refused_rows,
    scored_rows,
)

MOST_DIGITS = 12
"""Characters of a number that people or their programs write; computed ones have more."""

MOST_SHOWN = 10
"""Rows that are shown where no folder is given."""


@dataclass(frozen=True, eq=False)
class Part:
    """Some rows of an input: those with reasons, their scores as `score` writes them, and the refused ones."""

    rows: pa.RecordBatch
    scores: pa.Table
    reasons: Reasons
    refused: pa.Table | None

    def largest(self, top: int) -> np.ndarray:
        """(N, ``top``) the columns that contribute most, either way."""
        return np.argsort(-np.abs(self.reasons.contributions), axis=1, kind="stable")[:, :top]

    def others(self, largest: np.ndarray) -> np.ndarray:
        """(N,) what all other columns contribute together."""
        contributions = self.reasons.contributions
        return contributions.sum(1) - np.take_along_axis(contributions, largest, 1).sum(1)


def explain(
    name: str, root: Path, report: Reporter, rows: str, out: Path | None = None, version: str = "champion", top: int = 5
) -> Explanation:
    """Reasons for the ``rows`` (a file, folder, glob or URL): into the folder ``out``, or of the first ones, to be shown.

    ``top``: how many columns are named for each row. Raises ConfigError for a project without a target or such a version, DataError, before
    anything is written, for a file that lacks a column or cannot be read.
    """
    if top < 1:
        raise ConfigError(f"--top must be at least 1, but is {top}")
    project = load_project(name, root)
    refuse_unexplained(project.task)
    model = model_of(root, project.name, version, project.data.keys, project.data.csv)
    model, inputs = rows_for(model, project, rows, root, "--rows")
    result = Explanation(model.name, model.version)
    if out is None:
        return _first_rows(Explainer.load(model.bundle), model, inputs, top, result)
    folder = out.resolve()
    refuse_circle(inputs, folder)
    explainer = Explainer.load(model.bundle)
    with locked_folder(folder):
        note_place(root, folder)
        jobs = [Job(one, Output(folder / output_name(one.name), "")) for one in inputs]
        refuse_same(jobs)
        files = tuple(_explain_file(explainer, model, job, top, report) for job in jobs)
    explained, refused = (sum(getattr(file, count) for file in files) for count in ("explained", "refused"))
    report.line(f"{explained:,} rows explained, {refused:,} refused; {model.name} version {model.version}")
    report.line(str(folder))
    return replace(result, files=files, out=str(folder))


def _first_rows(
    explainer: Explainer, model: Model, inputs: Sequence[Input], top: int, result: Explanation
) -> Explanation:
    """Only as many rows are read as are shown, and one more."""
    rows_shown: list[ExplainedRow] = []
    refusals: list[str] = []
    for one in inputs:
        bad_lines: list[str] = []
        with closing(_parts(explainer, model, one, MOST_SHOWN + 1, bad_lines)) as parts:
            for part in parts:
                rows_shown += _shown_rows(part, top)
                refusals += [f"row {row['row']}: {row['reason']}" for row in _reasons_of(part.refused)]
                if max(len(rows_shown), len(refusals)) > MOST_SHOWN:
                    break
        refusals += [str(row["reason"]) for row in _reasons_of(refused_lines(model, one, bad_lines))]
        if max(len(rows_shown), len(refusals)) > MOST_SHOWN:
            break
    is_whole = max(len(rows_shown), len(refusals)) <= MOST_SHOWN
    return replace(
        result, rows=tuple(rows_shown[:MOST_SHOWN]), refusals=tuple(refusals[:MOST_SHOWN]), is_whole=is_whole
    )


def _reasons_of(refused: pa.Table | None) -> list[dict[str, object]]:
    return [] if refused is None else refused.select(["row", "reason"]).to_pylist()


def _explain_file(explainer: Explainer, model: Model, job: Job, top: int, report: Reporter) -> ExplainedFile:
    bad_lines: list[str] = []
    sides: list[pa.Table] = []
    explained = 0
    with replacing(job.output.path) as partial:
        schema = _table(_no_part(model, job.input), top).schema
        with pq.ParquetWriter(partial, schema, compression="zstd") as file:
            for part in _parts(explainer, model, job.input, AT_ONCE, bad_lines):
                file.write_table(_table(part, top).cast(schema))
                sides += [] if part.refused is None else [part.refused]
                explained += part.rows.num_rows
                report.progress(0.0, f"{job.input.name}: {explained:,} rows")
    lines = refused_lines(model, job.input, bad_lines)
    sides += [] if lines is None else [lines.cast(sides[0].schema) if sides else lines]
    if sides:
        with replacing(job.output.refused) as partial:
            pq.write_table(pa.concat_tables(sides), partial, compression="zstd")
    else:
        job.output.refused.unlink(missing_ok=True)
    folder = job.output.path.parents[job.input.depth]
    return ExplainedFile(
        input=job.input.file,
        output=str(job.output.path.relative_to(folder)),
        refused_file=str(job.output.refused.relative_to(folder)) if sides else None,
        explained=explained,
        refused=sum(side.num_rows for side in sides),
    )


def _parts(
    explainer: Explainer, model: Model, one: Input, rows: int, bad_lines: list[str]
) -> Generator[Part, None, None]:
    """An input, so many rows at a time. Rows that cannot be predicted are refused with `score`'s reasons."""
    model = model.beside(one)
    for start, raw in one.batches(model.columns, rows, 0, bad_lines.append):
        batch = plain_rows(model, one.form, raw)
        refusals = sift(model.preparation, batch)
        numbers = np.setdiff1d(np.arange(batch.num_rows), list(refusals))
        fine = batch.take(pa.array(numbers))
        inputs, answers = fine, model.no_answers()
        if len(numbers):
            inputs = model.given(fine)
            answers = answers_of(explainer.predictor, inputs)
            beyond = unpredicted(answers)
            refusals |= dict.fromkeys(numbers[beyond].tolist(), UNPREDICTED)
            numbers, answers = numbers[~beyond], answers[~beyond]
            fine, inputs = (rows.filter(pa.array(~beyond)) for rows in (fine, inputs))
        refused = refused_rows(start, batch, refusals, one.form == "csv") if refusals else None
        if not len(numbers):
            yield replace(_no_part(model, one), refused=refused)
            continue
        scores = scored_rows(model, start + numbers, fine, answers)
        predictions = answers if model.interval is None else answers[:, 0]
        for name in inputs.schema.names:
            fine = fine if name in fine.schema.names else fine.append_column(name, inputs.column(name))
        yield Part(fine, scores, explainer.reasons(inputs, predictions), refused)


def _no_part(model: Model, one: Input) -> Part:
    """None of an input's rows, with all columns."""
    batch = no_rows(model, one)
    columns = model.preparation.seen
    nothing = np.zeros(0)
    reasons = Reasons(columns, np.zeros((0, len(columns))), nothing, nothing.astype(object))
    return Part(batch, scored_rows(model, np.arange(0), batch, model.no_answers()), reasons, None)


def _table(part: Part, top: int) -> pa.Table:
    """The columns of `score`, then what is explained, from which base, and for each rank a column, its value and what it contributes."""
    largest, reasons = part.largest(top), part.reasons
    columns: dict[str, pa.Array] = {
        "explains": pa.array(list(reasons.what), pa.string()),
        "base": pa.array(reasons.base, pa.float64()),
    }
    rows = np.arange(len(largest))
    for rank, places in enumerate(largest.T, 1):
        columns[f"reason_{rank}"] = pa.array([reasons.columns[c] for c in places], pa.string())
        columns[f"value_{rank}"] = pa.array([_value(part, row, c) for row, c in enumerate(places)], pa.string())
        columns[f"contribution_{rank}"] = pa.array(reasons.contributions[rows, places], pa.float64())
    columns["others"] = pa.array(part.others(largest), pa.float64())
    names = free_names(part.scores.column_names, list(columns))
    return pa.table({**dict(zip(names, part.scores.columns, strict=True)), **columns})


def _value(part: Part, row: int, column: int) -> str | None:
    """As the row has it."""
    value = part.rows.column(part.reasons.columns[column])[row].as_py()
    return None if value is None else str(value)


def _shown_value(part: Part, row: int, column: int) -> str | None:
    """The same; of a computed number, such as a mean of earlier ones, six digits."""
    text, name = _value(part, row, column), part.reasons.columns[column]
    if text is None or len(text) <= MOST_DIGITS or not pa.types.is_floating(part.rows.schema.field(name).type):
        return text
    return f"{float(text):.6g}"


def _shown_rows(part: Part, top: int) -> list[ExplainedRow]:
    largest, reasons = part.largest(top), part.reasons
    others = part.others(largest)
    answers = part.scores.drop_columns(["model_version"]).to_pylist()
    return [
        ExplainedRow(
            answer=answer,
            explains=str(reasons.what[row]),
            base=float(reasons.base[row]),
            reasons=tuple(
                Reason(reasons.columns[c], _shown_value(part, row, c), float(reasons.contributions[row, c]))
                for c in largest[row]
            ),
            others=float(others[row]),
        )
        for row, answer in enumerate(answers)
    ]
