"""Run directories, each examined by itself. A damaged file is replaced by MLflow's copy, or set aside."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from headway.doctor.finding import ASIDE, Finding, is_array, is_json, set_aside
from headway.errors import ConfigError, HeadwayError
from headway.files import checksums
from headway.files.atomic import read_or_empty, write_atomically
from headway.files.leftovers import remove
from headway.pipeline import zombies
from headway.run import lifetime
from headway.run.directory import RunDirectory, event_of
from headway.tracking import condition

JOURNAL = "journal.jsonl"
LOCKS = {"owner.lock", "owner.gone", ".lock", "tracking.lock"}


def examine(root: Path) -> Iterator[Finding]:
    """Damaged files and unfinished work in the folders of runs that no process works in.

    A run is not set aside because MLflow does not answer.
    """
    answers = condition.answers(root)
    for path in sorted((root / "data" / "runs").glob("[!.]*")):
        if path.is_dir() and not lifetime.lives(path):
            try:
                yield from _run(root, path)
            except (HeadwayError, OSError, ValueError, KeyError, TypeError) as error:
                what = f"the run cannot be examined: {error}"
                if answers:
                    fix = "set the whole folder aside"
                    yield Finding(what, path, fix, partial(_away, root, path))
                else:
                    yield Finding(what, path, "MLflow must answer first")


def _run(root: Path, path: Path) -> Iterator[Finding]:
    plan = path / "run.json"
    if not plan.exists() or not is_json(plan):
        yield _plan(root, path)
        if not plan.exists():
            return
    yield from _files(root, path)
    yield from _journal(path)
    yield from _arrays(path)
    yield from _bundle(root, path)
    yield from _open(root, path)


def _plan(root: Path, path: Path) -> Finding:
    """Faults of run.json, without which the rest of the folder is useless."""
    plan = path / "run.json"
    if {one.name for one in path.iterdir()} <= LOCKS:
        return Finding("its process died before the run began", path, "remove it", partial(remove, path))
    what = "run.json is damaged" if plan.exists() else "run.json is missing"
    copy = _copy(root, path, "run.json")
    if copy is not None:
        return Finding(what, plan, "take MLflow's copy", partial(_restore, copy, plan))
    return Finding(what, plan, f"set the run aside in data/{ASIDE[1:]}/", partial(_away, root, path))


def _files(root: Path, path: Path) -> Iterator[Finding]:
    """Faults of the JSON files and of the pictures."""
    for file in sorted(path.glob("[!.]*.json")):
        if file.name == "run.json" or is_json(file):
            continue
        if file.name == "tracking-cursor.json":
            fix = "remove it: all events are sent again, without duplicates"
            yield Finding("it is damaged", file, fix, partial(remove, file))
        elif file.name == "tracking.json":
            fix = "find the run in MLflow by its folder's name, otherwise set the file aside"
            yield Finding("it is damaged", file, fix, partial(_find_again, root, path))
        else:
            yield _damaged(root, path, file)
    for file in sorted((path / "plots").glob("*.png")):
        if not _is_picture(file):
            yield _damaged(root, path, file)


def _damaged(root: Path, path: Path, file: Path) -> Finding:
    copy = _copy(root, path, str(file.relative_to(path)))
    if copy is not None:
        return Finding("it is damaged", file, "take MLflow's copy", partial(_restore, copy, file))
    fix = f"set it aside as {file.name}{ASIDE}"
    if file.name == "result.json":
        fix += ": the training resumes from its last checkpoint"
    return Finding("it is damaged", file, fix, partial(set_aside, file))


def _is_picture(path: Path) -> bool:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            picture.load()
    except (OSError, SyntaxError, ValueError):
        return False
    return True


def _journal(path: Path) -> Iterator[Finding]:
    journal = path / JOURNAL
    if not journal.exists():
        return
    lines = journal.read_bytes().splitlines(keepends=True)
    events = [event_of(line) if line.endswith(b"\n") else None for line in lines]
    whole_events = [line for line, event in zip(lines, events, strict=True) if event is not None]
    if len(whole_events) < len(lines):
        what = f"{len(lines) - len(whole_events)} of its {len(lines):,} lines are damaged"
        yield Finding(what, journal, "remove them", partial(write_atomically, journal, b"".join(whole_events)))
    cursor = path / "tracking-cursor.json"
    last, delivered_count = (
        max((event.n for event in events if event is not None), default=0),
        read_or_empty(cursor).get("n", 0),
    )
    if last < delivered_count:
        what = f"it ends at event {last:,}, but MLflow has {delivered_count:,}"
        fix = f"remove {cursor.name}: all events are sent again, without duplicates"
        yield Finding(what, journal, fix, partial(remove, cursor))


def _arrays(path: Path) -> Iterator[Finding]:
    """Checkpoints by the checksum in their name, predictions by their length."""
    for file in sorted((path / "checkpoints").glob("step-*.safetensors")):
        if not checksums.is_as_named(file):
            fix = "remove it: training resumes from the one before it, or from the start"
            yield Finding("the checkpoint is damaged", file, fix, partial(remove, file))
    for file in sorted((path / "predictions").glob("*.npy")):
        if not is_array(file):
            yield Finding("the predictions are damaged", file, "set them aside", partial(set_aside, file))


def _bundle(root: Path, path: Path) -> Iterator[Finding]:
    """The trained model that was, or will be, registered."""
    bundle = path / "bundle"
    damage = next(checksums.damages(bundle), None)
    if damage is None:
        return
    folders = _registered_bundles(root, path)
    if folders is not None:
        fix = "take the registered version's files"
        yield Finding(f"the run's model is damaged: {damage}", bundle, fix, partial(_replace, folders, bundle))
    else:
        fix = f"set it aside as bundle{ASIDE}"
        yield Finding(f"the run's model is damaged: {damage}", bundle, fix, partial(set_aside, bundle))


def _open(root: Path, path: Path) -> Iterator[Finding]:
    """Runs that were not closed: their process was killed, or the disk was full."""
    ending = read_or_empty(path / "tracking.json").get("ending", "")
    if ending is None and lifetime.is_done(RunDirectory(path)):
        fact = "the run has ended, but MLflow shows it as running"
        yield Finding(fact, path, "close it in MLflow as finished", partial(_close, root, path))
    elif (path / "owner.lock").exists():
        yield Finding("its process was killed", path, "close it in MLflow as killed", partial(_close, root, path))
    elif ending is None:
        fix = "close it in MLflow as killed"
        yield Finding("the run was not closed, and no process works on it", path, fix, partial(_close, root, path))


def _close(root: Path, path: Path) -> None:
    lock = path / "owner.lock"
    if read_or_empty(path / "tracking.json").get("ending", "") is None:
        lock.touch()  # runs without a process are found by it
    if lock.exists():
        zombies.close_dead(root)
    if lock.exists():
        raise ConfigError(f"MLflow must answer before {path.name} can be closed; start it")


def _find_again(root: Path, path: Path) -> None:
    if condition.find_again(root, RunDirectory(path)):
        condition.deliver_again(root, RunDirectory(path))
    else:
        set_aside(path / "tracking.json")


def _away(root: Path, path: Path) -> None:
    folder = root / "data" / ASIDE[1:]
    folder.mkdir(parents=True, exist_ok=True)
    path.rename(folder / path.name)


def _restore(copy: Path, target: Path) -> None:
    write_atomically(target, copy.read_bytes())


def _replace(source: Path, target: Path) -> None:
    """Replace a damaged bundle by a whole one."""
    for file in source.iterdir():
        if file.is_file():
            _restore(file, target / file.name)


def _copy(root: Path, path: Path, name: str) -> Path | None:
    """MLflow's copy of a run's file, on this machine; None where there is no whole one."""
    run_id = read_or_empty(path / "tracking.json").get("run_id")
    if run_id is None:
        return None
    from headway.tracking.run_files import run_folder

    folder = run_folder(root, str(run_id))
    copy = None if folder is None else folder / name
    if copy is None or not copy.exists():
        return None
    whole = is_json(copy) if copy.suffix == ".json" else _is_picture(copy)
    return copy if whole else None


def _registered_bundles(root: Path, path: Path) -> Path | None:
    """The whole bundle of the version that this run made."""
    run_id = read_or_empty(path / "tracking.json").get("run_id")
    if run_id is None:
        return None
    from headway.tracking.run_files import model_folders

    for folder in model_folders(root, str(run_id)):
        bundle = folder / "artifacts" / "bundle"
        if (bundle / checksums.NAME).exists() and next(checksums.damages(bundle), None) is None:
            return bundle
    return None
