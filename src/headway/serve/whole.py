"""Bundles are read where they are whole, and refused in one line where they are not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headway.errors import ConfigError, DamagedError, HeadwayError
from headway.files import checksums
from headway.files.atomic import read_json


@contextlib.contextmanager
def whole(folder: Path) -> Iterator[dict[str, Any]]:
    """For reading a bundle: its bundle.json, once its files are what was written.

    Raises ConfigError for a folder that is no bundle, DamagedError for a damaged one. Without checksums, damage shows only in that a
    library cannot read a file, and each says so in an error of its own.
    """
    sealed = checksums.check(folder)
    try:
        described = read_json(folder / "bundle.json")
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(f"{folder} must be a bundle, but it has no bundle.json") from None
    try:
        yield described
    except HeadwayError:
        raise
    except Exception as error:
        if sealed:
            raise
        said = next(iter(str(error).strip().splitlines()), "")[:200]
        raise DamagedError(
            f"{folder} must hold a whole bundle, but reading it failed: {type(error).__name__}: {said}; headway doctor"
        ) from None
