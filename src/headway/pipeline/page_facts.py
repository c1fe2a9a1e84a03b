"""What a run's page says of its data, its recipe and its cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headway.config import yaml_text
from headway.files.pages import Cell, Fact, Table, spans
from headway.machine.clock import duration, moment
from headway.pipeline.page_records import Records, period_of
from headway.run.report import size
from headway.run.result import Result
from headway.tasks import has_target
from headway.train.recipe import Recipe

MOST_FILES = 30
SECTIONS = ("split", "prepare", "model", "train", "evaluate", "recalibrate", "threshold", "gate")
"""What is shown of the settings. Columns and expectations may be 20,000, and stand elsewhere on the page."""


@dataclass(frozen=True)
class DataFacts:
    """The rows of a run: facts, the parts as a table, the files' names."""

    facts: tuple[Fact, ...]
    parts: Table | None
    files: tuple[str, ...]
    more_files: str


@dataclass(frozen=True)
class RecipeFacts:
    """How the model was trained: facts, the settings that were stated, all settings as YAML, the machine and its packages."""

    facts: tuple[Fact, ...]
    stated: Table | None
    settings: str
    machine: tuple[Fact, ...]


@dataclass(frozen=True)
class CostFacts:
    """What the run took: facts, the stages as a table, and what would make it cheaper."""

    facts: tuple[Fact, ...]
    stages: Table | None
    remarks: tuple[str, ...]


def data_facts(records: Records) -> DataFacts:
    """Rows, files, period, columns and parts."""
    source, data = records.source, records.section("data")
    names = () if source is None else source.files
    some = (
        [Fact("rows", f"{source.rows:,}")]
        if source is not None and has_target(str(records.project.get("task")))
        else []
    )
    if records.checks is not None and records.checks.bytes is not None:
        some.append(Fact("text", size(records.checks.bytes)))
    if names:
        some.append(Fact("files", f"{len(names):,}"))
    some += _period(records)
    origin = data.get("source") or data.get("dataset")
    some += [Fact("source", str(origin))] if origin else []
    features: Mapping[str, Any] = data.get("features") or {}
    if features:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in Counter(map(str, features.values())).most_common())
        some.append(Fact("features", f"{len(features):,}", kinds))
    some += [Fact(name, str(data[name])) for name in ("target", "weight") if data.get(name)]
    if data.get("keys"):
        some.append(Fact("keys", ", ".join(map(str, data["keys"]))))
    if source is not None:
        some.append(Fact("checksum", source.digest[:12], "the first digits of SHA-256 over all files"))
    rest = f"and {len(names) - MOST_FILES:,} more: data.json has all" if len(names) > MOST_FILES else ""
    return DataFacts(tuple(some), _parts(records), names[:MOST_FILES], rest)


def _period(records: Records) -> list[Fact]:
    """The first and the last moment of the rows, where dates say it."""
    periods = {} if records.source is None else records.source.periods
    if periods:
        return [
            Fact("period", f"{min(low for low, _ in periods.values())} to {max(high for _, high in periods.values())}")
        ]
    ends = period_of(records)
    if ends is None:
        return []
    first, last = (moment(seconds, "%Y-%m-%d") for seconds in ends)
    return [Fact("period", f"{first.removesuffix(' UTC')} to {last}")]


def _parts(records: Records) -> Table | None:
    """Train, validation and test: how many rows or tokens, and of which period."""
    if records.prepared is None or not records.prepared.rows:
        return None
    counts, total = records.prepared.rows, sum(records.prepared.rows.values()) or 1
    periods = {} if records.source is None else records.source.periods
    rows = [
        (
            Cell(name),
            Cell(f"{count:,}"),
            Cell(f"{count / total:.1%}"),
            *([Cell(" to ".join(periods[name]))] if name in periods else []),
        )
        for name, count in counts.items()
    ]
    what = "rows" if has_target(str(records.project.get("task"))) else "tokens"
    head = ("part", what, "share", *(["period"] if periods else []))
    return Table("Parts", head, tuple(rows), frozenset((1, 2)))


