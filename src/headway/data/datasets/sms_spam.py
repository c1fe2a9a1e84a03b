"""Text messages: is one spam? 5,574 rows, 747 of them spam; 403 have the text of an earlier one.

Almeida, Hidalgo and Yamakami 2011, UCI repository 228, https://archive.ics.uci.edu/dataset/228/sms+spam+collection, CC BY 4.0.
The file has no header, a tab between class and text, and quotes that are part of the text. Some texts are written as in HTML: &amp; for &.
"""

from __future__ import annotations

from headway.data.config import CsvOptions
from headway.data.datasets import Dataset
from headway.data.fetch import File

DATASET = Dataset(
    files=(
        File(
            "sms_spam/SMSSpamCollection",
            "https://archive.ics.uci.edu/static/public/228/sms+spam+collection.zip",
            "7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d",
            member="SMSSpamCollection",
        ),
    ),
    csv=CsvOptions(delimiter="\t", column_names=("label", "text"), null_values=(), quotes=False),
)
