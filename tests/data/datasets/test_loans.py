"""The synthetic loan book: its truth, its drift, and that it is the same every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy.stats import chi2_contingency, ks_2samp
from sklearn.metrics import roc_auc_score

from headway.data.datasets import loans, locate
from headway.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    files = locate("loans", {"rows_per_month": 4000}, tmp_path_factory.mktemp("loans")).files
    assert [f.name for f in files] == [f"{y}-{m:02d}.parquet" for y in (2024, 2025) for m in range(1, 13)]
    return pd.concat([pq.read_table(f).to_pandas().assign(file=f.stem) for f in files], ignore_index=True)


def _expected_auc(p: np.ndarray) -> float:
    """AUC expected of p itself when each label is drawn with it: P(p_i > p_j), i drawn by p and j by 1 - p."""
    p = np.sort(p)
    below = np.cumsum(1 - p) - (1 - p)
    return float((p * below).sum() / (p.sum() * (1 - p).sum() - (p * (1 - p)).sum()))


def test_the_best_auc_is_what_the_probabilities_say(book: pd.DataFrame) -> None:
    reached = roc_auc_score(book["defaulted"] == "yes", book["true_probability"])
    assert reached == pytest.approx(_expected_auc(book["true_probability"].to_numpy()), abs=0.008)
    assert 0.80 < reached < 0.85


def test_the_probabilities_are_calibrated(book: pd.DataFrame) -> None:
    defaulted = book["defaulted"] == "yes"
    assert 0.10 < defaulted.mean() < 0.15
    for _, part in book.assign(y=defaulted).groupby(pd.qcut(book["true_probability"], 10)):
        p = part["true_probability"]
        spread = np.sqrt((p * (1 - p)).sum()) / len(part)
        assert abs(part["y"].mean() - p.mean()) < 4 * spread


def test_the_probability_follows_from_the_columns_of_the_file(book: pd.DataFrame) -> None:
    quiet = book[book["file"] < "2025-07"]
    columns = {c: quiet[c].to_numpy() for c in quiet.columns}
    file_columns = {
        "home": loans.HOMES,
        "purpose": tuple(loans.PURPOSES),
        "region": loans.REGIONS,
        "employer": loans.EMPLOYERS,
    }
    for name, values in file_columns.items():
        columns[name] = quiet[name].map({v: i for i, v in enumerate(values)}).to_numpy()
    notes = quiet["note"].fillna("").astype(str)
    columns["words"] = np.array([sum(loans.WORDS[w] for w in set(note.split())) for note in notes])
    np.testing.assert_allclose(loans.probability(columns, 0.0), quiet["true_probability"], rtol=1e-12)


def test_the_columns_drift_in_the_last_six_months_only(book: pd.DataFrame) -> None:
    first = book[book["file"] == "2024-01"]
    for column in ("interest_rate", "utilisation", "income"):
        p = {str(f): ks_2samp(first[column].dropna(), part[column].dropna()).pvalue for f, part in book.groupby("file")}
        assert min(p[f] for f in p if f < "2025-07") > 1e-4
        assert p["2025-12"] < 1e-6
    rates = book.groupby("file")["interest_rate"].mean()
    assert (np.diff(rates[rates.index >= "2025-06"]) > 0).all()


def test_purposes_and_the_base_rate_drift_in_the_last_six_months_only(book: pd.DataFrame) -> None:
    files = sorted(book["file"].unique())
    table = pd.crosstab(book["file"], book["purpose"])

    def shifted(file: str) -> float:
        return float(chi2_contingency(table.loc[["2024-01", file]])[1])

    assert min(shifted(file) for file in files[1:18]) > 1e-4
    assert shifted("2025-12") < 1e-6
    truth = book.groupby("file")["true_probability"]
    mean, error = truth.mean(), truth.sem()
    quiet = mean[files[:18]]
    assert (abs(quiet - quiet.mean()) < 4 * error[files[:18]]).all()
    assert 0.02 < mean["2025-12"] - quiet.mean() < 0.10


def test_columns_are_as_described(book: pd.DataFrame) -> None:
    assert book["loan_id"].is_unique
    assert (book["issued"].dt.strftime("%Y-%m") == book["file"]).all()
    assert book["issued"].is_monotonic_increasing
    assert book["income"].isna().mean() == pytest.approx(0.06, abs=0.01)
    assert book["months_since_delinquency"].isna().mean() > 0.7
    assert (book["months_since_delinquency"].isna() == (book["delinquencies"] == 0)).all()
    assert (book["purpose"].nunique(), book["region"].nunique()) == (12, 50)
    assert book["employer"].nunique() > 2000


def test_one_seed_gives_one_book(tmp_path: Path) -> None:
    options = {"rows_per_month": 300, "months": 3}
    once, again = (locate("loans", options, tmp_path / name).files for name in ("a", "b"))
    other = locate("loans", {**options, "seed": 1}, tmp_path / "a").files
    assert [f.read_bytes() for f in once] == [f.read_bytes() for f in again]
    assert [f.parent.name for f in once] == [f.parent.name for f in again]
    assert once[0].parent != other[0].parent
    assert once[0].read_bytes() != other[0].read_bytes()
    assert not list(tmp_path.rglob("*.partial"))


def test_only_missing_months_are_written(tmp_path: Path) -> None:
    options = {"rows_per_month": 50, "months": 3}
    files = locate("loans", options, tmp_path).files
    before = [f.read_bytes() for f in files]
    files[0].write_bytes(b"as it is")
    files[1].unlink()
    assert [f.read_bytes() for f in locate("loans", options, tmp_path).files] == [b"as it is", *before[1:]]


def test_a_month_of_many_blocks_has_all_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loans, "BLOCK_ROWS", 40)
    [file] = locate("loans", {"rows_per_month": 100, "months": 1}, tmp_path).files
    frame = pq.read_table(file).to_pandas()
    assert len(frame) == frame["loan_id"].nunique() == 100
    assert frame["issued"].is_monotonic_increasing


def test_the_broken_month_lies_apart_and_is_broken(tmp_path: Path) -> None:
    options = {"rows_per_month": 1000, "months": 2}
    files = locate("loans", options, tmp_path).files
    *same, broken = locate("loans", {**options, "broken": True}, tmp_path).files
    assert tuple(same) == files
    assert broken == files[0].parent / "broken" / "2024-03.parquet"
    assert pq.read_schema(broken) == pq.read_schema(files[0])
    frame = pq.read_table(broken).to_pandas()
    assert frame["interest_rate"].max() <= 0.30
    assert (~frame["home"].isin(loans.HOMES)).sum() > 50
    assert frame["amount"].isna().sum() > 20
    assert (frame["income"] < 0).sum() > 5


def test_wrong_options_and_a_folder_that_cannot_be_written_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="data.options: months must be at least 1"):
        locate("loans", {"months": 0}, tmp_path)
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(DataError, match="must be writable"):
        locate("loans", {"months": 1, "rows_per_month": 10}, tmp_path)
