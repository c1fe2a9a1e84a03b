"""Files with a known SHA-256: from the mirror, otherwise from the project's own folder, otherwise fetched by HTTPS."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from headway.data.digests import sha256_of
from headway.errors import ConfigError, DataError
from headway.files.atomic import replacing

MIRROR = "HEADWAY_DATASETS"
"""Environment variable that names a folder of data sets, read where they lie."""

TIMEOUT_SECONDS = 30.0
BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class File:
    """A public file: its path in a mirror, its address, and the SHA-256 of its bytes in hex.

    ``member``: where the address is of a zip archive, the file's name in it.
    """

    mirror: str
    address: str
    sha256: str
    member: str = ""

    @property
    def name(self) -> str:
        """The file's own name."""
        return PurePosixPath(self.mirror).name


def pinned(repository: str, commit: str, path: str) -> str:
    """The address of one file at one commit of a GitHub repository: its bytes cannot change."""
    return f"https://raw.githubusercontent.com/{repository}/{commit}/{path}"


def find(file: File, folder: Path, root: Path) -> Path:
    """Where the file lies: in the mirror, or in ``folder``, fetched into it when it is absent.

    Raises ConfigError for a mirror that is no folder, DataError for wrong bytes and for a fetch that fails.
    """
    folder_of_mirror = os.environ.get(MIRROR, "")
    if folder_of_mirror:
        mirror = Path(folder_of_mirror).expanduser()
        if not mirror.is_dir():
            raise ConfigError(f"{MIRROR} must name a folder, but {folder_of_mirror} is none")
        if (mirror / file.mirror).is_file():
            return _check(file, mirror / file.mirror, root, f"restore it, or unset {MIRROR}")
    path = folder / file.name
    if path.is_file():
        return _check(file, path, root, "delete it and it is fetched again")
    return _fetch(file, path)


def _check(file: File, path: Path, root: Path, fix: str) -> Path:
    try:
        digest = sha256_of(path, root)
    except OSError as error:
        raise DataError(f"{path} must be readable, but: {error.strerror}; {fix}") from None
    if digest != file.sha256:
        raise DataError(f"{path} must have SHA-256 {file.sha256[:12]}…, but it has {digest[:12]}…; {fix}")
    return path


def _fetch(file: File, path: Path) -> Path:
    """Download to a temporary name beside ``path``, check, rename: no other process sees part of a file."""
    fix = f"set {MIRROR} to a folder that has {file.mirror}, or put the file at {path}"
    try:
        with replacing(path) as partial:
            digest = _download(file.address, partial)
            if file.member:
                digest = _unpack(partial, file.member)
            if digest != file.sha256:
                raise DataError(
                    f"{file.address} must have SHA-256 {file.sha256[:12]}…, but the download has {digest[:12]}…; {fix}"
                )
    except (OSError, http.client.HTTPException, zipfile.BadZipFile, KeyError) as error:
        raise DataError(f"{file.address} must be fetched, but: {_reason(error)}; {fix}") from None
    return path


def _download(address: str, path: Path) -> str:
    """Stream to ``path``; the SHA-256 of the content."""
    whole = hashlib.sha256()
    request = urllib.request.Request(address, headers={"User-Agent": "headway"})
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer, open(path, "wb") as out:
        while block := answer.read(BLOCK_BYTES):
            whole.update(block)
            out.write(block)
    return whole.hexdigest()


def _unpack(path: Path, member: str) -> str:
    """Replace an archive by one of its files; the SHA-256 of that one. Raises BadZipFile, or KeyError where there is none."""
    with zipfile.ZipFile(path) as archive:
        content = archive.read(member)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        return f"the server answered {error.code} {error.reason}"
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    text = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)
    return " ".join(text.split()) or type(error).__name__
