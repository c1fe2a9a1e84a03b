"""Every command of the README's table, and every program of the documentation: run on one small project, or left out for a reason."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from prefect.settings import get_current_settings

from headway.cli import commands as cli
from headway.project import load_project
from headway.serve import faster
from tests.support.pages import ROOT, commands, page

HEADWAY = commands("headway", re.findall(r"^\| `([^`]+)` \|", page("README.md").text, re.MULTILINE))
"""What the table of commands lists."""

RUN = (
    "init",
    "check",
    "run",
    "list",
    "show",
    "report",
    "score",
    "explain",
    "watch",
    "rollback",
    "status",
    "backup",
    "restore",
    "doctor",
    "gc",
    "deploy",
)
ELSEWHERE = {
    "demo": "cli/test_demo.py",
    "seeds": "pipeline/test_seeds.py",
    "sample": "pipeline/test_language_project.py",
    "serve": "serve/test_http.py",
    "effect": "flows/test_effect_flow.py",
    "up": "flows/test_up.py",
    "down": "server/test_restore.py",
    "sync": "server/test_places.py",
    "resume": "pipeline/test_resuming.py",
}
"""The tests of those that serve, take minutes, or need what this small project lacks."""


def test_every_command_is_in_the_table_and_run_here_or_by_another_test() -> None:
    assert {line.split()[1] for line in HEADWAY} == set(cli.COMMANDS) == {*RUN, *ELSEWHERE}
    for name, path in ELSEWHERE.items():
        assert f'"{name}"' in (ROOT / "tests" / path).read_text(), name


@pytest.fixture(scope="module")
def project(prefect_server: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty project folder beside a small table; what commands change in this process is put back."""
    root = tmp_path_factory.mktemp("readme")
    (root / "conf").mkdir()
    (root / "data" / "incoming").mkdir(parents=True)
    rng = np.random.default_rng(0)
    height, width = rng.normal(size=(2, 2000))
    # Both models learn the slope; the stripes only boosting does, so that the second version is better and promoted.
    opens = rng.random(2000) < 1 / (1 + np.exp(-(3 * height + 4 * np.sign(np.sin(6 * width)))))
    frame = pd.DataFrame({"height": height, "width": width, "opens": np.where(opens, "yes", "no")})
    frame.to_csv(root / "flowers.csv", index=False)
    frame.head(50).to_csv(root / "data" / "incoming" / "new.csv", index=False)
    before, folder = dict(os.environ), Path.cwd()
    os.chdir(root)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    os.environ["PREFECT_API_URL"] = str(get_current_settings().api.url)
    yield root
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(before)


def adapted(text: str) -> str:
    """A command or a program of the README, on the small project."""
    truth = "|".join([*(path.stem for path in (ROOT / "conf").glob("*.yaml")), "NAME"])
    text = text.replace("FILE_OR_FOLDER", "flowers.csv").replace("COLUMN", "opens").replace("/mnt/safe/", "safe/")
    return re.sub(rf"(?<![\w-])({truth})(?![\w-])", "flowers", text)


def run_all(lines: list[str]) -> dict[str, int]:
    """The exit codes of those that are run here."""
    return {line: cli.main(shlex.split(adapted(line))[1:]) for line in lines}


def the_lines(*names: str) -> list[str]:
    """The README's commands of these names, in its order, without those that need a study's recipe."""
    return [line for line in HEADWAY if line.split()[1] in names and "--recipe" not in line]


@pytest.fixture(scope="module")
def retrained(project: Path) -> Path:
    """Two versions, made by the README's own commands."""
    (first,) = the_lines("init")
    assert run_all([first]) == {first: 0}
    path = project / "conf" / "flowers.yaml"
    drafted = yaml.safe_load(path.read_text())
    drafted["model"] = {"name": "mlp"}  # trees, of which what is drafted has some, learn the stripes at once
    drafted["train"] = {**drafted.get("train", {}), "epochs": 3, "threads": 1, "learning_rate": 0.01}
    drafted["evaluate"] = {**drafted.get("evaluate", {}), "baselines": ["trivial"], "resamples": 100}
    path.write_text(yaml.safe_dump(drafted))
    lines = the_lines("check", "run")
    assert len(lines) == 3
    assert run_all(lines) == dict.fromkeys(lines, 0)
    return project


def test_the_commands_from_a_table_to_predictions_and_back_do_what_is_said(retrained: Path) -> None:
    lines = the_lines(
        "list", "show", "report", "score", "explain", "watch", "rollback", "status", "doctor", "gc", "deploy"
    )
    assert len(lines) == 11
    assert run_all(lines) == dict.fromkeys(lines, 0)
    for folder in ("scores", "reasons"):
        assert len(pd.read_parquet(next((retrained / folder).glob("new*.parquet")))) == 50


def test_a_backup_is_restored_as_is_said(
    retrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    backup, restore = the_lines("backup", "restore")
    assert run_all([backup]) == {backup: 0}
    (file,) = (retrained / "safe").glob("*.tar")
    (tmp_path / "conf").mkdir()
    monkeypatch.chdir(tmp_path)
    assert cli.main([*shlex.split(restore)[1:-1], str(file)]) == 0
    assert (tmp_path / "conf" / "flowers.yaml").exists()


def test_the_programs_run(retrained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = page("docs/models.md").code("python")
    frame = pd.read_csv(retrained / "flowers.csv").head(30)
    exec(adapted(first), {"frame": frame})

    from headway import tracking

    fastest = create_autospec(faster.fastest, return_value=("chosen", "trials"))
    monkeypatch.setattr(faster, "fastest", fastest)  # it compiles, which takes a minute; its call must fit
    batch = pa.RecordBatch.from_pandas(frame, preserve_index=False)
    names: dict[str, Any] = {
        "bundle": tracking.version_of(retrained, "flowers").bundle,
        "batches": [batch],
        "batch": batch,
    }
    exec(second, names)
    assert len(names["predictions"]) == 30
    fastest.assert_called_once()


def test_the_yaml_is_read(retrained: Path) -> None:
    (questions, documents), (text,) = page("docs/models.md").code("yaml"), page("docs/schedule.md").code("yaml")
    (retrained / "conf" / "questions.yaml").write_text(questions)
    assert load_project("questions", retrained).model.name == "bag"
    (retrained / "conf" / "questions.yaml").unlink()
    (retrained / "conf" / "pages.yaml").write_text(documents)
    pages = load_project("pages", retrained)
    assert (pages.model.name, pages.data.features, pages.data.keys) == ("gpt", {"body": "text"}, ("page",))
    (retrained / "conf" / "pages.yaml").unlink()
    path = retrained / "conf" / "scheduled.yaml"
    project = (retrained / "conf" / "flowers.yaml").read_text().replace("name: flowers\n", "")
    path.write_text(project + text)
    schedule = load_project("scheduled", retrained).schedule
    path.unlink()
    assert schedule is not None
    assert schedule.timezone == "Europe/Berlin"
