"""What people see of a run."""

from __future__ import annotations

import io
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from headway.evaluate.decision import Decision
from headway.evaluate.result import BaselineResult, ChampionResult, Estimate, Evaluation
from headway.evaluate.standing import Standing
from headway.machine.interruption import ReaderLeft, undisturbed
from headway.pipeline.runs import Summary
from headway.pipeline.tables import metric_rows
from headway.pipeline.terminal import Terminal
from headway.run.directory import RunDirectory
from headway.run.report import markdown_table, number

EVALUATION = Evaluation(
    primary="auc",
    metrics={"auc": Estimate(0.918, 0.914, 0.922), "average_precision": Estimate(0.8)},
    champion=ChampionResult("3", {"auc": Estimate(0.917)}),
    baselines={name: BaselineResult({"auc": Estimate(0.9)}) for name in ("trivial", "linear", "boosting")},
    earns_its_keep=Standing.of("mlp", "boosting", "AUC 0.918 against 0.930", -0.012, -0.014, -0.01),
)
DECISION = Decision(True, "promoted: auc 0.918 against 0.917", name="adult", version="4")
SUMMARY = Summary(RunDirectory(Path("run")), "adult", None, {}, EVALUATION, DECISION)


class Screen(io.StringIO):
    """A stream that says that it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def lines_of(text: str) -> list[str]:
    return [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).rstrip() for line in text.replace("\r", "\n").splitlines()]


def test_a_stage_is_ticked_off_with_its_seconds_and_what_was_learnt() -> None:
    stream = io.StringIO()
    terminal = Terminal(stream)
    with terminal.stage("validate"):
        terminal.line("48,842 rows × 14 columns, 27 expectations hold")
        terminal.line("and more")
    first, second = stream.getvalue().splitlines()
    assert re.fullmatch(r"✓ validate +\d+\.\d s  48,842 rows × 14 columns, 27 expectations hold *", first)
    assert second.index("and") == first.index("48,842")


def test_a_stage_that_fails_is_crossed_out() -> None:
    stream = io.StringIO()
    terminal = Terminal(stream)
    with pytest.raises(ValueError), terminal.stage("train"):
        raise ValueError
    assert stream.getvalue().startswith("✗ train")


def test_a_terminal_that_knows_ascii_only_gets_ascii_signs() -> None:
    buffer = io.BytesIO()
    with io.TextIOWrapper(buffer, encoding="ascii") as stream:
        with Terminal(stream).stage("validate"):
            pass
        stream.flush()
        assert buffer.getvalue().startswith(b"+ validate")


def test_without_a_terminal_nothing_is_drawn_over_and_nothing_is_coloured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headway.pipeline.terminal.PLAIN_SECONDS", 0.0)
    stream = io.StringIO()
    terminal = Terminal(stream)
    with terminal.stage("train"):
        terminal.progress(0.25, "epoch 1 of 4")
    terminal.results(SUMMARY)
    assert "\x1b" not in stream.getvalue()
    assert "  train  25%  epoch 1 of 4" in stream.getvalue().splitlines()


def test_without_a_terminal_progress_is_told_seldom() -> None:
    stream = io.StringIO()
    terminal = Terminal(stream)
    with terminal.stage("train"):
        for share in range(100):
            terminal.progress(share / 100, "going on")
    assert "going on" not in stream.getvalue()


def test_colours_are_off_where_no_color_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    screen = Screen()
    Terminal(screen, width=80).results(SUMMARY)
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", screen.getvalue())


def test_nothing_is_wider_than_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    screen = Screen()
    terminal = Terminal(screen, width=80)
    with terminal.stage("train"):
        terminal.warn("a warning that goes on and on " * 5)
        terminal.progress(0.5, "epoch 5 of 10, validation loss 0.3123, best 0.3010, 104,000 rows/s, 12 s to go")
        terminal.line("tabm in fp32 on cpu, best of 31 epochs: 15, 12,345 rows/s, peak memory 1,234 MB and more")
    terminal.results(SUMMARY)
    assert max(len(line) for line in lines_of(screen.getvalue())) <= 80


def test_results_say_how_the_model_stands_beside_its_baselines_what_was_decided_and_where_the_model_is() -> None:
    stream = io.StringIO()
    Terminal(stream).results(SUMMARY)
    text = stream.getvalue()
    assert "mlp is worse than the baseline boosting (AUC 0.918 against 0.930)" in text
    assert "promoted: auc 0.918 against 0.917" in text
    assert "models:/adult@champion" in text


def test_metrics_stand_beside_the_champion_and_the_baselines() -> None:
    auc, precision = metric_rows(EVALUATION)
    assert list(auc) == ["metric", "model", "95 % interval", "champion v3", "trivial", "linear", "boosting"]
    assert list(auc.values()) == ["auc *", "0.9180", "0.9140–0.9220", "0.9170", "0.9000", "0.9000", "0.9000"]
    assert list(precision.values()) == ["average precision", "0.8000", "too few rows", "", "", "", ""]
    assert markdown_table([auc]).count("|") == 3 * 8
    alike = replace(EVALUATION, metrics={"mcc": Estimate(1.0, 1.0, 1.0)})
    assert metric_rows(alike)[0]["95 % interval"] == "all resamples alike"
    champion = ChampionResult("3", {"auc": Estimate(0.917)}, rows=1280, left_out=5)
    assert "champion v3 on 1,280 rows" in metric_rows(replace(EVALUATION, champion=champion))[0]


def test_numbers_keep_four_digits_where_they_matter() -> None:
    assert [number(v) for v in (0.91834, 123.456, 123456.7, -1e-6, None)] == [
        "0.9183",
        "123.46",
        "123,457",
        "0.0000",
        "undefined",
    ]


def test_a_reader_that_left_ends_what_goes_on_but_not_what_is_past_its_decision() -> None:
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as stream:
        terminal = Terminal(stream)
        with pytest.raises(ReaderLeft, match="the output is no longer read"):
            terminal.line("one")
        terminal.line("from here on nothing is said, and nothing ends")
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as stream, undisturbed() as late:
        terminal = Terminal(stream)
        for text in ("one", "two"):
            terminal.line(text)
    assert late == ["the output is no longer read"]
