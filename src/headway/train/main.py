"""The training process: `python -m headway.train.main RUN_DIRECTORY`. Reads run.json and store.json, writes everything else.

Started again after it was killed, it goes on from the newest checkpoint. Exit codes: 0 done, 2 configuration, 4 training failed.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from headway.data.store import Store
from headway.errors import HeadwayError, TrainingError
from headway.files import locks
from headway.files.atomic import write_json
from headway.files.disk import disk_error
from headway.machine.processes import die_with_starter
from headway.models import ModelConfig, parse_model
from headway.run.directory import RunDirectory
from headway.train.change import shrunk, store_to_learn
from headway.train.memory import held_by_others, is_out_of_memory, keep_memory
from headway.train.recipe import Recipe

if TYPE_CHECKING:
    from headway.train.workload import Workload


def main(path: str) -> int:
    """Train what the run directory asks for. Returns the exit code."""
    return guarded(RunDirectory(Path(path).resolve()), train)


def guarded(run: RunDirectory, work: Callable[[RunDirectory], None]) -> int:
    """Do what is not done yet, alone in the run directory; what a user can correct goes to error.json. Returns the exit code."""
    (run.path / "error.json").unlink(missing_ok=True)
    try:
        busy = f"a run must have one process, but another one is at work in {run.path}"
        with locks.hold(run.path / ".lock", TrainingError(busy)):
            if run.result is None:
                work(run)
        return 0
    except Exception as error:
        problem = _problem(error, run)
        if problem is None:
            raise
    with contextlib.suppress(OSError):
        write_json(run.path / "error.json", {"text": str(problem), "exit_code": problem.exit_code})
    print(problem, file=sys.stderr)
    return problem.exit_code


def _problem(error: Exception, run: RunDirectory) -> HeadwayError | None:
    """What a user can correct; None for a mistake of ours."""
    if isinstance(error, HeadwayError):
        return error
    full = disk_error(error, run.path)
    if full is not None:
        return TrainingError(str(full))
    if isinstance(error, OSError):
        return TrainingError(f"the run directory must be writable, but {error.filename or run.path}: {error.strerror}")
    if is_out_of_memory(error):  # torch's text goes on for a page
        others = held_by_others() if "torch" in sys.modules else ""
        because = f" ({others})" if others else ""
        return TrainingError(
            f"training must fit in memory, but it ran out{because}; lower train.batch_size or the model's size"
        )
    return None


def train(run: RunDirectory) -> None:
    """Train, predict, write the weights and the result."""
    project = run.plan["project"]
    recipe = Recipe.parse(project["train"], "train")
    model = parse_model(project["model"])
    start = time.perf_counter()
    run.bundle.mkdir(exist_ok=True)
    if not model.is_network:
        from headway.train.estimators import fit_estimator, fit_many

        store = store_to_learn(run, recipe)
        if "variants" in run.plan:
            fit_many(run, model, recipe, store, start)
            return
        fit = shrunk(run, store, fit_estimator(run, model, recipe, store))
    else:
        _keep_compiled(run)
        from headway.train.network import fit_network

        if recipe.keep_memory:
            keep_memory()
        if "variants" in run.plan:
            from headway.train.variants import fit_variants

            result = fit_variants(run, recipe, workload_of(run, model))
            run.finish(replace(result, seconds=round(time.perf_counter() - start, 3)))
            return
        workload = workload_of(run, model)
        fit = fit_network(run, model, recipe, workload)
        fit = fit if model.completes else shrunk(run, store_to_learn(run, recipe), fit)
    fit.finish(run, time.perf_counter() - start)


def workload_of(run: RunDirectory, model: ModelConfig) -> Workload:
    """What the model is for: rows of a table, or a text's tokens."""
    if model.completes:
        from headway.train.language import LanguageWorkload

        return LanguageWorkload(Store(run.store), model)
    from headway.train.table import TableWorkload

    recipe = Recipe.parse(run.plan["project"]["train"], "train")
    return TableWorkload(store_to_learn(run, recipe), model, recipe)


def _keep_compiled(run: RunDirectory) -> None:
    """Compiled code is kept beside the runs, so that the next process finds it: before torch is imported."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(run.path.parent.parent / "compiled"))


if __name__ == "__main__":
    die_with_starter()
    sys.exit(main(sys.argv[1]))
