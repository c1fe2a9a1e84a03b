"""Files of rows: which files a source names, and in which format they are."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from pathlib import Path, PurePath

import pyarrow as pa
import pyarrow.fs as pafs

from headway.data.content import BY_ENDING
from headway.data.credentials import refuse_credentials
from headway.errors import ConfigError, DataError

FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".data": "csv",
    ".dat": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
UNSURE = (".txt", ".data", ".dat")
"""Endings that beside tables in one folder are more likely notes."""

NOTES = re.compile(r"(readme|licen[cs]e|source|notice|changelog|citation|copying|authors)\b.*", re.IGNORECASE)
"""Names of files that are notes about a folder, where their ending may be a table's."""

IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".heic", ".dcm")

PACKED = tuple(BY_ENDING)


def find_files(source: str, root: Path, setting: str = "data.source", texts: bool = False) -> list[str]:
    """The files of a path, a folder, a glob or a URL, sorted by name. Relative paths start at the project's root.

    ``texts``: whether files of a folder may have any ending. Raises DataError, naming the ``setting``, when there is none, and
    ConfigError for an address with credentials.
    """
    refuse_credentials(source, setting)
    if "://" in source:
        return _remote_files(source, setting, texts)
    path = Path(source).expanduser()
    path = path if path.is_absolute() else root / path
    if path.is_dir():
        files = sorted(str(p) for p in path.rglob("*") if p.is_file() and not _hidden(p, path))
        if not texts:
            tables = [p for p in files if suffix_of(p) in FORMATS and not _is_note(p)]
            files = [p for p in tables if suffix_of(p) not in UNSURE] or tables
        images = 0 if texts else _images(path)
        if not files or (images > len(files) and all(suffix_of(p) in UNSURE for p in files)):
            what = "files" if texts else "Parquet, CSV, JSON lines or Arrow files"
            fact = f"{images:,} images, which this version does not read" if images else "none"
            raise DataError(f"{setting} must hold {what}, but {source} holds {fact}")
        return files
    if path.is_file():
        return [str(path)]
    # Path.glob takes no absolute pattern
    files = sorted(p for p in glob.glob(str(path), recursive=True) if Path(p).is_file())  # noqa: PTH207
    if not files:
        raise DataError(f"{setting} must be a file, a folder or a glob, but there is no {source}")
    return files


def _is_note(file: str) -> bool:
    return suffix_of(file) in UNSURE and NOTES.fullmatch(PurePath(file).name) is not None


def _images(folder: Path) -> int:
    return sum(path.suffix.lower() in IMAGES and not _hidden(path, folder) for path in folder.rglob("*"))


def _remote_files(source: str, setting: str, texts: bool) -> list[str]:
    """As find_files, of an address. The settings behind its ? are those of each file in it, too."""
    system, inner = open_url(source)
    try:
        if system.get_file_info(inner).type == pafs.FileType.File:
            return [source]
        infos = system.get_file_info(pafs.FileSelector(inner, recursive=True, allow_not_found=True))
    except OSError as error:
        raise DataError(f"{setting} must be readable, but {source}: {first_line(error)}") from None
    inside = [info.path for info in infos if info.type == pafs.FileType.File]
    scheme, _, rest = source.partition("://")
    settings = "".join(rest.partition("?")[1:])
    files = [f"{scheme}://{path}{settings}" for path in sorted(inside) if texts or suffix_of(path) in FORMATS]
    if not files:
        raise DataError(f"{setting} must be a file or a folder of files, but there is none at {source}")
    return files


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)


def suffix_of(name: str) -> str:
    """The ending of a file's name, in small letters, without that of its packing."""
    path = PurePath(name.partition("?")[0] if "://" in name else name)
    return PurePath(path.stem).suffix.lower() if path.suffix.lower() in PACKED else path.suffix.lower()


def format_of(files: Sequence[str], form: str, texts: bool = False) -> str:
    """The one format of all files: the stated one, or that of their names' endings.

    ``texts``: whether files that are not all tables of one format are text; files of the UNSURE endings are text then, too.
    """
    if form != "auto":
        return form
    if texts:
        forms = {"text" if suffix_of(file) in UNSURE else FORMATS.get(suffix_of(file), "text") for file in files}
        return forms.pop() if len(forms) == 1 else "text"
    forms = {FORMATS.get(suffix_of(file), f"unknown ({suffix_of(file) or 'no ending'})") for file in files}
    if len(forms) > 1 or next(iter(forms)).startswith("unknown"):
        raise ConfigError(
            f"data.format must be given where the files' endings differ or are unknown, but they are {', '.join(sorted(forms))}"
        )
    return forms.pop()


def open_url(url: str) -> tuple[pafs.FileSystem, str]:
    """The file system and the path inside it. Raises ConfigError for a scheme that pyarrow does not know."""
    if url.lower().startswith(("http://", "https://")):
        raise ConfigError(
            f"data.source must be a file or an address of a storage such as s3://, but is {url}; download it first"
        )
    try:
        return pafs.FileSystem.from_uri(url)
    except (pa.ArrowInvalid, OSError) as error:
        raise ConfigError(
            f"data.source must be an address that pyarrow can open, but {url}: {first_line(error)}"
        ) from None


def first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0][:200] if text else type(error).__name__
