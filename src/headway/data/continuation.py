"""Passes over a table that go on behind the files that were passed over before."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from headway.data.cache import Cache
from headway.data.file_keys import file_key

if TYPE_CHECKING:
    from headway.data.source import Table


class Continuation:
    """What passes over the first files of a table came to, so that they go on behind them: the same as if they began at the first.

    ``values`` is kept by the name of a pass, and by all that it depends on besides the files.
    """

    def __init__(self, table: Table, cache: Cache) -> None:
        self._cache, self._table = cache, table
        _ = table.digest  # keeps the files' digests, so that they are hashed once
        self._contents = table.contents
        whole, self._digests = hashlib.sha256(), list[str]()
        for file in table.files:
            whole.update(file_key(table, file, self._contents[file]).encode())
            self._digests.append(whole.hexdigest())

    def values(self, *name: object) -> tuple[int, Mapping[str, Any]]:
        """How many of the files are in what was kept, at most all, and the values; 0 where nothing was."""
        for count in range(len(self._digests), 0, -1):
            if (values := self._cache.values(*name, self._digests[count - 1])) is not None:
                return count, values
        return 0, {}

    def table(self, count: int, *name: object) -> pa.Table | None:
        """The rows that belong to the values of so many files."""
        return self._cache.table(*name, self._digests[count - 1])

    def keep(self, values: Mapping[str, object], *name: object, table: pa.Table | None = None) -> None:
        """All files are read. Nothing is kept where one has changed meanwhile."""
        if self._table.contents != self._contents:
            return
        if table is not None:
            self._cache.keep_table(table, *name, self._digests[-1])
        self._cache.keep(values, *name, self._digests[-1])
        self._cache.bound()
