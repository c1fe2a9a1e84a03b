"""Profile newer rows and a bundle's predictions for them: `python -m headway.watch.measure PLAN OUT`, a process of its own.

PLAN is a Request as JSON, OUT becomes a Newest (newest.py), or {"problem", "exit_code"} of what a user can mend.
"""

from __future__ import annotations

import sys
from pathlib import Path

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
    for chunk in rows.chunks():
        profiler.update(chunk.batch)
        prediction.update(as_column(target.task, predictor.predict(chunk.batch, strict=False), classes))
    sizes = None if together is None or together.name == ROW else sizes_of(rows, together)
    return Newest(profiler.profile(), prediction, sizes)


def main(plan: Path, out: Path) -> int:
    """Measure what the plan names. An error that a user can mend is written to OUT as one line."""
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