def recipe_facts(records: Records) -> RecipeFacts:
    """The model, what was chosen while it ran, and the settings."""
    model, result = dict(records.section("model")), records.result
    name = str(model.pop("name", ""))
    some = [Fact("model", name, ", ".join(f"{key} {value}" for key, value in model.items() if value is not None))]
    if result is not None:
        some += _choices(result)
    some.append(Fact("seed", str(records.plan.get("seed", 0))))
    settings = {key: records.project[key] for key in SECTIONS if key in records.project}
    return RecipeFacts(
        tuple(some), _stated(records.section("train")), yaml_text(settings, width=100), _machine(records)
    )


def _choices(result: Result) -> list[Fact]:
    some = [Fact("arithmetic", f"{result.precision} on {result.device}", result.precision_reason)]
    if result.fit or result.epochs:
        some.append(Fact("length", result.fit or f"the best of {result.epochs} epochs is number {result.best_epoch}"))
    if result.batch_size is not None:
        some.append(Fact("batch size", f"{result.batch_size:,}"))
    if result.threads is not None:
        some.append(Fact("threads", str(result.threads)))
    return [*some, Fact("steps", result.way)] if result.way else some


def _stated(train: Mapping[str, Any]) -> Table | None:
    """The training settings that are not the defaults."""
    defaults = Recipe().model_dump(mode="json")
    rows = [
        (Cell(name), Cell(str(value)), Cell(str(defaults.get(name, ""))))
        for name, value in train.items()
        if value != defaults.get(name)
    ]
    return Table("Training settings", ("setting", "value", "default"), tuple(rows)) if rows else None


def _machine(records: Records) -> tuple[Fact, ...]:
    code, machine = records.plan.get("code") or {}, records.plan.get("environment") or {}
    commit = str(code.get("commit") or "")[:10]
    facts = {
        "Headway": code.get("version"),
        "commit": f"{commit}{' with changes' if code.get('dirty') else ''}" if commit else None,
        "processor": machine.get("cpu"),
        "cores": machine.get("cores"),
        "memory": size(machine["memory_bytes"]) if machine.get("memory_bytes") else None,
        "GPUs": ", ".join(machine.get("gpus") or ()) or "none",
        "system": machine.get("system"),
        "Python": machine.get("python"),
        "packages": ", ".join(f"{name} {version}" for name, version in (machine.get("packages") or {}).items()),
    }
    return tuple(Fact(name, str(value)) for name, value in facts.items() if value)


def cost_facts(records: Records) -> CostFacts:
    """Seconds by stage, the training's rate and memory, the model's size and speed."""
    result, evaluation = records.result, records.evaluation
    total = sum(records.stages.values())
    some = [Fact("all stages", duration(total))] if records.stages else []
    if result is not None:
        some += _training(result)
    if evaluation is not None and evaluation.size_mb:
        some.append(Fact("size of the model", size(evaluation.size_mb * 1e6)))
    if evaluation is not None and evaluation.latency_ms:
        some.append(Fact("predicting 1,000 rows", f"{evaluation.latency_ms:,.1f} ms"))
    remarks = tuple(text for text in (result.diagnosis, result.try_) if text) if result is not None else ()
    return CostFacts(tuple(some), _stage_table(records.stages), remarks)


def _training(result: Result) -> list[Fact]:
    some = [Fact("training", f"{result.rows_per_second:,.0f} {result.unit} a second")] if result.rows_per_second else []
    if result.peak_memory_bytes:
        some.append(Fact("peak memory of the training", size(result.peak_memory_bytes)))
    if result.parameters:
        some.append(Fact("parameters", f"{result.parameters:,}"))
    if "energy/wh" in result.cost:
        some.append(Fact("energy of the GPU", f"{result.cost['energy/wh']:.3g} Wh"))
    if "cost/money" in result.cost:
        some.append(Fact("price of the training", f"{result.cost['cost/money']:.3g}", "by train.price_per_hour"))
    return some


def _stage_table(stages: Mapping[str, float]) -> Table | None:
    """One row a stage, with its share drawn."""
    if not stages:
        return None
    longest, total = max(stages.values()), sum(stages.values()) or 1.0
    bars = spans([(0.0, None, seconds) for seconds in stages.values()], 0.0, longest)
    rows = tuple(
        (Cell(name), Cell(duration(seconds)), Cell(f"{seconds / total:.0%}"), Cell("", span=bar))
        for (name, seconds), bar in zip(stages.items(), bars, strict=True)
    )
    return Table("Stages", ("stage", "time", "share", "compared"), rows, frozenset((1, 2)))
