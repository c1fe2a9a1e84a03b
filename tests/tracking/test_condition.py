"""A version's files are made anew beside the old ones: whatever ends that on the way, the only whole copy is not lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway import tracking
from headway.errors import ConfigError
from headway.files import checksums
from headway.run.directory import RunDirectory
from headway.tracking import condition
from tests.support.deciding import decide
from tests.tracking.test_registry import registered


def version(root: Path) -> tuple[condition.Version, Path]:
    """The only version of the only model, and the folder of its MLflow model."""
    (model,) = condition.models(root)
    (one,) = model.versions
    assert one.folder is not None
    return one, one.folder


def test_a_replacement_that_fails_leaves_the_old_files_in_their_place(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered(run, tmp_path)
    one, folder = version(tmp_path)
    (folder / "MLmodel").unlink()
    bundle = folder / "artifacts" / "bundle"
    before = (bundle / "bundle.json").read_bytes()
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if self.name == "made":
            raise OSError(28, "No space left on device")
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        with pytest.raises(ConfigError, match="No space left"):
            condition.repackage(tmp_path, one, bundle)
    assert (bundle / "bundle.json").read_bytes() == before
    condition.repackage(tmp_path, one, bundle)
    assert (bundle / "bundle.json").read_bytes() == before
    assert (folder / "MLmodel").exists()
    assert list(checksums.damages(folder)) == []
    assert [path.name for path in folder.parent.iterdir()] == [folder.name], "nothing is left beside it"


def test_files_that_a_killed_replacement_had_moved_aside_are_put_back(run: RunDirectory, tmp_path: Path) -> None:
    decide(tmp_path, "loans", registered(run, tmp_path), {"promoted": True, "reason": "first"})
    _, folder = version(tmp_path)
    folder.rename(folder.with_name(folder.name + ".damaged"))
    one, _ = version(tmp_path)
    assert not folder.exists(), "nothing is changed by looking"
    assert condition.was_replaced(one)
    for _ in range(2):
        condition.put_back(tmp_path, "loans", one)
    assert not condition.was_replaced(one)
    assert list(checksums.damages(folder)) == []
    assert tracking.version_of(tmp_path, "loans").version == "1"
