"""Median house values of Californian districts in the 1990 census, in dollars. 20,640 rows.

Pace and Barry 1997, StatLib, in A. Géron's version: 207 values of total_bedrooms blanked, ocean_proximity added.
Values are capped at 500,001 dollars and ages at 52 years.
"""

from __future__ import annotations

from headway.data.datasets import Dataset
from headway.data.fetch import File, pinned

DATASET = Dataset(
    files=(
        File(
            "california_housing/housing.csv",
            pinned("ageron/data", "2ea73147454d2ff8c8a933913be4606f05b352ca", "housing/housing.csv"),
            "2364609dc48bec7df3ba9dbb7041478e704ecddcee70ef1827ec3fc49d22c0cc",
        ),
    ),
)
