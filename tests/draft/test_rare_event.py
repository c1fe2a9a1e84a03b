"""A target whose event is rare."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from headway.draft.drafting import draft
from headway.project import load_project


@pytest.mark.parametrize(("events", "metric"), [(20, "average_precision"), (200, "auc")])
def test_init_proposes_average_precision_for_a_rare_event(tmp_path: Path, events: int, metric: str) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"x": rng.normal(size=1000), "fraud": np.where(np.arange(1000) < events, "yes", "no")})
    table.sample(frac=1, random_state=0).to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "conf").mkdir()
    draft("rows.csv", "fraud", "rows", tmp_path)
    assert load_project("rows", tmp_path).gate.metric == metric
