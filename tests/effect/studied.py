"""What a study of a simulated bench found, as effect.json holds it."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from headway.effect.conclusions import conclusions
from headway.effect.notebook import Notebook
from headway.effect.report import summary
from headway.effect.results import StudyResult
from headway.effect.study import Study
from headway.effect.techniques import select
from tests.effect.simulated import Simulated, setting

NAMES = ["fused optimizer", "resident data", "bf16", "one-cycle", "label smoothing", "tf32", "int8 prediction"]


@functools.cache
def studied() -> StudyResult:
    """What one study found. Fused and resident help, bf16 hurts, one-cycle needs half of the passes, label smoothing loses quality."""

    def cost(recipe: Any) -> float:
        slow = 2.2 if recipe["precision"] == "bf16" else 1.0
        fused = 0.8 if recipe["optimizer_kernel"] == "fused" else 1.0
        return 1e-4 * slow * fused * (0.7 if recipe["residence"] == "device" else 1.0)

    bench = Simulated(
        cost,
        quality=lambda r: 0.8 if r["label_smoothing"] else 0.9,
        half=lambda r: 0.4 if r["schedule"] == "one_cycle" else 1.0,
        noise=0.04,
    )
    plan = {"budget": 3600.0, "seeds": 5, "target": None}
    with tempfile.TemporaryDirectory() as folder:
        book = Notebook(Path(folder) / "effect.jsonl")
        result = conclusions(Study(bench, setting(), select(NAMES), book, plan, lambda *_: None).run())
    return replace(result, summary=summary(result))
