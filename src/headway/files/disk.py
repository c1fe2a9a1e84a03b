"""Errors of a full disk, a read-only folder or a limit as one line that names the file.

Databases, Arrow, safetensors and servers each have errors of their own for these. They are recognized by their number or, where there is
none, by their text.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from headway.errors import ConfigError

RULES = {
    errno.ENOSPC: "the disk must have room left",
    errno.EDQUOT: "the disk quota must have room left",
    errno.EFBIG: "files must be allowed to grow as large as they need",
    errno.EROFS: "the project's folder must be writable",
    errno.EACCES: "the project's files must be readable and its folders writable",
    errno.EPERM: "the project's files must be readable and its folders writable",
    errno.ENOTDIR: "the project's folders must be folders",
    errno.EEXIST: "the project's folders must be folders",
}
WORDS = {
    "no space left on device|database or disk is full|os error 28|errno 28|could not extend file"
    "|not enough free disk space|requested and .* written": errno.ENOSPC,
    "disk quota exceeded|os error 122": errno.EDQUOT,
    "read-only file system|readonly database|os error 30": errno.EROFS,
    "unable to open database file": errno.EACCES,
}
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Codes that explain every error raised because of them; a missing permission explains only itself."""

LEAST_TO_BEGIN = 8 << 20
"""Free bytes that a command needs to begin: two databases with their logs. A server on a full disk lets its clients wait for minutes."""

LEAST_BYTES = 1 << 20
"""With fewer free bytes than this, the full disk is taken as the reason why a server or process ended."""


def disk_error(error: BaseException, where: Path | None = None) -> ConfigError | None:
    """The message for an error that comes from the disk, or was caused by one; None for any other error.

    ``where`` is named where no error names a file.
    """
    chain = list(_causes(error))
    for one in chain:
        code = _code(one)
        if code is not None and (one is error or code in DISK):
            place = next((name for name in map(_file, chain) if name), where or "a file")
            return ConfigError(f"{RULES[code]}, but {place}: {os.strerror(code)}")
    return None


def full_disk(folder: Path, least: int = LEAST_BYTES) -> ConfigError | None:
    """The message for a disk with fewer than ``least`` free bytes; None for one with more."""
    total, _, free = shutil.disk_usage(folder)
    if free >= least or not total:  # some file systems report nothing
        return None
    return ConfigError(f"{RULES[errno.ENOSPC]}, but that of {folder} has {free // 1000} kB; free some space")


def require_room(folder: Path) -> None:
    """Raises ConfigError where the disk has no room to begin."""
    full = full_disk(folder, LEAST_TO_BEGIN)
    if full is not None:
        raise full


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes."""
    following: BaseException | None = error
    errors: set[int] = set()
    while following is not None and id(following) not in errors:
        errors.add(id(following))
        yield following
        following = following.__cause__ or following.__context__


def _code(error: BaseException) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno if error.errno in RULES else None
    text = str(error).lower()
    return next((code for words, code in WORDS.items() if re.search(words, text)), None)


def _file(error: BaseException) -> str:
    """The file that an error names. Copying names two, of which the second is written."""
    names = (error.filename2, error.filename) if isinstance(error, OSError) else ()
    return next((os.fsdecode(name) for name in names if isinstance(name, (str, bytes, os.PathLike))), "")
