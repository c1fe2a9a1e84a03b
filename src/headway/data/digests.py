"""Digests of files: each is read once, and again only when its path, size or time has changed."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath
from typing import Any

from headway.data.files import open_url
from headway.files.atomic import read_or_empty, write_json
from headway.machine.cores import allowed_cores

DIGESTS = ".cache/digests.json"


def file_digests(files: Sequence[str], root: Path) -> dict[str, str]:
    """Each file to the SHA-256 of its content; of a URL, its size and time."""
    cache = root / DIGESTS
    cached = read_or_empty(cache)
    digests = dict(cached)
    with ThreadPoolExecutor(len(allowed_cores())) as threads:
        result = dict(zip(files, threads.map(lambda file: _digest(file, digests), files), strict=True))
    if digests != cached:
        with contextlib.suppress(OSError):  # the cache only saves time
            write_json(cache, digests)
    return result


def digest_files(files: Sequence[str], root: Path, how: Any) -> str:
    """SHA-256 of names, of contents and of ``how`` they are read."""
    whole = hashlib.sha256(json.dumps(how, sort_keys=True, default=str).encode())
    digests = file_digests(files, root)
    for file in files:
        whole.update(PurePath(file).name.encode() + b"\0" + digests[file].encode())
    return whole.hexdigest()


def sha256_of(path: Path, root: Path) -> str:
    """SHA-256 of a file on this machine, in hex."""
    return file_digests([str(path)], root)[str(path)]


def _digest(file: str, digests: dict[str, object]) -> str:
    """From ``digests`` or, added to them, by reading the file."""
    path = Path(file)
    if not path.exists():  # a URL: its size and time are all that is known without reading it
        system, inner = open_url(file)
        info = system.get_file_info(inner)
        return f"{info.size}:{info.mtime_ns}"
    stat = path.stat()
    key = f"{path.resolve()}:{stat.st_size}:{stat.st_mtime_ns}"
    if not isinstance(digests.get(key), str):
        with open(path, "rb") as content:
            digests[key] = hashlib.file_digest(content, "sha256").hexdigest()
    return str(digests[key])
