"""The process of one variant or several: it steps, predicts or trains on request and answers with the time that it took.

A variant is {"recipe": fields, "measure": "step" | "prediction" | "seeds", "way": how it predicts, "slower": a planted share}. Requests and
answers are JSON objects over a pipe; a request names its variant by its place. The process ends when the pipe's other end does.
"""

from __future__ import annotations

import gc
import json
import os
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from headway.effect.desks import Desk, PredictionDesk, SeedsDesk, StepDesk
from headway.effect.quality import Curve, train_curve
from headway.errors import HeadwayError
from headway.models import parse_model
from headway.run.directory import RunDirectory
from headway.train.device import choose_device
from headway.train.main import workload_of
from headway.train.memory import keep_memory
from headway.train.precision import Arithmetic, choose_precision
from headway.train.recipe import Recipe
from headway.train.step import check_compiler
from headway.train.tune import threads_of
from headway.train.workload import Workload


def work(pipe: Connection, path: str, variants: Sequence[Mapping[str, Any]]) -> None:
    """Serve variants until the pipe closes; without any, train. A user's error is answered as {"problem": text}."""
    with suppress(EOFError, ConnectionError, KeyboardInterrupt), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's warnings about a variant: the study reports what matters
        try:
            os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(path).parent.parent / "compiled"))
            run = RunDirectory(Path(path))
            _begin_device(variants)
            desks = _desks(run, variants, pipe)
            while True:
                request = json.loads(pipe.recv_bytes())
                place, what = request.pop("place", 0), request.pop("do")
                if what == "anew":
                    if desks:
                        desks = []
                        _clear()
                    desks = _desks(run, request["variants"], pipe)
                else:
                    _answer(pipe, getattr(desks[place], what)(**request) if desks else _train(run, **request))
        except HeadwayError as error:
            _answer(pipe, {"problem": str(error)})
        except (RuntimeError, NotImplementedError) as error:  # torch cannot do this combination here
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            _answer(pipe, {"problem": f"torch cannot do it here: {first[:200]}"})


def _answer(pipe: Connection, value: Mapping[str, Any]) -> None:
    pipe.send_bytes(json.dumps(value).encode())


def _desks(run: RunDirectory, variants: Sequence[Mapping[str, Any]], pipe: Connection) -> list[Desk]:
    """Variants, each after its first steps; answers how long each took."""
    desks, ready = [], []
    for variant in variants:
        start = time.perf_counter()
        desks.append(_desk(run, variant))
        desks[-1].steps(3)
        ready.append(time.perf_counter() - start)
    gc.freeze()  # collecting all that was loaded takes 180 ms, which would fall into some window
    _answer(pipe, {"ready": ready})
    return desks


def _begin_device(variants: Sequence[Mapping[str, Any]]) -> None:
    """Have a GPU's context and its library of products ready, which take seconds that are no variant's."""
    device = choose_device(variants[0]["recipe"]["device"]) if variants else torch.device("cpu")
    if device.type == "cuda":
        ones = torch.ones(64, 64, device=device)
        (ones @ ones).sum().item()


def _clear() -> None:
    """Free what earlier variants held; the compiler allows few forms of one function."""
    gc.unfreeze()
    torch.compiler.reset()
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _desk(run: RunDirectory, variant: Mapping[str, Any]) -> Desk:
    what = _setup(run, variant)
    torch.manual_seed(what[2].seed)
    if variant["measure"] == "prediction":
        return PredictionDesk(*what, way=variant.get("way", "plain"))
    if variant["measure"] == "seeds":
        return SeedsDesk(*what)
    return StepDesk(*what, slower=variant.get("slower", 0.0))


def _train(run: RunDirectory, variant: Mapping[str, Any], seed: int, epochs: int) -> Curve:
    """A whole training of a variant."""
    return train_curve(*_setup(run, variant), seed, epochs)


def _setup(run: RunDirectory, variant: Mapping[str, Any]) -> tuple[RunDirectory, Workload, Recipe, Arithmetic]:
    """The run, workload, recipe and arithmetic of a variant; sets this process's threads and memory."""
    recipe = Recipe.parse(variant["recipe"], "train")
    if recipe.keep_memory:
        keep_memory()
    device = choose_device(recipe.device)
    check_compiler(recipe, device)
    arithmetic = choose_precision(recipe.precision, device)
    workload = _workload(run.path)
    is_number = recipe.threads not in (
        "auto",
        0,
    )  # counting a step's arithmetic, for a rule that is not asked, takes a step
    torch.set_num_threads(int(recipe.threads) if is_number else threads_of(recipe, workload, arithmetic).count)
    return run, workload, recipe, arithmetic


@cache
def _workload(path: Path) -> Workload:
    """The project's, held once for all variants of this process."""
    project = RunDirectory(path).plan["project"]
    return workload_of(RunDirectory(path), parse_model(project["model"]))
