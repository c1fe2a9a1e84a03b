"""Reading bundles that are undamaged; a damaged one is refused in one line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headway.errors import ConfigError, DamagedError, HeadwayError
from headway.files import checksums
from headway.files.atomic import read_json

NEWEST = 5
"""The newest format of a bundle that this version reads and writes."""


def description_of(folder: Path) -> dict[str, Any]:
    """A bundle's bundle.json. Raises ConfigError for a folder that is no bundle, or one of a newer format."""
    try:
        described = read_json(folder / "bundle.json")
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(f"{folder} must be a bundle, but it has no bundle.json") from None
    if described.get("format", NEWEST) > NEWEST:
        raise ConfigError(f"a bundle's format must be at most {NEWEST}, but is {described['format']}; update Headway")
    return described


@contextlib.contextmanager
def whole(folder: Path) -> Iterator[dict[str, Any]]:
    """For reading a bundle: its bundle.json, after its files are checked.

    Raises ConfigError for a folder that is no bundle, or one of a newer format, DamagedError for a damaged one. Without checksums, damage
    is only noticed by a library's error while it reads a file.
    """
    sealed = checksums.check(folder)
    described = description_of(folder)
    try:
        yield described
    except HeadwayError:
        raise
    except Exception as error:
        if sealed:
            raise
        text = next(iter(str(error).strip().splitlines()), "")[:200]
        raise DamagedError(
            f"{folder} must hold a whole bundle, but reading it failed: {type(error).__name__}: {text}; headway doctor"
        ) from None
