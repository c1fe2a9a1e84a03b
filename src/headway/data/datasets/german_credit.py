"""Credits of a German bank, 1973 to 1975: is the client a good or a bad risk? 1,000 rows, 300 of them bad.

Hofmann 1994, UCI repository 144, https://archive.ics.uci.edu/dataset/144/statlog+german+credit+data, CC BY 4.0.
The file has no header; its codes (A11, A30, ...) are those of the documentation; the class is 1 for good, 2 for bad.
Bad credits were oversampled, so predicted probabilities are those of this table, not of the bank.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from headway.data.config import CsvOptions
from headway.data.datasets import Dataset
from headway.data.fetch import File, pinned

COLUMNS = (
    "checking_account",
    "duration_months",
    "credit_history",
    "purpose",
    "credit_amount",
    "savings_account",
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
    "people_liable",
    "telephone",
    "foreign_worker",
    "risk",
)


def clean(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The class in words; anything but 1 and 2 stays as it is."""
    at = batch.schema.get_field_index("risk")
    codes = batch.column(at)
    words = pc.if_else(pc.equal(codes, "1"), "good", pc.if_else(pc.equal(codes, "2"), "bad", codes))
    return batch.set_column(at, "risk", words)


DATASET = Dataset(
    files=(
        File(
            "german_credit/german.csv",
            pinned("jbrownlee/Datasets", "d20fcb6402ae34e653d4513b00f39257bb37ed7f", "german.csv"),
            "ec12a88b9fc14d74ba646ea0410cf7ff4533bec2eb61652f8ad76796bbfec017",
        ),
    ),
    csv=CsvOptions(column_names=COLUMNS),
    clean=clean,
)
