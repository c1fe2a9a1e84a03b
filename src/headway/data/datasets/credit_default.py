"""Default of credit card clients, Taiwan 2005. Yeh and Lien 2009; UCI data set 350, CC BY 4.0.

The file calls its columns X1 to X23 and Y; they get the names of the data set's description here. EDUCATION, MARRIAGE and the PAY columns
hold codes that the description does not mention: they are kept.
"""

from __future__ import annotations

import pyarrow as pa

from headway.data.datasets.base import Dataset, File, renamed

NAMES = {
    "X1": "LIMIT_BAL",
    "X2": "SEX",
    "X3": "EDUCATION",
    "X4": "MARRIAGE",
    "X5": "AGE",
    "X6": "PAY_0",
    **{f"X{i + 5}": f"PAY_{i}" for i in range(2, 7)},
    **{f"X{i + 11}": f"BILL_AMT{i}" for i in range(1, 7)},
    **{f"X{i + 17}": f"PAY_AMT{i}" for i in range(1, 7)},
    "Y": "default",
}


def clean(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Name the columns as the description does."""
    return renamed(batch, NAMES)


DATASET = Dataset(
    name="credit-default",
    title="Default of credit card clients, Taiwan",
    licence="CC BY 4.0",
    files=(
        File(
            "credit_default_uci/UCI_Credit_Card.csv",
            "https://raw.githubusercontent.com/fju155447/uci/84670e783ab9fd2459b7096d82965f28dafb66b2/UCI_Credit_Card.csv",
            "023eb2c3ad9efd15e7869616fa50a0143f25223105c7069ba632431530afdb61",
        ),
    ),
    clean=clean,
)
