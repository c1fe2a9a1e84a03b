"""Predict the test rows from raw, as a fresh process will: `python -m headway.serve.rehearse STORE OUT BUNDLE...`.

For each bundle writes `OUT/<n>.npy`, its predictions, and into `OUT/rehearsal.json`: its size in bytes, the time to
predict 1,000 rows and, where a bundle cannot predict these rows, the reason. A champion is thus judged on the candidate's
test rows by its own preparation. What is known is written after each bundle: one that ends the process does not take with it
what the others showed.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from headway.data.store import Store
from headway.errors import HeadwayError
from headway.files.atomic import write_array
from headway.serve.bundle import Predictor
from headway.serve.outcome import Outcome, write_outcomes

LATENCY_ROWS = 1000
LATENCY_REPEATS = 5


def main(store_path: str, out: str, bundles: list[str]) -> int:
    """Rehearse every bundle. A bundle that fails is reported in the JSON, not by the exit code."""
    store, folder = Store(Path(store_path)), Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    done = []
    for n, bundle in enumerate(bundles):
        try:
            done.append(_rehearse(store, Path(bundle), folder / f"{n}.npy"))
        except HeadwayError as error:
            done.append(Outcome.of_problem(error))
        write_outcomes(folder, done)
    return 0


def _rehearse(store: Store, bundle: Path, out: Path) -> Outcome:
    predictor = Predictor.load(bundle)
    write_array(out, np.concatenate([predictor.predict(batch) for batch in store.raw_test_batches()]))
    first = next(store.raw_test_batches(LATENCY_ROWS))
    rows = pa.Table.from_batches([first] * -(-LATENCY_ROWS // first.num_rows)).slice(0, LATENCY_ROWS)
    batch = rows.combine_chunks().to_batches()[0]
    seconds = []
    for _ in range(LATENCY_REPEATS):
        begun = time.perf_counter()
        predictor.predict(batch)
        seconds.append(time.perf_counter() - begun)
    size = sum(file.stat().st_size for file in bundle.rglob("*") if file.is_file())
    return Outcome(size, 1000 * float(np.median(seconds)), tuple(predictor.preparation.target.classes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
