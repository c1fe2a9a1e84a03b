"""Fine dust over Beijing by the hour, 2010 to 2014, with the weather. 43,824 rows, of which 2,067 lack the target, pm2.5.

Liang et al. 2015, UCI repository 381, https://archive.ics.uci.edu/dataset/381/beijing+pm2+5+data, CC BY 4.0.
"""

from __future__ import annotations

from headway.data.datasets import Dataset
from headway.data.fetch import File, pinned

DATASET = Dataset(
    files=(
        File(
            "beijing_pm25/pollution.csv",
            pinned("jbrownlee/Datasets", "d20fcb6402ae34e653d4513b00f39257bb37ed7f", "pollution.csv"),
            "892e9559205d16d32623135c127a3951c12e46ea1e0b3093e107ce89a9fd60e2",
        ),
    ),
)
