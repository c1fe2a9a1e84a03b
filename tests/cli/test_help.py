"""The help: a newcomer's commands first, everything within 80 columns, exit codes once."""

from __future__ import annotations

import re

import pytest

from headway.cli import commands as cli
from headway.cli.arguments import GROUPS, parser
from headway.cli.commands import COMMANDS
from headway.cli.keys import ERROR, KEYS


def help_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as exit_:
        cli.main([*words, "--help"])
    assert exit_.value.code == 0
    return capsys.readouterr().out


def test_every_command_stands_once_in_the_help_those_of_a_newcomer_first(capsys: pytest.CaptureFixture[str]) -> None:
    names = [name for group in GROUPS.values() for name in group]
    assert set(names) >= set(COMMANDS)
    assert len(names) == len(set(names))
    assert names[:8] == ["demo", "init", "run", "up", "score", "serve", "watch", "rollback"]
    text = help_of([], capsys)
    assert re.findall(r"^  (\w+) +[A-Z]", text, re.MULTILINE) == [name for name in names if name in COMMANDS]
    assert re.findall(r"^([a-z ]+):$", text, re.MULTILINE)[1:-1] == [*GROUPS]


def test_exit_codes_are_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of([], capsys)
    assert text.count("exit codes:") == 1
    assert all(f"\n  {code} " in text for code in (0, 1, 2, 3, 4, 5, 130))
    assert not any("exit codes:" in help_of([name], capsys) for name in COMMANDS)


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_fits_eighty_columns_but_for_examples_to_copy(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    wide = [line for line in help_of(name.split(), capsys).splitlines() if len(line) > 80]
    assert all(line.strip().startswith(("headway ", "curl ")) for line in wide)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_json_and_says_its_keys(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of([name], capsys)
    assert "--json" in text
    _, _, keys = text.partition("--json prints one object")
    assert re.findall(r"^  (\w+) ", keys, re.MULTILINE) == [*KEYS[name]]
    assert all(key in keys for key in ERROR)


def test_keys_are_documented_for_the_commands_that_there_are() -> None:
    assert set(KEYS) >= set(COMMANDS)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["rnu"], "COMMAND must be one that headway --help lists, but is 'rnu'; did you mean run?"),
        (["xyzxyz"], "COMMAND must be one that headway --help lists, but is 'xyzxyz'"),
        (["score"], "the following arguments are required: NAME; see headway score --help"),
        (["serve", "loans", "--port", "0"], "argument --port: invalid port value: '0'; see headway serve --help"),
    ],
)
def test_a_command_line_that_is_wrong_is_one_line(
    words: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    assert capsys.readouterr() == ("", f"headway: {line}\n")


def test_the_parser_alone_ends_a_program_as_usual() -> None:
    with pytest.raises(SystemExit) as exit_:
        parser(COMMANDS).parse_args(["rnu"])
    assert exit_.value.code == 2
