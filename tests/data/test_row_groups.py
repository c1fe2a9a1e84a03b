"""How much of a Parquet file is in memory while it is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headway.data.row_groups import parquet_batches


def test_of_a_file_a_small_part_is_in_memory(tmp_path: Path) -> None:
    """By Arrow's default the whole file would be read ahead and held: 40 MB."""
    path, rows = tmp_path / "rows.parquet", 40 * 16_384
    numbers = np.random.default_rng(0).normal(size=(8, rows))
    table = pa.table({f"x{i}": column for i, column in enumerate(numbers)})
    pq.write_table(table, path, row_group_size=16_384)
    del table
    for is_local in (True, False):
        before, most, read = pa.total_allocated_bytes(), 0, []
        with pa.OSFile(str(path)) as stream:  # whose reads Arrow counts
            for batch in parquet_batches(stream, ["x0", "x7"], 4096, (), "rows.parquet", is_local):
                most = max(most, pa.total_allocated_bytes() - before)
                read.append(batch.column(1).to_numpy())
        assert np.array_equal(np.concatenate(read), numbers[7])
        assert most < 8_000_000


@pytest.mark.parametrize("is_local", [True, False])
def test_large_row_groups_are_read_a_piece_at_a_time(tmp_path: Path, is_local: bool) -> None:
    path, rows = tmp_path / "rows.parquet", 1_500_000
    numbers = np.random.default_rng(0).normal(size=(4, rows))
    pq.write_table(pa.table({f"x{i}": column for i, column in enumerate(numbers)}), path, row_group_size=rows)
    before, most, read = pa.total_allocated_bytes(), 0, 0
    with pa.OSFile(str(path)) as stream:  # whose reads Arrow counts
        for batch in parquet_batches(stream, None, 65_536, (), "rows.parquet", is_local):
            most = max(most, pa.total_allocated_bytes() - before)
            assert np.array_equal(batch.column(2).to_numpy(), numbers[2, read : read + batch.num_rows])
            read += batch.num_rows
    assert read == rows
    if is_local:
        assert most < 24_000_000  # of 48
