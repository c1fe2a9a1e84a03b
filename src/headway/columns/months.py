"""Dates with the name of a month in another language than English, or abbreviated in another way, as English dates."""

from __future__ import annotations

import re
from collections import defaultdict

_ENGLISH = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_NAMES = (
    "january januar jänner janvier enero gennaio janeiro januari styczeń stycznia",
    "february februar feber février fevrier febrero febbraio fevereiro februari luty lutego",
    "march märz maerz mrz mars marzo março marco maart mrt marts marzec marca",
    "april avril abril aprile kwiecień kwietnia",
    "may mai mayo maggio maio mei maj maja",
    "june juni juin junio giugno junho czerwiec czerwca",
    "july juli juillet julio luglio julho lipiec lipca",
    "august août aout agosto augustus augusti sierpień sierpnia",
    "september septembre septiembre settembre setembro wrzesień września",
    "october oktober octobre octubre ottobre outubro październik października",
    "november novembre noviembre novembro listopad listopada",
    "december dezember décembre decembre diciembre dicembre dezembro grudzień grudnia",
)
"""Names in English, German, French, Spanish, Italian, Portuguese, Dutch, Danish, Norwegian, Swedish and Polish."""

LEAST = 3
"""Letters of an abbreviation; shorter ones are not of one month alone."""


def _by_word() -> dict[str, str]:
    """Each name, and each beginning of names that is of one month alone, to the month's English abbreviation."""
    months: dict[str, set[str]] = defaultdict(set)
    for month, names in zip(_ENGLISH, _NAMES, strict=True):
        for name in names.split():
            for end in range(LEAST, len(name) + 1):
                months[name[:end]].add(month)
    return {word: min(of) for word, of in months.items() if len(of) == 1}


_MONTHS = _by_word()
ENGLISH = frozenset(name[:end] for names in _NAMES for name in names.split()[:1] for end in range(LEAST, len(name) + 1))
"""English names and their abbreviations, in small letters."""

_WORD = re.compile(r"([^\W\d_]{3,})\.?")
_ORDINAL = re.compile(r"(?<=\d)(?:st|nd|rd|th|er)\b", re.IGNORECASE)


def in_english(text: str) -> str:
    """The text with each name of a month as its English abbreviation, and without the endings of 1st and 2nd.

    5. März 2024           5. Mar 2024
    5 de marzo de 2024     5 de Mar de 2024
    Sept. 5th, 2024        Sep 5, 2024
    """
    return _WORD.sub(lambda word: _MONTHS.get(word[1].lower(), word[0]), _ORDINAL.sub("", text))
