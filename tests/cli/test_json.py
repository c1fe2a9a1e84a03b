"""--json: one object on standard output, with documented keys, also for errors; everything for people on standard error."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from headway.cli import answers, champions, operating
from headway.cli import commands as cli
from headway.cli.keys import ERROR, KEYS
from headway.pipeline import serving
from headway.server import up as up_module
from tests.support.whole_project import WholeProject

ROWS = "height,opens\n" + "".join(f"{n % 17},{'yes' if n % 3 else 'no'}\n" for n in range(200))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "conf").mkdir()
    (tmp_path / "flowers.csv").write_text(ROWS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def test_a_command_has_one_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """What fails after it is said on standard error alone."""
    options = argparse.Namespace(json=True, command="down", answers=sys.stdout)
    answers.answer(options, {})
    answers.answer_error(options, "interrupted", 130)
    assert json.loads(capsys.readouterr().out) == {}


def answer_of(words: Sequence[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> dict[str, Any]:
    """The object that a command prints, which must be all of standard output."""
    assert cli.main([*words, "--json"]) == code
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    answer: dict[str, Any] = json.loads(out)
    return answer


@pytest.mark.parametrize(
    "words",
    [
        ["list"],
        ["show", "rows"],
        ["check", "rows"],
        ["status"],
        ["down"],
        ["gc"],
        ["doctor"],
        ["sync", "rows-champion"],
        ["backup", "--to", "backups/"],
        ["score", "rows"],
        ["explain", "rows", "--rows", "data/raw/rows.csv"],
        ["rollback", "rows"],
        ["resume", "rows-champion"],
    ],
    ids=lambda words: words[0],
)
def test_a_command_prints_one_object_with_the_keys_of_its_help(
    project: WholeProject, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project.root)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert cli.main([*words, "--json"]) == 0
    printed = capsys.readouterr()
    (line,) = printed.out.splitlines()
    assert set(json.loads(line)) <= set(KEYS[words[0]])
    assert printed.err, "what people read is on standard error"


def test_init_says_what_it_wrote_and_decided(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = answer_of(["init", "--data", "flowers.csv", "--target", "opens"], capsys)
    assert set(answer) == set(KEYS["init"])
    assert Path(answer["path"]) == root / "conf" / "flowers.yaml"
    assert answer["decisions"]


def test_deploy_counts_what_it_wrote(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer_of(["init", "--data", "flowers.csv", "--target", "opens"], capsys)
    answer = answer_of(["deploy"], capsys)
    assert set(answer) == set(KEYS["deploy"])
    assert answer["deployments"] > 1


def test_servers_print_their_object_once_they_answer(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def up(root: Path, options: Any, say: Any, close_dead: Any, ready: Any) -> None:
        say("starting Prefect and MLflow")
        ready(up_module._facts(root, options))
        say("loans: started")
        raise KeyboardInterrupt

    def serve(name: str, root: Path, port: int, version: str, say: Any, ready: Any) -> None:
        say(f"starting {name}")
        ready({"project": name, "version": "3", "address": f"http://127.0.0.1:{port}/invocations", "log": "x"})

    monkeypatch.setattr(up_module, "up", up)
    monkeypatch.setattr(serving, "serve", serve)
    monkeypatch.setattr(operating, "interrupt_on", lambda *_: None)
    monkeypatch.setattr(champions, "interrupt_on", lambda *_: None)
    answer = answer_of(["up"], capsys)
    assert set(answer) == set(KEYS["up"])
    assert answer["prefect"] == "http://127.0.0.1:4200"
    assert answer_of(["up", "--only", "mlflow"], capsys)["prefect"] is None
    assert answer_of(["serve", "flowers"], capsys)["version"] == "3"


@pytest.mark.parametrize("words", [["run", "nothing"], ["rnu"], ["gc", "nothing"], ["status", "--port"], ["score"]])
def test_an_error_is_an_object_too(root: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*words, "--json"]) == 2
    printed = capsys.readouterr()
    answer = json.loads(printed.out)
    assert set(answer) == set(ERROR)
    assert answer["exit"] == 2
    assert printed.err == "".join(f"headway: {line}\n" for line in answer["error"].splitlines())


def test_an_interruption_and_a_bug_are_objects_too(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ending(error: BaseException) -> None:
        def work(_: argparse.Namespace) -> int:
            raise error

        monkeypatch.setitem(cli.COMMANDS, "status", work)

    ending(KeyboardInterrupt())
    assert answer_of(["status"], capsys, 130) == {"error": "interrupted", "exit": 130}
    ending(ZeroDivisionError("by zero"))
    with pytest.raises(ZeroDivisionError):
        cli.main(["status", "--json"])
    assert json.loads(capsys.readouterr().out) == {"error": "ZeroDivisionError: by zero", "exit": 1}


def test_whatever_a_command_prints_standard_output_has_the_object_alone(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(options: argparse.Namespace) -> int:
        print("a library says something")
        answers.answer(options, {"stopped": [1]})
        return 0

    monkeypatch.setitem(cli.COMMANDS, "down", work)
    assert cli.main(["down", "--json"]) == 0
    assert capsys.readouterr() == ('{"stopped": [1]}\n', "a library says something\n")


def test_a_key_that_the_help_does_not_name_is_our_mistake(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(options: argparse.Namespace) -> int:
        answers.answer(options, {"stopped": [], "surprise": 1})
        return 0

    monkeypatch.setitem(cli.COMMANDS, "down", work)
    with pytest.raises(AssertionError, match="surprise"):
        cli.main(["down", "--json"])


def test_what_is_no_json_becomes_null(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = argparse.Namespace(json=True, command="down", answers=sys.stdout)
    answers.answer(options, {"stopped": (math.nan, math.inf, {"a": [1.5, -math.inf]}, Path("x"))})
    assert json.loads(capsys.readouterr().out) == {"stopped": [None, None, {"a": [1.5, None]}, "x"]}


def test_without_json_nothing_is_an_object(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["down"]) == 0
    assert capsys.readouterr().out == "headway up does not run here\n"
