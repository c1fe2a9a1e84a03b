"""Bike sharing: hourly rentals in Washington, 2011 and 2012. Fanaee-T and Gama 2013; UCI data set 275, CC BY 4.0.

`casual` and `registered` sum to the target `cnt`: a leak, to be left out.
"""

from __future__ import annotations

from headway.data.datasets.base import Dataset, File

REPOSITORY = "apnavp/Visualization-for-Bike-Sharing-Dataset-and-default-of-credit-card-clients-Data-Set"

DATASET = Dataset(
    name="bike-sharing",
    title="Bike rentals by the hour, Washington",
    licence="CC BY 4.0",
    files=(
        File(
            "bike_sharing/hour.csv",
            f"https://raw.githubusercontent.com/{REPOSITORY}/c709abb0674fe489bac4c30193952767014a8e82/hour.csv",
            "02af109be4dc4b6ae1a1f89dffa39e0cf11fb0b37a87942955fa0669144b6d70",
        ),
    ),
)
