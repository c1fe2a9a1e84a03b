"""Names of months in several languages, beside Python's own English ones."""

from __future__ import annotations

import calendar

import pytest

from headway.columns.months import in_english


@pytest.mark.parametrize("names", [calendar.month_name, calendar.month_abbr], ids=["whole", "short"])
def test_english_names_are_their_abbreviations(names: list[str]) -> None:
    for name, short in list(zip(names, calendar.month_abbr, strict=True))[1:]:
        assert [in_english(one) for one in (name, name.upper(), f"{name}.")] == [short] * 3


@pytest.mark.parametrize(
    "year",
    [
        "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
        "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
        "janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.",
        "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
        "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
        "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
        "januari februari maart april mei juni juli augustus september oktober november december",
        "jan. febr. mrt. apr. mei jun. jul. aug. sept. okt. nov. dec.",
        "januar februar marts april maj juni juli august september oktober november december",
        "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia",
    ],
)
def test_the_months_of_other_languages_are_the_english_ones_in_order(year: str) -> None:
    assert [in_english(name) for name in year.split()] == list(calendar.month_abbr)[1:]


def test_other_words_and_what_may_be_two_months_stay() -> None:
    for text in ("jui 2024", "Martha 2024", "20240305", "05/03/2024", "10:20 UTC", "the 5 th"):
        assert in_english(text) == text
    assert in_english("Wed, 1st of May, 22nd") == "Wed, 1 of May, 22"
