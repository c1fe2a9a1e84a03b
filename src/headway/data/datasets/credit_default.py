"""Credit card clients in Taiwan, April to September 2005: does a client default in October? 30,000 rows.

Yeh and Lien 2009, UCI repository 350, https://archive.ics.uci.edu/dataset/350/default+of+credit+card+clients, CC BY 4.0.
The file names its columns X1 to X23 and Y; here they have the names of the documentation, PAY_1 being called PAY_0 there.
"""

from __future__ import annotations

import pyarrow as pa

from headway.data.datasets import Dataset
from headway.data.fetch import File, pinned

NAMES = {
    **{"X1": "LIMIT_BAL", "X2": "SEX", "X3": "EDUCATION", "X4": "MARRIAGE", "X5": "AGE", "X6": "PAY_0"},
    **{f"X{5 + month}": f"PAY_{month}" for month in range(2, 7)},
    **{f"X{11 + month}": f"BILL_AMT{month}" for month in range(1, 7)},
    **{f"X{17 + month}": f"PAY_AMT{month}" for month in range(1, 7)},
    "Y": "default",
}


def clean(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Documented names in place of X1 to X23."""
    return batch.rename_columns([NAMES.get(name, name) for name in batch.schema.names])


DATASET = Dataset(
    files=(
        File(
            "credit_default_uci/UCI_Credit_Card.csv",
            pinned("fju155447/uci", "84670e783ab9fd2459b7096d82965f28dafb66b2", "UCI_Credit_Card.csv"),
            "023eb2c3ad9efd15e7869616fa50a0143f25223105c7069ba632431530afdb61",
        ),
    ),
    clean=clean,
)
