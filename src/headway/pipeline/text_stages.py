"""The stages of a language model's retraining: the same five, on text."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from headway.data.learnt import Examinable, Learnt, examinable
from headway.data.tokens import TokenStore
from headway.errors import TrainingError
from headway.evaluate.decision import Decision
from headway.evaluate.gate import Comparison, against_champion, first, limits, stays
from headway.evaluate.language import Blocks, by_document, difference, evaluate, measure, units_of, unlearnt
from headway.evaluate.margin import margin_of
from headway.evaluate.ngram import fit_ngram
from headway.evaluate.resample import Units
from headway.evaluate.standing import Standing
from headway.files.atomic import read_json, write_array, write_json
from headway.pipeline.rival import Attempt, attempted, attempting, compared, is_barred, look, meet, note_of, overtaken
from headway.project import Project
from headway.run.directory import RunDirectory
from headway.run.report import Reporter
from headway.serve.outcome import Outcome, await_end, outcome_of, outcomes

if TYPE_CHECKING:
    from headway.tracking import Holder

METRIC = "bits_per_byte"
OWN = Path("rehearsal") / "0.npz"
TOLERANCE = {"fp32": 1e-3}
"""How far, in nats a token, the bundle in fp32 on the CPU may be from what training predicted; looser for half formats."""


def assess(run: RunDirectory, project: Project, root: Path, report: Reporter) -> dict[str, Any]:
    """Measure model, counting baselines and champion on the same test text; samples; the learning curve."""
    from headway import tracking
    from headway.evaluate.plots import draw_learning

    store = _store(run)
    holder = tracking.holder(root, project.name)
    fit = holder is not None and look(holder, run.plan["project"]) is None
    champion = [holder.bundle] if holder and holder.bundle and fit else []
    child = _rehearsal(run, store, run.path / "rehearsal", [run.bundle, *champion], project.evaluate.prompts)
    try:
        report.progress(0.1, "counting for the baselines")
        baselines, seconds = _baselines(store, project)
        report.progress(0.5, "predicting the test text as a fresh process will")
    finally:
        code = await_end(child)
    own, *others = outcomes(run, code)
    _check_same(run)
    model = _blocks(run.path / OWN)
    found = evaluate(model, baselines, _units(store, model), seconds, project.evaluate.resamples)
    found |= {"latency_ms": own.latency_ms, "size_mb": own.size_bytes / 1e6}
    _compare(run, project, root, found, holder, others[0] if others else None)
    if found["rival"]:
        report.warn(found["rival"])
    draw_learning(run.path / "plots", [(event.step, event.metrics) for event in run.events() if event.kind == "metric"])
    return found


def put_before_gate(run: RunDirectory, project: Project, root: Path, report: Reporter) -> Decision:
    """Decide by bits a byte on the same blocks, register, and set the aliases.

    Where another version took charge since the evaluation, the comparison is made again with that one, and evaluation.json says so.
    """
    from headway import tracking

    found = compared(read_json(run.path / "evaluation.json"))
    decision = _decide(run, project, found)
    example = pd.DataFrame({"prompt": list(project.evaluate.prompts)})
    version = tracking.register(run, root, project.name, example)

    def again(holder: Holder | None) -> Decision:
        report.warn(overtaken(found["in_charge"], holder))
        _compare(run, project, root, found, holder)
        write_json(run.path / "evaluation.json", found)
        return _decide(run, project, found)

    decision = tracking.settle(root, project.name, version, found["in_charge"], decision, again)
    return replace(decision, name=project.name, version=version)


def _rehearsal(
    run: RunDirectory, store: TokenStore, out: Path, bundles: list[Path], prompts: Sequence[str] = ()
) -> subprocess.Popen[bytes]:
    """Start a fresh process in which the bundles predict the test text."""
    asked = {"store": str(store.path), "out": str(out), "bundles": [*map(str, bundles)], "prompts": list(prompts)}
    request = run.path / f"{out.name}-request.json"
    write_json(request, asked)
    (out / "rehearsal.json").unlink(missing_ok=True)  # of an earlier try
    with open(run.path / f"{out.name}.log", "wb") as log:
        words = [sys.executable, "-m", "headway.serve.text", str(request)]
        return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _compare(
    run: RunDirectory,
    project: Project,
    root: Path,
    evaluation: dict[str, Any],
    holder: Holder | None,
    outcome: Outcome | None = None,
) -> None:
    """Put the rival into the evaluation. ``holder``: the version in charge; ``outcome``: how it fared where it has predicted already."""
    store = _store(run)

    def before(bundle: Path) -> Attempt:
        return attempted(bundle, run.path / "rehearsal" / "1.npz", outcome or Outcome())

    def now(version: str, bundle: Path) -> Attempt:
        folder = run.path / f"rehearsal-{version}"
        await_end(_rehearsal(run, store, folder, [bundle]))
        return attempted(bundle, folder / "0.npz", outcome_of(folder))

    attempt = attempting(run.plan["project"], holder, None if outcome is None else before, now)
    rival = meet(root, project.name, holder, attempt)
    evaluation |= {**rival.to_json(), "champion": None}
    if rival.version is None or rival.predictions is None:
        return
    model = _blocks(run.path / OWN)
    examined = _examinable(store, rival.version, rival.learnt, len(model.nats))
    usable = rival.predictions.with_suffix(".usable.npy")
    write_array(usable, examined.mask)
    blocks, unit = _blocks(rival.predictions).take(examined.mask), _units(store, model).name
    files = {"predictions": rival.predictions, "usable": usable}
    evaluation["champion"] = {
        "version": rival.version,
        "metrics": measure(blocks, project.evaluate.resamples) if len(blocks.nats) else {},
        "unit": unit,
        **examined.to_json(f"{unit}s"),
        **{name: str(file.relative_to(run.path)) for name, file in files.items()},
    }


def _examinable(store: TokenStore, version: str, learnt: Learnt | None, blocks: int) -> Examinable:
    """The blocks of the test text of which a version has not learnt the passages."""

    def unlearnt_blocks(learnt: Learnt) -> np.ndarray:
        return unlearnt(list(store.test_documents()), blocks, learnt)

    return examinable(store.learnt, learnt, f"version {version}", blocks, unlearnt_blocks)


def _units(store: TokenStore, model: Blocks) -> Units:
    return units_of(model, store.described.documents["test"], store.described.ends)


def _decide(run: RunDirectory, project: Project, evaluation: dict[str, Any]) -> Decision:
    """By bits a byte, on the blocks that the champion has not learnt from."""
    if is_barred(run, evaluation):
        return stays(METRIC, evaluation["in_charge"], evaluation["champion_problem"])
    model, champion, gate = _blocks(run.path / OWN), evaluation["champion"], project.gate
    store, broken = _store(run), limits(gate, evaluation["latency_ms"], evaluation["size_mb"])
    left_out, note = 0, note_of(evaluation)
    if champion is None:
        model_of, _ = fit_ngram(store.tokens("train"), store.tokens("validation"), store.described.vocabulary, (1,))
        other, label = _counted(store, model_of.losses(store.tokens("test"), 1)), "the trivial baseline"
    else:
        usable = np.load(run.path / champion["usable"])
        left_out, label = int((~usable).sum()), f"version {champion['version']}"
        model, other = model.take(usable), _blocks(run.path / champion["predictions"]).take(usable)
    value, low, high = difference(model, other, project.evaluate.resamples)
    own = float(model.metrics(np.ones((1, len(model.nats))))["bits_per_byte"][0]) if len(model.nats) else math.nan
    units = _units(store, model)
    comparison = Comparison(METRIC, "bits a byte", label, own, own + value, value, low, high, units, left_out, note)
    if champion is None:
        return first(gate, comparison, Standing.from_json(evaluation["earns_its_keep"]), project.model.name, broken)
    return against_champion(gate, comparison, margin_of(gate.margin, own + value, True, label), broken)


def _baselines(store: TokenStore, project: Project) -> tuple[dict[str, Blocks], dict[str, float]]:
    test, vocabulary = store.tokens("test"), store.described.vocabulary
    found: dict[str, Blocks] = {}
    seconds: dict[str, float] = {}
    for name in project.evaluate.baselines:
        begun = time.perf_counter()
        orders = (1,) if name == "unigram" else (1, 2, 3, 4, 5, 6)
        model, order = fit_ngram(store.tokens("train"), store.tokens("validation"), vocabulary, orders)
        shown = name if name == "unigram" else f"{order}-gram"
        found[shown] = _counted(store, model.losses(test, order))
        seconds[shown] = time.perf_counter() - begun
    return found, seconds


def _counted(store: TokenStore, losses: np.ndarray) -> Blocks:
    tokens = np.asarray(store.tokens("test")).astype(np.int64)
    counts: list[int] = []
    if by_document(store.described.documents["test"]):
        counts = np.diff(np.flatnonzero(tokens == 0) + 1, prepend=0).tolist()
    return Blocks.of(losses, store.tokenizer.byte_lengths()[tokens], counts)


def _check_same(run: RunDirectory) -> None:
    """Raise TrainingError when the bundle, in a fresh process, does not predict what training predicted."""
    blocks, trained = _blocks(run.path / OWN), np.load(run.predictions("test"))
    apart = abs(float(blocks.nats.sum() / blocks.tokens.sum()) - float(trained.mean(dtype=np.float64)))
    allowed = TOLERANCE.get(str((run.result or {}).get("precision")), 0.05)
    if len(trained) != blocks.tokens.sum() or not apart <= allowed:
        raise TrainingError(
            f"the bundle must predict what training predicted to {allowed} nats a token, but they are {apart:.2g} apart; "
            f"see {run.path}"
        )


def _blocks(path: Path) -> Blocks:
    with np.load(path) as held:
        return Blocks(held["nats"], held["tokens"], held["bytes"])


def _store(run: RunDirectory) -> TokenStore:
    return TokenStore(run.store)
