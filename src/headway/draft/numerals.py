"""Numbers in text: their digits, their units, and words for missing ones."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headway.columns.written import Written, digits

MISSING = frozenset(
    """?|??|-|--|---|.|..|*|n/a|n.a.|na|n.a|none|null|nil|nan|(null)|<na>|<null>|\\n|#n/a|#na|#value!|#div/0!|#ref!|#null!|#num!|\
missing|unknown|unk|tbd|nd|k.a.|k.a|n/k|undefined|not available|not known|no data|0000-00-00""".split("|")  # noqa: SIM905
)
"""Words and marks that stand for a missing number."""

MOST_WORDS, RARE, OFTEN = 3, 0.05, 0.3
"""At most so many other words, in at most this share of the rows, mean missing numbers; in the larger share where numbers are many."""

FEWEST = 5
"""Least number of different numbers among texts that are taken for numbers."""

_SYMBOLS = "<>≤≥~≈=+"
_CURRENCIES = frozenset(
    """usd|us$|a$|c$|r$|hk$|s$|nz$|eur|gbp|chf|fr.|fr|sfr|sfr.|rs|rs.|inr|jpy|cny|rmb|sek|nok|dkk|kr|kr.|zł|pln|kč|czk|ft|huf|lei|ron|\
rub|brl|mxn|zar|aud|cad|krw|sgd|hkd|nzd|try|tl|rm""".split("|")  # noqa: SIM905
)
_SCALES: Sequence[Mapping[str, float]] = (
    {
        "k": 1e3,
        "K": 1e3,
        "m": 1e6,
        "M": 1e6,
        "mn": 1e6,
        "Mio": 1e6,
        "b": 1e9,
        "B": 1e9,
        "bn": 1e9,
        "Mrd": 1e9,
        "T": 1e12,
    },
    {"%": 1.0},
    {"mm": 1e-3, "cm": 1e-2, "m": 1.0, "km": 1e3},
    {"mg": 1e-3, "g": 1.0, "kg": 1e3, "t": 1e6},
    {"ml": 1e-3, "mL": 1e-3, "cl": 1e-2, "dl": 0.1, "l": 1.0, "L": 1.0},
    {"B": 1.0, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12},
    {"ms": 1e-3, "s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0, "hr": 3600.0, "hrs": 3600.0},
    {"st": 1.0, "nd": 1.0, "rd": 1.0, "th": 1.0},
    {"W": 1.0, "kW": 1e3, "MW": 1e6},
    {"Hz": 1.0, "kHz": 1e3, "MHz": 1e6, "GHz": 1e9},
)
"""Units of one measure in a group, each with its factor."""

_ONE = re.compile(
    r"(?P<open>\(?)\s*[-+]?\s*(?P<before>[^\d\s(),'+-][^\d(),'+-]*)?\s*(?P<inner>\(?)[-+]?\s*"
    r"(?P<body>(?:\d|[.,]\d)(?:[\d.,]|[ '](?=\d{3}))*(?:[eE][-+]?\d+)?)"
    r"\s*(?P<after>[^\d\s(),.'/:;+-][^(),:;]*|\+[^\d(),:;]*|/\s?(?:[^\W\d_]\^?[23]|[^\W\d_][^\d(),:;]*))?(?P<close>\)?)\s*(?P<last>-?)"
)
"""Any number with its unit."""

_PER = re.compile(r"/\s?(?:[hsdmlgyta]|[^\W\d_]\^?[23²³]|[^\W\d_][^\WA-Z\d_].*)")
"""What a number is counted per: /mo, /h, / Monat, /m². A letter alone may be part of a code, as in 101/A."""

_TYPED = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2212": "-", "\u2013": "-", "\u2019": "'"})
_FORMS = ((".", ""), (".", ","), (",", ""), (",", "."), (".", " "), (",", " "), (".", "'"), (",", "'"))
_GROUPED = re.compile(r"[1-9]\d{0,2}(?:,\d{3})+")


@dataclass(frozen=True)
class _Number:
    """One text that seems to be a number, in parts."""

    before: str
    body: str
    after: str
    negative: str


def numbers_of(texts: Mapping[str, int], comma: bool) -> tuple[Written | None, bool]:
    """The form of numbers, and whether the decimal comma is certain; None where the texts are no numbers."""
    first = list(texts)[:200]
    if sum(_split(text) is not None for text in first) < 0.5 * len(first):
        return None, False
    parts = {text: _split(text) for text in texts}
    numbers = {text: part for text, part in parts.items() if part is not None}
    words = {text: texts[text] for text in texts if text not in numbers}
    if len(numbers) < FEWEST or _has_codes(numbers) or not _may_be_missing(words, texts, len(numbers)):
        return None, False
    units = _units(numbers, texts)
    form = _form({part.body for part in numbers.values()}, comma)
    if units is None or form is None:
        return None, False
    negative = {part.negative for part in numbers.values()} - {""}
    if len(negative) > 1:
        return None, False
    decimal, thousands = form
    settings = {"decimal": decimal, "thousands": thousands, "units": units, "missing": tuple(sorted(words))}
    writing = Written.model_validate({**settings, "negative": negative.pop() if negative else "-12"})
    certain = decimal == "," and not all(_GROUPED.fullmatch(part.body) for part in numbers.values())
    return (None if writing == Written() else writing), certain


def _split(text: str) -> _Number | None:
    match = None if text.lower() in MISSING else _ONE.fullmatch(text.translate(_TYPED))
    if match is None:
        return None
    before, body, after = (match["before"] or "").strip(), match["body"], (match["after"] or "").strip()
    if re.search(r"\d{3}", after) or (after.startswith("/") and not before and not _PER.fullmatch(after)):
        return None  # 20241231T101530Z is a moment, and 101/A a code
    if before.endswith(".") and before.lower() not in _CURRENCIES:
        before, body = before[:-1], "." + body
    brackets = bool(match["open"] or match["inner"])
    if brackets != bool(match["close"]) or (brackets and match["last"]):
        return None
    return _Number(before, body, after, "(12)" if brackets else "12-" if match["last"] else "")


def _has_codes(numbers: Mapping[str, _Number]) -> bool:
    """Whether some begin with a zero, as codes do."""
    return any(len(part.body) > 1 and part.body.isdigit() and part.body[0] == "0" for part in numbers.values())


def _may_be_missing(words: Mapping[str, int], texts: Mapping[str, int], numbers: int) -> bool:
    """Whether the texts that are no numbers may mean missing ones; ``numbers``: how many different numbers there are."""
    total = sum(texts.values())
    others = {word: count for word, count in words.items() if word.lower() not in MISSING}
    share = RARE if numbers < 20 * max(1, len(others)) else OFTEN
    few = len(others) <= MOST_WORDS and sum(others.values()) <= share * total
    return few and sum(words.values()) <= 0.8 * total and not (others and total < 20)


def _units(numbers: Mapping[str, _Number], texts: Mapping[str, int]) -> dict[str, float] | None:
    """The units of the numbers with their factors; None where they are of several measures, or letters of a code."""
    befores = {part.before for part in numbers.values()} - {""}
    afters = {part.after for part in numbers.values()} - {""}
    money = {one for one in (before.strip(_SYMBOLS + " ") for before in befores) if one}
    if len(money) > 1 or any(not (_is_symbol(one) or one.lower() in _CURRENCIES) for one in money):
        return None
    factors = dict.fromkeys(sorted(befores), 1.0)
    names = {after: _name(after) for after in afters}
    kinds = {name for name in names.values() if name}
    scale = next((scale for scale in _SCALES if kinds <= set(scale)), None)
    if kinds and scale is None:
        if len({kind.lower().rstrip("s.") for kind in kinds}) > 1:
            return None
        share = sum(texts[t] for t, part in numbers.items() if part.after) / sum(texts[t] for t in numbers)
        attached = any(re.search(r"\d[^\W\d_]", text) for text, part in numbers.items() if part.after)
        if share < 0.5 or (attached and share < 1) or len(max(kinds, key=len)) > 20:
            return None
    one_unit = len(kinds) == 1 and (scale is None or scale is not _SCALES[0])
    return factors | {
        after: 1.0 if one_unit or not scale or not name else scale[name] for after, name in sorted(names.items())
    }


def _name(after: str) -> str:
    """A unit without the signs around it: `+ years` is years."""
    name = after.strip(_SYMBOLS + " ")
    return next((one for one in (name, name.lower(), name.upper()) if any(one in scale for scale in _SCALES)), name)


def _is_symbol(text: str) -> bool:
    import unicodedata

    return len(text) == 1 and unicodedata.category(text) == "Sc"


def _form(bodies: set[str], comma: bool) -> tuple[str, str] | None:
    """The decimal mark and the one between thousands that fit all numbers; 1,234 is 1234 unless other columns have decimal commas."""
    fits = [form for form in _FORMS if all(re.fullmatch(digits(*form), body) for body in bodies)]
    commas = [form for form in fits if form[0] == ","]
    if comma and commas and any("," in body or "." in body for body in bodies):
        return (",", ".") if any("." in body for body in bodies) and (",", ".") in commas else commas[0]
    return fits[0] if fits else None
