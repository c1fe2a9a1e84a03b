"""Census income 1994: does a person earn more than 50,000 dollars a year? 32,561 training and 16,281 test rows.

Kohavi and Becker 1996, UCI repository 2, https://archive.ics.uci.edu/dataset/2/adult, CC BY 4.0.
The files have no header, a space after each comma, `?` for a missing value, and a full stop after each test label.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from headway.data.config import CsvOptions
from headway.data.datasets import Dataset
from headway.data.fetch import File, pinned

COMMIT = "d20fcb6402ae34e653d4513b00f39257bb37ed7f"
COLUMNS = (
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education_num",
    "marital_status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital_gain",
    "capital_loss",
    "hours_per_week",
    "native_country",
    "income",
)


def clean(batch: pa.RecordBatch) -> pa.RecordBatch:
    """`<=50K.` and `<=50K` are one class."""
    at = batch.schema.get_field_index("income")
    return batch.set_column(at, "income", pc.utf8_rtrim(batch.column(at), "."))


DATASET = Dataset(
    files=(
        File(
            "adult/adult-test.csv",
            pinned("jbrownlee/Datasets", COMMIT, "adult-test.csv"),
            "72567b94f5c1a6f8501377dd80f93892c3848ff071cf91ba47e00b0785a28074",
        ),
        File(
            "adult/adult-train.csv",
            pinned("jbrownlee/Datasets", COMMIT, "adult-train.csv"),
            "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d",
        ),
    ),
    csv=CsvOptions(column_names=COLUMNS, null_values=("", "?"), strip=True),
    clean=clean,
)
