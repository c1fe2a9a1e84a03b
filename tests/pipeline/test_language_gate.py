"""The gate of a language project: a champion that took charge meanwhile, or that is damaged, is never replaced as if there were none."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from headway import tracking
from headway.files.atomic import read_json, write_json
from headway.pipeline import stages
from headway.run.report import Silent
from tests.pipeline.gated import DAMAGES, WEIGHTS, Gated, build, repeated
from tests.pipeline.warnings_reporter import WarningsReporter
from tests.support.letters import write_project
from tests.support.whole_project import flip, gone

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Gated:
    root = tmp_path_factory.mktemp("letters") / "project"
    root.mkdir()
    write_project(root)
    return build(root, "little", pd.DataFrame({"prompt": ["the "]}), "train.epochs=1", "gate.first=beat_trivial")


@pytest.fixture
def letters(built: Gated) -> Gated:
    return built.restored()


def test_a_run_that_was_paused_meets_the_champion_promoted_meanwhile_on_the_same_text(letters: Gated) -> None:
    assert read_json(letters.worse.path / "evaluation.json")["in_charge"] is None
    reporter = WarningsReporter()
    decision = stages.register(letters.worse, letters.root, reporter)
    assert not decision.promoted
    assert "against version 2's" in decision.reason
    assert (decision.high or 0) < 0
    assert reporter.warnings == [
        "when this model was evaluated, no version was champion, and version 2 is now: compared again"
    ]
    evaluation = read_json(letters.worse.path / "evaluation.json")
    assert (evaluation["in_charge"], evaluation["champion"]["version"]) == ("2", "2")
    assert evaluation["champion"]["metrics"] == read_json(letters.good.path / "evaluation.json")["metrics"]
    assert letters.aliases() == {"1": ["previous"], "2": ["champion"], "3": ["challenger"]}


def test_a_champion_that_went_since_the_evaluation_is_not_the_one_compared_with(letters: Gated) -> None:
    stages.evaluate(letters.worse, letters.root, Silent())
    tracking.rollback(letters.root, "little", reason="complaints")
    reporter = WarningsReporter()
    decision = stages.register(letters.worse, letters.root, reporter)
    assert reporter.warnings == [
        "when this model was evaluated, version 2 was champion, and version 1 is now: compared again"
    ]
    assert not decision.promoted
    assert "against version 1's" in decision.reason
    assert tracking.version_of(letters.root, "little").version == "1"


@pytest.mark.parametrize("name", DAMAGES)
def test_beside_a_damaged_champion_a_worse_model_meets_the_version_before_and_stays_out(
    letters: Gated, name: str
) -> None:
    damage, text = DAMAGES[name]
    damage(letters.bundle("2"))
    decision = stages.register(letters.worse, letters.root, Silent())
    assert not decision.promoted
    assert decision.reason.startswith("not promoted: bits a byte ")
    assert "against version 1's" in decision.reason
    assert re.search(f"the champion, version 2, cannot be compared: .*{text}", decision.reason)
    assert decision.reason.endswith("; compared with version 1, the newest undamaged version before it")
    assert len(decision.reason.splitlines()) == 1
    assert letters.aliases() == {"1": ["previous"], "2": ["champion"], "3": ["challenger"]}


def test_a_model_as_good_as_the_version_before_takes_the_place_of_a_damaged_champion(letters: Gated) -> None:
    flip(letters.bundle("2") / WEIGHTS)
    as_good, reporter = repeated(letters.good, letters.root, "little-third"), WarningsReporter()
    stages.evaluate(as_good, letters.root, reporter)
    (line,) = reporter.warnings
    assert line.startswith("the champion, version 2, cannot be compared: ")
    assert line.endswith("; compared with version 1, the newest undamaged version before it")
    decision = stages.register(as_good, letters.root, Silent())
    assert (decision.promoted, decision.difference) == (True, 0.0)
    last = tracking.history(letters.root, "little")[-1]
    assert (last.kind, last.before, last.after) == ("promotion", "2", "3")


def test_where_every_version_is_damaged_the_champion_stays_until_a_person_wants_it_replaced(letters: Gated) -> None:
    for version in ("2", "1"):
        flip(letters.bundle(version) / WEIGHTS)
    decision = stages.register(letters.worse, letters.root, Silent())
    assert decision.reason.startswith("not promoted: the champion, version 2, cannot be compared: ")
    assert decision.reason.endswith(
        "; with --replace-champion the new model is judged as a first one and takes its place"
    )
    assert letters.aliases() == {"1": ["previous"], "2": ["champion"], "3": ["challenger"]}

    replacement = repeated(letters.worse, letters.root, "little-wanted")
    write_json(replacement.path / "run.json", {**replacement.plan, "replace_champion": True})
    stages.evaluate(replacement, letters.root, Silent())
    decision = stages.register(replacement, letters.root, Silent())
    assert decision.promoted, decision.reason
    assert "version 2 cannot be compared, and is replaced on request: " in decision.reason
    assert letters.aliases()["4"] == ["champion"]


def test_a_champion_from_before_there_were_checksums_is_compared_with(letters: Gated) -> None:
    gone(letters.bundle("2") / "checksums.json")
    decision = stages.register(letters.worse, letters.root, Silent())
    assert "against version 2's" in decision.reason
    assert "cannot be compared" not in decision.reason
    assert letters.aliases()["2"] == ["champion"]
