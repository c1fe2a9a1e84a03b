"""The page of a run shows what the run's records hold, whatever the run came to, and is made from them alone."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from headway.errors import ConfigError, DamagedError
from headway.evaluate.decision import Decision
from headway.evaluate.result import (
    ChampionResult,
    ColumnImportance,
    Estimate,
    Evaluation,
    Importance,
    SliceResult,
    UnitCount,
)
from headway.files.atomic import read_json, write_json
from headway.pipeline import page, runs, stages
from headway.pipeline.page_tables import MOST_COLUMNS
from headway.pipeline.reports import report_of
from headway.project import load_project
from headway.run import lifetime
from headway.run.directory import RunDirectory
from headway.run.report import Silent, number
from tests.pipeline.run_records import drawn_evaluation, write_run, write_validation

BETTER = "promoted: AUC 0.9 against version 3's 0.8; better"
PROMOTED = Decision(True, BETTER, "auc", 0.1, 0.05, 0.15, "600 rows", name="loans", version="4")
KEPT = Decision(
    False, "not promoted: worse than version 3 by more than the margin, 0.005", "auc", -0.1, -0.15, -0.05, version="4"
)


def text_of(run: RunDirectory) -> str:
    """The words of a page, without its style, its marks and its pictures."""
    content = page.write_page(run).read_text(encoding="utf-8")
    content = re.sub(r"<style>.*?</style>|<[^>]*>", " ", content, flags=re.DOTALL)
    return " ".join(html.unescape(content).split())


@pytest.mark.parametrize("kind", ["two classes", "four classes", "regression"])
def test_every_value_stands_with_its_interval_beside_champion_and_baselines(kind: str, tmp_path: Path) -> None:
    evaluation = drawn_evaluation(kind, champion=True)
    assert evaluation.champion is not None
    run = write_run(tmp_path, evaluation, PROMOTED)
    text = text_of(run)
    models = [evaluation.metrics, evaluation.champion.metrics, *(one.metrics for one in evaluation.baselines.values())]
    for metrics in models:
        for estimate in metrics.values():
            assert estimate.value is None or number(estimate.value) in text
            if estimate.low is not None and estimate.low != estimate.high:
                assert f"{number(estimate.low)} to {number(estimate.high)}" in text
    for group in evaluation.slices["room"].values():
        assert f"{group.rows:,} {number(group.metrics[evaluation.primary].value)}" in text
    for words in (
        "champion, version 3",
        "baseline linear",
        "81,234 rows a second",
        "400.0 MB",
        "1 min 07 s",
        "2024-01.parquet",
    ):
        assert words in text
    assert ("class rows" in text) == (kind == "four classes")


def test_the_pictures_are_in_the_page(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    drawn_evaluation("two classes", run.path / "plots").write(run.path / "evaluation.json")
    content = page.write_page(run).read_text()
    pictures = list((run.path / "plots").iterdir())
    assert len(pictures) >= 6
    assert content.count("data:image/png;base64,") == len(pictures)
    assert not re.search(r'(?:src|href)="(?!data:|#)', content), "nothing is fetched, and no server's address is known"
    assert "default-src 'none'" in content
    pictures[0].write_bytes(pictures[0].read_bytes()[:1000])
    content = page.write_page(run).read_text()
    assert content.count("data:image/png;base64,") == len(pictures) - 1
    assert f"plots/{pictures[0].name} is damaged, and not shown" in content


def test_a_language_model_has_its_page(tmp_path: Path) -> None:
    metrics = {"bits_per_byte": Estimate(1.9, 1.85, 1.95), "perplexity": Estimate(8.0, 7.5, 8.5)}
    evaluation = Evaluation(
        task="language", primary="bits_per_byte", rows=120, units=UnitCount("document", 12), metrics=metrics
    )
    run = write_run(tmp_path, evaluation, project={"task": "language", "model": {"name": "gpt", "layers": 2}})
    (run.path / "rehearsal").mkdir()
    (run.path / "rehearsal" / "samples.txt").write_text("ROMEO: <b>O</b>, speak")
    text = text_of(run)
    for words in (
        "120 blocks of text",
        "12 documents",
        "lower is better",
        "4,800 80.0%",
        "part tokens share",
        "layers 2",
    ):
        assert words in text
    assert "ROMEO: <b>O</b>, speak" in text, "escaped, and read as text"


def outcomes() -> dict[str, tuple[str, str, Any]]:
    first = replace(
        PROMOTED, reason="promoted: AUC 0.9 against the trivial baseline's 0.5; the first model", version="1"
    )
    stays = replace(
        KEPT, reason="not promoted: version 3 is the champion and cannot be compared: other target", difference=None
    )
    return {
        "first": ("Promoted: version 1 is the champion", "the first model", (None, first)),
        "promoted": ("Promoted: version 4 is the champion", "AUC 0.9 against version 3's 0.8; better", ("3", PROMOTED)),
        "kept": ("Not promoted: version 3 stays the champion", "by more than the margin", ("3", KEPT)),
        "cannot be compared": ("Not promoted: version 3 stays the champion", "other target", ("3", stays)),
        "no champion": ("Not promoted: there is no champion", "by more than the margin", (None, KEPT)),
    }


@pytest.mark.parametrize("name", outcomes())
def test_the_decision_is_the_heading_and_its_reason_follows(name: str, tmp_path: Path) -> None:
    heading, reason, (in_charge, decision) = outcomes()[name]
    evaluation = replace(drawn_evaluation("two classes", champion=in_charge is not None), in_charge=in_charge)
    run = write_run(tmp_path, evaluation, decision)
    content = page.write_page(run).read_text()
    assert re.search(rf"<h1[^>]*>{heading}</h1>", content)
    assert reason in text_of(run)
    assert ("difference from" in content) == (decision.difference is not None)
    assert ("difference from version 3" in content) == (in_charge is not None and decision.difference is not None)


def test_a_champion_that_learnt_from_every_test_row_has_no_column(tmp_path: Path) -> None:
    evaluation = replace(
        drawn_evaluation("two classes"),
        champion=ChampionResult("3", left_out=600, why="all 600 test rows are left out"),
        in_charge="3",
    )
    text = text_of(write_run(tmp_path, evaluation, KEPT))
    assert "champion, version 3" not in text
    assert "all 600 test rows are left out" in text


def test_runs_without_a_decision_say_how_far_they_came(tmp_path: Path) -> None:
    refused = write_run(tmp_path, stages={"validate": 1.0})
    write_validation(refused, 3, "age must be given, but 7 rows lack it")
    page.write_page(refused, "age must be given, but 7 rows lack it")
    content = (refused.path / page.NAME).read_text()
    assert "The data were refused" in content
    assert content.index(">failed<") < content.index(">warned<") < content.index(">passed<")
    failed = write_run(tmp_path, stages={"validate": 1.0, "prepare": 1.0, "train": 3.0})
    page.write_page(failed, "the loss became non-finite", "FAILED")
    assert "The run failed" in (failed.path / page.NAME).read_text()
    page.write_page(failed, "its process was killed", "KILLED")
    assert "The run was interrupted" in (failed.path / page.NAME).read_text()
    text = text_of(failed)
    assert "The run was not finished" in text
    assert "finished so far: validate, prepare, train" in text
    assert "The run was not finished" in text_of(write_run(tmp_path, stages={}))


def test_the_problem_of_a_run_that_ended_is_read_from_its_records(tmp_path: Path) -> None:
    run = write_run(tmp_path, stages={"validate": 1.0, "prepare": 1.0, "train": 3.0})
    ending = {"status": "FAILED", "time": 2.0, "problem": "the disk is full", "metrics": {}}
    opening = {"name": "mlp", "params": {}, "yaml": "", "time": 1.7e9}
    write_json(run.path / "tracking.json", {"run_id": None, "key": "k", "opening": opening, "ending": ending})
    text = text_of(run)
    assert "The run failed" in text
    assert "the disk is full" in text
    assert "retrained 2023-11-14 22:13 UTC" in text


HOSTILE = "</style><script>alert('x')</script>&<img src=//evil.example>"


def test_no_text_of_a_run_is_taken_for_html(tmp_path: Path) -> None:
    evaluation = replace(
        drawn_evaluation("four classes"),
        classes=(HOSTILE, "east", "south", "west"),
        slices={
            HOSTILE: {
                HOSTILE: SliceResult(
                    30, metrics={"accuracy": Estimate(0.5, 0.4, 0.6), "log_loss": Estimate(0.5, 0.4, 0.6)}
                )
            }
        },
        importance=Importance("accuracy", 9, 3, (ColumnImportance(HOSTILE, 0.1, 0.05, 0.2),), HOSTILE),
        rival=HOSTILE,
    )
    evaluation = replace(evaluation, per_class={HOSTILE: evaluation.per_class["east"], **evaluation.per_class})
    evaluation = replace(
        evaluation, baselines={HOSTILE: evaluation.baselines["linear"]}, baseline_notes={HOSTILE: HOSTILE}
    )
    data = {"source": HOSTILE, "features": {"age": HOSTILE}, "target": HOSTILE, "keys": [HOSTILE]}
    project = {
        "description": HOSTILE,
        "data": data,
        "model": {"name": HOSTILE, HOSTILE: HOSTILE},
        "train": {HOSTILE: HOSTILE},
    }
    run = write_run(tmp_path, evaluation, replace(PROMOTED, reason=HOSTILE, version=HOSTILE), project=project)
    write_validation(run, 3, HOSTILE)
    write_json(run.path / "data.json", {**read_json(run.path / "data.json"), "files": [HOSTILE]})
    write_json(run.path / "flow.json", {"flow_run_id": "x", "url": f'http://127.0.0.1/"><script>{HOSTILE}'})
    content = page.write_page(run).read_text()
    assert HOSTILE not in content
    assert "<script" not in content
    assert content.count("&lt;script&gt;alert(") >= 18
    assert content.count("<img") == 0


def test_a_page_of_20_000_columns_stays_small_and_counts_what_it_leaves_out(tmp_path: Path) -> None:
    names = [f"x{n}" for n in range(20_000)]
    importance = Importance("auc", 9, 3, tuple(ColumnImportance(name, 0.1, 0.05, 0.2) for name in names), "x0")
    slices = {name: {"a": SliceResult(30, metrics={"auc": Estimate(0.5, 0.4, 0.6)})} for name in names[:500]}
    evaluation = replace(drawn_evaluation("two classes"), importance=importance, slices=slices)
    features = {name: "numeric" if n % 2 else "categorical" for n, name in enumerate(names)}
    project = {
        "data": {"source": "wide.csv", "features": features, "target": "y"},
        "validation": {"expectations": [{}] * 20_000},
    }
    run = write_run(tmp_path, evaluation, PROMOTED, project=project, expectations=20_000)
    write_json(
        run.path / "data.json", {**read_json(run.path / "data.json"), "files": [f"{name}.csv" for name in names]}
    )
    text = text_of(run)
    assert (run.path / page.NAME).stat().st_size < 200_000
    for words in (
        f"and {20_000 - MOST_COLUMNS:,} more columns: importance.csv has all",
        "and 400 more slices: evaluation.json has all",
        "and 19,901 that passed: validation.json has every one",
        "10,000 categorical, 10,000 numeric",
        "and 19,970 more: data.json has all",
    ):
        assert words in text


def test_a_run_of_an_early_version_has_its_page_and_what_is_gone_is_named(tmp_path: Path) -> None:
    run = write_run(tmp_path, drawn_evaluation("two classes"), PROMOTED)
    write_json(run.path / "run.json", {"project": {"name": "loans", "task": "classification"}})
    for name, keys in {
        "evaluation.json": ("units", "in_charge", "per_class", "event"),
        "data.json": ("contents",),
    }.items():
        write_json(
            run.path / name, {key: value for key, value in read_json(run.path / name).items() if key not in keys}
        )
    assert "damaged" not in text_of(run)
    (run.path / "evaluation.json").write_text("{")
    (run.path / "result.json").unlink()
    text = text_of(run)
    assert "result.json, evaluation.json missing or damaged, so this page does not show everything" in text
    assert "Promoted: version 4 is the champion" in text
    (run.path / "run.json").write_text("{")
    with pytest.raises(DamagedError, match=r"run\.json must be JSON"):
        page.write_page(run)


def test_the_page_is_made_without_torch_and_great_expectations(tmp_path: Path) -> None:
    run = write_run(tmp_path, drawn_evaluation("two classes", tmp_path / "plots"), PROMOTED)
    code = (
        "import sys; from pathlib import Path; from headway.pipeline import page; from headway.run.directory import RunDirectory\n"
        f"page.write_page(RunDirectory(Path({str(run.path)!r})))\n"
        "assert not {'torch', 'great_expectations', 'matplotlib', 'mlflow'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%Y-%m-%d %H:%M"])
def test_the_period_of_each_part_is_that_of_its_rows(form: str, tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    days = pd.date_range("2024-01-01", periods=300, freq="D" if "H" not in form else "7h")
    frame = pd.DataFrame({"day": days.strftime(form), "a": range(300), "y": [n % 7 for n in range(300)]})
    frame.sample(frac=1, random_state=0).to_csv(tmp_path / "rows.csv", index=False)
    data = {"source": "rows.csv", "target": "y", "features": {"a": "numeric"}}
    settings = {
        "task": "regression",
        "data": data,
        "split": {"by": "time", "column": "day", "test": 0.2, "validation": 0.1},
    }
    (tmp_path / "conf" / "w.yaml").write_text(yaml.safe_dump(settings))
    run = runs.start(load_project("w", tmp_path), tmp_path)
    stages.validate(run, tmp_path, Silent())
    prepared = stages.prepare(run, tmp_path, Silent())
    ends, start = {}, 0
    for part in ("train", "validation", "test"):
        own = days[start : start + prepared.rows[part]].strftime(form)
        ends[part], start = [own[0], own[-1]], start + prepared.rows[part]
    assert read_json(run.path / "data.json")["periods"] == ends
    text = text_of(run)
    assert f"period {ends['train'][0]} to {ends['test'][1]}" in text
    assert f"{ends['test'][0]} to {ends['test'][1]}" in text


def test_without_a_split_by_time_the_period_is_that_of_the_date_columns(tmp_path: Path) -> None:
    features = {"day": "date", "age": "numeric"}
    run = write_run(tmp_path, project={"data": {"source": "x", "features": features, "target": "y"}})
    columns = {"day": {"min": 1704067200.0, "max": 1735603200.0}, "age": {"min": 1.0, "max": 9.0}}
    write_json(run.path / "profile.json", {"rows": 6000, "columns": columns})
    assert "period 2024-01-01 to 2024-12-31 UTC" in text_of(run)


def test_a_run_that_ends_is_complete_without_its_page(tmp_path: Path) -> None:
    run = write_run(tmp_path, drawn_evaluation("two classes"), PROMOTED)
    (run.path / page.NAME).mkdir()
    assert "headway report makes it later" in (page.page_warning(run) or "")
    (run.path / page.NAME).rmdir()
    assert page.page_warning(run) is None
    watch = RunDirectory.create(tmp_path, "loans", {"project": {"name": "loans"}, "watch": {}})
    assert page.page_warning(watch) is None
    assert not (watch.path / page.NAME).exists()


def test_the_newest_report_is_made_unless_a_run_is_named(tmp_path: Path) -> None:
    older, newer = (write_run(tmp_path, drawn_evaluation("two classes"), PROMOTED) for _ in range(2))
    watch = RunDirectory.create(tmp_path, "loans", {"project": {"name": "loans"}, "watch": {}})
    assert report_of("loans", tmp_path).run == newer.path.name
    result = report_of("loans", tmp_path, older.path.name)
    assert result.report == str(older.path / "report.html")
    assert (older.path / "report.html").exists()
    with pytest.raises(ConfigError, match=rf"{watch.path.name} is a watch; its result is in .*watch\.md"):
        report_of("loans", tmp_path, watch.path.name)
    with pytest.raises(ConfigError, match=f"must be one of other, but {older.path.name} is one of loans"):
        report_of("other", tmp_path, older.path.name)
    (tmp_path / "conf").mkdir()
    with pytest.raises(ConfigError, match=r"conf/lones\.yaml must exist"):
        report_of("lones", tmp_path)


def test_a_running_run_says_so(tmp_path: Path) -> None:
    run = write_run(tmp_path, stages={"validate": 1.0})
    lifetime.own(run)
    assert "The run is not finished yet" in text_of(run)
    lifetime.release(run)
    assert "The run was not finished" in text_of(run)
