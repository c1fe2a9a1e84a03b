"""Registered versions: their files, their aliases, unfinished decisions, and runs that MLflow shows as running although they are not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from headway import tracking
from headway.doctor.finding import Finding, is_array, is_json
from headway.files import checksums
from headway.files.atomic import read_or_empty
from headway.files.checksums import Damage
from headway.run import lifetime, places
from headway.run.directory import RunDirectory
from headway.tracking import condition
from headway.tracking.bundles import sealed_damage
from headway.tracking.condition import Model, Version

TAG = "damaged"
"""The tag of a version that cannot be repaired."""


def examine(root: Path) -> Iterator[Finding]:
    """Faults of this folder's registered models. Raises ConfigError when MLflow does not answer."""
    former = places.former(root)
    if former:  # with these paths, every file would seem missing
        what = f"MLflow names {former[0]} instead of this folder, which was moved or copied"
        mend = partial(places.settle, root)
        yield Finding(
            what, root / "mlruns" / "mlflow.db", "correct the folder in MLflow; then examine its models", mend
        )
        return
    models = list(condition.models(root))
    artifacts = root / "mlruns" / "artifacts"
    if not artifacts.is_dir() and any(version.folder for model in models for version in model.versions):
        fix = (
            "put the folder back, or restore a backup (headway restore FILE); until then nothing in MLflow is repaired"
        )
        yield Finding("the files of all registered versions are missing", artifacts, fix)
        return
    bundles = _bundles_of_runs(root)
    for model in models:
        if model.tags.get(condition.INTENT):  # the champion is undecided until then
            yield _intent(root, model)
            continue
        yield from _aliases(root, model)
        for version in model.versions:
            if version.folder is not None:
                yield from _version(_Case(root, model, version, version.folder, bundles.get(version.run_id)))
    yield from _runs(root)


@dataclass(frozen=True)
class _Case:
    """A version with its folder and, where it still exists, its run's own bundle."""

    root: Path
    model: Model
    version: Version
    folder: Path
    of_run: Path | None

    @property
    def bundle(self) -> Path:
        return self.folder / "artifacts" / "bundle"

    @property
    def label(self) -> str:
        aliases = [alias for alias, number in self.model.aliases.items() if number == self.version.number]
        return f"{self.model.name} version {self.version.number}" + (f" ({', '.join(aliases)})" if aliases else "")

    def is_aliased(self, alias: str) -> bool:
        return self.model.aliases.get(alias) == self.version.number


def _bundles_of_runs(root: Path) -> dict[str, Path]:
    """The undamaged bundles of runs, by the run's id in MLflow."""
    bundles: dict[str, Path] = {}
    for path in (root / "data" / "runs").glob("*/tracking.json"):
        bundle, run_id = path.parent / "bundle", read_or_empty(path).get("run_id")
        if run_id and (bundle / checksums.NAME).exists() and damage_of(bundle) is None:
            bundles[str(run_id)] = bundle
    return bundles


def _aliases(root: Path, model: Model) -> Iterator[Finding]:
    numbers = {version.number for version in model.versions}
    where = root / "mlruns" / "mlflow.db"
    for alias, number in model.aliases.items():
        if number not in numbers:
            what = f"{model.name}'s alias {alias} names version {number}, which does not exist"
            yield Finding(what, where, "remove the alias", partial(condition.drop_alias, root, model.name, alias))


def _intent(root: Path, model: Model) -> Finding:
    what = f"a decision about {model.name} is unfinished"
    fix = "finish it or, where that is not possible, undo it"
    return Finding(what, root / "mlruns" / "mlflow.db", fix, partial(condition.settle, root, model.name))


def _version(case: _Case) -> Iterator[Finding]:
    if condition.was_replaced(case.version):
        mend = partial(condition.put_back, case.root, case.model.name, case.version)
        what = f"the process was killed while it replaced {case.label}: its files are still in a folder beside"
        yield Finding(what, case.folder, "put them back", mend)
        return
    damage = damage_of(case.bundle)
    if damage is not None:
        if case.version.tags.get(TAG) and not case.is_aliased("champion"):
            return  # reported before, and nothing can be done
        yield _damaged(case, damage)
        return
    if case.version.tags.get(TAG):
        mend = partial(condition.say_whole, case.root, case.model.name, case.version.number, TAG)
        yield Finding(f"{case.label} is whole, but is marked as damaged", case.folder, "remove the mark", mend)
    rest = next(checksums.damages(case.folder), None)
    if rest is None and not (case.folder / "MLmodel").exists():
        rest = Damage(case.folder / "MLmodel", "is missing")
    if rest is not None and case.version.model_id:
        mend = partial(condition.repackage, case.root, case.version, case.bundle)
        fix = "write MLflow's own files again; its bundle is undamaged"
        yield Finding(f"{case.label} is damaged: {rest}", rest.path, fix, mend)
    elif not (case.bundle / checksums.NAME).exists():
        what = f"{case.label} has no checksums, as an older version of Headway wrote it"
        mend = partial(checksums.seal, case.bundle)
        yield Finding(what, case.bundle, "write checksums of it as it is now", mend)


