"""One word for one thing in every text that people read, and one time zone, as docs/words.md says."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "flows").rglob("*.py")])
PAGES = sorted([*(ROOT / "src").rglob("*.html"), *(ROOT / "docs").rglob("*.md"), ROOT / "README.md"])
OTHER_WORDS = {
    "an expectation": r"\brules?\b(?! out| of three)",
    "the champion": r"\bin charge\b|\bincumbent\b",
    "a slice": r"\b(segment|subgroup|cohort)s?\b",
    "a version": r"\bmodel version\b",
    "no wordplay": r"\bearns? (its|their) keep\b|\bnobody\b|\bwhoever\b",
    "but": r"\bhowever\b",
}
CLOCKS = re.compile(
    r"\b(time\.(strftime|localtime|ctime|asctime)|datetime\.(now|today|utcnow|fromtimestamp)|strftime)\(|\{[\w.]+:%[YmdHM]"
)
OWN_CLOCK = {
    "src/headway/machine/clock.py": "what names the zone",
    "src/headway/tracking/decisions.py": "ISO 8601 with Z, for programs",
    "src/headway/server/news.py": "a question to Prefect",
    "src/headway/server/schedule.py": "a check of cron",
    "src/headway/tracking/packaging.py": "dates of data, in an example of rows",
}
DATES_OF_DATA = ("src/headway/data/", "src/headway/columns/", "src/headway/draft/")


@cache
def texts_of(path: Path) -> tuple[tuple[int, str], ...]:
    """The text constants of a module that contain a space, with their lines; without docstrings."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    notes = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    texts = [node for node in nodes if isinstance(node, ast.Constant) and id(node) not in notes]
    return tuple((node.lineno, node.value) for node in texts if isinstance(node.value, str) and " " in node.value)


@pytest.mark.parametrize("word", OTHER_WORDS)
def test_texts_for_people_have_one_word_for_one_thing(word: str) -> None:
    pattern = OTHER_WORDS[word]
    places = [
        f"{path.relative_to(ROOT)}:{line}: {text!r}"
        for path in SOURCES
        for line, text in texts_of(path)
        if re.search(pattern, text, re.IGNORECASE)
    ]
    places += [
        f"{path.relative_to(ROOT)}: {line}"
        for path in PAGES
        if word != "an expectation"  # pages also describe rules of other kinds
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(pattern, line, re.IGNORECASE)
    ]
    assert not places, f"say {word}"


def test_the_words_would_be_noticed(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text('"""All rules in charge."""\ntext = f"version {1} is in charge"\n')
    assert sorted(text for _, text in texts_of(module)) == [" is in charge", "version "]


def test_times_for_people_come_from_one_clock_which_names_its_zone() -> None:
    others = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if CLOCKS.search(path.read_text(encoding="utf-8"))
        and str(path.relative_to(ROOT)) not in OWN_CLOCK
        and not str(path.relative_to(ROOT)).startswith(DATES_OF_DATA)
    ]
    assert others == []
