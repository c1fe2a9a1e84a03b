"""Adult, or Census Income: whether a person earned more than $50,000 in 1994. Kohavi 1996; UCI data set 2, CC BY 4.0.

The files have no header, `, ` between values, `?` for a missing one, and labels that end in a dot in the official test file.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from headway.data.config import CsvOptions
from headway.data.datasets.base import Dataset, File, with_column

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
ADDRESS = "https://raw.githubusercontent.com/jbrownlee/Datasets/d20fcb6402ae34e653d4513b00f39257bb37ed7f/"


def clean(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Take the dot off the test file's labels."""
    return with_column(batch, "income", pc.utf8_rtrim(batch.column("income"), "."))


DATASET = Dataset(
    name="adult",
    title="Census income, 1994",
    licence="CC BY 4.0",
    files=(
        File(
            "adult/adult-train.csv",
            ADDRESS + "adult-train.csv",
            "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d",
        ),
        File(
            "adult/adult-test.csv",
            ADDRESS + "adult-test.csv",
            "72567b94f5c1a6f8501377dd80f93892c3848ff071cf91ba47e00b0785a28074",
        ),
    ),
    csv=CsvOptions(column_names=COLUMNS, null_values=("?", ""), strip=True),
    clean=clean,
)
