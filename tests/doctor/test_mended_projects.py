"""What `headway doctor` repairs beside the planted damages of single files, and what it leaves alone."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from headway import tracking
from headway.cli import commands as cli
from headway.data.ready import is_ready
from headway.doctor import main as doctor
from headway.doctor import runs
from headway.doctor.finding import Finding
from headway.errors import ConfigError, DamagedError, HeadwayError
from headway.files.atomic import write_json
from headway.pipeline import zombies
from headway.run import places
from headway.serve.bundle import Predictor
from headway.server.backup import backup
from headway.tracking import condition, decisions, intent
from tests.doctor.mending import assert_mended, lines_of, settled
from tests.support.whole_project import WholeProject, cut, flip, gone, zeros

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["evaluation.json", "decision.json", "result.json"])
def test_a_finished_runs_damaged_finding_comes_back_from_mlflow(project: WholeProject, name: str) -> None:
    path = project.run("finished").path / name
    before = json.loads(path.read_text())
    cut(path)
    assert_mended(project, name)
    assert json.loads(path.read_text()) == before


COMMANDS = [
    *[("rows", command, "weights.safetensors") for command in ("score", "serve", "watch")],
    *[("trees", command, "model.txt") for command in ("score", "watch")],
    *[("little", command, "preparation.json") for command in ("sample", "serve")],
]


@pytest.mark.parametrize(("name", "command", "file"), COMMANDS)
def test_no_command_uses_a_damaged_champion(
    request: pytest.FixtureRequest,
    name: str,
    command: str,
    file: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole: WholeProject = request.getfixturevalue("built" if name == "rows" else "built_others").of(name)
    whole.restore(whole.kept)
    flip(whole.bundle / file)
    monkeypatch.chdir(whole.root)
    assert cli.main([command, name]) == DamagedError.exit_code
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("headway: ")]
    assert line.startswith(f"headway: {name} version 2 must be undamaged, but {file} holds other bytes ")


def test_the_doctor_says_what_it_would_do_and_changes_nothing_until_it_is_told(
    project: WholeProject, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flip(project.bundle / "weights.safetensors")
    before = (project.bundle / "weights.safetensors").read_bytes()
    monkeypatch.chdir(project.root)
    assert cli.main(["doctor", "--json"]) == DamagedError.exit_code
    (row,) = json.loads(capsys.readouterr().out.splitlines()[-1])["left"]
    assert row["line"].endswith("take it from rows-champion, the run that made it")
    assert (project.bundle / "weights.safetensors").read_bytes() == before
    assert cli.main(["doctor", "--apply", "--json"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert ([one["line"] for one in report["mended"]], report["left"]) == ([row["line"]], [])
    assert cli.main(["doctor"]) == 0


@pytest.mark.parametrize("damage", [flip, cut])
def test_without_a_copy_the_version_before_takes_charge_and_the_lost_one_is_out_of_the_way(
    project: WholeProject, damage: Callable[[Path], None]
) -> None:
    damage(project.bundle / "weights.safetensors")
    shutil.rmtree(project.run("champion").bundle)
    assert_mended(project, "weights.safetensors")
    assert tracking.version_of(project.root, "rows").version == "1"
    why = tracking.history(project.root, "rows")[-1].why
    assert why.startswith("version 2 is damaged: weights.safetensors")


def test_of_a_single_damaged_version_the_line_names_the_command_that_helps(project: WholeProject) -> None:
    client = tracking.open_store(project.root)
    client.delete_model_version("rows", "1")
    flip(project.bundle / "weights.safetensors")
    shutil.rmtree(project.run("champion").bundle)
    with pytest.raises(DamagedError, match="otherwise: headway run rows --replace-champion$"):
        tracking.version_of(project.root, "rows")
    left = doctor.mend(project.root).left
    assert [one.fix for one in left] == ["no copy is left: headway run rows --replace-champion"]


def test_a_bundle_from_before_there_were_checksums_is_used_and_the_doctor_says_so(project: WholeProject) -> None:
    for folder in (project.bundle, project.model):
        (folder / "checksums.json").unlink()
    assert tracking.version_of(project.root, "rows").version == "2"
    assert Predictor.load(project.bundle)
    assert_mended(project, "has no checksums, as an older version of Headway wrote it")
    assert (project.bundle / "checksums.json").exists()


def test_a_store_from_before_there_were_checksums_is_made_again(project: WholeProject) -> None:
    (project.store / "checksums.json").unlink()
    messages: list[str] = []
    assert is_ready(project.store, messages.append) is False
    assert "an older version made it" in messages[0]


# What follows: aliases, runs that MLflow shows for ever, leftovers, lists that save time.


def test_an_alias_that_names_no_version_goes(project: WholeProject) -> None:
    path = settled(project)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE registered_model_aliases SET version = 9 WHERE alias = 'previous'")
    database.close()
    assert_mended(project, "rows's alias previous names version 9, which does not exist")


@pytest.mark.parametrize("is_spoilt", [False, True])
def test_a_decision_that_was_begun_is_finished_and_a_spoilt_one_goes(
    project: WholeProject, monkeypatch: pytest.MonkeyPatch, is_spoilt: bool
) -> None:
    def die(*_: object) -> None:
        raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(decisions, "append", die)
        with pytest.raises((InterruptedError, HeadwayError)):
            tracking.rollback(project.root, "rows", reason="complaints")
    client = tracking.open_store(project.root)
    if is_spoilt:
        client.set_registered_model_tag("rows", "intent", "{")
    assert_mended(project, "a decision about rows is unfinished")
    assert "intent" not in client.get_registered_model("rows").tags
    assert tracking.version_of(project.root, "rows").version == "1"
    assert is_spoilt or tracking.history(project.root, "rows")[-1].why == "complaints"


def test_a_run_that_lost_its_folder_does_not_run_for_ever(killed: WholeProject) -> None:
    shutil.rmtree(killed.run("dead").path)
    zombies.close_dead(killed.root)
    assert killed.status("dead") == "RUNNING"
    assert_mended(killed, "is shown as running, but has no folder here")
    assert killed.status("dead") == "KILLED"


def test_a_folder_whose_run_mlflow_has_lost_is_delivered_again(project: WholeProject) -> None:
    path = settled(project)
    run_id = json.loads((project.run("dead").path / "tracking.json").read_text())["run_id"]
    with sqlite3.connect(path) as database:
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            if "run_uuid" in {name for _, name, *_ in database.execute(f"PRAGMA table_info({table})")}:
                database.execute(f"DELETE FROM {table} WHERE run_uuid = ?", (run_id,))
    database.close()
    assert_mended(project, "MLflow has lost the run")
    assert json.loads((project.run("dead").path / "tracking.json").read_text())["run_id"] != run_id


@pytest.mark.parametrize("damage", [gone, zeros])
def test_a_lost_database_without_a_backup_is_begun_anew_and_the_line_says_what_that_costs(
    project: WholeProject, damage: Callable[[Path], None]
) -> None:
    damage(settled(project))
    (line,) = [line for line in lines_of(project) if line.startswith("mlruns/mlflow.db: ")]
    assert "deliver the runs in data/runs/ to it: versions, aliases and decisions that cannot be read are lost" in line
    assert "unless you put a backup into backups/ first" in line
    assert_mended(project, "mlflow.db")
    names = {row.name for row in tracking.list_runs(project.root, "rows")}
    assert {"champion", "rows-dead", "rows-later"} < names
    with pytest.raises(HeadwayError, match="rows has no champion yet. .*headway run rows"):
        tracking.version_of(project.root, "rows")


def test_no_command_begins_a_database_anew_in_the_place_of_one_that_is_gone(project: WholeProject) -> None:
    path = settled(project)
    path.unlink()
    for use in (lambda: tracking.open_store(project.root), lambda: tracking.rollback(project.root, "rows")):
        with pytest.raises(
            DamagedError, match=r"mlflow\.db must hold .* of this folder, but is missing; headway doctor"
        ):
            use()
    assert not path.exists()


def test_a_run_damaged_together_with_the_database_is_mended_from_mlflow_and_not_set_aside(
    project: WholeProject,
) -> None:
    backup(project.root, str(project.root / "backups") + "/")
    path = project.run("finished").path / "decision.json"
    before = path.read_bytes()
    zeros(settled(project))
    cut(path)
    assert_mended(project, "mlflow.db")
    assert path.read_bytes() == before


def test_no_run_is_set_aside_because_mlflow_is_away(project: WholeProject, monkeypatch: pytest.MonkeyPatch) -> None:
    path = project.run("finished").path
    cut(path / "decision.json")
    monkeypatch.setattr(runs, "_copy", lambda *_: (_ for _ in ()).throw(ConfigError("MLflow must answer")))
    monkeypatch.setattr(condition, "answers", lambda _: False)
    left = doctor.mend(project.root).left
    assert [one.fix for one in left if one.where == path] == ["MLflow must answer first"]
    assert path.exists()


LEFT = [
    ("data/prepared/.abc.999999999.partial", "train/numeric.npy", b"x"),
    ("data/runs/rows-dead/.result.json.999999999.partial", "", b"{"),
    ("data/runs/rows-dead/checkpoints/.step-0000000001-0123456789abcdef.safetensors.partial", "", b"x"),
    ("mlruns/.mlflow.db.999999999.partial", "", b"x"),
    ("data/prepared/.abc.trash", "store.json", b"{}"),
    (".prefect/serving.json", "", b"{"),
    (".prefect/up.json", "", b""),
    ("data/watch/rows.json", "", b"\0\0"),
    (".cache/digests.json", "", b"[1]"),
]


@pytest.mark.parametrize(("name", "inner", "content"), LEFT, ids=[name for name, *_ in LEFT])
def test_what_killed_processes_left_goes(project: WholeProject, name: str, inner: str, content: bytes) -> None:
    path = project.root / name
    file = path / inner
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    assert_mended(project, path.name)
    assert not path.exists()


def test_a_kept_profile_that_was_changed_is_made_again(project: WholeProject) -> None:
    path = next((project.root / "data" / "prepared" / "profiles").glob("*.json"))
    report = json.loads(path.read_text())
    write_json(path, {**report, "rows": report["rows"] + 1})
    assert_mended(project, path.name)


def test_a_run_that_died_before_it_began_leaves_nothing(project: WholeProject) -> None:
    path = project.run("begun").path
    path.mkdir()
    (path / "owner.lock").touch()
    assert_mended(project, "rows-begun")
    assert not path.exists()


# What others do meanwhile, and what is not this folder's to judge.


def test_versions_that_another_folder_keeps_are_not_judged(
    project: WholeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(condition, "model_folder", lambda *_: Path("/elsewhere/mlruns/artifacts/rows/m-1/artifacts"))
    assert lines_of(project) == []


def test_where_all_artifacts_are_gone_the_doctor_says_so_and_no_version_loses_its_place(project: WholeProject) -> None:
    (project.root / "mlruns" / "artifacts").rename(project.root / "mlruns" / "unmounted")
    (finding,) = doctor.mend(project.root).left
    assert finding.line(project.root).startswith("mlruns/artifacts: the files of all registered versions are missing; ")
    aliases = tracking.open_store(project.root).get_registered_model("rows").aliases
    assert {alias: str(number) for alias, number in aliases.items()} == {"champion": "2", "previous": "1"}


def test_an_alias_that_was_put_right_meanwhile_stays(project: WholeProject) -> None:
    path = settled(project)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE registered_model_aliases SET version = 9 WHERE alias = 'previous'")
    database.close()
    (finding,) = doctor.examine(project.root)
    client = tracking.open_store(project.root)
    client.set_registered_model_alias("rows", "previous", "1")
    assert finding.mend is not None
    finding.mend()
    assert str(client.get_model_version_by_alias("rows", "previous").version) == "1"


def _flipped_without_copy(project: WholeProject) -> tuple[Path, bytes]:
    """Version 1's weights, damaged where its run has no copy any more, and what they were before."""
    shutil.rmtree(project.run("finished").bundle)
    client = tracking.open_store(project.root)
    folder = tracking.bundles.model_folder(client, client.get_model_version("rows", "1"))
    assert folder is not None
    path = folder / "artifacts" / "bundle" / "weights.safetensors"
    before = path.read_bytes()
    flip(path)
    return path, before


