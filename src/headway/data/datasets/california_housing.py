"""California housing: median house values of 1990 census block groups. Pace and Barry 1997, as changed by A. Géron.

207 values of total_bedrooms are blank and ocean_proximity is added in this version; values above $500,000 are recorded as 500,001.
"""

from __future__ import annotations

from headway.data.datasets.base import Dataset, File

DATASET = Dataset(
    name="california-housing",
    title="California housing, 1990",
    licence="public domain (US census)",
    files=(
        File(
            "california_housing/housing.csv",
            "https://raw.githubusercontent.com/ageron/data/2ea73147454d2ff8c8a933913be4606f05b352ca/housing/housing.csv",
            "2364609dc48bec7df3ba9dbb7041478e704ecddcee70ef1827ec3fc49d22c0cc",
        ),
    ),
)
