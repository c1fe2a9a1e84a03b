"""The names of what is kept of a file, so that it is not read again."""

from __future__ import annotations

import hashlib
import json
from pathlib import PurePath
from typing import TYPE_CHECKING

from headway import __version__
from headway.data.folders import folder_values
from headway.data.profile import kinds_of

if TYPE_CHECKING:
    from headway.data.source import Table

FORM = 6
"""To be increased when a profile is computed or kept in another way."""


def file_key(table: Table, file: str, digest: str) -> str:
    """A digest of a file's content and of all that decides what is read of it: also the types that other files bring its columns to."""
    values = [FORM, __version__, table.how, table.task, list(kinds_of(table).items()), PurePath(file).suffix, digest]
    values += [folders] if (folders := folder_values(file)) else []
    values += [table.widths] if table.widths else []
    values += [file] if "://" in file else []  # its digest is of size and time, which other files may share
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()
