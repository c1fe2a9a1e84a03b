"""Every page of the documentation: its commands are commands, its links lead somewhere, and the list of pages is whole."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import PurePosixPath
from typing import Any

import pytest

from bench.goals import BENCHMARKS
from headway.cli import reference
from headway.cli.arguments import parser
from headway.cli.commands import COMMANDS
from headway.config import yaml_value
from headway.project import Project
from tests.support.pages import ROOT, Page, commands, page, pages

PAGES = pages()
LINES = [(one.name, line) for one in PAGES for line in commands("headway", [*one.code(), *one.code("text")])]
MENTIONED = [(one.name, line) for one in PAGES for line in commands("headway", one.inline)]
each_page = pytest.mark.parametrize("one", PAGES, ids=lambda one: one.name)


@pytest.mark.parametrize(("_name", "line"), LINES)
def test_the_command_line_knows_every_command(_name: str, line: str) -> None:
    parser(COMMANDS).parse_args(shlex.split(line)[1:])


@pytest.mark.parametrize(("_name", "line"), MENTIONED)
def test_the_command_line_knows_every_command_that_is_mentioned(_name: str, line: str) -> None:
    words = shlex.split(line)[1:]
    if len(words) < 2:
        assert {*words} <= {*COMMANDS, "--help"}
    else:
        parser(COMMANDS).parse_args(words)


@pytest.mark.parametrize("line", ["headway runn adult", "headway run adult --resipe", "headway score"])
def test_a_misspelt_command_would_be_noticed(line: str) -> None:
    with pytest.raises(SystemExit):
        parser(COMMANDS).parse_args(shlex.split(line)[1:])


def test_make_knows_every_target_and_every_benchmark() -> None:
    lines = commands("make", [text for one in PAGES for text in (*one.code(), *one.inline)])
    assert len(lines) >= 4
    for line in lines:
        subprocess.run([*shlex.split(line), "--dry-run"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    sentence = re.search(r"`make bench NAME=(\w+)` \(([^)]+)\)", page("docs/benchmarks.md").text)
    assert sentence is not None
    named = {sentence[1], *re.findall(r"`(\w+)`", sentence[2])}
    assert named == set(BENCHMARKS)


@each_page
def test_links_lead_to_a_file_and_a_heading_of_it(one: Page) -> None:
    folder = (ROOT / one.name).parent
    wrong = []
    for link in one.links:
        path, _, anchor = link.partition("#")
        target = (folder / path).resolve() if path else ROOT / one.name
        if not target.exists() or (anchor and anchor not in page(str(target.relative_to(ROOT))).anchors):
            wrong.append(link)
    assert wrong == []


@each_page
def test_files_and_folders_that_are_named_are_there(one: Page) -> None:
    paths = [word for word in one.inline if re.fullmatch(r"(src|bench|flows|docs|tests)/[\w/.-]*", word)]
    assert [path for path in paths if not (ROOT / path).exists()] == []
    copied = commands("cp", re.split(r", |`", one.text.replace("\n", " ")))
    assert [line for line in copied if not (ROOT / line.split()[1]).exists()] == []


def test_the_list_of_pages_names_each_once() -> None:
    links = [link for link in page("docs/README.md").links if PurePosixPath(link).suffix == ".md"]
    assert sorted(links) == sorted(one.name.removeprefix("docs/") for one in PAGES[1:] if "README" not in one.name)


def test_the_reference_is_what_the_program_says_now() -> None:
    assert page("docs/reference.md").text == reference.page(), "bring it up to date: python -m headway.cli.reference"


@cache
def settings() -> re.Pattern[str]:
    """All settings and sections by their dotted names, as the reference lists them; some have names of the reader's own in them."""
    forms, section = [], ""
    for line in page("docs/reference.md").text.partition("## Options of data sets")[0].splitlines():
        if line.startswith("### "):
            section = line.removeprefix("### ").partition(",")[0].replace("A project", "")
            forms.append(re.escape(section))
        elif line.startswith("| `"):
            own_name = r"(\.\w+)?" if "| names with values" in line else ""
            forms.append(re.escape(f"{section}.{line.split('`')[1]}".lstrip(".")) + own_name)
    return re.compile("|".join(form.replace("NAME", r"\w+") for form in forms))


def dotted(values: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """The names of nested settings."""
    for name, value in values.items():
        yield f"{above}{name}"
        if isinstance(value, dict):
            yield from dotted(value, f"{above}{name}.")


@each_page
def test_settings_that_are_named_exist(one: Page) -> None:
    sections = "|".join(sorted({*Project.model_fields} - {"name", "task"}))
    words = {word for text in one.inline for word in re.findall(rf"^(?:--set )?((?:{sections})\.[\w.]+)", text)}
    words |= {name for text in one.code("yaml") for name in dotted(yaml_value(text))}
    assert [word for word in sorted(words) if not settings().fullmatch(word)] == []


def test_every_setting_of_the_reference_has_a_sentence() -> None:
    settings = page("docs/reference.md").text.partition("## Commands")[0]
    rows = [line.split(" | ") for line in settings.splitlines() if line.startswith("| `")]
    assert len(rows) > 200
    assert [row for row in rows if len(row[-1]) < 8 and row[0] != "| `name`"] == []
