"""A champion that changed, lost its files or predicts another target while a run was under way: what the gate does then."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from headway.files.atomic import read_json
from headway.pipeline import runs, stages
from headway.project import load_project
from headway.run.directory import RunDirectory
from headway.run.report import Silent
from tests.pipeline.gated import repeated
from tests.pipeline.retraining import retrained
from tests.pipeline.warnings_reporter import WarningsReporter

pytestmark = pytest.mark.slow

CONF = Path(__file__).parents[2] / "conf"
FEW = ["train.epochs=4", "train.patience=4", "evaluate.resamples=100", "train.threads=1"]


def evaluated(root: Path, name: str, *settings: str, more: dict[str, Any] | None = None) -> RunDirectory:
    """A run up to its evaluation, as if it was paused there."""
    run = runs.start(load_project(name, root, [*FEW, *settings]), root, more)
    runs.track(run, root)
    for stage in (stages.validate, stages.prepare, stages.train, stages.evaluate):
        stage(run, root, Silent())
    return run


@pytest.fixture(scope="module")
def racing(tmp_path_factory: pytest.TempPathFactory, datasets: Path) -> Path:
    root = tmp_path_factory.mktemp("racing")
    shutil.copytree(CONF, root / "conf")
    return root


BAD = ("train.epochs=1", "train.optimizer=sgd", "train.learning_rate=0.000001", "train.seed=3")


def test_a_run_that_was_paused_does_not_replace_a_better_champion_promoted_meanwhile(racing: Path) -> None:
    from headway import tracking

    paused = evaluated(racing, "german-credit", "model.name=mlp", *BAD)
    assert read_json(paused.path / "evaluation.json")["in_charge"] is None
    better = retrained(racing, "german-credit", *FEW, "model.name=linear")
    assert read_json(better.path / "decision.json")["promoted"]
    reporter = WarningsReporter()
    decision = stages.register(paused, racing, reporter)
    assert not decision.promoted
    assert "against version 1's" in decision.reason
    assert (decision.high or 0) < 0
    assert reporter.warnings == [
        "when this model was evaluated, no version was champion, and version 1 is now: compared again"
    ]
    evaluation = read_json(paused.path / "evaluation.json")
    assert (evaluation["in_charge"], evaluation["champion"]["version"]) == ("1", "1")
    own = read_json(better.path / "evaluation.json")["metrics"]["auc"]["value"]
    assert evaluation["champion"]["metrics"]["auc"]["value"] == pytest.approx(own)
    aliases = {row.version: list(row.aliases) for row in tracking.versions(racing, "german-credit")}
    assert aliases == {"1": ["champion"], "2": ["challenger"]}
    again = stages.register(paused, racing, Silent())
    assert (again.promoted, again.version, again.reason) == (False, "2", decision.reason)
    assert len(tracking.history(racing, "german-credit")) == 2
    runs.conclude(paused, racing)


def test_a_champion_of_another_target_is_not_replaced_unless_a_person_says_so(racing: Path) -> None:
    from headway import tracking
    from headway.errors import ConfigError

    own = yaml.safe_load((racing / "conf" / "german-credit.yaml").read_text())
    column = next(name for name, kind in own["data"]["features"].items() if kind == "numeric")
    features = {name: kind for name, kind in own["data"]["features"].items() if name != column}
    data = {"dataset": own["data"]["dataset"], "features": features, "target": column}
    other: dict[str, Any] = {"description": own["description"], "task": "regression", "data": data}
    other["model"], other["gate"] = {"name": "linear"}, {"first": "beat_trivial"}
    (racing / "conf" / "german-credit.yaml").write_text(yaml.safe_dump(other))
    run = runs.start(load_project("german-credit", racing, FEW), racing)
    with pytest.raises(ConfigError, match=rf"says {column} \(regression\); .*--replace-champion") as error:
        runs.track(run, racing)
    assert len(str(error.value).splitlines()) == 1
    runs.conclude(run, racing, error.value)
    allowance = evaluated(racing, "german-credit", more={"replace_champion": True})
    assert ", cannot be compared: " in read_json(allowance.path / "evaluation.json")["rival"]
    refusal = stages.register(allowance, racing, Silent())
    assert refusal.promoted, refusal.reason
    assert "judged as a first model" in refusal.reason
    assert "version 1 cannot be compared, and is replaced on request: it predicts " in refusal.reason
    assert tracking.open_store(racing).get_registered_model("german-credit").tags["target"] == column
    assert tracking.version_of(racing, "german-credit").version == refusal.version
    assert tracking.rollback(racing, "german-credit").version == "1"
    assert tracking.open_store(racing).get_registered_model("german-credit").tags["task"] == "classification"


def test_a_champion_without_its_files_stays_where_nothing_else_can_be_compared_with(racing: Path) -> None:
    """The YAML predicts the other target still, and version 3 does; version 1, which is the champion, does not."""
    from headway import tracking

    tracking.rollback(racing, "german-credit", "3")
    champion = tracking.champion(racing, "german-credit")
    assert champion is not None
    shutil.move(champion.bundle, champion.bundle.with_name("elsewhere"))
    run = evaluated(racing, "german-credit")
    decision = stages.register(run, racing, Silent())
    assert not decision.promoted
    assert decision.reason.startswith("not promoted: the champion, version 3, cannot be compared: ")
    shutil.move(champion.bundle.with_name("elsewhere"), champion.bundle)
    assert tracking.version_of(racing, "german-credit").version == "3"


def test_beside_a_damaged_champion_the_version_before_it_is_compared_with(racing: Path) -> None:
    from headway import tracking

    run = evaluated(racing, "german-credit")
    fifth = stages.register(run, racing, Silent())
    assert fifth.promoted, fifth.reason
    champion = tracking.champion(racing, "german-credit")
    assert champion is not None
    shutil.move(champion.bundle, champion.bundle.with_name("elsewhere"))
    again = repeated(run, racing, "german-credit-again")
    stages.evaluate(again, racing, Silent())
    decision = stages.register(again, racing, Silent())
    assert decision.promoted, decision.reason
    assert "against version 3's" in decision.reason
    assert f"the champion, version {fifth.version}, cannot be compared: " in decision.reason
    assert decision.reason.endswith("; compared with version 3, the newest undamaged version before it")
    last = tracking.history(racing, "german-credit")[-1]
    assert (last.kind, last.before, last.after) == ("promotion", fifth.version, decision.version)
