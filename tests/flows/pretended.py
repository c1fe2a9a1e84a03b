"""Stages that only pretend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from headway.evaluate.decision import Decision
from headway.evaluate.result import Estimate, Evaluation
from headway.evaluate.standing import Standing
from headway.pipeline.runs import Summary
from headway.pipeline.validation import Source, Validation
from headway.project import Project
from headway.run.directory import RunDirectory
from headway.run.report import Reporter


class Pretended:
    """Stages that leave small files; ``failing``: what a stage raises; ``done``: what happened, in order."""

    def __init__(self) -> None:
        self.failing: dict[str, BaseException] = {}
        self.acts: list[str] = []
        self.concluded: BaseException | None = None
        self.on_stage: Callable[[], None] = lambda: None
        """Called at the beginning of each stage."""

    def start(self, project: Project, root: Path, more: Mapping[str, Any] | None = None) -> RunDirectory:
        return RunDirectory.create(root, project.name, {"project": project.model_dump(mode="json"), **(more or {})})

    def _do(self, name: str, report: Reporter) -> None:
        self.acts.append(name)
        self.on_stage()
        if name in self.failing:
            raise self.failing[name]
        report.line(f"{name} went well")

    def validate(self, run: RunDirectory, root: Path, report: Reporter) -> Validation:
        self._do("validate", report)
        return Validation("10 rows × 2 columns", (), (), Source("d", 10, ()))

    def prepare(self, run: RunDirectory, root: Path, report: Reporter) -> dict[str, Any]:
        self._do("prepare", report)
        return {}

    def train(self, run: RunDirectory, root: Path, report: Reporter) -> dict[str, Any]:
        for epoch in range(50):
            report.progress((epoch + 1) / 50, f"epoch {epoch + 1} of 50")
        self._do("train", report)
        return {}

    def evaluate(self, run: RunDirectory, root: Path, report: Reporter) -> Evaluation:
        self._do("evaluate", report)
        standing = Standing.of("mlp", "linear", "AUC 0.9 against 0.8", 0.1, 0.05, 0.15)
        evaluation = Evaluation(primary="auc", metrics={"auc": Estimate(0.9, 0.8, 0.95)}, earns_its_keep=standing)
        evaluation.write(run.path / "evaluation.json")
        return evaluation

    def register(self, run: RunDirectory, root: Path, report: Reporter) -> Decision:
        self._do("register", report)
        decision = Decision(True, "promoted: the first model", name="flowers", version="1")
        decision.write(run.path / "decision.json")
        return decision

    def track(self, run: RunDirectory, root: Path, kind: str = "") -> None:
        self.acts.append("track")

    def conclude(self, run: RunDirectory, root: Path, error: BaseException | None = None) -> None:
        self.acts.append("conclude")
        self.concluded = error

    def summary(self, run: RunDirectory) -> Summary:
        return Summary(run, "flowers", None, {}, None, Decision.read(run.path / "decision.json"))
