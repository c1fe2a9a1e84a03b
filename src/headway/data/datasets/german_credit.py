"""German credit: good and bad credit risks. Hofmann 1994; UCI data set 144, CC BY 4.0.

The file has no header; columns are named as the data set's description names its attributes. The last column is 1 for good and 2 for bad.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from headway.data.config import CsvOptions
from headway.data.datasets.base import Dataset, File, with_column

COLUMNS = (
    "checking_account",
    "duration_months",
    "credit_history",
    "purpose",
    "amount",
    "savings",
    "employment_since",
    "installment_rate",
    "personal_status_sex",
    "other_debtors",
    "residence_since",
    "property",
    "age",
    "other_installment_plans",
    "housing",
    "existing_credits",
    "job",
    "dependents",
    "telephone",
    "foreign_worker",
    "risk",
)


def clean(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Say good and bad."""
    risk = batch.column("risk")
    named = pc.replace_substring(pc.replace_substring(risk, "1", "good"), "2", "bad")
    return with_column(batch, "risk", named)


DATASET = Dataset(
    name="german-credit",
    title="German credit risk",
    licence="CC BY 4.0",
    files=(
        File(
            "german_credit/german.csv",
            "https://raw.githubusercontent.com/jbrownlee/Datasets/d20fcb6402ae34e653d4513b00f39257bb37ed7f/german.csv",
            "ec12a88b9fc14d74ba646ea0410cf7ff4533bec2eb61652f8ad76796bbfec017",
        ),
    ),
    csv=CsvOptions(column_names=COLUMNS),
    clean=clean,
)
