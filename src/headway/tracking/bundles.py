"""The bundles of registered versions: where they lie on this machine, or a copy that is fetched once; and damage."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headway.errors import DamagedError
from headway.files import checksums
from headway.files.checksums import Damage
from headway.files.locks import working_folder
from headway.tracking import decisions, intent
from headway.tracking.addresses import tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient


def bundle_of(client: MlflowClient, root: Path, version: Any) -> Path:
    """The folder of a version's files, for a store on this machine; otherwise a copy, which is made once.

    Raises DamagedError, with the commands that help, where they are missing or damaged.
    """
    place = model_folder(client, version)
    if place is None:
        return _fetched(client, root, version)
    bundle = place / "artifacts" / "bundle"
    damage = sealed_damage(bundle)
    if damage is not None:
        raise DamagedError(
            f"{version.name} version {version.version} must be undamaged, but {damage} in {bundle}; "
            f"{_ways_out(client, version)}"
        )
    return bundle


def sealed_damage(bundle: Path) -> Damage | None:
    """The first damaged file of a bundle, by its checksums; of a bundle without checksums, only whether it is missing."""
    if not (bundle / "bundle.json").exists():
        return Damage(bundle / "bundle.json", "is missing")
    return next(checksums.damages(bundle), None)


def _is_whole(client: MlflowClient, version: Any) -> bool:
    """Whether a version's files are undamaged; assumed of files elsewhere, which are only checked when they are fetched."""
    place = model_folder(client, version)
    return place is None or sealed_damage(place / "artifacts" / "bundle") is None


def model_folder(client: MlflowClient, version: Any) -> Path | None:
    """The folder of a version's MLflow model on this machine; None where it is kept elsewhere."""
    uri = _address(client, version)
    path = Path(uri.removeprefix("file://"))
    return path if path.is_absolute() and "://" not in uri.removeprefix("file://") else None


def _address(client: MlflowClient, version: Any) -> str:
    uri = client.get_model_version_download_uri(version.name, version.version)
    if uri.startswith("models:/"):
        uri = client.get_logged_model(uri.removeprefix("models:/").split("/")[0]).artifact_location
    return str(uri)


def _ways_out(client: MlflowClient, version: Any) -> str:
    """The commands that help where a version is damaged: a rollback needs a second version."""
    name, number = version.name, str(version.version)
    others = [str(v.version) for v in client.search_model_versions(f"name = '{name}'") if str(v.version) != number]
    champion = intent.aliased(client, name, "champion")
    if champion is not None and str(champion.version) != number:
        other = f"version {champion.version} is champion"
    elif others:
        back = [v for v in decisions.ways_back(decisions.read(client, name), number) if v in others]
        whole = (v for v in back if _is_whole(client, client.get_model_version(name, v)))
        other = f"headway rollback {name} --to {next(whole, max(others, key=int))}"
    else:
        other = f"headway run {name} --replace-champion"
    return f"headway doctor --apply repairs it from a copy, if there is one; otherwise: {other}"


def _fetched(client: MlflowClient, root: Path, version: Any) -> Path:
    """A copy of the bundle of a version that is kept elsewhere; a damaged copy is fetched again."""
    import mlflow.artifacts

    copy = root / "data" / "champions" / version.name / str(version.version)
    if copy.exists() and next(checksums.damages(copy), None) is not None:
        shutil.rmtree(copy)
    if not copy.exists():
        copy.parent.mkdir(parents=True, exist_ok=True)
        with working_folder(copy.parent, "download") as folder:
            address = f"{_address(client, version).rstrip('/')}/artifacts/bundle"
            download = mlflow.artifacts.download_artifacts(
                artifact_uri=address, dst_path=str(folder), tracking_uri=tracking_uri(root)
            )
            checksums.check(Path(download))
            Path(download).rename(copy)
    return copy
