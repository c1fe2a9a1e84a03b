"""Addresses of data with a secret in them are refused when a project is read, and the secret is not repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway.data.credentials import credentials_in
from headway.data.files import find_files
from headway.errors import ConfigError
from headway.project import load_project
from headway.tracking import tracking_uri

YAML = """
task: {task}
data: {{source: "{source}", target: y, features: {{a: numeric}}}}
"""
SECRET = "wJalrXUtnFEMI"
HOLD = [
    f"s3://AKIA7EXAMPLE:{SECRET}@bucket/rows",
    f"S3://AKIA7EXAMPLE:{SECRET}@bucket/rows/*.parquet",
    f"s3://AKIA7EXAMPLE:abc/{SECRET}@bucket/rows",
    f"s3://AKIA7EXAMPLE:12/{SECRET}@bucket/rows",
    f"s3://AKIA7EXAMPLE:abc?{SECRET}@bucket/rows",
    f"s3://bucket/rows?region=eu-west-1&secret_key={SECRET}",
    f"s3://bucket/rows?X-Amz-Signature={SECRET}",
    f"https://user:{SECRET}@host/rows.csv",
    f"https://{SECRET}@host/rows.csv",
    f"https://host/rows.csv?access_token={SECRET}",
    f"https://host/rows.csv#access_token={SECRET}",
    f"https://account.blob.core.windows.net/c/rows.csv?sv=2022-11-02&sp=r&sig={SECRET}%3D",
    f"abfs://account:{SECRET}@container/rows",
    f"abfss://container@account.dfs.core.windows.net/rows?sas_token={SECRET}",
    f"gs://bucket/rows?X-Goog-Signature={SECRET}",
    f"sftp://user:{SECRET}@host/rows",
]
HOLD_NONE = [
    "s3://bucket/rows?region=eu-west-1&endpoint_override=localhost:9000",
    "s3://bucket/day=2026-01-01T10:00/rows@home.csv",
    "gs://anonymous@bucket/rows",
    "abfss://container@account.dfs.core.windows.net/rows",
    "hdfs://namenode:8020/rows/a@b:c.csv",
    "sftp://user@host/rows",
    "https://host:8443/rows.csv?tokenizer=wordpiece&version=2",
    "http://[::1]:9000/rows.csv",
    "file:///data/rows@home:1.csv",
]


@pytest.mark.parametrize("source", HOLD)
def test_a_project_with_a_secret_in_an_address_is_refused_without_repeating_it(root: Path, source: str) -> None:
    (root / "conf" / "p.yaml").write_text(YAML.format(task="classification", source=source))
    with pytest.raises(
        ConfigError, match=r"^conf/p\.yaml: data\.source must hold no credentials, but .*; use "
    ) as error:
        load_project("p", root)
    assert SECRET not in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("source", HOLD_NONE)
def test_an_address_without_a_secret_is_taken(root: Path, source: str) -> None:
    (root / "conf" / "p.yaml").write_text(YAML.format(task="classification", source=source))
    assert credentials_in(source) is None
    assert load_project("p", root).name == "p"


def test_no_other_road_takes_a_secret_either(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting of the command line, a description, a text's project, --data, MLflow's own address."""
    address = HOLD[0]
    (root / "conf" / "p.yaml").write_text(YAML.format(task="classification", source="rows.csv"))
    with pytest.raises(ConfigError, match=r"data\.source must hold no credentials"):
        load_project("p", root, [f"data.source={address}"])
    with pytest.raises(ConfigError, match="description must hold no credentials"):
        load_project("p", root, {"description": f"Rows of {address}, daily."})
    (root / "conf" / "t.yaml").write_text(f"task: language\ndata: {{source: '{address}'}}\n")
    with pytest.raises(ConfigError, match=r"conf/t\.yaml: data\.source must hold no credentials"):
        load_project("t", root)
    with pytest.raises(ConfigError, match="--data must hold no credentials"):
        find_files(address, root, "--data")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"https://user:{SECRET}@host")
    with pytest.raises(ConfigError, match="use MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD") as error:
        tracking_uri(root)
    assert SECRET not in str(error.value)
