"""The tables of a study's report. Values stand above their intervals, so that a table fits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from headway.effect.results import Confirmed, Effect, Row, StudyResult
from headway.effect.words import VERDICTS, difference, ratio, shown_effect, target_counts
from headway.files.pages import Cell, Table

MARKS = {
    "helps": "good",
    "hurts": "bad",
    "changes quality": "mild",
    "not settled": "soft",
    "no measurable effect": "soft",
}


def ranked(rows: Sequence[Row]) -> list[Row]:
    """By verdict, those that help first, then by effect."""

    def rank(row: Row) -> tuple[int, float]:
        effect = shown_effect(row)
        return VERDICTS.index(row.verdict), effect.value if effect else 1.0

    return sorted(rows, key=rank)


Column = tuple[str, Callable[[Row], Cell]]


def verdict_table(rows: Sequence[Row]) -> Table | None:
    """Verdict, times and quality of each technique that was tried."""
    columns: list[Column] = [
        ("technique", lambda row: Cell(row.name, row.reason or target_counts(row.reached) or row.sentence)),
        ("verdict", lambda row: Cell(row.verdict, mark=MARKS.get(row.verdict, ""))),
        ("step time", lambda row: _ratio(row.time)),
        ("time to target", lambda row: _ratio(row.to_target if row.changes == "maths" else None)),
        ("quality", lambda row: _stacked(difference(row.quality))),
    ]
    return _table("Techniques", columns, rows, frozenset((2, 3, 4)))


def figure_table(rows: Sequence[Row]) -> Table | None:
    """What else was measured of a technique."""
    columns: list[Column] = [
        ("technique", lambda row: Cell(row.name)),
        ("peak memory", lambda row: _ratio(row.peak)),
        ("energy", lambda row: _ratio(row.joules)),
        ("cost", _cost),
        ("ready after", lambda row: Cell("" if row.startup is None else f"{row.startup[1]:.1f} s")),
        ("at best", lambda row: Cell("" if row.bound is None else f"{row.bound:.2f}")),
    ]
    return _table("Further figures", columns, rows, frozenset(range(1, 6)))


def _table(label: str, columns: Sequence[Column], rows: Sequence[Row], numbers: frozenset[int]) -> Table | None:
    """A table without the columns that are empty in every row."""
    cells = [[make(row) for row in rows] for _, make in columns]
    places = [number for number, column in enumerate(cells) if any(cell.text for cell in column)]
    if len(places) < 2:
        return None
    head = tuple(columns[number][0] for number in places)
    right = frozenset(position for position, place in enumerate(places) if place in numbers)
    return Table(label, head, tuple(zip(*(cells[number] for number in places), strict=True)), right)


def _ratio(effect: Effect | None) -> Cell:
    return _stacked(ratio(effect))


def _stacked(text: str) -> Cell:
    """A value over its interval."""
    value, bracket, rest = text.partition(" [")
    return Cell(value, bracket.strip() + rest)


def _cost(row: Row) -> Cell:
    """The ratio; the price of a run without and with it where an hour has a price."""
    cell = _ratio(row.cost)
    return (
        cell if row.money is None else Cell(cell.text, f"{cell.more} {row.money[0]:.3g} → {row.money[1]:.3g}".strip())
    )


def together_table(result: StudyResult) -> Table | None:
    """What one technique adds to the stack, or would add."""
    rows = tuple(
        (Cell(f"{how} {row.name}"), _ratio(row.time), Cell(row.verdict, mark=MARKS.get(row.verdict, "")))
        for how, beside in (("without", result.without), ("with", result.with_))
        for row in beside
    )
    head = ("the stack", "step time, the stack's = 1", "verdict")
    return Table("Techniques beside one another", head, rows, frozenset((1,))) if rows else None


def recipe_table(confirmations: Sequence[Confirmed]) -> Table | None:
    """Every candidate that was measured again on fresh samples."""
    rows = tuple(
        (
            Cell(", ".join(one.names)),
            _ratio(one.time),
            _ratio(one.to_target),
            Cell("") if one.quality is None else _stacked(f"{difference(one.quality)} {one.quality.says}"),
            Cell("" if one.sessions is None else f"{one.sessions} sessions, {one.seeds} seeds"),
            Cell(", ".join(filter(None, (one.outcome, one.why, target_counts(one.reached))))),
        )
        for one in confirmations
    )
    head = ("together", "step time", "time to target", "quality", "fresh samples", "confirmed?")
    return Table("Confirmations", head, rows, frozenset((1, 2, 3))) if rows else None
