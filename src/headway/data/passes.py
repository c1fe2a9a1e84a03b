"""One reading of a table for all that is asked of it, by as many threads as there are cores, or by the machines of a cluster.

One thread reads blocks of rows; a pool converts each to canonical types and hands it to every pass; what the passes made of it is added
up in the rows' order. So the result is the same with any number of threads, and few blocks are in memory at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from itertools import chain, islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from headway.data.chunks import Block, Chunk
from headway.data.source import Table, no_rows
from headway.machine.cores import allowed_cores
from headway.machine.pool import engine, open_pool

if TYPE_CHECKING:
    from headway.data.chunks import Streamed

Item = TypeVar("Item")
Result = TypeVar("Result")

BLOCK_ROWS = 131_072
BLOCK_VALUES = 1 << 23
"""Blocks of many columns have fewer rows: so many values, 64 MiB of numbers."""

AHEAD = 2
"""Blocks that are read, or wait to be added up, beyond those that the threads work on."""


class Pass(Protocol):
    """What is done with the rows of a table. ``block`` and ``add`` split the work: the first is most of it, the second is in order."""

    def columns_of(self, file: int) -> Sequence[str]:
        """The columns that it needs of a file's rows; none where it needs no rows of that file."""
        ...

    def block(self, chunk: Chunk) -> Any:
        """What some rows come to. Called by any thread, of several at a time, or on another machine, of a copy that was made before any
        `add`: it must leave the pass as it is, and not depend on what was added."""
        ...

    def add(self, partial: Any) -> None:
        """Add what ``block`` returned. Called by one thread, in the rows' order."""
        ...


def run(
    table: Streamed,
    passes: Sequence[Pass],
    threads: int | None = None,
    rows_of: Mapping[int, int] = MappingProxyType({}),
    block_rows: int = BLOCK_ROWS,
) -> int:
    """Hand all rows of the table to the passes, and return how many there are. ``threads``: by default one a core,
    or the machines of the engine in use.

    A file of which no pass needs a column is not read where ``rows_of`` has its number of rows. An error in the reading, the conversion
    or a pass is raised as that of the first row that has one. Raises DataError as `Table.chunks` does.
    """

    def work(block: Block) -> list[tuple[int, Any]]:
        chunk = block.chunk()
        return [(number, one.block(chunk)) for number, one in enumerate(passes) if one.columns_of(chunk.file)]

    blocks = _Blocks(table, passes, rows_of, block_rows)
    for partials in _in_order(work, iter(blocks), threads):
        for number, partial in partials:
            passes[number].add(partial)
    if not blocks.rows and isinstance(table, Table):
        raise no_rows(table.files)
    return blocks.rows


class _Blocks:
    """The blocks of all files that a pass needs. ``rows``: those so far, of skipped files too."""

    def __init__(self, table: Streamed, passes: Sequence[Pass], rows_of: Mapping[int, int], block_rows: int) -> None:
        self._table, self._passes, self._rows_of, self._block_rows = table, passes, rows_of, block_rows
        self.rows = 0

    def __iter__(self) -> Iterator[Block]:
        for block in self._of_files(self._table) if isinstance(self._table, Table) else self._of_one(self._table):
            yield block
            self.rows = block.start + block.rows

    def _columns(self, file: int) -> list[str]:
        return list(dict.fromkeys(name for one in self._passes for name in one.columns_of(file)))

    def _size(self, columns: Sequence[str]) -> int:
        return max(1, min(self._block_rows, BLOCK_VALUES // max(1, len(columns))))

    def _of_files(self, table: Table) -> Iterator[Block]:
        for file in range(len(table.files)):
            columns = self._columns(file)
            if not columns and file in self._rows_of:
                self.rows += self._rows_of[file]
                continue
            columns = columns or list(table.columns[:1])  # to count the rows
            yield from table.file_blocks(file, self.rows, columns, self._size(columns))

    def _of_one(self, table: Streamed) -> Iterator[Block]:
        """Of rows that are not in files of ours."""
        columns = self._columns(0) or list(table.columns[:1])
        yield from map(Block.of, table.chunks(columns, self._size(columns)))


def _in_order(work: Callable[[Item], Result], items: Iterator[Item], threads: int | None) -> Iterator[Result]:
    """What ``work`` makes of each item, in their order, by a pool where there are several of both."""
    first = [] if engine() == "local" and (threads or len(allowed_cores())) == 1 else list(islice(items, 1))
    try:
        first += islice(items, len(first))
    except Exception:  # of rows after the first block's, which may have errors of its own
        yield from map(work, first)
        raise
    items = chain(first, items)
    if len(first) < 2:
        yield from map(work, items)
        return
    pending: deque[Future[Result]] = deque()
    with open_pool(threads) as pool:
        submit = pool.for_work(work)
        while True:
            try:
                more = list(islice(items, 1))
            except Exception:  # of rows after those that are still worked on, which may have errors of their own
                yield from (one.result() for one in pending)
                raise
            pending.extend(submit(item) for item in more)
            while pending and (not more or len(pending) >= pool.count + AHEAD):
                yield pending.popleft().result()
            if not more:
                return
