"""A folder is sealed only when all of it is on disk, and its content is compared once."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from headway.errors import DamagedError
from headway.files import checksums


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "store"
    (path / "train").mkdir(parents=True)
    (path / "a.npy").write_bytes(b"abc")
    (path / "train" / "b.npy").write_bytes(b"defg")
    return path


def named(number: int) -> Path:
    return Path(f"/proc/self/fd/{number}").readlink()


def test_everything_is_on_disk_before_the_seal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    sealed: list[bool] = []

    def fsync(number: int) -> None:
        synced.append(named(number))
        sealed.append((folder / checksums.NAME).exists())

    monkeypatch.setattr(os, "fsync", fsync)
    checksums.seal(folder)
    before = {path for path, is_sealed in zip(synced, sealed, strict=True) if not is_sealed}
    assert {folder, folder / "a.npy", folder / "train", folder / "train" / "b.npy"} <= before
    assert (synced[-1], sealed[-1]) == (folder, True), "the seal itself is on disk, too"


@pytest.mark.parametrize("name", ["a.npy", "train", "train/b.npy", "."])
def test_what_does_not_reach_the_disk_is_not_sealed(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    failing, fsync = (folder / name).resolve(), os.fsync

    def full(number: int) -> None:
        if named(number) == failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(number)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left") as error:
            checksums.seal(folder)
        assert Path(str(error.value.filename)).resolve() == failing
    assert not (folder / checksums.NAME).exists()
    checksums.seal(folder)
    assert checksums.check(folder)


def test_a_file_system_that_cannot_sync_a_folder_is_good_enough(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse_folders(number: int) -> None:
        if named(number).is_dir():
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", refuse_folders)
    checksums.seal(folder)
    assert checksums.check(folder)


def test_what_a_killed_process_left_half_written_is_not_sealed(folder: Path) -> None:
    """It is cleared away later, and must not be missed then."""
    (folder / "train" / ".b.npy.7.partial").touch()
    checksums.seal(folder)
    (folder / "train" / ".b.npy.7.partial").unlink()
    assert not list(checksums.damages(folder))


def test_content_is_compared_once_a_process_and_again_when_the_file_changed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checksums.seal(folder)
    read: list[str] = []
    digest = checksums.sha256
    monkeypatch.setattr(checksums, "sha256", lambda path: read.append(path.name) or digest(path))
    for _ in range(3):
        assert checksums.check(folder)
    assert sorted(read) == ["a.npy", "b.npy"]
    (folder / "a.npy").write_bytes(b"abd")  # as long as before
    os.utime(folder / "a.npy", ns=(1, 1))
    with pytest.raises(DamagedError, match=r"a\.npy must be what Headway wrote"):
        checksums.check(folder)
    assert read[2:] == ["a.npy"]
    (folder / "train" / "b.npy").write_bytes(b"defgh")
    with pytest.raises(DamagedError, match=r"b\.npy .* 5 bytes instead of 4"):
        checksums.check(folder, "train/b.npy")
    assert read[2:] == ["a.npy"], "a size alone tells"
