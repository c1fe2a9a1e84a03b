"""Hourly rentals of Washington's bicycle sharing in 2011 and 2012. 17,379 rows.

Fanaee-T and Gama 2013, UCI repository 275, https://archive.ics.uci.edu/dataset/275/bike+sharing+dataset, CC BY 4.0.
`casual` + `registered` = `cnt`: a leak where `cnt` is predicted, left in as published.
"""

from __future__ import annotations

from headway.data.datasets import Dataset
from headway.data.fetch import File, pinned

DATASET = Dataset(
    files=(
        File(
            "bike_sharing/hour.csv",
            pinned(
                "apnavp/Visualization-for-Bike-Sharing-Dataset-and-default-of-credit-card-clients-Data-Set",
                "c709abb0674fe489bac4c30193952767014a8e82",
                "hour.csv",
            ),
            "02af109be4dc4b6ae1a1f89dffa39e0cf11fb0b37a87942955fa0669144b6d70",
        ),
    ),
)
