"""Reading bundles that are undamaged; a damaged one is refused in one line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from headway.errors import DamagedError, HeadwayError
from headway.files import checksums
from headway.models.description import Description


@contextlib.contextmanager
def whole(folder: Path) -> Iterator[Description]:
    """For reading a bundle: its description, after its files are checked.

    Raises ConfigError for a folder that is no bundle, or one of a newer format, DamagedError for a damaged one. Without checksums, damage
    is only noticed by a library's error while it reads a file.
    """
    sealed = checksums.check(folder)
    described = Description.of(folder)
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