def test_a_version_that_was_mended_meanwhile_keeps_its_alias(project: WholeProject) -> None:
    client = tracking.open_store(project.root)
    path, before = _flipped_without_copy(project)
    (finding,) = [one for one in doctor.examine(project.root) if one.fix.startswith("no copy is left")]
    path.write_bytes(before)
    assert finding.mend is not None
    finding.mend()
    assert str(client.get_model_version_by_alias("rows", "previous").version) == "1"
    assert "damaged" not in client.get_model_version("rows", "1").tags


def test_looking_finishes_no_decision_and_does_not_choose_who_takes_over_before(project: WholeProject) -> None:
    client = tracking.open_store(project.root)
    bundle = tracking.version_of(project.root, "rows").bundle
    shutil.rmtree(project.run("champion").bundle)
    flip(bundle / "weights.safetensors")
    record = decisions.DecisionRecord("promotion", "1", "2", "1", "better", "a person", 0.0)
    values = intent.Intent(decisions.new_key(9), record, "1").to_json()
    client.set_registered_model_tag("rows", intent.TAG, values)
    aliases = client.get_registered_model("rows").aliases
    assert [line for line in lines_of(project) if "a decision about rows is unfinished" in line] == lines_of(project)
    model = client.get_registered_model("rows")
    assert (model.aliases, model.tags[intent.TAG]) == (aliases, values)
    doctor.mend(project.root)
    assert str(client.get_model_version_by_alias("rows", "champion").version) == "1"


