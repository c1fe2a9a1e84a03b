"""The gate of a table's project: a champion that is damaged or reads other columns is never replaced as if there were none."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import roc_auc_score

from headway import tracking
from headway.data.store import Store
from headway.evaluate.decision import Decision
from headway.files.atomic import read_json, write_json
from headway.pipeline import stages
from headway.run.directory import RunDirectory
from headway.serve.bundle import Predictor
from tests.pipeline.gated import DAMAGES, WEIGHTS, Gated, build, repeated, trained
from tests.pipeline.warnings_reporter import WarningsReporter
from tests.support.whole_project import flip, gone

pytestmark = pytest.mark.slow

FEATURES = {"a": "numeric", "b": "numeric", "c": "categorical"}
PROJECT = {
    "task": "classification",
    "data": {"source": "rows.csv", "target": "y", "features": FEATURES, "keys": ["id"]},
    "model": {"name": "mlp", "width": 8, "depth": 1},
    "train": {"epochs": 8, "learning_rate": 0.02, "threads": 1},
    "evaluate": {"resamples": 100, "baselines": ["trivial"]},
    "gate": {"first": "beat_trivial"},
}


def write_features(root: Path, features: dict[str, str]) -> None:
    """The YAML with these features."""
    data = {**PROJECT["data"], "features": features}  # type: ignore[dict-item]
    (root / "conf" / "rows.yaml").write_text(yaml.safe_dump({**PROJECT, "data": data}))


def frame(root: Path) -> pd.DataFrame:
    return pd.read_csv(root / "rows.csv")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Gated:
    root = tmp_path_factory.mktemp("rows") / "project"
    (root / "conf").mkdir(parents=True)
    write_features(root, FEATURES)
    rng = np.random.default_rng(0)
    a, b, d = rng.normal(size=(3, 1500))
    y = np.where(a + b + rng.normal(size=len(a)) > 0, "yes", "no")
    columns = {"id": np.arange(len(a)), "a": a, "b": b, "c": rng.choice(list("xyz"), len(a)), "d": d, "y": y}
    pd.DataFrame(columns).to_csv(root / "rows.csv", index=False)
    return build(root, "rows", pd.DataFrame({"a": [0.5], "b": [0.5], "c": ["x"]}), "train.epochs=1")


@pytest.fixture
def rows(built: Gated) -> Gated:
    return built.restored()


def judged(root: Path, run: RunDirectory) -> tuple[Decision, list[str]]:
    """The decision about a run, and the warnings."""
    reporter = WarningsReporter()
    stages.evaluate(run, root, reporter)
    return stages.register(run, root, reporter), reporter.warnings


@pytest.mark.parametrize("name", DAMAGES)
def test_beside_a_damaged_champion_a_worse_model_meets_the_version_before_and_stays_out(rows: Gated, name: str) -> None:
    damage, text = DAMAGES[name]
    damage(rows.bundle("2"))
    decision, (warning,) = judged(rows.root, rows.worse)
    assert re.search(f"^the champion, version 2, cannot be compared: .*{text}", warning)
    assert warning.endswith("; compared with version 1, the newest undamaged version before it")
    assert decision.reason.startswith("not promoted: AUC ")
    assert "against version 1's" in decision.reason
    assert decision.reason.endswith(warning)
    assert len(decision.reason.splitlines()) == 1
    assert rows.aliases() == {"1": ["previous"], "2": ["champion"], "3": ["challenger"]}


def test_where_every_version_is_damaged_the_champion_stays_until_a_person_wants_it_replaced(rows: Gated) -> None:
    for version in ("2", "1"):
        flip(rows.bundle(version) / WEIGHTS)
    decision, _ = judged(rows.root, rows.worse)
    assert decision.reason.startswith("not promoted: the champion, version 2, cannot be compared: ")
    assert rows.aliases() == {"1": ["previous"], "2": ["champion"], "3": ["challenger"]}
    replacement = repeated(rows.worse, rows.root, "rows-wanted")
    write_json(replacement.path / "run.json", {**replacement.plan, "replace_champion": True})
    decision, _ = judged(rows.root, replacement)
    assert "version 2 cannot be compared, and is replaced on request: " in decision.reason
    assert rows.aliases()["4"] == ["champion"]


def test_a_champion_from_before_there_were_checksums_is_compared_with(rows: Gated) -> None:
    gone(rows.bundle("2") / "checksums.json")
    decision, warnings = judged(rows.root, rows.worse)
    assert "against version 2's" in decision.reason
    assert warnings == []
    assert rows.aliases()["2"] == ["champion"]


def test_a_champion_with_a_column_that_the_yaml_dropped_is_compared_on_the_same_rows(rows: Gated) -> None:
    write_features(rows.root, {"c": "categorical", "a": "numeric"})
    fewer = trained(rows.root, "rows")
    decision, warnings = judged(rows.root, fewer)
    remark = "version 2 reads the column b as well, which conf/rows.yaml does not list"
    assert warnings == [f"{remark}; to replace it without comparing: --replace-champion"]
    assert not decision.promoted, "b tells half of it"
    assert "against version 2's" in decision.reason
    assert decision.reason.endswith(warnings[0])
    assert rows.aliases()["2"] == ["champion"]

    store = Store(fewer.store)
    table = frame(rows.root).set_index("id").loc[store.raw_test(["id"]).column("id").cast("int64").to_pylist()]
    champion = read_json(fewer.path / "evaluation.json")["champion"]
    own = Predictor.load(rows.bundle("2")).predict(table.reset_index())
    np.testing.assert_allclose(np.load(fewer.path / champion["predictions"]), own, atol=1e-6)
    assert champion["left_out"] == 0
    auc = roc_auc_score(table["y"] == "yes", own[:, 1])
    assert champion["metrics"]["auc"]["value"] == pytest.approx(auc)

    replacement = repeated(fewer, rows.root, "rows-wanted")
    write_json(replacement.path / "run.json", {**replacement.plan, "replace_champion": True})
    decision, _ = judged(rows.root, replacement)
    assert decision.promoted
    replaced = "version 2 cannot be compared, and is replaced on request: it reads the column b, which conf/rows.yaml"
    assert replaced in decision.reason


def test_a_champion_with_a_column_that_the_data_lost_stays_and_the_line_names_it(rows: Gated) -> None:
    frame(rows.root).drop(columns="b").to_csv(rows.root / "rows.csv", index=False)
    write_features(rows.root, {"a": "numeric", "c": "categorical"})
    decision, _ = judged(rows.root, trained(rows.root, "rows"))
    assert decision.reason == (
        "not promoted: the champion, version 2, cannot be compared: it reads the column b, which the data no longer has; "
        "with --replace-champion the new model is judged as a first one and takes its place"
    )
    assert rows.aliases()["2"] == ["champion"]


def test_a_champion_that_does_not_know_a_new_column_or_read_one_as_another_kind_is_compared_with(rows: Gated) -> None:
    table = frame(rows.root).assign(c=lambda table: table["c"].map({"x": 1, "y": 2, "z": 3}))
    table.to_csv(rows.root / "rows.csv", index=False)
    write_features(rows.root, {**FEATURES, "c": "numeric", "d": "numeric"})
    decision, warnings = judged(rows.root, trained(rows.root, "rows"))
    assert "against version 2's" in decision.reason
    assert warnings == []
    assert tracking.version_of(rows.root, "rows").version == ("3" if decision.promoted else "2")
