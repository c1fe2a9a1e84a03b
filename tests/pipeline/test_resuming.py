"""Which runs can go on, and with what."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from headway.cli import commands as cli
from headway.data.ready import is_ready
from headway.doctor import stores
from headway.errors import ConfigError
from headway.files.atomic import read_json, write_json
from headway.pipeline import stages
from headway.pipeline.resuming import STAGES, newest, prepare_again, remaining_stages, unfinished
from headway.pipeline.runs import Prepared
from headway.pipeline.terminal import Terminal
from headway.project import load_project
from headway.run import lifetime
from headway.run.directory import RunDirectory
from headway.run.report import Reporter
from headway.run.result import Result

YAML = """
task: classification
data: {source: flowers.csv, target: opens, features: {height: numeric}}
"""


@pytest.fixture
def root(root: Path) -> Path:
    (root / "conf" / "flowers.yaml").write_text(YAML)
    return root


def begin(root: Path, **more: Any) -> RunDirectory:
    project = load_project("flowers", root)
    return RunDirectory.create(root, "flowers", {"project": project.model_dump(mode="json"), **more})


def prepared(run: RunDirectory, store: Path) -> None:
    store.mkdir(parents=True, exist_ok=True)
    write_json(run.path / "store.json", {"path": run.from_root(store), "digest": store.name})


def learnt(run: RunDirectory) -> None:
    """As after some training: a checkpoint, and the steps that were told."""
    run.checkpoints.mkdir()
    (run.checkpoints / "step-40").mkdir()
    journal = run.journal()
    journal.write("checkpoint", step=1040)
    journal.close()


def trained(run: RunDirectory) -> None:
    run.bundle.mkdir()
    run.predictions("test").parent.mkdir()
    run.predictions("test").write_bytes(b"")
    run.finish(Result(epochs=1))


def test_a_run_goes_on_behind_what_it_has_done(root: Path) -> None:
    run, store = begin(root), root / "data" / "prepared" / "abc"
    assert remaining_stages(run) == STAGES
    prepared(run, store)
    assert remaining_stages(run) == STAGES  # nothing was learnt: the rows may be others by now
    learnt(run)
    assert remaining_stages(run) == ("train", "evaluate", "register")
    assert unfinished(run.path.name, root).progress == "while it was training, at step 1,040"
    store.rmdir()
    assert remaining_stages(run) == ("prepare", "train", "evaluate", "register")
    trained(run)
    write_json(run.path / "evaluation.json", {})
    prepared(run, store)
    assert remaining_stages(run) == ("train", "evaluate", "register")  # the champion may be another: measured anew
    assert unfinished(run.path.name, root).progress == "before its decision"
    write_json(run.path / "decision.json", {})
    assert remaining_stages(run) == ()


def test_documents_that_an_earlier_version_prepared_are_prepared_again_or_refused_in_one_line(root: Path) -> None:
    """As tokens.npy and tokenizer.json, beside a store.json that says so."""
    run, store = begin(root), root / "data" / "prepared" / "abc"
    prepared(run, store)
    write_json(store / "store.json", {"vocabulary": 8, "kind": "tokens"})
    assert unfinished(run.path.name, root).is_ahead is False  # nothing was learnt: it is prepared again
    assert list(stores.examine(root)) == []  # no damage: the next clearing up takes it
    messages: list[str] = []
    learnt(run)
    with pytest.raises(
        ConfigError, match="an earlier version of Headway made it .* start a new run: headway run flowers"
    ):
        unfinished(run.path.name, root)
    assert newest(load_project("flowers", root), root) is None
    assert is_ready(store, messages.append) is False
    assert messages[0].endswith("is made again: an earlier version made it")


@pytest.mark.parametrize("content", [None, b'{"metrics": '], ids=["gone", "cut"])
def test_a_decided_run_without_its_evaluation_is_told_without_metrics(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    run = begin(root)
    trained(run)
    write_json(run.path / "tracking.json", {"ending": {"status": "FINISHED"}})
    write_json(run.path / "decision.json", {"promoted": True, "reason": "the first model"})
    if content is not None:
        (run.path / "evaluation.json").write_bytes(content)
    monkeypatch.chdir(root)
    assert cli.main(["resume", run.path.name]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "is done: there is nothing to resume" in text
    assert "the metrics are not shown:" in text
    assert "is missing or damaged" in text
    assert "the first model" in text


@pytest.mark.parametrize("content", [None, b"", b'{"path": ', b"[]", b"{}", b'{"path": 3}'])
def test_a_run_whose_rows_are_named_no_more_is_passed_over_and_refused_in_one_line(
    root: Path, content: bytes | None
) -> None:
    run = begin(root)
    learnt(run)
    if content is not None:
        (run.path / "store.json").write_bytes(content)
    assert remaining_stages(run) == ("prepare", "train", "evaluate", "register")
    assert newest(load_project("flowers", root), root) is None
    text = "must say in store.json which rows it was trained on, but the file is missing or damaged; start a new run: headway run"
    for act in (lambda: unfinished(run.path.name, root), lambda: prepare_again(run, root, Terminal(io.StringIO()))):
        with pytest.raises(ConfigError, match=text):
            act()
    write_json(run.path / "decision.json", {})
    assert remaining_stages(run) == ()
    assert unfinished(run.path.name, root).progress == "after its decision"


def test_the_newest_run_is_taken_up_only_as_what_would_be_started_now(root: Path) -> None:
    assert newest(load_project("flowers", root), root) is None
    run = begin(root)
    left = newest(load_project("flowers", root), root)
    assert left is not None
    assert (left.run, left.is_ahead) == (run, False)
    prepared(run, root / "data" / "prepared" / "abc")
    learnt(run)
    left = newest(load_project("flowers", root), root)
    assert left is not None
    assert left.is_ahead
    assert f"to resume it instead: headway resume {run.path.name}" in left.offer
    assert newest(load_project("flowers", root, ["train.epochs=3"]), root) is None
    write_json(run.path / "data.json", {"digest": "of other rows"})
    (root / "flowers.csv").write_text("height,opens\n1,yes\n2,no\n")
    assert newest(load_project("flowers", root), root) is None
    (run.path / "data.json").unlink()
    write_json(run.path / "decision.json", {})
    assert newest(load_project("flowers", root), root) is None


def test_what_is_no_retraining_is_no_newer_run_and_says_which_command_goes_on(root: Path) -> None:
    run = begin(root)
    for mark, command in (("effect", "effect"), ("watch", "watch"), ("variants", "seeds")):
        other = begin(root, **{mark: {}})
        with pytest.raises(
            ConfigError, match=f"is not a retraining, so it cannot be resumed; run again: headway {command} flowers"
        ):
            unfinished(other.path.name, root)
    left = newest(load_project("flowers", root), root)
    assert left is not None
    assert left.run == run


def test_a_run_at_work_or_without_its_bundle_is_refused(root: Path) -> None:
    run = begin(root)
    lifetime.own(run)
    with pytest.raises(ConfigError, match="must have one process, but another still works on it"):
        unfinished(run.path.name, root)
    assert newest(load_project("flowers", root), root) is None
    lifetime.release(run)
    run.finish(Result(epochs=1))
    with pytest.raises(ConfigError, match="must have its bundle to be resumed, but headway gc has removed it"):
        unfinished(run.path.name, root)


def test_a_run_that_has_learnt_does_not_go_on_with_other_rows(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = begin(root)
    prepared(run, root / "data" / "prepared" / "abc")
    learnt(run)
    before = read_json(run.path / "store.json")

    def prepare(run: RunDirectory, _root: Path, _report: Reporter) -> Prepared:
        values = {"path": str(root), "digest": digest}
        write_json(run.path / "store.json", values)
        return Prepared.from_json(values)

    monkeypatch.setattr(stages, "prepare", prepare)
    digest = "abc"
    prepare_again(run, root, Terminal(io.StringIO()))
    write_json(run.path / "store.json", before)
    digest = "def"
    with pytest.raises(
        ConfigError, match="must be resumed with the rows that it was trained on, but they have changed"
    ):
        prepare_again(run, root, Terminal(io.StringIO()))
    assert Prepared.read(run.path / "store.json") == Prepared.from_json(before)
