"""`headway report`: prints where the page is, and opens it where somebody can see it."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path

import pytest

from headway.cli import commands as cli
from headway.files.atomic import write_json
from headway.run.directory import RunDirectory
from tests.effect.studied import studied
from tests.pipeline.run_records import drawn_evaluation, write_run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    (tmp_path / "conf").mkdir()
    monkeypatch.chdir(tmp_path)
    return write_run(tmp_path, drawn_evaluation("two classes"))


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that a browser was sent to."""
    visits: list[str] = []
    monkeypatch.setattr(webbrowser, "open", visits.append)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)
    return visits


def test_the_path_is_printed_and_a_browser_opens_where_there_is_a_screen(
    run: RunDirectory, addresses: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = run.path / "report.html"
    assert cli.main(["report", "loans"]) == 0
    assert capsys.readouterr().out == f"{page}\n"
    assert page.read_text().startswith("<!doctype html>")
    assert addresses == []
    monkeypatch.setenv("DISPLAY", ":0")
    assert cli.main(["report", "loans", run.path.name]) == 0
    assert addresses == [page.as_uri()]


def test_json_names_the_run_and_opens_nothing(
    run: RunDirectory, addresses: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    assert cli.main(["report", "loans", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == {"project": "loans", "run": run.path.name, "report": str(run.path / "report.html")}
    assert addresses == []


def test_a_mistake_is_one_line(run: RunDirectory, addresses: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", "loans", "loans-2"]) == 2
    assert capsys.readouterr().err.startswith("headway: a run must be a folder with a run.json, but loans-2 is none")
    (run.path / "run.json").write_text("{")
    assert cli.main(["report", "loans", run.path.name]) == 5
    assert "run.json must be JSON, but it is cut or changed" in capsys.readouterr().err


def test_a_study_has_its_report_made_again(
    run: RunDirectory, addresses: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    plan = {**run.plan, "effect": {}}
    study = RunDirectory.create(run.root, "loans", plan)
    assert cli.main(["report", "loans"]) == 2
    assert f"{study.path.name} has not; to resume it: headway effect loans" in capsys.readouterr().err
    studied().write(study.path / "effect.json")
    assert cli.main(["report", "loans"]) == 0
    assert capsys.readouterr().out == f"{study.path / 'effect.html'}\n"
    assert "times as fast at the same quality" in (study.path / "effect.html").read_text()
    write_json(study.path / "effect.json", {"of": "an early version"})
    (study.path / "effect.html").write_text("as it was")
    assert cli.main(["report", "loans"]) == 0
    assert (study.path / "effect.html").read_text() == "as it was"
