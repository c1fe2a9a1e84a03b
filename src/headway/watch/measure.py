"""Profile newer rows and a bundle's predictions for them: `python -m headway.watch.measure PLAN OUT`, a process of its own.

PLAN is a Request as JSON, OUT becomes a Newest (newest.py), or {"problem", "exit_code"} of what a user can correct.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from headway.columns.summary import Summary
from headway.data.profile import Profiler
from headway.errors import HeadwayError
from headway.files.atomic import write_json
from headway.serve.bundle import AnyPredictor, load_predictor
from headway.watch.clusters import ROW, Together
from headway.watch.newest import Newest, Request
from headway.watch.reference import as_column, profile_predictions
from headway.watch.rows import Rows, open_rows
from headway.watch.units import sizes_of


def measure(rows: Rows, predictor: AnyPredictor, together: Together | None) -> Newest:
    """The profiles of the rows' columns and of the predictions, and the sizes of the rows' units."""
    profiler = Profiler(rows.kinds)
    target = predictor.preparation.target
    classes = target.classes
    prediction: Summary = profile_predictions((), classes)
    for batch in _with_past(rows, predictor):
        profiler.update(batch)
        prediction.update(as_column(target.task, predictor.predict(batch, strict=False), classes))
    sizes = None if together is None or together.name == ROW else sizes_of(rows, together)
    return Newest(profiler.profile(), prediction, sizes)


def _with_past(rows: Rows, predictor: AnyPredictor) -> Iterator[pa.RecordBatch]:
    """The rows; of time series with the columns of their past, of which they hold a part themselves."""
    following = predictor.following
    if following is None:
        yield from (chunk.batch for chunk in rows.chunks())
        return
    preparation = following.preparation
    every = replace(rows, kinds={**rows.kinds, **preparation.observed})
    columns = list(dict.fromkeys([*rows.kinds, *preparation.needed]))
    observed = [name for name in preparation.observed if name in rows.common_columns]
    of_past = list(dict.fromkeys([*preparation.needed, *observed]))
    following = following.beside(chunk.batch for chunk in every.chunks(columns=of_past))
    for chunk in rows.chunks(columns=columns):
        yield following.extended(chunk.batch)


def main(plan: Path, out: Path) -> int:
    """Measure what the plan names. An error that a user can correct is written to OUT as one line."""
    request = Request.read(plan)
    try:
        rows = open_rows(request.data, request.kinds, Path(request.root), request.source).of(request.files)
        newest = measure(rows, load_predictor(request.bundle), request.together)
        write_json(out, newest.to_json())
    except HeadwayError as error:
        write_json(out, {"problem": str(error), "exit_code": error.exit_code})
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
