"""Profile newer rows and what a bundle predicts for them: `python -m headway.watch.measure PLAN OUT`, a process of its own.

PLAN is JSON: {"data", "root", "source", "kinds", "bundle", "files", "together"}. OUT becomes {"rows", "columns", "prediction"} of
profiles, and "sizes": those of the units that the rows belong to, null where each row stands for itself.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from headway.columns.summary import Summary
from headway.data.config import DataConfig
from headway.data.profile import Profiler
from headway.errors import HeadwayError
from headway.files.atomic import read_json, write_json
from headway.serve.bundle import Predictor, load_predictor
from headway.serve.text import TextPredictor
from headway.watch.clusters import ROW, Together
from headway.watch.reference import as_column, profile_predictions
from headway.watch.rows import Rows, open_rows
from headway.watch.units import sizes_of


def measure(rows: Rows, predictor: Predictor | TextPredictor, together: Together | None) -> dict[str, Any]:
    """One pass over the rows: their columns' profiles and the predictions' profile, as plain values; one for their units' sizes."""
    profiler = Profiler(rows.kinds)
    target = predictor.preparation.target
    classes = target.classes
    prediction: Summary = profile_predictions((), classes)
    for chunk in rows.chunks():
        profiler.update(chunk.batch)
        prediction.update(as_column(target.task, predictor.predict(chunk.batch, strict=False), classes))
    related = together is not None and together.name != ROW
    sizes = asdict(sizes_of(rows, together)) if related and together is not None else None
    return {**profiler.profile().to_json(), "prediction": prediction.to_json(), "sizes": sizes}


def main(plan: Mapping[str, Any], out: Path) -> int:
    """Measure what the plan names. What a user can mend goes to OUT as its one line."""
    try:
        data = DataConfig.model_validate(plan["data"])
        rows = open_rows(data, plan["kinds"], Path(plan["root"]), plan["source"])
        together = Together.from_json(plan["together"]) if plan["together"] else None
        write_json(out, measure(rows.of(plan["files"]), load_predictor(plan["bundle"]), together))
    except HeadwayError as error:
        write_json(out, {"problem": str(error), "exit_code": error.exit_code})
    return 0


def arguments(given: Sequence[str]) -> tuple[dict[str, Any], Path]:
    """The plan, and where the answer goes."""
    return read_json(Path(given[0])), Path(given[1])


if __name__ == "__main__":
    sys.exit(main(*arguments(sys.argv[1:])))
