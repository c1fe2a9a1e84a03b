"""Every command and program in the README works: run on one small project, or parsed where it serves or takes minutes."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
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

from bench.goals import BENCHMARKS
from bench.samples import ROOT
from headway.cli import commands as cli
from headway.cli.arguments import parser
from headway.project import load_project
from headway.serve import faster

README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCED = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
INLINE = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", README, flags=re.MULTILINE | re.DOTALL))
RUN = (
    "init",
    "check",
    "run",
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
PARSED = {
    "seeds": "trains sixteen networks",
    "sample": "needs a language model",
    "serve": "a server",
    "effect": "takes minutes",
    "up": "a server",
    "down": "needs headway up",
    "sync": "names a run of the reader's own",
    "resume": "names a run of the reader's own",
}


def commands(name: str, texts: list[str]) -> list[str]:
    """The lines that begin with a program's name, without what is said about them."""
    lines = [line.partition("#")[0].strip() for text in texts for line in text.splitlines()]
    return [line for line in lines if line.split()[:1] == [name]]


SHELL = [text for language, text in FENCED if not language]
HEADWAY, MENTIONED = commands("headway", SHELL), commands("headway", INLINE)


@pytest.mark.parametrize("line", dict.fromkeys([*HEADWAY, *MENTIONED]))
def test_the_command_line_knows_every_command(line: str) -> None:
    words = shlex.split(line)[1:]
    if line in MENTIONED and len(words) < 2:
        assert {*words} <= {*cli.COMMANDS, "--help"}
    else:
        parser(cli.COMMANDS).parse_args(words)


@pytest.mark.parametrize("line", ["headway runn adult", "headway run adult --resipe", "headway score"])
def test_a_misspelt_command_would_be_noticed(line: str) -> None:
    with pytest.raises(SystemExit):
        parser(cli.COMMANDS).parse_args(shlex.split(line)[1:])


def test_every_command_is_either_run_here_or_left_out_for_a_reason() -> None:
    assert {line.split()[1] for line in HEADWAY} <= {*RUN, *PARSED}
    assert set(cli.COMMANDS) >= {*RUN, *PARSED}


def test_make_knows_every_target_and_every_benchmark() -> None:
    lines = commands("make", [*SHELL, *INLINE])
    assert len(lines) >= 4
    for line in dict.fromkeys(lines):
        subprocess.run([*shlex.split(line), "--dry-run"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    sentence = re.search(r"`make bench NAME=(\w+)` \(([^)]+)\)", README)
    assert sentence is not None
    named = {sentence[1], *re.findall(r"`(\w+)`", sentence[2])}
    assert named == set(BENCHMARKS)


def test_files_and_folders_that_are_named_are_there() -> None:
    paths = [word for word in INLINE if re.fullmatch(r"(src|bench|conf|flows|docs|tests)/[\w/.-]*", word)]
    assert len(paths) > 5
    made_by_a_study = "conf/adult.recipe.yaml"
    assert [path for path in paths if path != made_by_a_study and not (ROOT / path).exists()] == []
    links = re.findall(r"\]\(((?!https?:)[^)#]+)", README)
    assert [path for path in links if not (ROOT / path).exists()] == []
    copied = commands("cp", re.split(r", |`", README.replace("\n", " ")))
    assert [line for line in copied if not (ROOT / line.split()[1]).exists()] == []


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
    lines = the_lines("score", "explain", "watch", "rollback", "status", "doctor", "gc")
    assert len(lines) == 7
    assert run_all(lines) == dict.fromkeys(lines, 0)
    for folder in ("scores", "reasons"):
        assert len(pd.read_parquet(next((retrained / folder).glob("new*.parquet")))) == 50
    assert cli.main(["deploy"]) == 0


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
    first, second = (text for language, text in FENCED if language == "python")
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
    documents, text = (text for language, text in FENCED if language == "yaml")
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