def test_a_replacement_that_was_killed_is_finished_by_the_doctor_and_not_by_looking(project: WholeProject) -> None:
    client = tracking.open_store(project.root)
    artifacts = tracking.bundles.model_folder(client, client.get_model_version("rows", "1"))
    assert artifacts is not None
    artifacts.rename(artifacts.with_name(artifacts.name + ".damaged"))
    assert any("while it replaced" in line for line in lines_of(project))
    assert not artifacts.exists()
    assert_mended(project, "rows version 1")
    assert artifacts.exists()
    assert str(client.get_model_version_by_alias("rows", "previous").version) == "1"


def test_in_a_folder_that_was_copied_looking_changes_nothing(project: WholeProject, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    settled(project)
    shutil.copytree(project.root, copy)
    before = (copy / "mlruns" / "mlflow.db").read_bytes()
    lines = [one.line(copy) for one in doctor.examine(copy)]
    assert len(lines) == 1
    assert f"MLflow names {project.root} instead of this folder" in lines[0]
    assert (copy / "mlruns" / "mlflow.db").read_bytes() == before
    assert doctor.mend(copy).left == ()
    assert places.former(copy) == []
    assert lines_of(project) == []


def test_a_version_that_is_whole_again_is_not_called_damaged_any_more(project: WholeProject) -> None:
    client = tracking.open_store(project.root)
    path, before = _flipped_without_copy(project)
    doctor.mend(project.root)
    assert "damaged" in client.get_model_version("rows", "1").tags
    assert "previous" not in client.get_registered_model("rows").aliases
    path.write_bytes(before)
    assert_mended(project, "rows version 1")
    assert "damaged" not in client.get_model_version("rows", "1").tags


def test_prepared_data_that_was_made_again_meanwhile_stays(project: WholeProject) -> None:
    path = project.store / "train" / "target.npy"
    before = path.read_bytes()
    flip(path)
    (finding,) = doctor.examine(project.root)
    path.write_bytes(before)
    assert finding.mend is not None
    finding.mend()
    assert path.read_bytes() == before


def test_without_apply_no_run_is_closed(
    killed: WholeProject, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(killed.root)
    assert cli.main(["doctor"]) == DamagedError.exit_code
    assert "its process was killed; close it in MLflow as killed" in capsys.readouterr().out
    assert all((killed.run(name).path / "owner.lock").exists() for name in ("dead", "later"))
    assert killed.status("dead") == "RUNNING"
    assert cli.main(["doctor", "--apply"]) == 0
    assert killed.status("dead") == "KILLED"


def test_an_error_that_nobody_thought_of_is_a_line_and_hides_no_other_finding(
    project: WholeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> Iterator[Finding]:
        raise RuntimeError("unheard of")

    flip(project.store / "train" / "target.npy")
    monkeypatch.setattr(doctor, "CHECKS", (fail, *doctor.CHECKS))
    first, second = lines_of(project)
    assert "cannot be examined: RuntimeError: unheard of" in first
    assert "the prepared data is damaged" in second
    assert len(doctor.mend(project.root).mended) == 1


def test_what_others_depend_on_is_mended_before_anything_is_done_about_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, acts = tmp_path / "base", []

    def dependent(root: Path) -> Iterator[Finding]:
        if not base.exists():
            yield Finding("no copy is there", root / "file", "give it up", partial(acts.append, "given up"))

    def first(_: Path) -> Iterator[Finding]:
        if not base.exists():
            yield Finding("it is gone", base, "make it again", base.touch, is_first=True)

    monkeypatch.setattr(doctor, "CHECKS", (dependent, first))
    report = doctor.mend(tmp_path)
    assert ([one.where for one in report.mended], report.left, acts) == ([base], (), [])


def test_a_run_that_came_to_its_end_and_could_not_say_so_is_not_called_killed(killed: WholeProject) -> None:
    """As on a disk that was full when MLflow was to be told."""
    write_json(killed.run("dead").path / "decision.json", {"promoted": False, "reason": "worse"})
    lines = [line for line in lines_of(killed) if killed.run("dead").path.name in line]
    assert any("has ended, but MLflow shows it as running; close it in MLflow as finished" in line for line in lines)
    doctor.mend(killed.root)
    assert killed.status("dead") == "FINISHED"