def _damaged(case: _Case, damage: Damage) -> Finding:
    """A damaged bundle: replaced by the run's own, otherwise another version becomes champion, otherwise a person decides."""
    name, number = case.model.name, case.version.number
    what = f"{case.label} is damaged: {damage}"
    if case.of_run is not None and case.version.model_id:
        mend = partial(condition.repackage, case.root, case.version, case.of_run)
        return Finding(what, damage.path, f"take it from {case.of_run.parent.name}, the run that made it", mend)
    if not case.is_aliased("champion"):
        mend = partial(condition.give_up, case.root, name, number, TAG, partial(damage_of, case.bundle))
        return Finding(what, damage.path, "no copy is left: mark it as damaged, and remove its aliases", mend)
    other = _successor(case)
    if other is None:
        return Finding(what, damage.path, f"no copy is left: headway run {name} --replace-champion")
    why = f"version {number} is damaged: {damage}"
    mend = partial(tracking.rollback, case.root, name, other, why, "headway doctor", instead_of=number)
    return Finding(what, damage.path, f"no copy is left: headway rollback {name} --to {other}", mend)


def _successor(case: _Case) -> str | None:
    """The version that can become champion: the newest undamaged one that was champion before."""
    bundles = {one.number: one.folder / "artifacts" / "bundle" for one in case.model.versions if one.folder is not None}
    earlier = condition.ways_back(case.root, case.model.name, case.version.number)
    return next((number for number in earlier if number in bundles and damage_of(bundles[number]) is None), None)


def damage_of(bundle: Path) -> Damage | None:
    """The first damaged file of a bundle; without checksums, the first one that cannot be whole."""
    damage = sealed_damage(bundle)
    if damage is not None or (bundle / checksums.NAME).exists():
        return damage
    for path in sorted(bundle.iterdir()):
        if not _can_be_whole(path):
            return Damage(path, "is truncated or changed")
    if not any((bundle / name).exists() for name in ("weights.safetensors", "model.txt")):
        return Damage(bundle / "weights.safetensors", "is missing")
    return None


def _can_be_whole(path: Path) -> bool:
    if path.suffix == ".json":
        return is_json(path)
    if path.suffix == ".npy":
        return is_array(path)
    if path.suffix == ".safetensors":
        return _is_safetensors(path)
    return path.name != "model.txt" or b"\nend of trees" in path.read_bytes()


def _is_safetensors(path: Path) -> bool:
    """Whether the header fits the file's length: eight bytes with the header's length, the header as JSON, the tensors."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > path.stat().st_size:
            return False
        try:
            header: dict[str, Any] = json.loads(file.read(length))
            ends = [one["data_offsets"][1] for name, one in header.items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, AttributeError):
            return False
    return path.stat().st_size == 8 + length + max(ends, default=0)


def _runs(root: Path) -> Iterator[Finding]:
    """Runs that MLflow shows as running although their folder is missing, and folders whose run MLflow has lost.

    A run that begins now may have no id yet, and a run of another store is ignored. The folders are listed before MLflow's runs and
    after them, so that a run that begins meanwhile is not reported.
    """
    if not condition.is_own(root):
        return
    before = set((root / "data" / "runs").glob("*"))
    paths = condition.runs(root)
    folders = [path for path in sorted((root / "data" / "runs").glob("*")) if path.is_dir()]
    trackings = {path: path / "tracking.json" for path in folders if (path / "tracking.json").exists()}
    if any(not is_json(path) for path in trackings.values()) or any(lifetime.lives(path) for path in folders):
        return
    ids = {path: str(read_or_empty(tracking).get("run_id")) for path, tracking in trackings.items()}
    for run_id, (project, is_running) in paths.items():
        if is_running and run_id not in ids.values():
            what = f"run {run_id} of {project} is shown as running, but has no folder here"
            where = root / "mlruns" / "mlflow.db"
            yield Finding(what, where, "close it as killed", partial(condition.end, root, run_id))
    for path, run_id in ids.items():
        if path in before and run_id not in paths and condition.is_delivered(root, RunDirectory(path)):
            fix = "send it to MLflow again"
            yield Finding(
                "MLflow has lost the run", path, fix, partial(condition.deliver_again, root, RunDirectory(path))
            )
