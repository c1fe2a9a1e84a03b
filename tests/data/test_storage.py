"""Rows in an S3 service, through pyarrow's file system: read as those of a folder, and each way to fail is one line."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headway.cli import commands as cli
from headway.data.config import DataConfig
from headway.data.opening import open_table
from headway.data.source import Table
from headway.errors import ConfigError, DataError
from tests.data.stand_in import Bucket, serving


def parquet(rows: int) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"a": [float(i) for i in range(rows)], "y": ["no", "yes"] * (rows // 2)}), out)
    return out.getvalue()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    one = Bucket("rows", {f"days/month={month}/part.parquet": parquet(10 * month) for month in (2, 4)})
    one.objects["days/_SUCCESS"] = b""
    with serving(one) as address:
        names = {"ACCESS_KEY_ID": "k", "SECRET_ACCESS_KEY": "s", "EC2_METADATA_DISABLED": "true", "REGION": "us-east-1"}
        for name, value in {**names, "ENDPOINT_URL": address, "MAX_ATTEMPTS": "1"}.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        yield one


def opened(source: str, root: Path) -> Table:
    features = {"a": "numeric", "month": "numeric"}
    return open_table(
        DataConfig.parse({"source": source, "target": "y", "features": features}, "data"), "classification", root
    )


def months(table: Table) -> list[float]:
    return [value for chunk in table.chunks(["month"]) for value in chunk.column("month").to_pylist()]


def test_a_folder_of_a_bucket_is_a_table_with_the_columns_of_its_folders(bucket: Bucket, tmp_path: Path) -> None:
    table = opened("s3://rows/days", tmp_path)
    assert months(table) == [2.0] * 20 + [4.0] * 40
    before = table.digest
    assert opened("s3://rows/days", tmp_path).digest == before
    bucket.objects["days/month=4/part.parquet"] = parquet(6)
    table = opened("s3://rows/days", tmp_path)
    assert table.digest != before
    assert months(table) == [2.0] * 20 + [4.0] * 6


@pytest.mark.parametrize("path", ["days", "days/month=4/part.parquet"])
def test_settings_behind_the_address_are_those_of_every_file(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    place = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    table = opened(f"s3://rows/{path}?endpoint_override={place}&scheme=http", tmp_path)
    assert months(table)[-40:] == [4.0] * 40


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (
            "s3://rows/nothing",
            "data.source must be a file or a folder of files, but there is none at s3://rows/nothing",
        ),
        (
            "s3://others/days",
            "data.source must be readable, but s3://others/days: When listing objects under key 'days'",
        ),
    ],
)
@pytest.mark.usefixtures("bucket")
def test_what_is_not_there_is_one_line(tmp_path: Path, source: str, line: str) -> None:
    with pytest.raises(DataError) as refusal:
        opened(source, tmp_path)
    assert line in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_file_that_may_not_be_read_is_named_and_read_after_mending(bucket: Bucket, tmp_path: Path) -> None:
    (key,) = bucket.refused = {"days/month=4/part.parquet"}
    with pytest.raises(DataError, match=r"^part\.parquet must be whole and readable, but: .*ACCESS_DENIED"):
        opened("s3://rows/days", tmp_path)
    bucket.refused.clear()
    bucket.cut.add(key)
    with pytest.raises(DataError, match=r"^part\.parquet must be whole and readable, but: .*partial file"):
        opened("s3://rows/days", tmp_path)
    bucket.cut.clear()
    assert len(months(opened("s3://rows/days", tmp_path))) == 60


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_web_addresses_are_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], scheme: str
) -> None:
    (tmp_path / "conf").mkdir()
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init", "--data", f"{scheme}://127.0.0.1:1/rows.csv", "--target", "y"]) == ConfigError.exit_code
    (line,) = capsys.readouterr().err.splitlines()
    assert f"but is {scheme}://127.0.0.1:1/rows.csv; download it first" in line
    assert not list((tmp_path / "conf").iterdir())
