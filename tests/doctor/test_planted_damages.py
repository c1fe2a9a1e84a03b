"""A hundred planted damages of one small project: each is found and named, got around, mended, and then nothing is wrong any more."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from headway import cli, places, retention, stages, status, tracking, zombies
from headway.base import DamagedError, HeadwayError, write_json
from headway.data.ready import is_ready
from headway.data.store import Store
from headway.doctor import main as doctor
from headway.doctor.finding import Finding
from headway.incremental import up_to_date
from headway.report import Silent
from headway.serve.bundle import Predictor
from headway.tracking import condition, decisions, intent
from headway.train.checkpoint import load_newest
from tests.whole_project import WholeProject, a_list, build, cut, empty, flip, gone, half_zeros, zeros

Damage = Callable[[Path], None]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeProject]:
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("MLFLOW_TRACKING_URI", "HEADWAY_DATABASE"):
            patch.delenv(variable, raising=False)
        yield build(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def project(built: WholeProject) -> WholeProject:
    built.restore(built.kept)
    return built


@pytest.fixture
def killed(built: WholeProject) -> WholeProject:
    """The project in which two trainings were just killed."""
    built.restore(built.killed)
    return built


@dataclass(frozen=True)
class Case:
    """A damage: what is done to which file, of the folder that the test is about."""

    name: str
    damage: Damage

    def __str__(self) -> str:
        return f"{self.name} {self.damage.__name__}"


def cases(names: str, *damages: Damage) -> list[Case]:
    return [Case(name, damage) for name in names.split() for damage in damages]


def lines_of(project: WholeProject) -> list[str]:
    return [one.line(project.root) for one in doctor.examine(project.root)]


def assert_mended(project: WholeProject, name: str) -> doctor.Report:
    """The doctor names the damage, mends it, and finds nothing afterwards."""
    assert any(name in line for line in lines_of(project)), lines_of(project)
    report = doctor.mend(project.root)
    assert report.left == (), [one.line(project.root) for one in report.left]
    return report


# Dead runs: `headway up` looks at them again and again, and every other command passes them by.

JSON = "run.json data.json profile.json validation.json store.json stages.json flow.json tracking.json tuned.json error.json"
RUNS = [
    *cases(JSON, cut, empty, zeros),
    *cases("run.json tracking.json store.json", a_list),
    *cases("tracking-cursor.json", cut, empty),
    *cases("journal.jsonl", cut, half_zeros, flip),
    *cases("plots/roc.png", cut),
    *cases("predictions/test.npy", cut, empty),
    *cases("bundle/weights.safetensors", cut, flip),
]


@pytest.mark.parametrize("case", RUNS, ids=str)
def test_a_damaged_file_of_a_dead_run_ends_no_command(killed: WholeProject, case: Case) -> None:
    root, run = killed.root, killed.run("dead")
    (run.path / "plots").mkdir(exist_ok=True)
    path = run.path / case.name
    if not path.exists():
        shutil.copy(next((killed.run("finished").path / path.parent.name).glob("*.png")), path)
    case.damage(path)
    if path.name == "journal.jsonl" and case.damage is flip:
        path.write_bytes(path.read_bytes().replace(b'"kind"', b'"k\x00nd"', 1))
    where = path.name if path.parent.name != "bundle" else "bundle"
    assert any(where in line for line in lines_of(killed)), lines_of(killed)
    assert run.result is None
    assert isinstance(list(run.events()), list)
    assert stages.summary(run)["run_directory"] == str(run.path)
    assert status.status(root)["runs"]
    assert retention.collect(root, [], False)["applied"] is False
    up_to_date("rows", root)
    told = zombies.close_dead(root)
    assert any(line.startswith("rows-later: its process was killed; closed as killed") for line in told), told
    assert zombies.close_dead(root) == [], "no run comes up again and again"
    assert killed.status("later") == "KILLED"
    report = doctor.mend(root)
    assert report.left == (), [one.line(root) for one in report.left]
    assert killed.status("dead") == "KILLED"


def plant_zero_tail(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0" * 100)


def plant_middle(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], lines[1][:9], *lines[2:]]))


JOURNALS: list[Damage] = [cut, plant_zero_tail, plant_middle, zeros, empty]


@pytest.mark.parametrize("damage", JOURNALS)
def test_a_damaged_journal_is_read_and_continued_behind_its_last_whole_event(
    project: WholeProject, damage: Damage
) -> None:
    run = project.run("dead")
    before = {event.n: event for event in run.events()}
    damage(run.path / "journal.jsonl")
    left = list(run.events())
    assert all(before[event.n] == event for event in left)
    journal = run.journal()
    journal.write("stage", name="resumed")
    journal.close()
    after = list(run.events())
    assert after[:-1] == left
    assert after[-1].n == max((event.n for event in left), default=0) + 1


@pytest.mark.parametrize("name", ["evaluation.json", "decision.json", "result.json"])
def test_a_finished_runs_damaged_finding_comes_back_from_mlflow(project: WholeProject, name: str) -> None:
    path = project.run("finished").path / name
    before = json.loads(path.read_text())
    cut(path)
    assert_mended(project, name)
    assert json.loads(path.read_text()) == before


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("damage", [cut, flip, empty])
def test_a_training_goes_on_from_the_checkpoint_before_a_damaged_one(
    project: WholeProject, damage: Damage, count: int
) -> None:
    run = project.run("dead")
    kept = sorted(run.checkpoints.glob("step-*.safetensors"), reverse=True)
    for path in kept[:count]:
        damage(path)
    said: list[str] = []
    found = load_newest(run.checkpoints, said.append)
    assert len(said) == count
    assert kept[0].name in said[0]
    assert (found is None) == (count == len(kept))
    assert_mended(project, kept[0].name)


# Champions: never used damaged; mended from the run that made them, else the one before, else a person.

BUNDLES = [
    *cases("weights.safetensors", cut, flip, empty, half_zeros, gone),
    *cases("bundle.json", cut, flip, gone, a_list),
    *cases("preparation.json", cut, flip),
    *cases("learnt.npy", cut),
    *cases("checksums.json", cut, flip),
]


@pytest.mark.parametrize("case", BUNDLES, ids=str)
def test_a_damaged_champion_is_refused_in_one_line_and_taken_again_from_its_run(
    project: WholeProject, case: Case
) -> None:
    bundle = project.bundle
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    case.damage(bundle / case.name)
    for refuse in (lambda: tracking.version_of(project.root, "rows"), lambda: Predictor.load(bundle)):
        with pytest.raises(HeadwayError) as caught:
            refuse()
        assert case.name in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(DamagedError, match="headway doctor --apply mends it .*; else: headway rollback rows --to 1"):
        tracking.version_of(project.root, "rows")
    assert_mended(project, case.name)
    assert {path.name: path.read_bytes() for path in project.bundle.iterdir()} == before
    assert tracking.version_of(project.root, "rows").version == "2"


@pytest.mark.parametrize("command", ["score", "serve", "watch"])
def test_no_command_uses_a_damaged_champion(
    project: WholeProject, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flip(project.bundle / "weights.safetensors")
    monkeypatch.chdir(project.root)
    assert cli.main([command, "rows"]) == DamagedError.exit_code
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("headway: ")]
    assert line.startswith("headway: rows version 2 must be what was registered, but weights.safetensors holds other ")


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
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert ([one["line"] for one in told["mended"]], told["left"]) == ([row["line"]], [])
    assert cli.main(["doctor"]) == 0


@pytest.mark.parametrize("damage", [flip, cut])
def test_without_a_copy_the_version_before_takes_charge_and_the_lost_one_is_out_of_the_way(
    project: WholeProject, damage: Damage
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
    with pytest.raises(DamagedError, match="else: headway run rows --replace-champion$"):
        tracking.version_of(project.root, "rows")
    left = doctor.mend(project.root).left
    assert [one.fix for one in left] == ["no copy is left: headway run rows --replace-champion"]


@pytest.mark.parametrize("case", cases("MLmodel", cut, gone) + cases("python_model.py", cut), ids=str)
def test_what_mlflow_needs_around_a_bundle_is_made_anew(project: WholeProject, case: Case) -> None:
    path = next(project.model.rglob(case.name), project.model / "pyfunc.py")
    case.damage(path)
    assert_mended(project, path.name)
    assert Predictor.load(project.bundle)


def test_a_bundle_from_before_there_were_checksums_is_used_and_the_doctor_says_so(project: WholeProject) -> None:
    for folder in (project.bundle, project.model):
        (folder / "checksums.json").unlink()
    assert tracking.version_of(project.root, "rows").version == "2"
    assert Predictor.load(project.bundle)
    assert_mended(project, "has no checksums, for an older version made it: it is used all the same")
    assert (project.bundle / "checksums.json").exists()


# Prepared data: made again, and said.

STORES = [
    *cases("train/numeric.npy", cut, half_zeros, flip, gone),
    *cases("train/target.npy", flip),
    *cases("test/unit.npy", empty),
    *cases("raw/test.parquet", cut, flip),
    *cases("store.json", cut, gone, a_list),
    *cases("preparation.json", flip),
    *cases("learnt.npy", gone),
    *cases("checksums.json", empty, flip),
]


@pytest.mark.parametrize("case", STORES, ids=str)
def test_a_damaged_store_is_not_used_but_made_again(project: WholeProject, case: Case) -> None:
    path = project.store
    case.damage(path / case.name)
    if case.name != "store.json":
        with pytest.raises(DamagedError, match=Path(case.name).name):
            _use(Store(path))
    assert any(path.name in line and Path(case.name).name in line for line in lines_of(project))
    said: list[str] = []
    assert is_ready(path, said.append) is False
    assert len(said) == 1
    assert Path(case.name).name in said[0]
    assert not path.exists()
    run = stages.start("rows", project.root)
    assert stages.prepare(run, project.root, Silent())["reused"] is False
    assert _use(Store(path))
    shutil.rmtree(run.path)
    assert lines_of(project) == []


def _use(store: Store) -> bool:
    """Read all that a store holds."""
    for split in ("train", "validation", "test"):
        store.arrays(split)
    store.units("test")
    return bool(store.raw_test().num_rows and store.rows and store.preparation and store.learnt)


def test_a_store_from_before_there_were_checksums_is_made_again(project: WholeProject) -> None:
    (project.store / "checksums.json").unlink()
    said: list[str] = []
    assert is_ready(project.store, said.append) is False
    assert "an older version made it" in said[0]


# Databases: saved row by row, else from a backup, else anew; a command says which file it is.


def page_of_zeros(path: Path) -> None:
    """One page of a table, in the middle of the file."""
    with open(path, "r+b") as file:
        file.seek(path.stat().st_size // 4096 // 2 * 4096)
        file.write(b"\0" * 4096)


def no_header(path: Path) -> None:
    with open(path, "r+b") as file:
        file.write(b"\0" * 100)


@pytest.mark.parametrize("damage", [no_header, cut, empty, zeros])
def test_a_damaged_mlflow_database_is_named_and_replaced_by_the_newest_backup(
    project: WholeProject, damage: Damage
) -> None:
    from headway.backup import backup

    backup(project.root, str(project.root / "backups") + "/")
    path = _settled(project)
    damage(path)
    with pytest.raises(HeadwayError, match=r"mlflow\.db"):
        tracking.version_of(project.root, "rows")
    assert_mended(project, "mlflow.db")
    assert tracking.version_of(project.root, "rows").version == "2"
    assert path.with_name("mlflow.db.damaged").exists()


def test_the_rows_that_can_be_read_of_a_damaged_database_are_saved(project: WholeProject) -> None:
    path = project.root / ".prefect" / "prefect.db"
    page_of_zeros(path)
    assert_mended(project, "prefect.db")
    with sqlite3.connect(path) as database:
        numbers = {n for (n,) in database.execute("SELECT id FROM flow_run")}
    database.close()
    assert 400 < len(numbers) < 500
    assert {0, 499} <= numbers


@pytest.mark.parametrize("damage", [no_header, zeros])
def test_a_lost_prefect_database_makes_room_for_a_new_one(project: WholeProject, damage: Damage) -> None:
    path = project.root / ".prefect" / "prefect.db"
    damage(path)
    assert_mended(project, "prefect.db")
    assert not path.exists()


def _settled(project: WholeProject) -> Path:
    """mlflow.db with everything in it, and nothing open."""
    from headway.tracking.store import let_go

    let_go(project.root)
    path = project.root / "mlruns" / "mlflow.db"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    return path


# What follows: aliases, runs that MLflow shows for ever, leftovers, lists that save time.


def test_an_alias_that_names_no_version_goes(project: WholeProject) -> None:
    path = _settled(project)
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
    assert_mended(project, "a decision about rows was begun and not finished")
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
    path = _settled(project)
    run_id = json.loads((project.run("dead").path / "tracking.json").read_text())["run_id"]
    with sqlite3.connect(path) as database:
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            if "run_uuid" in {name for _, name, *_ in database.execute(f"PRAGMA table_info({table})")}:
                database.execute(f"DELETE FROM {table} WHERE run_uuid = ?", (run_id,))
    database.close()
    assert_mended(project, "MLflow has lost the run")
    assert json.loads((project.run("dead").path / "tracking.json").read_text())["run_id"] != run_id


LEFT = [
    ("data/prepared/.abc.999999999.partial", "train/numeric.npy", b"x"),
    ("data/runs/rows-dead/.result.json.999999999.partial", "", b"{"),
    ("data/runs/rows-dead/checkpoints/.step-0000000001-0123456789abcdef.safetensors.partial", "", b"x"),
    ("mlruns/.mlflow.db.999999999.partial", "", b"x"),
    ("data/prepared/.abc.trash", "store.json", b"{}"),
    (".prefect/serving.json", "", b"{"),
    (".prefect/up.json", "", b""),
    ("data/watch/rows.json", "", b"\0\0"),
    (".cache/checked.json", "", b"[1"),
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
    told = json.loads(path.read_text())
    write_json(path, {**told, "rows": told["rows"] + 1})
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
    assert finding.line(project.root).startswith("mlruns/artifacts: the files of all registered versions are gone; ")
    aliases = tracking.open_store(project.root).get_registered_model("rows").aliases
    assert {alias: str(number) for alias, number in aliases.items()} == {"champion": "2", "previous": "1"}


def test_an_alias_that_was_put_right_meanwhile_stays(project: WholeProject) -> None:
    path = _settled(project)
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
    folder = tracking.registry.model_folder(client, client.get_model_version("rows", "1"))
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
    begun = intent.Intent(decisions.new_key(9), record, "1").to_json()
    client.set_registered_model_tag("rows", intent.TAG, begun)
    aliases = client.get_registered_model("rows").aliases
    assert [line for line in lines_of(project) if "begun and not finished" in line] == lines_of(project)
    model = client.get_registered_model("rows")
    assert (model.aliases, model.tags[intent.TAG]) == (aliases, begun)
    doctor.mend(project.root)
    assert str(client.get_model_version_by_alias("rows", "champion").version) == "1"


def test_a_replacement_that_was_killed_is_finished_by_the_doctor_and_not_by_looking(project: WholeProject) -> None:
    client = tracking.open_store(project.root)
    artifacts = tracking.registry.model_folder(client, client.get_model_version("rows", "1"))
    assert artifacts is not None
    artifacts.rename(artifacts.with_name(artifacts.name + ".damaged"))
    assert any("was being replaced" in line for line in lines_of(project))
    assert not artifacts.exists()
    assert_mended(project, "rows version 1")
    assert artifacts.exists()
    assert str(client.get_model_version_by_alias("rows", "previous").version) == "1"


def test_in_a_folder_that_was_copied_looking_changes_nothing(project: WholeProject, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    _settled(project)
    shutil.copytree(project.root, copy)
    before = (copy / "mlruns" / "mlflow.db").read_bytes()
    found = [one.line(copy) for one in doctor.examine(copy)]
    assert len(found) == 1
    assert f"MLflow names {project.root} instead of this folder" in found[0]
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
