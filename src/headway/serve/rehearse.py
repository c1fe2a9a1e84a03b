"""Predict the raw test rows in a fresh process: `python -m headway.serve.rehearse STORE OUT PROMPTS IMPORTANCE BUNDLE...`.

For each bundle writes `OUT/<n>.npy`, its predictions, and into `OUT/rehearsal.json`: its size in bytes, the time to
predict 1,000 rows, or characters, and, where a bundle cannot predict these rows, the reason. A champion is thus judged on the
candidate's test rows by its own preparation. Results are written after each bundle, so that one that ends the process does not lose
those of the others. `OUT/samples.txt` has the first bundle's continuations of the PROMPTS, a JSON list.
`OUT/importance.json`, written last, says what its columns contribute, where IMPORTANCE asks for it; otherwise that is null.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from headway.data.store import Store
from headway.errors import HeadwayError
from headway.evaluate.importance import ImportanceRequest
from headway.files.atomic import write_array, write_atomically
from headway.serve.bundle import Predictor, load_predictor
from headway.serve.importance import importance_of
from headway.serve.outcome import Outcome, write_outcomes
from headway.serve.text import TextPredictor


def main(
    store: str,
    out: str,
    prompts: Sequence[str],
    bundles: Sequence[str],
    importance: ImportanceRequest | None = None,
) -> int:
    """Rehearse every bundle. A bundle that fails is reported in the JSON, not by the exit code."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    outcomes = []
    for n, bundle in enumerate(bundles):
        try:
            outcomes.append(_rehearse(Path(store), Path(bundle), folder / f"{n}.npy", prompts if n == 0 else ()))
        except (HeadwayError, OSError, KeyError) as error:
            outcomes.append(Outcome.of_problem(error))
        write_outcomes(folder, outcomes)
    if importance is not None and outcomes[0].problem is None:
        _measure_importance(Store(Path(store)), Path(bundles[0]), folder, importance)
    return 0


def _measure_importance(store: Store, bundle: Path, folder: Path, request: ImportanceRequest) -> None:
    predictor = load_predictor(bundle)
    assert isinstance(predictor, Predictor), "a text has no columns"
    _use_one_thread()
    importance = importance_of(predictor, store, request)
    if importance is not None:
        importance.write(folder / "importance.json")


def _use_one_thread() -> None:
    """The baselines are fitted meanwhile: beside them, two threads took twice the processor time."""
    if "torch" in sys.modules:  # not of trees, which predict without it; its import takes 2 s
        import torch

        torch.set_num_threads(1)
    else:
        from threadpoolctl import threadpool_limits

        threadpool_limits(1)


def _rehearse(store: Path, bundle: Path, out: Path, prompts: Sequence[str]) -> Outcome:
    predictor = load_predictor(bundle)
    write_array(out, predictor.test_predictions(store))
    if prompts:
        assert isinstance(predictor, TextPredictor), "rows are no continuation of a prompt"
        samples = [f"{prompt}{text}" for prompt, text in zip(prompts, predictor.sample(prompts), strict=True)]
        write_atomically(out.with_name("samples.txt"), "\n\n---\n\n".join(samples) + "\n")
    size = sum(file.stat().st_size for file in bundle.rglob("*") if file.is_file())
    return Outcome(size, predictor.latency_ms(store), predictor.classes)


if __name__ == "__main__":
    request_json = json.loads(sys.argv[4])
    request = None if request_json is None else ImportanceRequest.from_json(request_json)
    sys.exit(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), sys.argv[5:], request))
