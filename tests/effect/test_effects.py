"""A study of a project: what it is asked, where it goes on, and the recipe that it leaves."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from headway.effect.report import summary, write_report
from headway.effect.results import StudyResult, Surroundings
from headway.errors import ConfigError
from headway.pipeline import effects, runs
from headway.pipeline.effects import StudyOptions, keep_recipe, open_study, seconds_of
from headway.project import load_project, project_files
from headway.run.directory import RunDirectory
from headway.run.result import Result
from headway.train.recommended import recipe_settings, recipe_warning
from tests.effect.studied import studied

YAML = """
task: classification
data: {source: flowers.csv, target: opens, features: {height: numeric}}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "flowers.yaml").write_text(YAML)
    return tmp_path


def test_a_budget_is_a_time() -> None:
    assert [seconds_of(text) for text in ("90s", "30m", "1.5h", " 2 h ")] == [90, 1800, 5400, 7200]
    for wrong in ("10", "0m", "-3m", "soon", ""):
        with pytest.raises(ConfigError, match="--budget must be a time such as 90s, 30m or 2h, but is"):
            seconds_of(wrong)


@pytest.mark.parametrize(
    ("settings", "options", "text"),
    [
        ((), StudyOptions(("bf61",)), "there is no technique 'bf61'; did you mean bf16"),
        ((), StudyOptions(seeds=1), "--seeds must be 2 to 100, but is 1"),
        (("model=boosting",), StudyOptions(), "needs a network, but the model is boosting"),
        (("train.epochs=0",), StudyOptions(), "train.epochs must be at least 1"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_written(
    root: Path, settings: tuple[str, ...], options: StudyOptions, text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        open_study("flowers", root, settings, options)
    assert not (root / "data").exists()


def test_an_interrupted_study_of_the_same_questions_goes_on(root: Path) -> None:
    run, goes_on = open_study("flowers", root, (), StudyOptions())
    assert not goes_on
    assert open_study("flowers", root, (), StudyOptions())[1] is False, "nothing was measured yet"
    (run.path / "effect.jsonl").write_text("")
    assert open_study("flowers", root, (), StudyOptions()) == (run, True)
    assert open_study("flowers", root, (), StudyOptions(new=True))[1] is False
    assert open_study("flowers", root, (), StudyOptions(seeds=7))[1] is False
    assert open_study("flowers", root, ("train.epochs=3",), StudyOptions())[1] is False
    run.finish(Result(seconds=1))
    assert open_study("flowers", root, (), StudyOptions())[1], "all is measured, but the report is not written"
    (run.path / "effect.html").write_text("")
    assert open_study("flowers", root, (), StudyOptions())[1] is False


def test_the_recommended_recipe_is_put_over_the_projects(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"conf/flowers.recipe.yaml must exist, .* make it: headway effect flowers"):
        recipe_settings(root, "flowers")
    run, _ = open_study("flowers", root, (), StudyOptions())
    path = keep_recipe(run, root, studied())
    assert re.search(
        r"times as fast \(.* to .*\) as plain PyTorch to the same quality, on samples that were", path.read_text()
    )
    project = load_project("flowers", root, recipe_settings(root, "flowers"))
    assert (project.train.residence, project.train.schedule) == ("device", "one_cycle")
    assert [file.name for file in project_files(root)] == ["flowers.yaml"], "a recipe is no project"


def test_a_recipe_that_says_more_is_not_written_over(root: Path) -> None:
    result, written = studied(), root / "conf" / "flowers.recipe.yaml"
    other, _ = open_study("flowers", root, ("model=tabm",), StudyOptions())
    assert keep_recipe(other, root, result) == other.path / "recipe.yaml", "of another model than the project's"
    part, _ = open_study("flowers", root, (), StudyOptions(("bf16",)))
    assert keep_recipe(part, root, result) == written, "better than none"
    assert keep_recipe(part, root, result) == part.path / "recipe.yaml"
    assert effects.lines(result, part, root)[-1].endswith(f"; kept {written}, which comes from a fuller study")
    whole, _ = open_study("flowers", root, (), StudyOptions())
    assert keep_recipe(whole, root, result) == written
    nothing = replace(result, techniques=tuple(replace(row, verdict="not settled") for row in result.techniques))
    assert keep_recipe(whole, root, nothing) == whole.path / "recipe.yaml"
    busy = replace(result, contention=Surroundings("unusable", "load 25 on 2 cores"))
    assert keep_recipe(whole, root, busy) == whole.path / "recipe.yaml", "figures that cannot be used"
    tried = (replace(result.recommended.confirmations[0], outcome="open"),)
    unconfirmed = replace(result, recommended=replace(result.recommended, confirmations=tried))
    assert keep_recipe(whole, root, unconfirmed) == whole.path / "recipe.yaml", "there was no time to confirm its own"


def test_a_study_of_an_earlier_version_is_shown_and_its_recipe_read(root: Path) -> None:
    """It confirmed nothing, knew nothing of other programs and gave no limits where they were absurd."""
    values = json.loads(json.dumps(studied().to_json()))
    del values["contention"]
    values["recommended"] = {
        key: values["recommended"][key] for key in ("names", "time", "fields", "to_target", "quality")
    }
    del values["techniques"][0]["reached"]
    result = StudyResult.from_json(values)
    assert "not confirmed on fresh samples (a study of an earlier version)" in summary(result)
    run = runs.start(load_project("flowers", root), root)
    write_report(run.path / "effect.html", "flowers", result, {})
    assert effects.table(result)
    written = keep_recipe(run_of_all(root), root, result)
    assert "confirmed" not in yaml.safe_load(written.read_text())
    assert 'train.residence="device"' in recipe_settings(root, "flowers")
    assert "was not confirmed on fresh samples" in str(recipe_warning(root, "flowers"))
    keep_recipe(run_of_all(root), root, studied())
    assert recipe_warning(root, "flowers") is None


def run_of_all(root: Path) -> RunDirectory:
    return open_study("flowers", root, (), StudyOptions(new=True))[0]


def test_a_busy_machine_comes_first_in_what_is_said(root: Path) -> None:
    text = "load 25 on 2 cores; a computing process had 31% of a core"
    result = replace(studied(), contention=Surroundings("unusable", text))
    assert summary(result).startswith(f"L{text[1:]}: these figures cannot be used. ")
    page = write_report(root / "effect.html", "flowers", result, {}).read_text()
    assert page.index("these figures cannot be used") < page.index(" helps")
    result = replace(result, summary=summary(result))
    run = runs.start(load_project("flowers", root), root)
    assert "these figures cannot be used" in effects.lines(result, run, root)[0]
    result = replace(result, contention=Surroundings("disturbed", "other programs used 0.4 of 2 cores"))
    assert summary(result).startswith("The machine was busy (other programs used 0.4 of 2 cores)")


def test_the_terminal_shows_every_technique_with_its_verdict(root: Path) -> None:
    result = studied()
    rows = effects.table(result)
    assert rows[0]["technique"] == "resident data"
    assert {row["verdict"] for row in rows} >= {"helps", "hurts", "changes quality", "unsupported here"}
    run = runs.start(load_project("flowers", root), root)
    text = "\n".join(effects.lines(result, run, root))
    assert "a step of the baseline: 10.00 ms (batches 20%, forward 20%, backward 40%, optimizer 20%)" in text
    assert "headway run flowers --recipe" in text
