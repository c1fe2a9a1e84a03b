"""A project named rows, so small that a whole retraining of it is short."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from headway.pipeline import runs, stages
from headway.project import load_project
from headway.run.directory import RunDirectory
from headway.run.report import Silent

YAML = """
task: classification
data:
  source: data/raw/rows.{suffix}
  target: y
  features: {{a: numeric, c: categorical}}
model: {{name: mlp, width: 8, depth: 1}}
train: {{epochs: 2, threads: 1}}
evaluate: {{resamples: 100, baselines: [trivial]}}
"""


def frame(rows: int = 3000) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    a = rng.normal(size=rows)
    return pd.DataFrame(
        {"a": a, "c": rng.choice(list("xyz"), rows), "y": np.where(a + rng.normal(size=rows) > 0, "yes", "no")}
    )


def make(root: Path, suffix: str = "csv", content: pd.DataFrame | bytes | None = None) -> Path:
    """A project named rows in ``root``."""
    path = root / "data" / "raw" / f"rows.{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    (root / "conf").mkdir(exist_ok=True)
    (root / "conf" / "rows.yaml").write_text(YAML.format(suffix=suffix))
    content = frame() if content is None else content
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif suffix == "csv":
        content.to_csv(path, index=False)
    else:
        content.to_parquet(path)
    return path


def retrain(root: Path, *settings: str) -> RunDirectory:
    """All stages as the flow runs them, without Prefect around them."""
    run = runs.start(load_project("rows", root, settings), root)
    problem: BaseException | None = None
    try:
        runs.track(run, root)
        for stage in (stages.validate, stages.prepare, stages.train, stages.evaluate, stages.register):
            stage(run, root, Silent())
    except BaseException as error:
        problem = error
        raise
    finally:
        runs.conclude(run, root, problem)
    return run
